"""Publishing bundles and fetching them.

    published/<bundle>.json           the manifests
    files/<bundle>/<machine>/<path>   what they name; nobody else writes there

In: files of a working copy. Out: the same files in another one, or an error; what no manifest
names is never read. When files are finished, and where they belong, is the caller's business.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from marl_llm.core.digests import file_sha256
from marl_llm.core.errors import RunFailed, UserError
from marl_llm.storage.bundle import Bundle, Draft, FileRecord, unsealed
from marl_llm.storage.objects import Objects

_MANIFESTS, _FILES, _SUFFIX = "published", "files", ".json"
_SETTLES_S = 0.2
"""A manifest that is there but not whole is looked at again after so long: it may be on its way."""


class BundleStore:
    """The bundles of one shared run, as one machine sees them.

    Parameters
    ----------
    objects : Objects
    machine : str
        Name of this working copy, unlike any other's.
    """

    def __init__(self, objects: Objects, machine: str) -> None:
        self.objects, self.machine = objects, machine

    def names(self, under: str = "") -> set[str]:
        """Names of the published bundles, or of those below `under`."""
        folder = f"{_MANIFESTS}/{under}" if under else _MANIFESTS
        before = f"{under}/" if under else ""
        return {
            before + name.removesuffix(_SUFFIX)
            for name in self.objects.names(folder)
            if name.endswith(_SUFFIX)
        }

    def read(self, names: Iterable[str]) -> dict[str, Bundle]:
        """Manifests by name of the bundle; what is not there or not whole is left out.

        Raises
        ------
        UserError
            One is of a newer version or not of marl_llm.
        """
        of = {f"{_MANIFESTS}/{name}{_SUFFIX}": name for name in names}
        found = {}
        for manifest, content in self.objects.read(list(of)).items():
            bundle = unsealed(content, f"{self.objects.address}/{manifest}")
            if bundle is not None:
                if bundle.name != of[manifest]:
                    raise UserError(
                        f"{self.objects.address}/{manifest} is the manifest of {bundle.name}: it "
                        "was copied or renamed; delete it."
                    )
                found[bundle.name] = bundle
        return found

    def publish(self, draft: Draft, root: Path, digests: Mapping[str, str]) -> Bundle:
        """Publish files of the working copy at `root`, unless another machine was first.

        Killed before the last step it leaves nothing that is read.

        Parameters
        ----------
        draft : Draft
        root : Path
        digests : mapping of str to str
            Digests of bundles that are in the working copy; those the draft needs are.

        Returns
        -------
        Bundle
            What is published under this name now: this machine's, or that of the first.
        """
        there = self.read([draft.name]).get(draft.name)
        if there is not None:
            return there
        folder = f"{_FILES}/{draft.name}/{self.machine}"
        bundle = Bundle(
            name=draft.name,
            machine=self.machine,
            folder=folder,
            files={path: _record(root / path) for path in draft.files},
            needs={name: digests[name] for name in draft.needs},
            about=dict(draft.about),
        )
        self.objects.upload({f"{folder}/{path}": root / path for path in draft.files})
        return self._create(bundle)

    def fetch(self, bundles: Iterable[Bundle], into: Path) -> None:
        """Download the files of bundles below the directory `into`, each by its path, and check
        them.

        Raises
        ------
        UserError
            A file is not what its manifest says.
        """
        wanted = {
            f"{bundle.folder}/{path}": (bundle, path) for bundle in bundles for path in bundle.files
        }
        for _, path in wanted.values():
            (into / path).parent.mkdir(parents=True, exist_ok=True)
        self.objects.download({name: into / path for name, (_, path) in wanted.items()})
        bad = [name for name, of in wanted.items() if not _is_whole(*of, into)]
        if bad:
            name = (self.objects.missing(bad) or bad)[0]
            raise UserError(
                f"{self.objects.address}/{name} is not what its manifest says "
                f"({_MANIFESTS}/{wanted[name][0].name}{_SUFFIX}): it was changed or lost after it "
                "was published; delete that manifest, and a machine that has the files publishes "
                "them again."
            )

    def _create(self, bundle: Bundle) -> Bundle:
        manifest = f"{_MANIFESTS}/{bundle.name}{_SUFFIX}"
        if self.objects.create(manifest, bundle.sealed()):
            return bundle
        for _ in range(3):
            there = self.read([bundle.name]).get(bundle.name)
            if there is not None:
                return there
            time.sleep(_SETTLES_S)
        self.objects.write(manifest, bundle.sealed())  # its writer was killed
        there = self.read([bundle.name]).get(bundle.name)
        if there is None:
            raise RunFailed(
                f"{self.objects.address}/{manifest} does not read as it was written; run again."
            )
        return there


def _is_whole(bundle: Bundle, path: str, into: Path) -> bool:
    """True if the file that was fetched is what the manifest says."""
    here = into / path
    return here.is_file() and _record(here) == bundle.files[path]


def _record(path: Path) -> FileRecord:
    return FileRecord(size=path.stat().st_size, sha256=file_sha256(path))

"""A bundle: files that are published together, and the manifest that publishes them.

The manifest holds its own checksum, so that one cut short by a kill, on a storage where that can
happen, counts as none. Paths in it are checked: whoever may write to the storage must not choose
files elsewhere on this machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict, ValidationError

from marl_llm.core.errors import UserError

VERSION = 1


@dataclass(frozen=True)
class Draft:
    """What is to be published.

    Attributes
    ----------
    name : str
        Of the bundle, unique in the run.
    files : tuple of str
        Paths in the run's directory.
    needs : tuple of str
        Bundles without which it means nothing.
    about : mapping
        Plain values that travel in the manifest.
    """

    name: str
    files: tuple[str, ...]
    needs: tuple[str, ...] = ()
    about: Mapping[str, object] = field(default_factory=dict)


class FileRecord(BaseModel):
    """What a file must be: `size` in bytes, `sha256` in hex."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    sha256: str


class Bundle(BaseModel):
    """A published bundle.

    Attributes
    ----------
    name : str
    machine : str
        Working copy that published it.
    folder : str
        Where the objects lie, each below it by its path.
    files : dict of str to FileRecord
        By path in the run's directory.
    needs : dict of str to str
        Digests of the bundles that it builds on, by name.
    about : dict
        Plain values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = VERSION
    name: str
    machine: str
    folder: str
    files: dict[str, FileRecord]
    needs: dict[str, str]
    about: dict[str, object]

    @property
    def digest(self) -> str:
        """SHA-256 of what is published, hexadecimal: whoever did it, and wherever it lies."""
        return _digest(self.model_dump(mode="json", exclude={"machine", "folder"}))

    def sealed(self) -> bytes:
        """The manifest, as JSON with its own checksum."""
        bundle = self.model_dump(mode="json")
        content = {"sha256": _digest(bundle), "bundle": bundle}
        return json.dumps(content, indent=1).encode() + b"\n"


def unsealed(content: bytes, where: str) -> Bundle | None:
    """Read a manifest; None if it was cut short or changed. `where` names it in errors.

    Raises
    ------
    UserError
        It is of a newer version, or names a file outside the run.
    """
    try:
        found = json.loads(content)
        whole = found["sha256"] == _digest(found["bundle"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not whole:
        return None
    if found["bundle"].get("version") != VERSION:
        raise UserError(
            f"{where}: version {found['bundle'].get('version')} of the manifest, this version "
            f"reads {VERSION}: update marl_llm."
        )
    try:
        bundle = Bundle.model_validate(found["bundle"])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{where}: {key}: {first['msg']}; it was not written by marl_llm."
        ) from None
    for path in (*bundle.files, bundle.folder):
        if not is_inside(path):
            raise UserError(f"{where} names {path!r}, which lies outside the run: do not use it.")
    return bundle


def is_inside(path: str) -> bool:
    """True for a relative path in its plain spelling, with no part that is hidden or goes up."""
    pure = PurePosixPath(path)
    plain = str(pure) == path and not set("\0\\") & set(path) and not pure.is_absolute()
    return plain and not any(part.startswith(".") for part in path.split("/"))


def _digest(bundle: object) -> str:
    text = json.dumps(bundle, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

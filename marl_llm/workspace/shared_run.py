"""A run that several machines work on: a working copy here, what is finished on shared storage.

All work happens in the working copy, an ordinary run directory in the user's cache. `sync`
publishes what is finished there and takes over what others finished; where two made the same, the
first to publish wins and the other's is replaced. Machines that collect the same iteration divide
its episodes (`collect`); any of them may die.
"""

from __future__ import annotations

import fcntl
import functools
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from marl_llm.core.directory import make_directory
from marl_llm.core.errors import RunFailed, UserError
from marl_llm.rollout.sharing import Sharing
from marl_llm.rollout.summary import EpisodeSummary, append_summary
from marl_llm.storage import Bundle, BundleStore, Claims, Draft, Objects, RunAddress
from marl_llm.trajectories import finished_episodes, write_manifest
from marl_llm.workspace import finished as bundles
from marl_llm.workspace.ledger import Ledger
from marl_llm.workspace.recipe import load_recipe
from marl_llm.workspace.run import RunDirectory

logger = logging.getLogger(__name__)
_INCOMING = ".incoming"
_AT_ONCE = 64
"""Bundles fetched together."""
_LOOKS = 6
"""Looks at what others do in the time after which a machine is lost."""


def working_copy(address: RunAddress) -> Path:
    """Where the working copy of a shared run lies: under XDG_CACHE_HOME, by default ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME")
    cache = Path(home) if home else Path.home() / ".cache"
    return cache / "marl_llm" / "runs" / address.short_name


def run_at(place: Path | RunAddress) -> RunDirectory:
    """The run in a directory, or at an address; nothing is read yet.

    Raises
    ------
    UserError
        The storage's client is missing, or the working copy cannot be made.
    """
    if isinstance(place, RunAddress):
        root = working_copy(place)
        make_directory(root)
        return SharedRun(root, place, Objects(place))
    return RunDirectory(place)


def run_to_read(place: Path | RunAddress) -> RunDirectory:
    """As `run_at`, for a command that only reads it: with what others have finished by now.

    Raises
    ------
    UserError
        There is no run at the address, or the storage refuses.
    """
    run = run_at(place)
    if isinstance(run, SharedRun):
        with (run.root / ".lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                run.pull()
            except BlockingIOError:
                logger.info("%s: another process keeps the working copy up to date", run.name)
        run.require_started()
    return run


@dataclass(frozen=True)
class SharedRun(RunDirectory):
    """A run at an address; `root` is the working copy.

    Attributes
    ----------
    address : RunAddress
    objects : Objects
    """

    address: RunAddress
    objects: Objects

    @property
    def name(self) -> str:
        """Its address."""
        return self.address.url

    @functools.cached_property
    def _ledger(self) -> Ledger:
        return Ledger(self.root, self.address.url)

    @functools.cached_property
    def _store(self) -> BundleStore:
        return BundleStore(self.objects, self._ledger.machine)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the working copy for this process, and bring it up to date.

        Raises
        ------
        UserError
            Another process is at work in it, or `sync`.
        """
        with super().held():
            shutil.rmtree(self.root / _INCOMING, ignore_errors=True)
            self.sync()
            yield

    def require_started(self) -> None:
        """Raise UserError if there is no run at the address."""
        if not (self.root / "recipe.yaml").is_file():
            raise UserError(
                f"{self.name}: there is no run; start it with `marl-llm iterate` or "
                "`marl-llm rollout`, or name another address."
            )

    def sync(self) -> None:
        """Take over what others finished, and publish what is finished here.

        Raises
        ------
        UserError
            The storage refuses, a file there is damaged, or the run there is another one.
        RunFailed
            The storage or the disk fails; the same command goes on.
        """
        self.pull()
        while new := list(bundles.finished(self, self._ledger)):
            for draft in new:
                if any(name not in self._ledger for name in draft.needs):
                    continue  # what it was made from is not here any more
                if not self._publish(draft):
                    break  # another was first: what is finished here may have changed
            else:
                return

    def pull(self) -> None:
        """Take over what others finished; errors as of `sync`."""
        there = self._store.names()
        self._require_same_run(there)
        for name in {*(set(self._ledger) - there), *self._deleted()}:
            self._ledger.put(name, None)  # deleted there: published again; here: fetched again
        new = sorted(there - set(self._ledger), key=bundles.order)
        for at in range(0, len(new), _AT_ONCE):
            read = self._store.read(new[at : at + _AT_ONCE])
            found = [read[name] for name in new if name in read]
            self._take(found)
            self._reconcile([bundle for bundle in found if bundle.name not in self._ledger])

    def collect(
        self,
        k: int,
        episodes: Sequence[str],
        play: Callable[[Sharing | None], None],
        lost_after_s: float,
    ) -> None:
        """Play the episodes of iteration k together with other machines; all are here when this
        returns.
        """
        claims = Claims(self.objects, self.iteration(k).name, self._ledger.machine, lost_after_s)
        sharing = _Division(self, k, claims)
        with claims.alive():
            while True:
                self.sync()
                if not (missing := self._missing(k, episodes)):
                    return
                if claims.free(missing):
                    play(sharing)
                else:
                    self._wait(k, missing, claims, lost_after_s / _LOOKS)

    def publish_episode(self, k: int, summary: EpisodeSummary) -> None:
        """Publish the rows of an episode; where another machine was first, the next `sync` takes
        its.
        """
        draft = bundles.episode_draft(self, k, summary.episode, summary)
        bundle = self._store.publish(draft, self.root, self._ledger)
        if bundle.machine == self._ledger.machine:
            self._ledger.put(bundle.name, bundle.digest)

    def _missing(self, k: int, episodes: Sequence[str]) -> list[str]:
        here = finished_episodes(self.trajectories(k))
        return [episode for episode in episodes if episode not in here]

    def _wait(self, k: int, missing: Sequence[str], claims: Claims, look_every_s: float) -> None:
        """Until one of the episodes is published, or its machine is lost."""
        hosts = sorted({who.host for who in claims.claimants(missing).values()})
        logger.info("waiting for %d episodes that %s play", len(missing), ", ".join(hosts))
        names = {bundles.episode_name(k, episode) for episode in missing}
        folder = bundles.episode_name(k, "").rstrip("/")
        while not claims.take_over(missing):
            time.sleep(look_every_s)
            if self._store.names(folder) & names:
                return

    def _deleted(self) -> list[str]:
        """Episodes whose rows were here, and are not any more."""
        known = {name: found for name in self._ledger if (found := bundles.episode_of(name))}
        here = {k: finished_episodes(self.trajectories(k)) for k, _ in known.values()}
        return [name for name, (k, episode) in known.items() if episode not in here[k]]

    def _require_same_run(self, there: set[str]) -> None:
        """Raise UserError if the run at the address was deleted or made anew since."""
        known = self._ledger.get(bundles.START)
        if known is None:
            return
        start = (
            self._store.read([bundles.START]).get(bundles.START) if bundles.START in there else None
        )
        if start is None or start.digest != known:
            what = "is gone" if start is None else "is another one now"
            raise UserError(
                f"{self.name}: the run of which {self.root} is a working copy {what}; delete that "
                "directory to begin with what is there, or name another address."
            )

    def _publish(self, draft: Draft) -> bool:
        """Publish a bundle; False if another machine's took its place here."""
        k = bundles.iteration_of(draft.name)
        if k is not None and draft.name == bundles.collected_name(k):
            self._agree(k, draft)
        bundle = self._store.publish(draft, self.root, self._ledger)
        if bundle.machine == self._ledger.machine:
            self._ledger.put(bundle.name, bundle.digest)
            return True
        self._take([bundle])
        if bundle.name not in self._ledger:
            self._reconcile([bundle])
        logger.info("%s: another machine was first, its %s is kept", self.name, bundle.name)
        return False

    def _reconcile(self, unmet: Sequence[Bundle]) -> None:
        """Take bundles again that others were made from, where another version of them is here.

        Where a bundle cannot be created exclusively, two machines may believe that theirs is
        published; what was made from it decides. What needs a bundle that is not here yet waits.
        """
        conflicts = {name for one in unmet for name in _conflicts(one, self._ledger)}
        if not conflicts:
            return
        self._take([one for _, one in sorted(self._store.read(conflicts).items())])
        self._take(unmet)
        if wrong := [one.name for one in unmet if _conflicts(one, self._ledger)]:
            raise UserError(
                f"{self.name}: {wrong[0]} there was made from other parts than those in "
                f"{self.root}; delete that directory to begin with what is there."
            )

    def _agree(self, k: int, draft: Draft) -> None:
        """Have exactly the rows that are published, before they are said to be complete: a storage
        without exclusive creation may let a later one win.
        """
        published = self._store.read(draft.needs)
        others = [one for name, one in published.items() if one.digest != self._ledger[name]]
        if others:
            self._take(others)
            write_manifest(self.trajectories(k))

    def _take(self, found: Sequence[Bundle]) -> None:
        """Fetch bundles and put their files in place, in this order, as far as what they need is
        here.
        """
        staging = self.root / _INCOMING
        coming = {**self._ledger, **{one.name: one.digest for one in found}}
        wanted = [one for one in found if _satisfied(one, coming)]
        try:
            self._store.fetch(wanted, staging)
            for bundle in wanted:
                if _satisfied(bundle, self._ledger):
                    self._place(bundle, staging)
                    self._ledger.put(bundle.name, bundle.digest)
        except OSError as error:
            raise RunFailed(
                f"{self.root}: what was published cannot be written here "
                f"({error.strerror or error}); free some space and run again."
            ) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _place(self, bundle: Bundle, staging: Path) -> None:
        """Move the files of a bundle to where they belong, in place of this machine's own."""
        if bundle.name == bundles.START:
            self._require_same_work(staging / "recipe.yaml")
        for path in sorted(self._own(bundle.name) - bundle.files.keys()):
            (self.root / path).unlink()
            with suppress(OSError):  # others are in it
                (self.root / path).parent.rmdir()
        if summary := bundle.about.get("summary"):
            k = bundles.iteration_of(bundle.name)
            assert k is not None and isinstance(summary, dict)
            self.trajectories(k).mkdir(parents=True, exist_ok=True)
            append_summary(self.trajectories(k), EpisodeSummary(**summary))
        for path in bundle.files:
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / path).replace(self.root / path)

    def _own(self, name: str) -> set[str]:
        """Files that this machine made for a bundle of several that others published first."""
        k = bundles.iteration_of(name)
        draft = bundles.start_draft(self) if name == bundles.START else None
        if k is not None and name == bundles.trained_name(k):
            draft = bundles.trained_draft(self, k)
        return set(draft.files) if draft else set()

    def _require_same_work(self, published: Path) -> None:
        own = self.root / "recipe.yaml"
        if own.is_file() and not load_recipe(own).same_work(load_recipe(published)):
            raise UserError(
                f"{self.name} holds a run of another recipe: name a new address, or use the recipe "
                f"of that run; what was begun here is in {self.root}, delete it."
            )


class _Division(Sharing):
    """This machine's share of an iteration's episodes."""

    def __init__(self, run: SharedRun, k: int, claims: Claims) -> None:
        self._run, self._k, self._claims = run, k, claims

    def take(self, episode: str) -> bool:
        """True if this machine is to play the episode."""
        return self._claims.take(episode)

    def finished(self, summary: EpisodeSummary) -> None:
        """Publish an episode whose rows are written."""
        self._run.publish_episode(self._k, summary)


def _conflicts(bundle: Bundle, digests: Mapping[str, str]) -> list[str]:
    """What it needs, and is here in another version."""
    return [name for name, digest in bundle.needs.items() if digests.get(name, digest) != digest]


def _satisfied(bundle: Bundle, digests: Mapping[str, str]) -> bool:
    return all(digests.get(name) == digest for name, digest in bundle.needs.items())

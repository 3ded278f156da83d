"""Completions of unfinished episodes, kept as they are sampled, so that an interrupted episode
samples none of them again.

Seeds and prompts of an episode are the same each time it is played, so a completion is found again
by what it was asked with. One file per episode beside the trajectories, one JSON line per
completion, gone when the episode's rows are written. Lines are handed to the operating system at
once: they outlive this process, not a power cut.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from marl_llm.core.errors import RunFailed
from marl_llm.rollout.policies import Ask, Policy, PolicyInfo
from marl_llm.serving import Completion

UNFINISHED = "unfinished"
"""Directory of the journals, in that of the trajectories."""


@dataclass(frozen=True)
class Spent:
    """What an episode has taken so far, seconds: CPU time but for the sandbox's, and time on the
    clock.
    """

    cpu_s: float = 0.0
    wall_s: float = 0.0


class Journal(Protocol):
    """Where the completions of one episode are kept.

    Attributes
    ----------
    kept : dict of str to Completion
        What an earlier process sampled, by key.
    spent : Spent
        What the episode had taken by the last of them.
    repeated : int
        Requests that were sent again for the replies of this episode, counted by `JournaledPolicy`.
    """

    kept: dict[str, Completion]
    spent: Spent
    repeated: int

    def add(self, key: str, completion: Completion, spent: Spent) -> None:
        """Keep a completion."""
        ...


class EpisodeJournal:
    """The journal of one episode, in a file; a context manager that closes it. A `Journal`.

    Parameters
    ----------
    directory : Path
        Of the episode's trajectories.
    episode : str
        Its name.

    Attributes
    ----------
    kept : dict of str to Completion
        What an earlier process sampled, by key.
    spent : Spent
        What the episode had taken by the last of them.
    repeated : int
        Requests that were sent again for the replies of this episode, counted by `JournaledPolicy`.
    """

    def __init__(self, directory: Path, episode: str) -> None:
        self._path = directory / UNFINISHED / f"{episode}.jsonl"
        self._file: BinaryIO | None = None
        self.kept: dict[str, Completion] = {}
        self.spent = Spent()
        self.repeated = 0
        for key, completion, spent in _whole_lines(self._path):
            self.kept[key], self.spent = completion, spent

    def add(self, key: str, completion: Completion, spent: Spent) -> None:
        """Keep a completion. Raises RunFailed if the disk does not take it."""
        line = json.dumps(
            {"key": key, "completion": vars(completion), "spent": vars(spent)}
        )  # asdict copies lists
        try:
            self._opened().write(line.encode() + b"\n")
        except OSError as error:
            why = error.strerror or error
            raise RunFailed(
                f"{self._path}: cannot be written ({why}); free some space and run again."
            ) from error

    def remove(self) -> None:
        """Forget the episode: its rows are written."""
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _opened(self) -> BinaryIO:
        """The file to append to, unbuffered: a line is one write, so a kill cuts at most the
        last.
        """
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            cut = self._path.is_file() and not self._path.read_bytes().endswith(b"\n")
            self._file = self._path.open("ab", buffering=0)
            self._file.write(b"\n" * cut)
        return self._file


class JournaledPolicy:
    """A policy whose completions are kept, and not sampled again where they were. A `Policy`.

    Parameters
    ----------
    policy : Policy
        Who answers what is not in the journal.
    journal : Journal
        Of the episode played.
    sampling : str
        How completions are sampled, in words that change when it does (temperature, limit of
        tokens).
    spent : callable
        What the episode has taken until now.
    """

    def __init__(
        self, policy: Policy, journal: Journal, sampling: str, spent: Callable[[], Spent]
    ) -> None:
        self._policy, self._journal, self._sampling, self._spent = policy, journal, sampling, spent

    @property
    def info(self) -> PolicyInfo:
        """Which policy this is."""
        return self._policy.info

    async def reply(self, ask: Ask) -> Completion:
        """Give the kept reply, or sample one and keep it; one without tokens (scripted) is not
        worth keeping.
        """
        key = _key(self.info, ask, self._sampling)
        kept = self._journal.kept.get(key)
        completion = kept or await self._policy.reply(ask)
        self._journal.repeated += completion.repeated
        if completion.completion_ids and kept is None:
            self._journal.add(key, completion, self._spent())
        return completion


def tidy(directory: Path, finished: Iterable[str]) -> None:
    """Remove the journals of finished episodes (a kill may leave one), and their directory if it is
    empty.
    """
    folder = directory / UNFINISHED
    for episode in finished if folder.is_dir() else ():
        (folder / f"{episode}.jsonl").unlink(missing_ok=True)
    with suppress(OSError):  # not empty, or not there
        folder.rmdir()


def _key(info: PolicyInfo, ask: Ask, sampling: str) -> str:
    """Hash of all that a completion depends on."""
    asked = json.dumps([info.name, info.sha256, sampling, ask.seed, ask.messages])
    return hashlib.sha256(asked.encode()).hexdigest()


def _whole_lines(path: Path) -> list[tuple[str, Completion, Spent]]:
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")
    return [line for line in map(_read, lines) if line is not None]


def _read(line: bytes) -> tuple[str, Completion, Spent] | None:
    """A line; None for half of one, which is what a killed process leaves."""
    try:
        content = json.loads(line)
    except ValueError:
        return None
    if not content:
        return None
    return content["key"], Completion(**content["completion"]), Spent(**content["spent"])

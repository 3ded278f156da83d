"""A command that is killed again and again, and run again until it ends by itself.

In: a command, a number of kills, what to kill. Out: what was killed when. Each kill hits one
process of the command's family with SIGKILL, as the kernel does when memory runs out. A family that
outlives its command, or an end that is not one sentence, is an error.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

COLLECTOR, SERVER, ZYGOTE, TRAINER, RAY = "collector", "server", "zygote", "trainer", "ray worker"
KINDS = {
    SERVER: "vllm.entrypoints",
    ZYGOTE: "inside.zygote",
    TRAINER: "marl_llm.algorithms.worker",
    RAY: "ray::_",  # its tasks; Ray's own daemons are not ours
}
"""What the command lines of a family's members have in them; all else is the command itself."""
_LOOK_EVERY_S = 0.2
_LEFT_BEHIND_S = 180.0
"""How long a family may outlive its command: ours ends within seconds, Ray's agents take a minute
or two.
"""


_ALONE = 0.2
"""Share of the kills that are dealt to a command that has started nothing yet: else it would take
most of them.
"""


@dataclass(frozen=True)
class Kill:
    """What was killed, how long after its command had begun."""

    kind: str
    after_s: float


class Disturbed(AssertionError):
    """A command did not come through its kills as it should."""


def run_under_kills(
    command: Sequence[str],
    log: Path,
    *,
    kills: int,
    mean_s: float,
    draw: random.Random,
    kinds: Collection[str] = (COLLECTOR, *KINDS),
    most_s: float = 3600.0,
) -> list[Kill]:
    """Run a command until it succeeds, with so many kills on the way if it runs for long enough.

    Parameters
    ----------
    command : sequence of str
        The same command resumes.
    log : Path
        Its output, of all attempts.
    kills : int
        Maximum number of kills.
    mean_s : float
        Mean time between two of them, seconds (exponential).
    draw : random.Random
        Moments and victims: of the kinds that are alive, one that was killed least.
    kinds : collection of str
        What may be killed.
    most_s : float
        Longest time for all of it.

    Raises
    ------
    Disturbed
        An attempt ended otherwise than by a kill, with success or with one sentence; or a process
        was left behind.
    """
    done: list[Kill] = []
    deadline = time.monotonic() + most_s
    while True:
        start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            process = subprocess.Popen(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
            )
        family = _disturb(process, done, kills, mean_s, draw, kinds, deadline)
        _require_gone(family)
        said = log.read_bytes()[start:].decode("utf-8", "replace")
        if process.returncode == 0:
            return done
        killed = process.returncode == -9 or (process.returncode == 1 and len(done))
        if not killed or "Traceback" in said:
            raise Disturbed(f"exit code {process.returncode} after {done}:\n{said[-3000:]}")


def _disturb(
    process: subprocess.Popen[bytes],
    done: list[Kill],
    kills: int,
    mean_s: float,
    draw: random.Random,
    kinds: Collection[str],
    deadline: float,
) -> list[psutil.Process]:
    """Kill until the command ends; returns all that was ever seen of its family."""
    root, began = psutil.Process(process.pid), time.monotonic()
    seen: dict[int, psutil.Process] = {}
    due = began + draw.expovariate(1 / mean_s)
    while process.poll() is None:
        now = time.monotonic()
        if now > deadline:
            process.kill()
            raise Disturbed(f"it took too long; killed: {done}")
        family = _members(root)
        seen |= {member.pid: member for members in family.values() for member in members}
        chosen = sorted(kind for kind, members in family.items() if kind in kinds and members)
        if now >= due and len(done) < kills and chosen:
            due = now + draw.expovariate(1 / mean_s)
            if chosen == [COLLECTOR] and draw.random() > _ALONE and len(kinds) > 1:
                continue
            spared = Counter(dict.fromkeys(chosen, 0)) + Counter(kill.kind for kill in done)
            least = min(spared[kind] for kind in chosen)
            kind = draw.choice([kind for kind in chosen if spared[kind] == least])
            victim = draw.choice(sorted(family[kind], key=lambda one: one.pid))
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                continue
            done.append(Kill(kind, round(now - began, 1)))
        time.sleep(_LOOK_EVERY_S)
    seen.pop(process.pid, None)
    return list(seen.values())


def _members(root: psutil.Process) -> dict[str, list[psutil.Process]]:
    """The family by kind; of a server and a sandbox all processes, of the command itself one."""
    found: dict[str, list[psutil.Process]] = {COLLECTOR: [root]}
    try:
        below = root.children(recursive=True)
    except psutil.NoSuchProcess:
        return found
    for member in below:
        try:
            words = " ".join(member.cmdline()) or member.name()
        except psutil.Error:  # it has ended
            continue
        kind = next((kind for kind, word in KINDS.items() if word in words), "other")
        found.setdefault(kind, []).append(member)
    return found


def _require_gone(family: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(family, timeout=_LEFT_BEHIND_S)
    left = []
    for one in alive:
        try:
            if one.status() != psutil.STATUS_ZOMBIE:
                left.append(" ".join(one.cmdline())[:100] or one.name())
        except psutil.NoSuchProcess:
            continue
    if left:
        raise Disturbed(f"left behind by process {os.getpid()}'s command: {left}")

"""What an evaluation is limited to and what comes out of it: plain values, no process and no
file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from marl_llm.core.errors import UserError
from marl_llm.core.predictions import Predictions

MAX_ERROR_CHARACTERS = 300


class SandboxUnavailable(UserError):
    """Untrusted code cannot be isolated on this machine as asked. Nothing is evaluated."""


class Level(StrEnum):
    """How untrusted code is isolated. `landlock` is the fallback without namespaces, `none` is no
    isolation at all.
    """

    bubblewrap = "bubblewrap"
    landlock = "landlock"
    none = "none"


class Status(StrEnum):
    """How an evaluation ended."""

    ok = "ok"
    error = "error"  # the code raised an exception
    timeout = "timeout"  # wall time
    cpu_limit = "cpu_limit"  # CPU time
    memory = "memory"
    tamper = "tamper"  # the code made a system call that no honest pipeline makes
    died = "died"  # the process ended without a result
    protocol = "protocol"  # the code wrote to the sandbox's own connection
    bad_predictions = "bad_predictions"  # wrong shape, NaN, or not probabilities
    inconsistent = "inconsistent"  # predictions depend on row order, batch or call count


class Stage(StrEnum):
    """The highest rung that the host saw a candidate reach in the fold that ended the evaluation.
    Forgeable.
    """

    none = "none"
    parsed = "parsed"  # compiled, ran, and defines build_pipeline
    built = "built"  # build_pipeline() returned
    fitted = "fitted"
    predicted = "predicted"  # well-formed predictions arrived


class Probe(StrEnum):
    """In which folds a quarter of the validation rows is predicted again in another order, to
    compare.
    """

    never = "never"
    last = "last"
    every = "every"


@dataclass(frozen=True)
class Limits:
    """What the evaluation of one fold may use.

    Attributes
    ----------
    wall_s : float
        Seconds from the start of the child to its last prediction.
    cpu_s : int
        CPU seconds of all its threads.
    memory_bytes : int
        Memory beyond that of the warm interpreter.
    threads : int
        Threads (and processes) of the slot's user, a handful of which are the sandbox's own.
    """

    wall_s: float = 20.0
    cpu_s: int = 15
    memory_bytes: int = 2 << 30
    threads: int = 64


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one candidate on some folds.

    Attributes
    ----------
    status, stage
        How it ended and the rung it reached.
    predictions : tuple of Predictions
        One per fold, rows in the original order of the fold's `X_valid`; empty unless the status is
        ok.
    error : str
        One short printable line, empty if ok.
    description : dict or None
        "class" and "params" (name to repr) as the candidate's own process reports them:
        unverified.
    seconds, cpu_seconds : float
        Wall time and CPU time of all folds, without waiting for a slot.
    isolation : str
        The level that was in force.
    """

    status: Status
    stage: Stage
    predictions: tuple[Predictions, ...]
    error: str
    description: dict[str, object] | None
    seconds: float
    cpu_seconds: float
    isolation: str


def one_line(text: str, limit: int = MAX_ERROR_CHARACTERS) -> str:
    """`text` on one line, unprintable characters escaped, at most `limit` characters."""
    line = " ".join(text[: 4 * limit].split())
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return safe if len(safe) <= limit else safe[: limit - 3] + "..."

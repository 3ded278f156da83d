"""The session's real sandbox, lent to code that would start one of its own, and what ran in it
remembered.

Starting a sandbox takes seconds of processor time, and tests of plays evaluate the same few models
on the same few tables again and again. A candidate that ended by itself has the same result
whenever it is run again on the same fold, which tests/sandbox holds; so it is answered from memory,
with the processor time that it took. What was cut short (time, memory, a dead process) is run
again, and so is what was run under looser limits than are asked for. Tests that claim that a play
repeats itself, or count what the sandbox does, take a sandbox that remembers nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from marl_llm.environment.cache import PASSING
from marl_llm.environment.cache.keys import fold_key
from marl_llm.sandbox import Evaluation, Fold, Level, Limits, Sandbox, opened
from marl_llm.solve import score
from tests.fixtures import SLOTS, shared_sandbox

_remembered: dict[tuple[object, ...], tuple[Limits, Evaluation]] = {}


class LentSandbox(Sandbox):
    """The shared sandbox under limits of its own. To close it ends nothing.

    Parameters
    ----------
    limits : Limits
        Of one fold, unless an evaluation brings its own.
    remembers : bool
        Whether candidates that were run before are answered from memory.
    """

    def __init__(self, limits: Limits | None = None, *, remembers: bool = True) -> None:
        self.__dict__.update(shared_sandbox().__dict__)
        self._limits, self._remembers = limits or self._limits, remembers

    def evaluate(self, code: str, folds: Sequence[Fold], **how) -> Evaluation:
        """As `Sandbox.evaluate`."""
        limits = how.pop("limits", None) or self._limits
        if not self._remembers:
            return super().evaluate(code, folds, limits=limits, **how)
        key = (code, *map(fold_key, folds), *sorted(how.items()))
        known = _remembered.get(key)
        if known and _within(known[0], limits):
            return known[1]
        done = super().evaluate(code, folds, limits=limits, **how)
        if done.status not in PASSING:
            _remembered[key] = limits, done
        return done

    def close(self) -> None:
        """Leave the shared sandbox as it is."""


def _within(tighter: Limits, looser: Limits) -> bool:
    return all(vars(tighter)[name] <= value for name, value in vars(looser).items())


@contextmanager
def lent_sandboxes(*, remembering: bool = True) -> Iterator[None]:
    """Whatever would start a sandbox of up to two slots is lent the shared one meanwhile."""

    def lent(
        slots: int = 1,
        level: str = Level.bubblewrap,
        limits: Limits = Limits(),  # noqa: B008
        packages: Sequence[str] = (),
    ) -> Sandbox:
        if level != Level.bubblewrap or slots > SLOTS or packages:
            return Sandbox(slots, level, limits, packages=packages)
        return LentSandbox(limits, remembers=remembering)

    with pytest.MonkeyPatch.context() as patch:
        for module in (opened, score):
            patch.setattr(module, "Sandbox", lent)
        yield


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    """The shared one, remembering."""
    return LentSandbox()


@pytest.fixture
def remembering_nothing() -> Iterator[None]:
    """Everything that the test plays is really run."""
    with lent_sandboxes(remembering=False):
        yield

"""Runs a candidate on one fold: what is known comes from the cache, the rest from the sandbox."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from marl_llm.environment.cache import PASSING, EvaluationCache
from marl_llm.environment.cache.keys import fold_key, run_key
from marl_llm.proposals import prelude_for
from marl_llm.sandbox import Evaluation, Fold, Limits, Probe, SandboxPool


@dataclass(frozen=True)
class Candidate:
    """Code to evaluate, with its syntax tree as `code_key` gives it."""

    code: str
    tree: str


class KeyedFold:
    """A fold with its key, which is computed when it is first asked for."""

    def __init__(self, fold: Fold) -> None:
        self.fold = fold
        self._key: str | None = None

    @property
    def key(self) -> str:
        """Digest of the fold's content."""
        if self._key is None:
            self._key = fold_key(self.fold)
        return self._key


class FoldRunner:
    """Runs candidates on folds; thread-safe.

    Parameters
    ----------
    sandbox : SandboxPool
    cache : EvaluationCache
    prelude : str or None
        Trusted text that is run before each candidate; None: `prelude_for` its code.
    seed : int
        Of numpy and random in the sandbox.

    Attributes
    ----------
    fits : int
        Folds that were fitted, not answered by the cache.
    cpu_seconds : float
        CPU time of all runs asked for, each counted once; one that the cache answered, as when it
        was run.
    limits : Limits or None
        Of runs that bring none, if tighter than the sandbox's.
    """

    def __init__(
        self, sandbox: SandboxPool, cache: EvaluationCache, prelude: str | None, seed: int
    ) -> None:
        self._sandbox, self._cache, self._prelude, self._seed = sandbox, cache, prelude, seed
        self._lock = threading.Lock()
        self.fits = 0
        self.cpu_seconds = 0.0
        self.limits: Limits | None = None
        self._charged: set[str] = set()

    def run(
        self,
        candidate: Candidate,
        fold: KeyedFold,
        *,
        describe: bool,
        probe: bool,
        limits: Limits | None = None,
    ) -> tuple[Evaluation, bool]:
        """The candidate's predictions on the fold, or why there are none, and whether it had to be
        run. Blocks.

        `describe` asks for the estimator's description, `probe` for the check that predictions are
        consistent. `limits` tighter than the sandbox's give the same predictions or none, and none
        is not kept: they are no part of the key.
        """
        key = self._key(candidate, fold, describe, probe)
        known = self._cache.get(key)
        if known is not None:
            self._charge(key, known)
            return known, False
        done = self._sandbox.evaluate(
            candidate.code,
            [fold.fold],
            prelude=self._prelude_of(candidate),
            seed=self._seed,
            describe=describe,
            probe=Probe.every if probe else Probe.never,
            limits=limits or self.limits,
        )
        with self._lock:
            self.fits += 1
        self._charge(key, done)
        self._cache.put(key, done)
        return done, True

    def known(
        self, candidate: Candidate, fold: KeyedFold, *, describe: bool, probe: bool
    ) -> Evaluation | None:
        """What the cache holds of this run, None if nothing; does not run it."""
        return self._cache.get(self._key(candidate, fold, describe, probe))

    def _key(self, candidate: Candidate, fold: KeyedFold, describe: bool, probe: bool) -> str:
        return run_key(
            candidate.tree,
            self._prelude_of(candidate),
            fold.key,
            seed=self._seed,
            limits=self._sandbox.limits,
            level=self._sandbox.level,
            describe=describe,
            probe=probe,
        )

    def _prelude_of(self, candidate: Candidate) -> str:
        return prelude_for(candidate.code) if self._prelude is None else self._prelude

    def _charge(self, key: str, run: Evaluation) -> None:
        with self._lock:
            if key in self._charged:
                return
            self.cpu_seconds += run.cpu_seconds
            if run.status not in PASSING:  # what was cut off may be run again, and costs again
                self._charged.add(key)

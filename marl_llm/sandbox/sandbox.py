"""A pool of slots that evaluates untrusted pipeline code on prepared folds and hands out raw
predictions, and runs pandas snippets on labelled rows and hands out text.

In: a candidate's text and `Fold`s, or a snippet and rows. Out: an `Evaluation`, or a
`SnippetResult`. Labels of validation rows are never given to it, and it computes no metric. Calls
may come from several threads; each takes one slot, and its folds run one after another in fresh
children.
"""

from __future__ import annotations

import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import pandas as pd

from marl_llm.core.predictions import Predictions
from marl_llm.sandbox.conversation import Job
from marl_llm.sandbox.fold import Fold
from marl_llm.sandbox.launch import seen_inside
from marl_llm.sandbox.results import (
    Evaluation,
    Level,
    Limits,
    Probe,
    SandboxUnavailable,
    Stage,
    Status,
)
from marl_llm.sandbox.selftest import check_slot
from marl_llm.sandbox.slot import FoldResult, Slot, SlotLost
from marl_llm.sandbox.snippets import MAX_CHARACTERS, SnippetJob, SnippetResult, shuffled

_ATTEMPTS = 2  # what runs in a slot that dies is repeated once
_LOST = "the sandbox slot died twice"
_Result = TypeVar("_Result")
_DEFAULT_LIMITS = Limits()
_verified: set[Level] = set()  # levels whose self-test passed in this process


class Sandbox:
    """Evaluate untrusted code.

    Parameters
    ----------
    slots : int
        How many evaluations run at once. Each slot is a warm interpreter of about 120 MB.
    level : str
        "bubblewrap"; "landlock" is weaker and must be asked for; "none" isolates nothing.
    limits : Limits
        For one fold, unless an evaluation brings its own.
    packages : sequence of str
        Import names of packages that candidates may import besides the usual ones
        (`visible.PACKAGES`); what these require comes with them.
    allow_untrusted : bool
        Must be True for level "none".

    Raises
    ------
    SandboxUnavailable
        When this machine does not give the isolation asked for. There is no silent fallback.
    """

    def __init__(
        self,
        slots: int = 1,
        level: str = "bubblewrap",
        limits: Limits = _DEFAULT_LIMITS,
        *,
        packages: Sequence[str] = (),
        allow_untrusted: bool = False,
    ) -> None:
        self._level = _parse_level(level, allow_untrusted)
        self._limits = limits
        self._packages = tuple(sorted(set(packages)))
        # Slots are started in a thread that lives until close, because the kernel ends them with
        # their parent thread.
        self._spawner = ThreadPoolExecutor(1, "sandbox-spawner")
        self._slots: dict[int, Slot] = {}
        self._lock = threading.Lock()
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._finalizer = weakref.finalize(
            self, _shut_down, os.getpid(), self._slots, self._spawner
        )
        try:
            self._start(slots)
        except BaseException:
            self.close()
            raise

    @property
    def level(self) -> str:
        """The isolation level in force."""
        return self._level.value

    @property
    def slots(self) -> int:
        """Evaluations that run at once."""
        return max(1, len(self._slots))

    @property
    def startup_cpu_s(self) -> float:
        """Processor time until all slots were ready."""
        return sum(slot.startup_cpu_s for slot in list(self._slots.values()))

    @property
    def limits(self) -> Limits:
        """Of one fold, unless an evaluation brings its own."""
        return self._limits

    def evaluate(
        self,
        code: str,
        folds: Sequence[Fold],
        *,
        prelude: str = "",
        seed: int = 0,
        limits: Limits | None = None,
        probe: str = Probe.last,
        describe: bool = True,
    ) -> Evaluation:
        """Run a candidate on folds, stopping at the first one that fails. Thread-safe; waits for a
        free slot.

        Parameters
        ----------
        code : str
            Untrusted. Defines `build_pipeline()`, which returns an estimator.
        folds : sequence of Fold
            At least one.
        prelude : str
            Trusted text that is executed first, in the same module.
        seed : int
            numpy and random are seeded with it in every child, right before `build_pipeline()`.
        limits : Limits, optional
            For one fold.
        probe : str
            Which folds check that predictions do not depend on order, batch or call count: a
            `Probe`.
        describe : bool
            Ask the child of the first fold for the estimator's description.

        Raises
        ------
        SandboxUnavailable
            When the sandbox is closed or a dead slot cannot be replaced.
        ValueError
            When there is no fold, or no such probe.
        """
        if not folds:
            raise ValueError("an evaluation needs at least one fold")
        probed = [_probed(Probe(probe), i, len(folds)) for i in range(len(folds))]
        jobs = [
            Job(code, prelude, seed, describe=describe and i == 0, probe=again)
            for i, again in enumerate(probed)
        ]
        evaluation = self._in_a_slot(
            lambda slot: self._run(slot, jobs, folds, limits or self._limits)
        )
        return evaluation or Evaluation(
            Status.died, Stage.none, (), _LOST, None, 0.0, 0.0, self._level.value
        )

    def analyze(
        self,
        code: str,
        frame: pd.DataFrame,
        labels: np.ndarray,
        *,
        seed: int = 0,
        limits: Limits | None = None,
        characters: int = MAX_CHARACTERS,
    ) -> SnippetResult:
        """Run a pandas snippet on labelled rows, in a fresh child. Thread-safe; waits for a free
        slot.

        The snippet has `df` (the rows in a secret order, without their index; labels as column
        `target`), `pd` and `np`. Its answer is what it prints and the value of its last expression.

        Parameters
        ----------
        code : str
            Untrusted.
        frame : DataFrame, shape (n, d)
            float64 columns and dtype object columns of str with nan for missing.
        labels : ndarray, shape (n,)
            Class names (str), or numbers.
        seed : int
            Of numpy and random in the child, and part of the key of the secret row order.
        limits : Limits, optional
            Default: those of a fold.
        characters : int
            Most characters of the answer.

        Raises
        ------
        SandboxUnavailable
            When the sandbox is closed or a dead slot cannot be replaced.
        ValueError
            When rows or columns are not as above.
        """
        job, rows = SnippetJob(code, seed, characters), shuffled(frame, labels, seed)
        result = self._in_a_slot(lambda slot: slot.run_snippet(job, rows, limits or self._limits))
        return result or SnippetResult(Status.died, "", _LOST, 0.0)

    def close(self) -> None:
        """End every process. Evaluations that are running end as well."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _in_a_slot(self, work: Callable[[Slot], _Result]) -> _Result | None:
        """Do something in a free slot; None when the slot, and the one that replaced it, died."""
        index = self._free.get()
        try:
            for _ in range(_ATTEMPTS):
                slot = self._living(index)
                try:
                    return work(slot)
                except SlotLost:
                    slot.close()
                except BaseException:  # an interrupt in the middle: the slot may still hold a child
                    slot.close()
                    raise
            return None
        finally:
            self._free.put(index)

    def _start(self, count: int) -> None:
        started = [self._spawn(index) for index in range(count)]
        for index, slot in enumerate(started):
            ready = self._ready(index, slot)
            if index == 0:
                self._verify(ready)
            self._free.put(index)

    def _ready(self, index: int, slot: Slot) -> Slot:
        """This slot when it is ready, or another one where it was ended as it started."""
        for _ in range(_ATTEMPTS - 1):
            try:
                slot.wait_ready()
                return slot
            except SlotLost:
                slot.close()
                slot = self._spawn(index)
        try:
            slot.wait_ready()
        except SlotLost:
            slot.close()
            raise SandboxUnavailable(
                "the sandbox was ended twice as it started: look for what kills its processes, "
                "such as too little memory"
            ) from None
        return slot

    def _spawn(self, index: int) -> Slot:
        with self._lock:
            if not self._finalizer.alive:
                raise SandboxUnavailable("the sandbox is closed: make a new one")
            slot = self._spawner.submit(Slot, self._level, index, self._packages).result()
            self._slots[index] = slot
        return slot

    def _living(self, index: int) -> Slot:
        slot = self._slots.get(index)
        if slot is not None and slot.alive:
            return slot
        if slot is not None:
            slot.close()
        return self._ready(index, self._spawn(index))

    def _verify(self, slot: Slot) -> None:
        if self._level is Level.none or self._level in _verified:
            return
        result = check_slot(slot, self._level)
        if not result.ok:
            raise SandboxUnavailable(result.summary)
        _verified.add(self._level)

    def _run(
        self, slot: Slot, jobs: Sequence[Job], folds: Sequence[Fold], limits: Limits
    ) -> Evaluation:
        start = time.perf_counter()
        results: list[FoldResult] = []
        predictions: list[Predictions] = []
        for job, fold in zip(jobs, folds, strict=True):
            if self._level is Level.bubblewrap:
                seen_inside(self._packages).pinned.hold()
            result = slot.run_fold(job, fold, limits)
            results.append(result)
            if result.predictions is None:
                break
            predictions.append(fold.restore(result.predictions))
        last = results[-1]
        return Evaluation(
            status=last.status,
            stage=last.stage,
            predictions=tuple(predictions) if last.status is Status.ok else (),
            error=last.error,
            description=results[0].description,
            seconds=time.perf_counter() - start,
            cpu_seconds=sum(result.cpu_seconds for result in results),
            isolation=self.level,
        )


def _parse_level(level: str, allow_untrusted: bool) -> Level:
    if level not in list(Level):
        raise SandboxUnavailable(f"unknown isolation level {level!r}: choose {', '.join(Level)}")
    if level == Level.none and not allow_untrusted:
        raise SandboxUnavailable(
            "level none runs untrusted code without isolation: pass allow_untrusted=True to "
            "accept it"
        )
    return Level(level)


def _probed(probe: Probe, index: int, count: int) -> bool:
    return probe is Probe.every or (probe is Probe.last and index == count - 1)


def _shut_down(owner: int, slots: dict[int, Slot], spawner: ThreadPoolExecutor) -> None:
    if os.getpid() != owner:  # a fork of the owner must not end the owner's slots
        return
    for slot in slots.values():
        slot.close()
    slots.clear()
    spawner.shutdown(wait=True)

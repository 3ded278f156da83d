"""Evaluations on a Ray cluster: each is a task of one core, run in a sandbox that its worker
process keeps.

In: what `Sandbox.evaluate` and `Sandbox.analyze` take. Out: what they give. A fold is sent once to
each machine that works on it. A task whose machine is lost is run again elsewhere; all machines
must compute with the same versions and kernels, so it makes no difference where.
"""

from __future__ import annotations

import functools
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.rollout.executors.ray_machine import Computes, portable, refused
from marl_llm.sandbox import Evaluation, Fold, Limits, Probe, Sandbox, SnippetResult
from marl_llm.sandbox.snippets import MAX_CHARACTERS

if TYPE_CHECKING:
    from ray import ObjectRef

T = TypeVar("T")

_LOSSES = 10
"""Times that an evaluation is run again because its machine was lost."""
_LOOK_EVERY_S = 15.0
_FOLDS = 16
"""Folds that a worker process keeps."""


@dataclass(frozen=True)
class Setup:
    """How every machine evaluates.

    Attributes
    ----------
    level : str
        Isolation.
    limits : Limits
        Of one fold.
    computes : Computes
        What a machine must have to take part.
    slots : int
        Evaluations that the cluster runs at once.
    patience_s : float
        How long to wait for a cluster without a core.
    """

    level: str
    limits: Limits
    computes: Computes
    slots: int
    patience_s: float


class RaySandbox:
    """Evaluates on the cluster that this process is connected to. A `SandboxPool`; thread-safe."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._sent: weakref.WeakKeyDictionary[Fold, ObjectRef] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    @property
    def level(self) -> str:
        """The isolation level of every machine."""
        return self._setup.level

    @property
    def slots(self) -> int:
        """Evaluations that the cluster runs at once."""
        return self._setup.slots

    @property
    def startup_cpu_s(self) -> float:
        """0: sandboxes start in the workers, once for many episodes."""
        return 0.0

    @property
    def limits(self) -> Limits:
        """Of one fold, unless an evaluation brings its own."""
        return self._setup.limits

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
        """As `Sandbox.evaluate`.

        Raises
        ------
        UserError
            A machine cannot isolate, or computes otherwise than this one.
        RunFailed
            The cluster has no core left, or the evaluation was lost too often.
        """
        options = {
            "prelude": prelude,
            "seed": seed,
            "limits": limits,
            "probe": probe,
            "describe": describe,
        }
        sent = [self._send(fold) for fold in folds]
        return self._answer(_remote(_evaluate).remote(self._setup, code, sent, options))

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
        """As `Sandbox.analyze`; raises as `evaluate`."""
        options = {"seed": seed, "limits": limits, "characters": characters}
        return self._answer(_remote(_analyze).remote(self._setup, code, frame, labels, options))

    def _send(self, fold: Fold) -> ObjectRef:
        import ray

        with self._lock:
            if fold not in self._sent:
                self._sent[fold] = ray.put(fold)
            return self._sent[fold]

    def _answer(self, task: ObjectRef) -> Any:
        """Wait for a task for as long as the cluster has a core to run it on."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        seen = time.monotonic()
        try:
            while not ray.wait([task], timeout=_LOOK_EVERY_S)[0]:
                now = time.monotonic()
                seen = now if ray.cluster_resources().get("CPU", 0) >= 1 else seen
                if now - seen > self._setup.patience_s:
                    raise RunFailed(
                        f"The Ray cluster has had no core for {now - seen:.0f} s: start machines "
                        "with `ray start --address=...`, or raise rollout.ray_patience_s "
                        f"({self._setup.patience_s:g})."
                    )
            return refused(ray.get(task))
        except RayTaskError:
            raise
        except RayError as error:
            raise RunFailed(
                f"An evaluation was lost with its machine {_LOSSES + 1} times "
                f"({type(error).__name__}): look at `ray status`, then run again; what was "
                "finished is kept."
            ) from error


@functools.cache
def _remote(function: Callable[..., object]) -> Any:
    import ray

    return ray.remote(num_cpus=1, max_retries=_LOSSES)(function)


def ready(setup: Setup) -> UserError | None:
    """Start this worker's sandbox; what stands in the way is the answer."""
    return _in_sandbox(setup, lambda _: None)


def _evaluate(
    setup: Setup, code: str, folds: list[ObjectRef], options: dict[str, Any]
) -> Evaluation | UserError:
    return _in_sandbox(setup, lambda one: one.evaluate(code, list(map(_kept, folds)), **options))


def _analyze(
    setup: Setup, code: str, frame: pd.DataFrame, labels: np.ndarray, options: dict[str, Any]
) -> SnippetResult | UserError:
    return _in_sandbox(setup, lambda one: one.analyze(code, frame, labels, **options))


def _in_sandbox(setup: Setup, work: Callable[[Sandbox], T]) -> T | UserError:
    """Work in this process's sandbox."""
    try:
        setup.computes.require_here()
        return work(_sandbox(setup.level, setup.limits))
    except UserError as error:
        return portable(error)


@functools.cache
def _sandbox(level: str, limits: Limits) -> Sandbox:
    """This worker's, of one slot, for as long as the process lives."""
    return Sandbox(slots=1, level=level, limits=limits)


@functools.lru_cache(maxsize=_FOLDS)
def _kept(fold: ObjectRef) -> Fold:
    import ray

    return ray.get(fold)

"""What evaluates untrusted code, wherever it does: the sandbox of this machine, or those of a
cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from marl_llm.sandbox.fold import Fold
from marl_llm.sandbox.results import Evaluation, Limits, Probe
from marl_llm.sandbox.snippets import MAX_CHARACTERS, SnippetResult


class SandboxPool(Protocol):
    """As `Sandbox`, which says what its methods take, give and raise."""

    @property
    def level(self) -> str:
        """The isolation level in force."""
        ...

    @property
    def slots(self) -> int:
        """Evaluations that run at once."""
        ...

    @property
    def startup_cpu_s(self) -> float:
        """Processor time until all slots were ready."""
        ...

    @property
    def limits(self) -> Limits:
        """Of one fold, unless an evaluation brings its own."""
        ...

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
        """Run a candidate on folds."""
        ...

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
        """Run a pandas snippet on labelled rows."""
        ...

"""Tasks that invite a mistake: a seed in, a small table out on which little or nothing can be
learned.

Eight kinds in turn, by the seed: pure noise, a weak signal, few rows, many useless columns, targets
with heavy tails (Pareto, lognormal, Student's t with 2 degrees of freedom) and imbalanced classes.
All have 60 to 300 rows. They are for asking how often a delivered model is worse than the one it
started from, and for nothing else: no training draws them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from marl_llm.core.kind import Kind
from marl_llm.tasks.task import Task

_STREAM = 20_261_126  # keeps these draws apart from other uses of the same small seeds
_ROWS = (60, 300)
_FEW_ROWS = (60, 100)
_WORDS = ("amber", "birch", "cedar", "dune", "elm", "fern")
_RARE = (0.06, 0.15)
_MIN_CLASS_ROWS = 8


def noisy_kind(seed: int) -> str:
    """What invites the mistake in the task of a seed: one of `KINDS`."""
    return KINDS[seed % len(KINDS)]


def noisy_task(seed: int) -> Task:
    """The task of a seed, named `noisy-<seed>`; the split uses the same seed, the metrics are those
    of its kind.
    """
    frame, kind = noisy_frame(seed)
    return Task.from_frame(frame, target="target", kind=kind, seed=seed, name=f"noisy-{seed}")


def noisy_frame(seed: int) -> tuple[pd.DataFrame, Kind]:
    """The table of a seed, with the target as its last column, and the kind of the target."""
    rng = np.random.default_rng([_STREAM, seed])
    frame, kind = _MAKERS[noisy_kind(seed)](rng)
    for name in frame.columns[:-1]:
        if rng.random() < 0.2:
            frame[name] = frame[name].mask(rng.random(len(frame)) < 0.1)
    return frame, kind


def _pure_noise(rng: np.random.Generator) -> tuple[pd.DataFrame, Kind]:
    X = _columns(rng, _size(rng, _ROWS), int(rng.integers(3, 16)))
    return _with_target(X, np.zeros(len(X)), 0.0, rng)


def _weak_signal(rng: np.random.Generator) -> tuple[pd.DataFrame, Kind]:
    X = _columns(rng, _size(rng, _ROWS), int(rng.integers(3, 11)))
    return _with_target(X, _signal(X), rng.uniform(0.15, 0.4), rng)


def _few_rows(rng: np.random.Generator) -> tuple[pd.DataFrame, Kind]:
    X = _columns(rng, _size(rng, _FEW_ROWS), int(rng.integers(4, 21)))
    return _with_target(X, _signal(X), rng.uniform(0.4, 1.0), rng)


def _many_columns(rng: np.random.Generator) -> tuple[pd.DataFrame, Kind]:
    X = _columns(rng, _size(rng, _ROWS), int(rng.integers(30, 61)))
    return _with_target(X, _signal(X), rng.uniform(0.4, 1.0), rng)


def _heavy_tailed(
    draw: Callable[[np.random.Generator, int], np.ndarray],
) -> Callable[..., tuple[pd.DataFrame, Kind]]:
    """Regression whose noise, or whose target itself, is drawn from a distribution with a heavy
    tail.
    """

    def make(rng: np.random.Generator) -> tuple[pd.DataFrame, Kind]:
        X = _columns(rng, _size(rng, _ROWS), int(rng.integers(3, 13)))
        strength = rng.uniform(0.0, 0.6)
        signal, noise = strength * _signal(X), draw(rng, len(X))
        values = np.exp(signal) * noise if rng.random() < 0.5 else signal + noise
        return _targeted(X, np.round(values, 4)), Kind.regression

    return make


def _imbalanced(rng: np.random.Generator) -> tuple[pd.DataFrame, Kind]:
    X = _columns(rng, _size(rng, (120, 300)), int(rng.integers(3, 13)))
    latent = rng.uniform(0.2, 0.8) * _signal(X) + rng.logistic(size=len(X))
    rare = [rng.uniform(*_RARE) for _ in range(rng.integers(1, 3))]
    sizes = [max(_MIN_CLASS_ROWS, round(share * len(X))) for share in rare]
    codes = np.zeros(len(X), dtype=int)
    order = np.argsort(-latent)
    for code, (start, size) in enumerate(
        zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True), start=1
    ):
        codes[order[start : start + size]] = code
    return _targeted(X, _named(codes)), Kind.multiclass if len(sizes) > 1 else Kind.binary


def _size(rng: np.random.Generator, between: tuple[int, int]) -> int:
    return int(rng.integers(between[0], between[1] + 1))


def _columns(rng: np.random.Generator, rows: int, count: int) -> pd.DataFrame:
    """Numbers of several shapes, and a category in about every fifth column."""
    columns: dict[str, np.ndarray] = {}
    for i in range(count):
        if i and rng.random() < 0.2:
            columns[f"c{i}"] = rng.choice(_WORDS[: rng.integers(2, len(_WORDS) + 1)], rows)
        else:
            z = rng.normal(size=rows)
            shape = rng.choice(3, p=[0.6, 0.25, 0.15])
            columns[f"n{i}"] = np.round([z, np.exp(z), np.sinh(1.5 * z)][shape], 4)
    return pd.DataFrame(columns)


def _signal(X: pd.DataFrame) -> np.ndarray:
    """What can be learned: the ranks of up to two numeric columns, unit variance."""
    ranks = X[[name for name in X if str(name).startswith("n")][:2]].rank(pct=True).to_numpy()
    score = ranks.sum(axis=1)
    return (score - score.mean()) / score.std()


def _with_target(
    X: pd.DataFrame, signal: np.ndarray, strength: float, rng: np.random.Generator
) -> tuple[pd.DataFrame, Kind]:
    """Any kind of target that follows `strength` times the signal in noise of unit variance."""
    kind = list(Kind)[rng.integers(len(Kind))]
    values = strength * signal + rng.normal(size=len(X))
    if kind is Kind.regression:
        return _targeted(X, np.round(values, 4)), kind
    classes = 2 if kind is Kind.binary else 3
    shares = np.linspace(0, 1, classes + 1)[1:-1] + rng.uniform(-0.12, 0.12, classes - 1)
    return _targeted(X, _named(np.searchsorted(np.quantile(values, shares), values))), kind


def _targeted(X: pd.DataFrame, target: np.ndarray) -> pd.DataFrame:
    return X.assign(target=target)


def _named(codes: np.ndarray) -> np.ndarray:
    return np.array(["low", "middle", "high"], dtype=object)[codes]


_MAKERS: dict[str, Callable[[np.random.Generator], tuple[pd.DataFrame, Kind]]] = {
    "pure noise": _pure_noise,
    "weak signal": _weak_signal,
    "few rows": _few_rows,
    "many columns": _many_columns,
    "pareto": _heavy_tailed(lambda rng, n: 1 + rng.pareto(rng.uniform(1.2, 2.5), n)),
    "lognormal": _heavy_tailed(lambda rng, n: rng.lognormal(0, rng.uniform(1.0, 2.0), n)),
    "student t": _heavy_tailed(lambda rng, n: rng.standard_t(2, n)),
    "imbalanced": _imbalanced,
}
KINDS = tuple(_MAKERS)
"""What invites a mistake; the seed takes them in turn."""

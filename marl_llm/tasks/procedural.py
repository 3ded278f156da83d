"""Training tasks without end: a seed in, a table with a known kind of truth out.

Every task draws its truth (linear, products, steps, smooth additive, local bumps, Gaussian clusters, blobs), the
shapes of its columns (normal, skewed, heavy-tailed, counts), categories, irrelevant columns, missing values, class
imbalance and noise, so that now a family of models, now an encoding, a logarithm or class weights is what helps. Which
family wins how often is shown by `families.py`. Nothing here resembles a particular real data set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from marl_llm.kind import Kind
from marl_llm.metrics import default_metrics
from marl_llm.tasks import words
from marl_llm.tasks.task import Task
from marl_llm.tasks.truths import TRUTHS, blobs, clusters, standardised

_STREAM = 20_240_817  # keeps these draws apart from other uses of the same small seeds
_KINDS = (Kind.binary, Kind.multiclass, Kind.regression)
_KIND_SHARES = (0.45, 0.20, 0.35)
_TRUTH_SHARES = {
    True: {
        "linear": 0.26,
        "clusters": 0.20,
        "blobs": 0.14,
        "bumps": 0.08,
        "steps": 0.12,
        "additive": 0.10,
        "products": 0.10,
    },
    False: {"linear": 0.34, "blobs": 0.16, "bumps": 0.10, "steps": 0.12, "additive": 0.14, "products": 0.14},
}
_OTHER_METRICS: dict[Kind, tuple[dict[str, float], ...]] = {
    Kind.binary: (
        {"roc_auc": 1.0},
        {"balanced_accuracy": 1.0, "neg_brier_score": 1.0},
        {"f1": 1.0, "average_precision": 1.0},
        {"accuracy": 1.0},
    ),
    Kind.multiclass: (
        {"accuracy": 1.0},
        {"roc_auc_ovr": 1.0, "f1_weighted": 1.0},
        {"balanced_accuracy": 1.0, "neg_log_loss": 1.0},
    ),
    Kind.regression: (
        {"neg_mean_absolute_error": 1.0},
        {"r2": 1.0},
        {"neg_root_mean_squared_error": 1.0, "neg_median_absolute_error": 1.0},
    ),
}
_GEOMETRIC = frozenset(
    {"clusters", "blobs", "bumps"}
)  # truths in which distances or densities count: few columns that would blur them
_IMBALANCED_METRICS: tuple[dict[str, float], ...] = (
    {"f1_macro": 1.0, "recall_macro": 1.0},
    {"balanced_accuracy": 1.0},
    {"recall": 1.0, "roc_auc": 1.0},
)
_MIN_CLASS_ROWS = 12


@dataclass(frozen=True)
class Sketch:
    """What a procedural task will be, before any value is drawn.

    Attributes
    ----------
    kind : Kind
    truth : str
        A key of `TRUTHS`, or "clusters" or "blobs".
    n_rows : int
        200 to 2,000.
    n_signal, n_irrelevant, n_categorical : int
        Numeric columns that matter, columns that do not, categorical columns.
    n_classes : int
        0 for regression.
    prior : float
        Share of the rarest class.
    sharpness : float
        Signal against label noise: scale of the log-odds, or signal-to-noise ratio.
    skewed : float
        Share of numeric columns that are skewed or heavy-tailed.
    missing : float
        Share of values missing in the columns that have gaps.
    category_signal : float
        Share of the score's variance that categories carry.
    """

    kind: Kind
    truth: str
    n_rows: int
    n_signal: int
    n_irrelevant: int
    n_categorical: int
    n_classes: int
    prior: float
    sharpness: float
    skewed: float
    missing: float
    category_signal: float


def procedural_task(seed: int) -> Task:
    """The task of a seed, named `procedural-<seed>`; the split uses the same seed."""
    frame, kind, metrics = procedural_frame(seed)
    return Task.from_frame(
        frame,
        target=str(frame.columns[-1]),
        features=[str(name) for name in frame.columns[:-1]],
        metrics=metrics,
        kind=kind,
        seed=seed,
        name=f"procedural-{seed}",
    )


def procedural_frame(seed: int) -> tuple[pd.DataFrame, Kind, dict[str, float]]:
    """The table of a seed: 200 to 2,000 rows, the target is the last column; with its kind and metrics."""
    rng = np.random.default_rng([_STREAM, seed])
    sketch = draw_sketch(rng)
    latent, given = _latent(sketch, rng)
    observed = _observed(latent, sketch, rng)
    codes, effects = _categories(sketch, rng)
    if given is None:
        target = _target(_signal_columns(latent, observed, sketch, rng), effects, sketch, rng)
    elif sketch.kind is Kind.regression:
        target = _regression_values(given + rng.normal(size=len(given)) / sketch.sharpness, rng)
    else:
        target = _flipped(given, float(rng.choice([0.0, 0.04])), sketch.n_classes, rng)
    frame = _assemble(observed, codes, sketch, rng)
    frame = _with_gaps(frame, sketch, rng)
    name, values = _named_target(target, sketch, rng)
    frame[name] = values
    return frame, sketch.kind, _metrics(sketch, rng)


def draw_sketch(rng: np.random.Generator) -> Sketch:
    """Draw the outline of a task."""
    kind = _KINDS[rng.choice(3, p=_KIND_SHARES)]
    shares = _TRUTH_SHARES[kind.is_classification]
    truth = str(rng.choice(list(shares), p=list(shares.values())))
    columns = int(rng.integers(4, 17)) if rng.random() < 0.9 else int(rng.integers(17, 25))
    n_categorical = int(rng.binomial(columns // 2, 0.5)) if rng.random() < 0.7 else 0
    n_numeric = max(columns - n_categorical, 3)
    n_signal = _signal_count(truth, n_numeric, rng)
    if truth in _GEOMETRIC:
        n_categorical, n_numeric = 0, max(n_signal + int(rng.integers(0, 3)), 4)
    n_classes = {Kind.binary: 2, Kind.multiclass: int(rng.integers(3, 6)), Kind.regression: 0}[kind]
    return Sketch(
        kind=kind,
        truth=truth,
        n_rows=int(np.exp(rng.uniform(np.log(200), np.log(2000)))),
        n_signal=n_signal,
        n_irrelevant=n_numeric - n_signal,
        n_categorical=n_categorical,
        n_classes=n_classes,
        prior=float(rng.uniform(0.08, 0.25)) if rng.random() < 0.4 else 0.5,
        sharpness=float(rng.uniform(1.5, 5.0)),
        skewed=float(
            rng.choice([0.0, 0.3, 0.7, 1.0], p=[0.6, 0.3, 0.1, 0.0] if truth in _GEOMETRIC else [0.3, 0.25, 0.25, 0.2])
        ),
        missing=float(rng.choice([0.0, 0.05, 0.2], p=[0.7, 0.2, 0.1] if truth in _GEOMETRIC else [0.4, 0.3, 0.3])),
        category_signal=float(rng.uniform(0.1, 0.6)),
    )


def _signal_count(truth: str, n_numeric: int, rng: np.random.Generator) -> int:
    """Local truths need few dimensions; the others use most columns, linear ones at times few of many."""
    if truth == "bumps":
        return min(n_numeric, int(rng.integers(3, 7)))
    if truth == "blobs":
        return max(4, min(n_numeric, 12))
    if truth in ("steps", "products"):
        return min(n_numeric, int(rng.integers(2, 8)))
    return max(2, round(n_numeric * rng.uniform(0.3, 1.0)))


def _latent(sketch: Sketch, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """Latent numeric columns (n, signal + irrelevant), and the classes or scores where the truth makes both together."""
    n, p = sketch.n_rows, sketch.n_signal
    if sketch.truth == "clusters":
        signal, given = clusters(n, p, _priors(sketch), rng)
    elif sketch.truth == "blobs":
        signal, given = blobs(n, p, sketch.n_classes, rng)
    else:
        signal, given = _correlated(n, p, rng), None
    return np.column_stack([signal, rng.normal(size=(n, sketch.n_irrelevant))]), given


def _correlated(n: int, p: int, rng: np.random.Generator) -> np.ndarray:
    """Normal columns of unit variance that share two hidden factors to a degree."""
    common = rng.normal(size=(n, 2)) @ rng.normal(size=(2, p))
    strength = rng.choice([0.0, 0.4, 0.8])
    mixed = strength * common + np.sqrt(1.2 - strength) * rng.normal(size=(n, p))
    return mixed / mixed.std(axis=0)


def _priors(sketch: Sketch) -> np.ndarray:
    if sketch.kind is Kind.binary:
        return np.array([1 - sketch.prior, sketch.prior])
    shares = np.ones(sketch.n_classes)
    shares[0] = 0.5 if sketch.prior < 0.5 else 1.0
    return shares / shares.sum()


def _observed(latent: np.ndarray, sketch: Sketch, rng: np.random.Generator) -> np.ndarray:
    """Latent columns as they are measured: own location and unit, some skewed, heavy-tailed or counted. Monotone, so trees see no difference."""
    columns = []
    for z in latent.T:
        if rng.random() < sketch.skewed:
            columns.append(_skewed(z, rng))
        else:
            unit = 10.0 ** rng.integers(-1, 4)
            columns.append(np.round(unit * (rng.uniform(-1, 5) + z), 3))
    return np.column_stack(columns)


def _skewed(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shape = rng.choice(["lognormal", "heavy", "counts"], p=[0.6, 0.2, 0.2])
    if shape == "lognormal":
        return np.round(10.0 ** rng.integers(0, 4) * np.exp(rng.uniform(0.8, 1.6) * z), 3)
    if shape == "heavy":
        return np.round(10.0 ** rng.integers(0, 3) * np.sinh(1.5 * z), 3)
    return np.floor(np.exp(rng.uniform(1, 3) + 0.8 * z))


def _signal_columns(latent: np.ndarray, observed: np.ndarray, sketch: Sketch, rng: np.random.Generator) -> np.ndarray:
    """What the truth acts on: mostly the latent columns (so that skewed ones want a logarithm), at times the measured ones."""
    on_measured = rng.random() < 0.25
    columns = observed if on_measured else latent
    return np.column_stack([standardised(column) for column in columns[:, : sketch.n_signal].T])


def _categories(sketch: Sketch, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
    """Level codes of each categorical column, and their joint effect on the score (n,). Effects know no order: one-hot encoding is what linear models need."""
    codes, effect = [], np.zeros(sketch.n_rows)
    for position in range(sketch.n_categorical):
        levels = int(rng.integers(2, 9))
        shares = rng.dirichlet(np.full(levels, 3.0))
        drawn = rng.choice(levels, size=sketch.n_rows, p=shares)
        codes.append(drawn)
        if position == 0 or rng.random() < 0.6:
            effect += rng.normal(size=levels)[drawn]
    return codes, standardised(effect)


def _target(signal: np.ndarray, effects: np.ndarray, sketch: Sketch, rng: np.random.Generator) -> np.ndarray:
    share = sketch.category_signal if sketch.n_categorical else 0.0

    def score() -> np.ndarray:
        return np.sqrt(1 - share) * TRUTHS[sketch.truth](signal, rng) + np.sqrt(share) * rng.choice([-1, 1]) * effects

    if sketch.kind is Kind.regression:
        noisy = score() + rng.normal(size=len(signal)) / sketch.sharpness
        return _regression_values(noisy, rng)
    if sketch.kind is Kind.binary:
        noisy = sketch.sharpness * score() + rng.logistic(size=len(signal))
        return (noisy > np.quantile(noisy, 1 - sketch.prior)).astype(np.int64)
    return _multiclass([score() for _ in range(sketch.n_classes)], sketch, rng)


def _regression_values(score: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    unit = 10.0 ** rng.integers(0, 5)
    if rng.random() < 0.2:
        return np.round(unit * np.exp(0.6 * score), 4)
    if rng.random() < 0.2:  # a few rows with gross errors
        score = score + (rng.random(len(score)) < 0.02) * rng.normal(0, 8, len(score))
    return np.round(unit * (rng.uniform(0, 5) + score), 4)


def _multiclass(scores: list[np.ndarray], sketch: Sketch, rng: np.random.Generator) -> np.ndarray:
    """Ordered classes (slices of one score) or the class with the highest score; every class keeps enough rows."""
    n, K = sketch.n_rows, sketch.n_classes
    if rng.random() < 0.3:
        noisy = sketch.sharpness * scores[0] + rng.logistic(size=n)
        return np.searchsorted(np.quantile(noisy, np.cumsum(_priors(sketch))[:-1]), noisy)
    noisy = sketch.sharpness * np.column_stack(scores) + rng.gumbel(size=(n, K))
    y = noisy.argmax(axis=1)
    for c in np.flatnonzero(np.bincount(y, minlength=K) < _MIN_CLASS_ROWS):
        y[np.argsort(-noisy[:, c])[:_MIN_CLASS_ROWS]] = c
    return y


def _flipped(classes: np.ndarray, share: float, n_classes: int, rng: np.random.Generator) -> np.ndarray:
    """Some labels drawn anew; every class keeps enough rows to be split."""
    y = np.where(rng.random(len(classes)) < share, rng.integers(0, n_classes, len(classes)), classes)
    for c in np.flatnonzero(np.bincount(y, minlength=n_classes) < _MIN_CLASS_ROWS):
        y[rng.choice(len(y), _MIN_CLASS_ROWS, replace=False)] = c
    return y


def _assemble(observed: np.ndarray, codes: list[np.ndarray], sketch: Sketch, rng: np.random.Generator) -> pd.DataFrame:
    """Named columns in random order."""
    columns: dict[str, np.ndarray] = dict(zip(_numeric_names(observed.shape[1], rng), observed.T, strict=True))
    for name, drawn in zip(rng.permutation(list(words.CATEGORICAL)), codes, strict=False):
        levels = words.CATEGORICAL[str(name)]
        chosen = rng.permutation(len(levels))[: int(drawn.max()) + 1]
        columns[str(name)] = np.array([levels[chosen[code % len(chosen)]] for code in drawn], dtype=object)
    order = rng.permutation(list(columns))
    return pd.DataFrame({str(name): columns[str(name)] for name in order})


def _numeric_names(count: int, rng: np.random.Generator) -> list[str]:
    nouns = rng.permutation(np.array(words.NUMERIC))[:count]
    return [f"{rng.choice(words.PREFIXES)}_{noun}" if rng.random() < 0.4 else str(noun) for noun in nouns]


def _with_gaps(frame: pd.DataFrame, sketch: Sketch, rng: np.random.Generator) -> pd.DataFrame:
    """Missing values in about half of the columns: at random, or for large values of the column (so that missing tells something)."""
    for name in frame.columns:
        if sketch.missing == 0 or rng.random() < 0.5:
            continue
        column = frame[name]
        chance = np.full(len(column), sketch.missing)
        if pd.api.types.is_numeric_dtype(column) and rng.random() < 0.4:
            chance = np.where(column > column.quantile(0.75), min(3.6 * sketch.missing, 1.0), 0.02)
        frame[name] = column.mask(rng.random(len(column)) < chance)
    return frame


def _named_target(target: np.ndarray, sketch: Sketch, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    if sketch.kind is Kind.regression:
        return f"{rng.choice(words.REGRESSION_TARGETS)}", target
    names = words.BINARY_TARGETS if sketch.kind is Kind.binary else words.MULTICLASS_TARGETS
    name = str(rng.choice(list(names)))
    labels = np.array(names[name], dtype=object)
    return name, labels[target]


def _metrics(sketch: Sketch, rng: np.random.Generator) -> dict[str, float]:
    """The default metrics in two tasks of three, another set otherwise; rare classes get the metrics that people choose for them."""
    if rng.random() < 0.67:
        return default_metrics(sketch.kind)
    rare = sketch.kind is Kind.binary and sketch.prior < 0.5 and sketch.truth != "blobs"
    others = _IMBALANCED_METRICS if rare else _OTHER_METRICS[sketch.kind]
    return dict(others[int(rng.integers(len(others)))])

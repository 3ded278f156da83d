"""Training tasks without end: a seed in, a table with a known kind of truth out.

Every task draws its truth (linear, products, steps, smooth additive, local bumps, Gaussian
clusters, blobs), the shapes of its columns (normal, skewed, heavy-tailed, counts), categories,
irrelevant columns, missing values, class imbalance and noise, so that now a family of models, now
an encoding, a logarithm or class weights is what helps. Which family wins how often is shown by
`families.py`. Nothing here resembles a particular real data set.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from marl_llm.core.kind import Kind
from marl_llm.tasks.procedural import words
from marl_llm.tasks.procedural.sketch import Sketch, draw_metrics, draw_sketch
from marl_llm.tasks.procedural.truths import TRUTHS, blobs, clusters, standardised
from marl_llm.tasks.task import Task

_STREAM = 20_240_817  # keeps these draws apart from other uses of the same small seeds
_MIN_CLASS_ROWS = 12


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
    """The table of a seed: 200 to 2,000 rows, the target is the last column; with its kind and
    metrics.
    """
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
    return frame, sketch.kind, draw_metrics(sketch, rng)


def _latent(sketch: Sketch, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """Latent numeric columns (n, signal + irrelevant); classes or scores too where the truth makes
    both together.
    """
    n, p = sketch.n_rows, sketch.n_signal
    if sketch.truth == "clusters":
        signal, given = clusters(n, p, sketch.priors, rng)
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


def _observed(latent: np.ndarray, sketch: Sketch, rng: np.random.Generator) -> np.ndarray:
    """Latent columns as they are measured: own location and unit, some skewed; monotone, so trees
    don't mind.
    """
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


def _signal_columns(
    latent: np.ndarray, observed: np.ndarray, sketch: Sketch, rng: np.random.Generator
) -> np.ndarray:
    """What the truth acts on: mostly latent columns (so skewed ones want a logarithm), at times the
    measured ones.
    """
    on_measured = rng.random() < 0.25
    columns = observed if on_measured else latent
    return np.column_stack([standardised(column) for column in columns[:, : sketch.n_signal].T])


def _categories(sketch: Sketch, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
    """Level codes of each categorical column, and their joint effect on the score (n,).

    Effects know no order, so that linear models need one-hot encoding.
    """
    codes, effect = [], np.zeros(sketch.n_rows)
    for position in range(sketch.n_categorical):
        levels = int(rng.integers(2, 9))
        shares = rng.dirichlet(np.full(levels, 3.0))
        drawn = rng.choice(levels, size=sketch.n_rows, p=shares)
        codes.append(drawn)
        if position == 0 or rng.random() < 0.6:
            effect += rng.normal(size=levels)[drawn]
    return codes, standardised(effect)


def _target(
    signal: np.ndarray, effects: np.ndarray, sketch: Sketch, rng: np.random.Generator
) -> np.ndarray:
    share = sketch.category_signal if sketch.n_categorical else 0.0

    def score() -> np.ndarray:
        return (
            np.sqrt(1 - share) * TRUTHS[sketch.truth](signal, rng)
            + np.sqrt(share) * rng.choice([-1, 1]) * effects
        )

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
    """Ordered classes (slices of one score) or the class with the highest score; every class keeps
    enough rows.
    """
    n, K = sketch.n_rows, sketch.n_classes
    if rng.random() < 0.3:
        noisy = sketch.sharpness * scores[0] + rng.logistic(size=n)
        return np.searchsorted(np.quantile(noisy, np.cumsum(sketch.priors)[:-1]), noisy)
    noisy = sketch.sharpness * np.column_stack(scores) + rng.gumbel(size=(n, K))
    y = noisy.argmax(axis=1)
    for c in np.flatnonzero(np.bincount(y, minlength=K) < _MIN_CLASS_ROWS):
        y[np.argsort(-noisy[:, c])[:_MIN_CLASS_ROWS]] = c
    return y


def _flipped(
    classes: np.ndarray, share: float, n_classes: int, rng: np.random.Generator
) -> np.ndarray:
    """Some labels drawn anew; every class keeps enough rows to be split."""
    y = np.where(
        rng.random(len(classes)) < share, rng.integers(0, n_classes, len(classes)), classes
    )
    for c in np.flatnonzero(np.bincount(y, minlength=n_classes) < _MIN_CLASS_ROWS):
        y[rng.choice(len(y), _MIN_CLASS_ROWS, replace=False)] = c
    return y


def _assemble(
    observed: np.ndarray, codes: list[np.ndarray], sketch: Sketch, rng: np.random.Generator
) -> pd.DataFrame:
    """Named columns in random order."""
    columns: dict[str, np.ndarray] = dict(
        zip(_numeric_names(observed.shape[1], rng), observed.T, strict=True)
    )
    for name, drawn in zip(rng.permutation(list(words.CATEGORICAL)), codes, strict=False):
        levels = words.CATEGORICAL[str(name)]
        chosen = rng.permutation(len(levels))[: int(drawn.max()) + 1]
        columns[str(name)] = np.array(
            [levels[chosen[code % len(chosen)]] for code in drawn], dtype=object
        )
    order = rng.permutation(list(columns))
    return pd.DataFrame({str(name): columns[str(name)] for name in order})


def _numeric_names(count: int, rng: np.random.Generator) -> list[str]:
    nouns = rng.permutation(np.array(words.NUMERIC))[:count]
    return [
        f"{rng.choice(words.PREFIXES)}_{noun}" if rng.random() < 0.4 else str(noun)
        for noun in nouns
    ]


def _with_gaps(frame: pd.DataFrame, sketch: Sketch, rng: np.random.Generator) -> pd.DataFrame:
    """Missing values in half of the columns: at random, or where the value is large (so that
    missing is a sign).
    """
    for name in frame.columns:
        if sketch.missing == 0 or rng.random() < 0.5:
            continue
        column = frame[name]
        chance = np.full(len(column), sketch.missing)
        if pd.api.types.is_numeric_dtype(column) and rng.random() < 0.4:
            chance = np.where(column > column.quantile(0.75), min(3.6 * sketch.missing, 1.0), 0.02)
        frame[name] = column.mask(rng.random(len(column)) < chance)
    return frame


def _named_target(
    target: np.ndarray, sketch: Sketch, rng: np.random.Generator
) -> tuple[str, np.ndarray]:
    if sketch.kind is Kind.regression:
        return f"{rng.choice(words.REGRESSION_TARGETS)}", target
    names = words.BINARY_TARGETS if sketch.kind is Kind.binary else words.MULTICLASS_TARGETS
    name = str(rng.choice(list(names)))
    labels = np.array(names[name], dtype=object)
    return name, labels[target]

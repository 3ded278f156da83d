"""Where the current model errs, from its out-of-fold predictions: by class, by probability, by
segment of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from marl_llm.core.predictions import Predictions
from marl_llm.environment.analysis.features import features
from marl_llm.environment.analysis.view import AnalysisView
from marl_llm.environment.analysis.wording import Answer, level, number, short

_NOTHING = Answer(("no predictions yet",))
_MAX_CLASSES = 6
_BINS = 5
_LEAST_ROWS = 20
_MAX_SEGMENTS = 6
_SEGMENT_ROWS = 20_000
_CLEAR = 1.5  # standard errors


def _known(view: AnalysisView) -> tuple[np.ndarray, np.ndarray, Predictions] | None:
    """Rows, their labels and predictions."""
    if view.out_of_fold is None or view.rows is None:
        return None
    return view.rows, view.y[view.rows], view.out_of_fold


def errors(view: AnalysisView, columns: Sequence[str]) -> Answer:
    """Recall of each class (at most six), or quantiles of the residuals (prediction minus
    truth).
    """
    if (known := _known(view)) is None:
        return _NOTHING
    _, y, predictions = known
    if view.task.kind.is_classification:
        present = [c for c in range(int(y.max()) + 1) if (y == c).any()][:_MAX_CLASSES]
        recalls = (float((predictions.labels[y == c] == c).mean()) for c in present)
        items = (f"{c} {recall:.2f}" for c, recall in zip(present, recalls, strict=True))
        return Answer(tuple(items), head="recall ", joint=" ")
    residuals = np.quantile(predictions.labels - y, [0.05, 0.25, 0.5, 0.75, 0.95])
    return Answer(tuple(short(float(r)) for r in residuals), head="residuals ", joint=" ")


def confusion(view: AnalysisView, columns: Sequence[str]) -> Answer:
    """Counts of true class (rows) and predicted class (columns), for the six largest classes."""
    if (known := _known(view)) is None:
        return _NOTHING
    if not view.task.kind.is_classification:
        return Answer(("a numeric target has no confusion matrix: ask for errors or calibration",))
    _, y, predictions = known
    sizes = np.bincount(y, minlength=len(view.classes))
    largest = sorted(np.argsort(-sizes, kind="stable")[:_MAX_CLASSES].tolist())
    names = [level(view.classes[c]).replace(" ", "_") for c in largest]
    rest = ["others"] if len(view.classes) > len(largest) else []
    items = []
    for c, name in zip(largest, names, strict=True):
        counts = np.bincount(predictions.labels[y == c], minlength=len(view.classes))
        shown = [int(counts[k]) for k in largest]
        others = [int(counts.sum()) - sum(shown)] if rest else []
        items.append(" ".join(map(str, [name, *shown, *others])))
    return Answer(tuple(items), head=f"rows true, columns predicted: {' '.join([*names, *rest])}; ")


def calibration(view: AnalysisView, columns: Sequence[str]) -> Answer:
    """Reliability: what the model says against what is, in five bins of probability or fifths of
    the prediction.

    Expected calibration error: mean over rows of |said - true| of their bin (Naeini et al., 2015).
    Binary: probability of class index 1; multiclass: of the most probable class; regression: mean
    prediction and mean truth.
    """
    if (known := _known(view)) is None:
        return _NOTHING
    _, y, predictions = known
    if not view.task.kind.is_classification:
        fifths = np.array_split(np.argsort(predictions.labels, kind="stable"), _BINS)
        parts = [part for part in fifths if len(part)]
        items = (
            f"{number(predictions.labels[p].mean())} is {number(y[p].mean())} n {len(p)}"
            for p in parts
        )
        return Answer(tuple(items), head="by fifth, mean prediction and truth: ")
    if predictions.proba is None:
        return Answer(("the model gives no probabilities",))
    if len(view.classes) == 2:
        said, true = predictions.proba[:, 1], y == 1
        what = f"probability of {level(view.classes[1])}"
    else:
        said, true = predictions.proba.max(axis=1), predictions.proba.argmax(axis=1) == y
        what = "probability of the class predicted"
    bins = np.minimum((said * _BINS).astype(int), _BINS - 1)
    parts = [np.flatnonzero(bins == b) for b in range(_BINS)]
    gap = sum(abs(said[p].mean() - true[p].mean()) * len(p) for p in parts if len(p)) / len(y)
    items = (f"{said[p].mean():.2f} is {true[p].mean():.2f} n {len(p)}" for p in parts if len(p))
    return Answer(tuple(items), head=f"{what}, calibration error {gap:.3f}: ")


def segments(view: AnalysisView, columns: Sequence[str]) -> Answer:
    """Groups of at least 20 rows where the model clearly errs more than on the whole, clearest
    first.

    Error: share of wrong classes, or mean absolute residual. Clear: an excess of 1.5 standard
    errors of a random group of that size.
    """
    if (known := _known(view)) is None:
        return _NOTHING
    rows, y, predictions = known
    if view.task.kind.is_classification:
        loss, name = (predictions.labels != y).astype(float), "share wrong"
    else:
        loss, name = np.abs(predictions.labels - y), "mean absolute residual"
    if len(rows) > _SEGMENT_ROWS:
        sample = np.random.default_rng(view.seed).choice(len(rows), _SEGMENT_ROWS, replace=False)
        rows, loss, name = rows[sample], loss[sample], f"of {_SEGMENT_ROWS} rows {name}"
    whole, spread = float(loss.mean()), float(loss.std()) or 1.0
    found = []
    for segment, inside in _segments(view, columns, rows):
        n, error = int(inside.sum()), float(loss[inside].mean())
        excess = (error - whole) * np.sqrt(n) / spread
        if excess > _CLEAR:
            found.append((excess, f"{segment} {number(error)} n {n}"))
    ranked = sorted(found, key=lambda pair: -pair[0])[:_MAX_SEGMENTS]
    items = tuple(text for _, text in ranked) or (f"none of at least {_LEAST_ROWS} rows",)
    return Answer(items, head=f"{name} {number(whole)}, clearly worse: ")


def _segments(
    view: AnalysisView, columns: Sequence[str], rows: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """Level or quarter of each column, with the mask of its rows; neither small nor all."""
    for feature in features(view.task, columns):
        there = feature.at(rows)
        groups = there.groups().astype(object)
        groups = groups.where(groups.notna(), "known").where(
            there.values.notna(), "missing"
        )  # constants: no quarters
        for group, n in groups.value_counts(sort=False).sort_index().items():
            if _LEAST_ROWS <= n < len(rows):
                yield f"{feature.alias} {group}", (groups == group).to_numpy()

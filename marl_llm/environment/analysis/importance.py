"""Permutation importance: how much the score falls when one column's values are shuffled (Breiman,
2001).

The current solution is fitted on some development rows and predicts others: as they are, and with
each column shuffled. Fits run in the sandbox, one fold each, so its limits hold; the score is
computed here, on labels that no fit saw.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from marl_llm.core.predictions import Predictions
from marl_llm.environment.analysis.features import features
from marl_llm.environment.analysis.view import AnalysisView
from marl_llm.environment.analysis.wording import Answer, fixed
from marl_llm.sandbox import Status

_ROWS = 2000
_FOLDS = 3
_FEW_ROWS = 1000  # up to here every fold is fitted, beyond only the first one
_MAX_PREDICTED = 40_000  # rows of one fold, shuffled ones included
_REPEATS, _FEWEST_ROWS = 3, 50
_Split = tuple[np.ndarray, np.ndarray]


def importance(view: AnalysisView, columns: Sequence[str]) -> Answer:
    """Fall of the score by column, largest first."""
    if view.fit_predict is None or view.score is None:
        return Answer(("there is no current model",))
    dropped = view.spec.drop if view.spec else ()
    aliases = [
        feature.alias for feature in features(view.task, columns) if feature.alias not in dropped
    ]
    if not aliases:
        return Answer(("the current model uses none of these columns",))
    repeats, splits = _splits(view, len(aliases))
    X, y, folds = view.task.development.X, view.y, []
    for train, valid in splits:
        shuffled = _shuffled(X.iloc[valid], aliases, repeats, view.seed)
        result = view.fit_predict(X.iloc[train], y[train], shuffled)
        if result.status is not Status.ok:
            return Answer((f"the current model could not be fitted: {result.error}",))
        folds.append(_blocks(result.predictions[0], len(valid)))
    truth = np.concatenate([y[valid] for _, valid in splits])
    scores = np.array([view.score(truth, _pooled(block)) for block in zip(*folds, strict=True)])
    falls = scores[0] - scores[1:].reshape(repeats, len(aliases)).mean(axis=0)
    order = np.argsort(-falls, kind="stable")
    items = tuple(f"{aliases[i]} {fixed(falls[i], 3)}" for i in order)
    return Answer(
        items, head=f"score {fixed(scores[0])} on {len(truth)} rows falls by: ", joint=" "
    )


def _splits(view: AnalysisView, n_columns: int) -> tuple[int, list[_Split]]:
    """Repeats, and positions to fit and to predict, so that no fold predicts more than about 40,000
    rows.
    """
    rows = np.random.default_rng(view.seed).permutation(view.sample(_ROWS))
    parts = np.array_split(rows, _FOLDS)
    repeats = int(np.clip(_MAX_PREDICTED // (len(parts[0]) * n_columns), 1, _REPEATS))
    most = max(_FEWEST_ROWS, _MAX_PREDICTED // (1 + repeats * n_columns))
    splits = [
        (np.concatenate([part for j, part in enumerate(parts) if j != i]), parts[i][:most])
        for i in range(_FOLDS)
    ]
    return repeats, splits if len(rows) <= _FEW_ROWS else splits[:1]


def _shuffled(X: pd.DataFrame, aliases: Sequence[str], repeats: int, seed: int) -> pd.DataFrame:
    """The rows as they are, then `repeats` times for each column with that column shuffled."""
    rng = np.random.default_rng(seed)
    blocks = [X]
    for _ in range(repeats):
        for alias in aliases:
            shuffled = pd.Series(
                X[alias].to_numpy()[rng.permutation(len(X))], index=X.index, dtype=X[alias].dtype
            )
            blocks.append(X.assign(**{alias: shuffled}))
    return pd.concat(blocks, ignore_index=True)


def _blocks(predictions: Predictions, n: int) -> list[Predictions]:
    """Predictions cut into blocks of n rows."""
    labels, proba = predictions.labels, predictions.proba
    starts = range(0, len(labels), n)
    return [
        Predictions(labels[a : a + n], None if proba is None else proba[a : a + n]) for a in starts
    ]


def _pooled(parts: Sequence[Predictions]) -> Predictions:
    proba = [part.proba for part in parts if part.proba is not None]
    return Predictions(
        np.concatenate([part.labels for part in parts]), np.concatenate(proba) if proba else None
    )

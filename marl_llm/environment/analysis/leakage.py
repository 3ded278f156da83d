"""Hints that a column gives the target away, or that it is no feature at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object

from marl_llm.core.kind import Kind
from marl_llm.environment.analysis.features import Feature, features
from marl_llm.environment.analysis.view import AnalysisView
from marl_llm.environment.analysis.wording import Answer

_ROWS = 2000
_GIVEN_AWAY = 0.97  # skill of a column alone from which it is a hint
_FEW_ROWS = 50
_FOLDS = 3
_LEAVES, _LEAF_ROWS = 64, 3


def leakage(view: AnalysisView, columns: Sequence[str]) -> Answer:
    """The task's warnings, columns that determine the target, columns with another value in every
    row, copies of rows.

    A column determines the target if a model of it alone (mean by level, or a small tree) reaches a
    skill of 0.97 in cross-validation; skill is 1 - errors / errors of the trivial model.
    """
    chosen = features(view.task, columns)
    hints = [" ".join(warning.split()) for warning in view.task.warnings_for_agents]
    rows = view.sample(_ROWS)
    for feature in chosen:
        skill = skill_alone(feature.at(rows), view.y[rows], view.task.kind, view.seed)
        if skill >= _GIVEN_AWAY:
            hints.append(f"{feature.alias} alone gives the target, skill {skill:.2f}")
    hints += [
        f"{feature.alias} differs in every row: an id?" for feature in chosen if _is_id(feature)
    ]
    table = view.task.development.X
    hashes = hash_pandas_object(table, index=False)  # pyright: ignore[reportCallIssue]
    copies = float(hashes.duplicated().mean())
    if copies >= 0.01:
        hints.append(f"{copies:.2f} of the rows are copies of another row")
    return Answer(tuple(hints) or (f"no hint of leakage in {len(chosen)} columns",))


def _is_id(feature: Feature) -> bool:
    known = feature.values.dropna()
    if feature.kind in ("text", "date") or len(known) < _FEW_ROWS:
        return False
    countable = feature.kind == "categorical" or bool((known == known.round()).all())
    return countable and known.is_unique


def skill_alone(feature: Feature, y: np.ndarray, kind: Kind, seed: int) -> float:
    """Cross-validated skill of one column as the only feature of labels `y`, shape (n,)."""
    from sklearn.model_selection import KFold

    if len(y) < 2 * _FOLDS:
        return 0.0
    values, predict = feature.values, _by_tree if feature.is_number else _by_level
    predicted = np.empty(len(y), dtype=y.dtype)
    for train, valid in KFold(_FOLDS, shuffle=True, random_state=seed).split(y):
        predicted[valid] = predict(values.iloc[train], y[train], values.iloc[valid], kind)
    if kind.is_classification:
        errors, trivial = float((predicted != y).mean()), 1.0 - np.bincount(y).max() / len(y)
    else:
        errors, trivial = float(((predicted - y) ** 2).mean()), float(y.var())
    return 1.0 - errors / trivial if trivial > 0 else 0.0


def _by_level(train: pd.Series, y: np.ndarray, valid: pd.Series, kind: Kind) -> np.ndarray:
    """The most frequent class, or the mean, of each level; of the whole for a level not seen."""
    target = pd.Series(y, index=train.index)
    if kind.is_classification:
        counts = pd.crosstab(train.fillna(""), target)
        learned, whole = pd.Series(counts.idxmax(axis=1)), np.bincount(y).argmax()
    else:
        learned, whole = pd.Series(target.groupby(train.fillna("")).mean()), y.mean()
    return valid.fillna("").map(learned.to_dict()).fillna(whole).to_numpy(y.dtype)


def _by_tree(train: pd.Series, y: np.ndarray, valid: pd.Series, kind: Kind) -> np.ndarray:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    model = DecisionTreeClassifier if kind.is_classification else DecisionTreeRegressor
    tree = model(max_leaf_nodes=_LEAVES, min_samples_leaf=_LEAF_ROWS, random_state=0)
    return tree.fit(train.to_numpy(float).reshape(-1, 1), y).predict(
        valid.to_numpy(float).reshape(-1, 1)
    )

"""How columns go with the target and with each other: target by group, rank correlation, mutual
information.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from marl_llm.core.kind import Kind
from marl_llm.environment.analysis.distribution import MAX_COLUMNS
from marl_llm.environment.analysis.features import MAX_LEVELS, Feature, features, frequent_words
from marl_llm.environment.analysis.view import AnalysisView
from marl_llm.environment.analysis.wording import Answer, fixed, level, number, short

_CORRELATION_ROWS = 5000
_MAX_PAIRS = 12
_LEAST_ROWS = 20  # that two columns must share
_INFORMATION_ROWS, _INFORMATION_CELLS, _FEWEST_ROWS = 2000, 200_000, 500


def target(view: AnalysisView, columns: Sequence[str]) -> Answer:
    """Mean of the target, or shares of its classes but the first (at most three), by group of each
    column.
    """
    chosen = features(view.task, columns[:MAX_COLUMNS], MAX_COLUMNS)
    return Answer(tuple(_target(feature, view.y, view.task.kind) for feature in chosen))


def _target(feature: Feature, y: np.ndarray, kind: Kind) -> str:
    if feature.values.isna().all():
        return f"{feature.alias} all missing"
    parts = []
    for group, mask in _groups(feature):
        inside = y[: len(mask)][mask]
        if kind.is_classification:
            classes = range(1, min(4, int(y.max()) + 1))
            parts.append(
                f"{group} " + "/".join(f"{float((inside == c).mean()):.2f}" for c in classes)
            )
        else:
            parts.append(f"{group} {short(float(inside.mean()))}")
    return f"{feature.alias} " + (" ".join(parts) or "one value")


def _groups(feature: Feature) -> Iterator[tuple[str, np.ndarray]]:
    """The largest groups of rows with their masks; of a text: rows with a frequent word."""
    if feature.kind == "text":
        yield from ((level(word), mask) for word, mask in frequent_words(feature.values))
        return
    groups = feature.groups()
    for group in sorted(groups.value_counts().head(MAX_LEVELS).index):
        yield str(group), (groups == group).to_numpy()


def correlation(view: AnalysisView, columns: Sequence[str]) -> Answer:
    """Spearman's rank correlation of the strongest pairs of numeric columns, or of the named
    columns with all.

    Ranks are taken once per column, then correlated on the rows that two columns share.
    """
    numeric = [feature for feature in features(view.task, ()) if feature.is_number]
    aliases = [feature.alias for feature in numeric]
    wanted = [alias for alias in columns if alias in aliases] if columns else aliases
    if not wanted or len(aliases) < 2:
        return Answer(
            ("fewer than two numeric columns" if not columns else "no numeric column is named",)
        )
    rows = view.sample(_CORRELATION_ROWS)
    ranks = pd.DataFrame({feature.alias: feature.at(rows).values.rank() for feature in numeric})
    table = ranks.corr(min_periods=_LEAST_ROWS)
    pairs = [
        (float(table.at[a, b]), a, b)  # pyright: ignore[reportArgumentType]
        for i, a in enumerate(aliases)
        for b in aliases[i + 1 :]
        if a in wanted or b in wanted
    ]
    ranked = sorted(
        (pair for pair in pairs if np.isfinite(pair[0])), key=lambda pair: -abs(pair[0])
    )
    items = (f"{a} {b} {fixed(value)}" for value, a, b in ranked[:_MAX_PAIRS])
    return Answer(tuple(items) or ("no two columns vary together",), head="rank correlation: ")


def information(view: AnalysisView, columns: Sequence[str]) -> Answer:
    """Mutual information of each column alone with the target, in nats, strongest first (of a text:
    its length).

    Nearest-neighbour estimate of Kraskov et al. (2004) and Ross (2014) as in scikit-learn, on a
    sample of rows.
    """
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    chosen = features(view.task, columns)
    rows = view.sample(
        max(_FEWEST_ROWS, min(_INFORMATION_ROWS, _INFORMATION_CELLS // max(1, len(chosen))))
    )
    table = np.column_stack([_codes(feature.at(rows)) for feature in chosen])
    discrete = np.array([feature.kind == "categorical" for feature in chosen])
    estimate: Callable[..., np.ndarray] = (
        mutual_info_classif if view.task.kind.is_classification else mutual_info_regression
    )
    values = estimate(table, view.y[rows], discrete_features=discrete, random_state=view.seed)
    order = np.argsort(-values, kind="stable")
    items = (f"{chosen[i].alias} {fixed(float(values[i]))}" for i in order)
    return Answer(
        tuple(items), head=f"information about the target, nats{_entropy(view)}: ", joint=" "
    )


def _codes(feature: Feature) -> np.ndarray:
    """A column as numbers: gaps of a number take its median, a gap in a category is a level of its
    own.
    """
    values = feature.values
    if feature.kind == "categorical":
        return pd.factorize(values.to_numpy(object))[0].astype(float)
    numbers = values if feature.is_number else values.str.len().astype(float)
    return numbers.fillna(numbers.median() if numbers.notna().any() else 0.0).to_numpy(float)


def _entropy(view: AnalysisView) -> str:
    if not view.task.kind.is_classification:
        return ""
    shares = np.bincount(view.y) / len(view.y)
    shares = shares[shares > 0]
    return f" of {number(float(-(shares * np.log(shares)).sum()))}"

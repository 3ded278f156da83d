"""Small sets of columns that together give the target away: indicators, and sums or products of
numbers.

In: development rows. Out: traps that name the columns. Indicators are columns of two values (or
zero and more, or present and missing); what a decision list over them can say covers OR, AND and
argmax. Sums and products are exact linear relations of the values or of their logarithms. Both are
learned on one half of the rows and judged on the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from marl_llm.tasks.screening.knowing import (
    CERTAIN,
    EXACT,
    errors_avoided,
    halves,
    variance_explained,
)
from marl_llm.tasks.screening.single import SENTENCES
from marl_llm.tasks.screening.trap import Trap, TrapKind, make_trap

_MAX_RULES = 12
_MAX_TERMS = 10
_MIN_ROWS_OF_RULE, _MIN_ROWS_OF_SPARE = 3, 6
_PURE = 0.995  # share of the rows of a rule that agree

_TOGETHER = (
    "Yes/no columns together tell the target {target}: {columns}. Ignore them if they are known "
    "only later."
)
_SUM = (
    "The target {target} is a sum of {columns}, each with a factor: ignore one of them if it is "
    "known only later."
)
_PRODUCT = (
    "The target {target} is a product of {columns} or of their powers: ignore one if it is known "
    "only later."
)


@dataclass(frozen=True, eq=False)
class _Rule:
    """Rows where the literal is true have the class; `literal` is the position of its column of the
    mask.
    """

    literal: int
    label: int


def indicator_trap(X: pd.DataFrame, y: np.ndarray, target: str) -> Trap | None:
    """A decision list over indicator columns that tells the classes `y`, int64 shape (n,), or None.

    References
    ----------
    R. L. Rivest, "Learning decision lists", Machine Learning 2 (1987): rules of one literal are
    found greedily.
    """
    names, literals = _literals(X)
    if len(set(names)) < 2:
        return None
    predicted = np.empty_like(y)
    for learned in halves(len(y)):
        predicted[~learned] = _decide(
            *_decision_list(literals[learned], y[learned]), literals[~learned]
        )
    if errors_avoided(y, predicted) < CERTAIN:
        return None
    rules, default = _decision_list(literals, y)
    for name in dict.fromkeys(names):
        fewer = [rule for rule in rules if names[rule.literal] != name]
        if (_decide(fewer, default, literals) == _decide(rules, default, literals)).all():
            rules = fewer
    used = [
        name for name in dict.fromkeys(names) if any(names[rule.literal] == name for rule in rules)
    ]
    return make_trap(TrapKind.indicators, used, _TOGETHER, target)


def formula_trap(X: pd.DataFrame, y: np.ndarray, target: str) -> Trap | None:
    """A sum or a product of at most ten columns that is the target `y`, float64 shape (n,), or
    None.
    """
    numbers = _numbers(X)
    if terms := _terms(numbers, y):
        return _formula(terms, _SUM, target)
    if not (y > 0).all():
        return None
    positive = numbers.loc[:, (numbers.isna() | (numbers > 0)).all(axis=0)]
    if terms := _terms(np.log(positive), np.log(y)):
        return _formula(terms, _PRODUCT, target)
    return None


def _formula(terms: Sequence[str], sentence: str, target: str) -> Trap:
    if len(terms) == 1:
        return make_trap(
            TrapKind.determines_target, terms, SENTENCES[TrapKind.determines_target], target
        )
    return make_trap(TrapKind.formula, terms, sentence, target)


def _literals(X: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """Column name of each literal, and where it is true: bool, shape (n, literals)."""
    names: list[str] = []
    masks: list[np.ndarray] = []
    for name, column in X.items():
        for mask in _states(column):
            names.append(str(name))
            masks.append(mask)
    return names, np.column_stack(masks) if masks else np.empty((len(X), 0), dtype=bool)


def _states(column: pd.Series) -> list[np.ndarray]:
    """Masks of the two states of an indicator; nothing for a column of another kind."""
    missing = column.isna().to_numpy()
    values = pd.unique(column.dropna())
    if len(values) == 2:
        return [(column == value).to_numpy() for value in values]
    if len(values) == 1 and missing.any():
        return [missing, ~missing]
    if column.dtype == np.float64 and not missing.any() and len(values) and values.min() == 0:
        zero = (column == 0).to_numpy()
        return [zero, ~zero]
    return []


def _decision_list(literals: np.ndarray, y: np.ndarray) -> tuple[list[_Rule], int]:
    """Rules in order, and the class of the rest.

    Each is true for the most rows not yet decided: first among the literals whose rows all agree,
    then among those whose undecided rows do. Literals that agree, but that no row needed, come
    last: other rows may need them.
    """
    onehot = np.eye(int(y.max()) + 1, dtype=np.float32)[y]
    always = _agreeing(literals, onehot, _MIN_ROWS_OF_RULE)
    undecided = np.ones(len(y), dtype=bool)
    rules: list[_Rule] = []
    while len(rules) < _MAX_RULES and len(np.unique(y[undecided])) > 1:
        left, classes = literals[undecided], onehot[undecided]
        usable = np.where(always, left.sum(axis=0), 0)
        if not usable.any():
            usable = np.where(_agreeing(left, classes, _MIN_ROWS_OF_RULE), left.sum(axis=0), 0)
        if not usable.any():
            break
        best = int(np.argmax(usable))
        rules.append(_Rule(best, int(classes[left[:, best]].sum(axis=0).argmax())))
        undecided &= ~literals[:, best]
    default = int(np.bincount(y[undecided] if undecided.any() else y).argmax())
    spare = np.flatnonzero(_agreeing(literals, onehot, _MIN_ROWS_OF_SPARE))
    spare_labels = (literals[:, spare].astype(np.float32).T @ onehot).argmax(axis=1)
    used = {rule.literal for rule in rules}
    rules += [
        _Rule(int(i), int(label))
        for i, label in zip(spare, spare_labels, strict=True)
        if i not in used
    ]
    return rules, default


def _agreeing(literals: np.ndarray, onehot: np.ndarray, enough: int) -> np.ndarray:
    """Mask of the literals that are true for enough rows, almost all of one class."""
    counts = literals.astype(np.float32).T @ onehot
    rows = counts.sum(axis=1)
    return (rows >= enough) & (counts.max(axis=1) >= _PURE * rows)


def _decide(rules: Sequence[_Rule], default: int, literals: np.ndarray) -> np.ndarray:
    predicted = np.full(len(literals), default, dtype=np.int64)
    for rule in reversed(rules):
        predicted[literals[:, rule.literal]] = rule.label
    return predicted


def _numbers(X: pd.DataFrame) -> pd.DataFrame:
    """Numeric columns, and categories of two values as 0 and 1."""
    columns: dict[str, np.ndarray] = {}
    for name, column in X.items():
        if column.dtype == np.float64:
            columns[str(name)] = column.to_numpy()
        elif column.nunique() == 2:
            codes = pd.factorize(column, sort=True)[0].astype(np.float64)
            columns[str(name)] = np.where(codes < 0, np.nan, codes)
    return pd.DataFrame(columns, index=X.index)


def _linear_fit(X: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Predictions at other rows of a linear regression on X, y."""
    from sklearn.linear_model import LinearRegression  # a second, so not at import

    return LinearRegression().fit(X, y).predict(at)


def _terms(numbers: pd.DataFrame, y: np.ndarray) -> list[str]:
    """The fewest columns whose linear combination is `y`, at most ten; [] if there is none.

    Columns are taken in one by one, the most correlated with what is left to explain first
    (orthogonal matching pursuit); rows with a gap in a chosen column are left out.
    """
    if numbers.shape[1] < 2:
        return []
    filled = numbers.fillna(numbers.median())
    spread = filled.std().replace(0, np.inf)
    scaled = ((filled - filled.mean()) / spread).to_numpy()
    chosen: list[int] = []
    rest = y - y.mean()
    for _ in range(min(_MAX_TERMS, scaled.shape[1])):
        strength = np.abs(rest @ scaled)
        strength[chosen] = -1
        chosen.append(int(np.argmax(strength)))
        X = scaled[:, chosen]
        rest = y - _linear_fit(X, y, X)
        names = [str(name) for name in numbers.columns[sorted(chosen)]]
        if _is_exact(numbers[names].to_numpy(), y):
            return _without_idle(numbers, names, y)
    return []


def _without_idle(numbers: pd.DataFrame, names: list[str], y: np.ndarray) -> list[str]:
    """The names less those that are not needed."""
    for name in names if len(names) > 1 else []:
        fewer = [other for other in names if other != name]
        if _is_exact(numbers[fewer].to_numpy(), y):
            return _without_idle(numbers, fewer, y)
    return names


def _is_exact(X: np.ndarray, y: np.ndarray) -> bool:
    """True if a linear function learned on half of the complete rows gives the other half, but for
    rounding.
    """
    complete = ~np.isnan(X).any(axis=1)
    X, y = X[complete], y[complete]
    learned, asked = halves(len(y))
    if len(y) < 30 or learned.sum() < 3 * X.shape[1]:
        return False
    predicted = _linear_fit(X[learned], y[learned], X[asked])
    deviation = np.abs(y[asked] - np.median(y[asked]))
    typical = np.median(deviation) or deviation.mean()  # robust: one gross value makes any R2
    close = np.median(np.abs(y[asked] - predicted)) <= np.sqrt(1 - EXACT) * typical
    return bool(close and variance_explained(y[asked], predicted) > EXACT)

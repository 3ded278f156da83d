"""Seeded, disjoint parts of rows: development, hold-out and test, and folds for cross-validation.

In: strata, the rows that must stay together, or times. Out: sorted row positions. Strata are the
classes, or ten quantile bins of a number. Three ways: at random (units of identical rows stay
together; without repeated rows each row is a unit), by group, and by time. Which one a task takes
is decided in `division.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from marl_llm.core.errors import UserError

_BINS = 10
# repeated rows are stratified by how often they occur only where so many occur about as often
_MIN_UNITS_OF_SIZE = 8
_MAX_DEALT = 10_000  # more groups than this are balanced well enough by chance

Folds = list[tuple[np.ndarray, np.ndarray]]


def strata(y: np.ndarray, is_classification: bool) -> np.ndarray:
    """Stratum of each row, int64 shape (n,): the class, or the decile of the value (ties share a
    bin).
    """
    if is_classification:
        return np.asarray(y, dtype=np.int64)
    edges = np.quantile(y, np.linspace(0, 1, _BINS + 1)[1:-1])
    return np.searchsorted(edges, y, side="right")


def split_rows(
    stratum: np.ndarray, fractions: Sequence[float], seed: int, least: int = 0
) -> list[np.ndarray]:
    """Split rows into disjoint parts that cover all rows, each stratum in proportion to the
    fractions.

    Every part gets at least one row of each stratum that has as many rows as there are parts.
    Strata of fewer than `least` rows are not split: all their rows are in the first part.

    Raises
    ------
    UserError
        If the fractions are not positive or do not sum to 1.
    """
    shares = _shares(fractions)
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[] for _ in shares]
    for value in np.unique(stratum):
        rows = rng.permutation(np.flatnonzero(stratum == value))
        edges = (
            np.cumsum(_sizes(len(rows), shares))[:-1]
            if len(rows) >= least
            else np.full(len(shares) - 1, len(rows))
        )
        for part, chosen in zip(parts, np.split(rows, edges), strict=True):
            part.append(chosen)
    return [np.sort(np.concatenate(part)) for part in parts]


def cv_folds(stratum: np.ndarray, k: int, seed: int) -> Folds:
    """k folds (train rows, validation rows); each row is validated once, each stratum spread
    evenly.

    Raises
    ------
    UserError
        If k is below 2 or above the number of rows.
    """
    n = len(stratum)
    _check_folds(k, n, "development rows")
    shuffled = np.random.default_rng(seed).permutation(n)
    by_stratum = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    fold_of = np.empty(n, dtype=np.int64)
    fold_of[by_stratum] = np.arange(n) % k
    return _folds(fold_of, k)


def unit_parts(
    stratum: np.ndarray, units: np.ndarray, fractions: Sequence[float], seed: int, least: int = 0
) -> list[np.ndarray]:
    """`split_rows` of units: rows of equal `units`, int64 shape (n,), stay together.

    Units are stratified by the rarest stratum among their rows and by their size. If no unit has
    two rows, the parts are those of `split_rows`.
    """
    codes, of_unit = _unit_strata(stratum, units)
    return [
        np.flatnonzero(np.isin(codes, part)) for part in split_rows(of_unit, fractions, seed, least)
    ]


def unit_folds(stratum: np.ndarray, units: np.ndarray, k: int, seed: int) -> Folds:
    """`cv_folds` of units: rows of equal `units` stay in one fold; without repeats the folds of
    `cv_folds`.
    """
    codes, of_unit = _unit_strata(stratum, units)
    _check_folds(k, len(of_unit), "different development rows")
    fold_of = np.empty(len(of_unit), dtype=np.int64)
    for fold, (_, valid) in enumerate(cv_folds(of_unit, k, seed)):
        fold_of[valid] = fold
    return _folds(fold_of[codes], k)


def group_parts(
    stratum: np.ndarray, groups: np.ndarray, fractions: Sequence[float], seed: int
) -> list[np.ndarray]:
    """Disjoint parts that cover all rows and share no group, strata and sizes as near to the
    fractions as groups allow.

    Groups are dealt out one by one, those that hold most of a stratum first, each to the part that
    then is nearest to what is wanted: the greedy of scikit-learn's StratifiedGroupKFold, for parts
    of unequal size. Above 10,000 groups `unit_parts` is used. A part can be empty if groups are
    few; the caller judges.
    """
    shares = _shares(fractions)
    if len(np.unique(groups)) > _MAX_DEALT:
        return unit_parts(stratum, groups, fractions, seed)
    part_of = _dealt(stratum, groups, shares, seed)
    return [np.flatnonzero(part_of == part) for part in range(len(shares))]


def group_folds(stratum: np.ndarray, groups: np.ndarray, k: int, seed: int) -> Folds:
    """k folds that share no group; each row is validated once.

    Raises
    ------
    UserError
        If there are fewer groups than folds.
    """
    count = len(np.unique(groups))
    _check_folds(k, count, "groups in the development rows")
    if count > _MAX_DEALT:
        return unit_folds(stratum, groups, k, seed)
    return _folds(_dealt(stratum, groups, np.full(k, 1 / k), seed), k)


def time_parts(times: np.ndarray, fractions: Sequence[float]) -> list[np.ndarray]:
    """Parts in the order of `times`, float64 shape (n,): the earliest rows first, equal times
    together.

    Raises
    ------
    UserError
        If there are fewer different times than parts.
    """
    shares = _shares(fractions)
    order, starts = _time_blocks(times)
    if len(starts) < len(shares):
        raise UserError(
            f"{len(starts)} different times can't be split into {len(shares)} parts: use a "
            "random split."
        )
    edges = _snapped(np.cumsum(shares)[:-1] * len(times), starts)
    return [np.sort(rows) for rows in np.split(order, edges)]


def time_folds(stratum: np.ndarray, times: np.ndarray, k: int) -> Folds:
    """k forward-chaining folds: each is validated on the block of rows that follows in time on what
    it is fitted on.

    Blocks are scikit-learn's TimeSeriesSplit with equal times together. The first training block is
    prolonged until it holds every stratum, if that leaves the later half of the rows to validate
    on. Its rows are never validated.

    Raises
    ------
    UserError
        If k is below 2 or there are too few different times.
    """
    from sklearn.model_selection import TimeSeriesSplit  # a second, so not at import

    n = len(times)
    order, starts = _time_blocks(times)
    _check_folds(k, len(starts) - 1, "steps in time in the development rows")
    complete = (
        max(int(np.flatnonzero(stratum[order] == value)[0]) for value in np.unique(stratum)) + 1
    )
    skipped = complete if n // (k + 1) < complete <= n // 2 else None
    wanted = (
        np.linspace(skipped, n, k + 1)
        if skipped
        else [*(valid[0] for _, valid in TimeSeriesSplit(k).split(order)), n]
    )
    edges = _snapped(np.asarray(wanted, dtype=np.float64)[:-1], starts)
    bounds = zip(edges, [*edges[1:], n], strict=True)
    return [(np.sort(order[:start]), np.sort(order[start:stop])) for start, stop in bounds]


def _shares(fractions: Sequence[float]) -> np.ndarray:
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.ndim != 1 or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise UserError(
            f"The fractions {tuple(fractions)} are no split: give positive numbers that sum to 1."
        )
    return shares


def _check_folds(k: int, most: int, what: str) -> None:
    if not 2 <= k <= most:
        raise UserError(f"{k} folds are asked of {most} {what}: choose between 2 and {most}.")


def _folds(fold_of: np.ndarray, k: int) -> Folds:
    return [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(k)]


def _sizes(n: int, shares: np.ndarray) -> np.ndarray:
    """Whole numbers that sum to n, nearest to the shares (largest remainder), none zero if it can
    be helped.
    """
    exact = n * shares
    sizes = np.floor(exact).astype(np.int64)
    sizes[np.argsort(sizes - exact, kind="stable")[: n - sizes.sum()]] += 1
    while n >= len(shares) and (sizes == 0).any():
        sizes[np.argmin(sizes)] += 1
        sizes[np.argmax(sizes)] -= 1
    return sizes


def _unit_strata(stratum: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit of each row, numbered by first appearance, (n,); stratum of each unit, (units,).

    Units of about the same size (a power of two) make a stratum of their own where they are many
    enough.
    """
    codes = pd.factorize(units)[0].astype(np.int64)
    counts = np.bincount(stratum)
    rarest_first = np.lexsort((counts[stratum], codes))
    firsts = rarest_first[np.flatnonzero(np.diff(codes[rarest_first], prepend=-1))]
    own = stratum[firsts]
    size = np.floor(np.log2(np.bincount(codes))).astype(np.int64)
    both = own + size * len(counts)
    many = np.bincount(both)[both] >= _MIN_UNITS_OF_SIZE
    return codes, np.where(many, both, own)


def _dealt(stratum: np.ndarray, groups: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """Part of each row, int64 shape (n,), all rows of a group in one."""
    codes = pd.factorize(groups)[0]
    table = pd.crosstab(codes, stratum).to_numpy().astype(np.float64)  # (groups, strata)
    held = np.column_stack(
        [table / table.sum(axis=0), table.sum(axis=1) / len(stratum)]
    )  # shares of all rows, last
    shuffled = np.random.default_rng(seed).permutation(len(held))
    order = shuffled[np.argsort(-held[shuffled].max(axis=1), kind="stable")]
    part_of = np.empty(len(held), dtype=np.int64)
    missing = np.repeat(shares[:, None], held.shape[1], axis=1)  # (parts, strata + 1)
    for group in order:
        # the squared distance falls by 2 * missing * held - held ** 2; the last term is the same
        # for every part
        part = int(np.argmax(missing @ held[group]))
        part_of[group] = part
        missing[part] -= held[group]
    return part_of[codes]


def _time_blocks(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row positions by time, and where in them each different time starts."""
    order = np.argsort(times, kind="stable")
    return order, np.flatnonzero(np.diff(times[order], prepend=-np.inf))


def _snapped(wanted: np.ndarray, starts: np.ndarray) -> list[int]:
    """The start of a time nearest to each wanted position: rising, never the first one, with one
    left for each next.
    """
    edges: list[int] = []
    for position, place in enumerate(wanted):
        first = int(np.searchsorted(starts, edges[-1], side="right")) if edges else 1
        free = starts[first : len(starts) - (len(wanted) - 1 - position)]
        edges.append(int(free[np.argmin(np.abs(free - place))]))
    return edges

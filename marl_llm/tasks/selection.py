"""Which columns a task uses: names as people type them, the target, the features worth having.

In: a frame with unique column names and what the user asked for. Out: typed columns, with notes on what was left out
and why. Cells are read by `columns.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import pandas as pd

from marl_llm.errors import UserError
from marl_llm.tasks.columns import empty_or_constant, typed_column, unfit_as_feature
from marl_llm.tasks.reading import clean_name

_LISTED = 12


def known_column(name: str, names: Sequence[str], role: str) -> str:
    """The column's name as it stands in the frame.

    Raises
    ------
    UserError
        If there is none; the nearest name is suggested.
    """
    wanted = clean_name(name)
    if wanted in names:
        return wanted
    by_lower_case = {other.lower(): other for other in names}
    nearest = difflib.get_close_matches(wanted.lower(), list(by_lower_case), n=1, cutoff=0.5)
    advice = f"did you mean '{by_lower_case[nearest[0]]}'?" if nearest else f"the columns are {_some(names)}."
    raise UserError(f"The {role} '{name}' is not a column: {advice}")


def chosen_features(features: Sequence[str] | None, ignore: Iterable[str], target: str, names: list[str]) -> list[str]:
    """Names of the wanted feature columns, in the order of `features` or else of the frame.

    Raises
    ------
    UserError
        For an unknown column, the target among the features, or when nothing is left.
    """
    ignored = {known_column(name, names, "ignored column") for name in ignore}
    wanted = names if features is None else [known_column(name, names, "feature") for name in features]
    if features is not None and target in wanted:
        raise UserError(f"'{target}' is the target and can't be a feature as well: remove it from the features.")
    chosen = [name for name in dict.fromkeys(wanted) if name != target and name not in ignored]
    if not chosen:
        raise UserError(f"No feature is left beside the target '{target}': name at least one other column.")
    return chosen


def target_column(frame: pd.DataFrame, target: str, decimal: str) -> tuple[pd.Series, pd.Series, list[str]]:
    """The typed target of the rows that have one, the mask of those rows, and notes."""
    column, note = typed_column(frame.loc[:, target], decimal)
    has_target = column.notna()
    notes = [f"target '{target}': {note}"] if note else []
    if missing := int((~has_target).sum()):
        notes.append(f"{missing} rows without a value of the target '{target}' left out")
    return column.loc[has_target], has_target, notes


def typed_features(frame: pd.DataFrame, decimal: str, explicit: bool) -> tuple[pd.DataFrame, list[str]]:
    """Typed feature columns with index 0..n-1, and notes.

    Columns that carry nothing are left out; ids and nearly unique text too, unless the user named the features
    (`explicit`).

    Raises
    ------
    UserError
        If nothing is left.
    """
    kept: dict[str, pd.Series] = {}
    notes: list[str] = []
    for name in frame.columns:
        column, note = typed_column(frame.loc[:, name].reset_index(drop=True), decimal)
        reason = empty_or_constant(column) or (None if explicit else unfit_as_feature(name, column))
        if reason:
            notes.append(f"column '{name}' left out: {reason}")
            continue
        if note:
            notes.append(f"column '{name}': {note}")
        kept[name] = column
    if not kept:
        raise UserError(f"No usable feature is left ({'; '.join(notes)}): name the features to use.")
    return pd.DataFrame(kept), notes


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")

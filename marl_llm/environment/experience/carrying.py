"""Carrying a finding over to another data set: the columns a feature is given there, and whether it
can be asked for.

Pure functions over a finding's text and the other data set's card.
"""

from __future__ import annotations

from marl_llm.environment.card import ColumnCard, TaskCard
from marl_llm.proposals import (
    InvalidAction,
    PipelineSpec,
    Proposal,
    apply,
    canonical,
    effective,
    parse_action,
)
from marl_llm.proposals.context import resolve_columns
from marl_llm.proposals.ops import FEATURES
from marl_llm.proposals.ops.feature import Feature
from marl_llm.proposals.screened import starting_spec
from marl_llm.proposals.text import column_list

MOST_COLUMNS = 3
"""Columns that a feature of single columns is carried over to."""
_FEATURES = "engineer_features "


def carried(text: str, card: TaskCard) -> tuple[str, PipelineSpec] | None:
    """A finding as an agent would write it for this data set, and the solution it makes of the
    baseline.

    None where it cannot be asked for here (an estimator that is not installed, or too slow for so
    many rows; no column of the kind), changes nothing here, or is not readable any more.
    """
    context = card.context()
    start = starting_spec(context)
    filled = _with_columns(text, card)
    if filled is None:
        return None
    try:
        action = resolve_columns(parse_action(filled), context)
        if not isinstance(action, Proposal):
            return None
        spec = apply(action, start, context)
    except InvalidAction:
        return None
    return (
        None if effective(spec, context) == effective(start, context) else (canonical(action), spec)
    )


def _with_columns(text: str, card: TaskCard) -> str | None:
    if not text.startswith(_FEATURES):
        return text
    ops: list[str] = []
    for op in text.removeprefix(_FEATURES).split("; "):
        if op in FEATURES:
            columns = like_columns(FEATURES[op], card)
            if not columns:
                return None
            ops.append(f"{op} {column_list(columns)}")
        else:
            ops.append(op)
    return _FEATURES + "; ".join(ops)


def like_columns(feature: Feature, card: TaskCard) -> tuple[str, ...]:
    """Columns for a feature that helped elsewhere: of those it takes, the ones closest to the
    target.

    Some are for skewed numbers only, some for columns with gaps. Empty where there are too few.
    """
    takes = feature.takes
    suitable = (column for column in card.columns if _suits(feature, column))
    ranked = sorted(suitable, key=lambda c: (-c.association, c.alias))
    first = next((c.alias for c in ranked if c.kind in takes.allowed(0)), None)
    rest = [c.alias for c in ranked if c.kind in takes.kinds and c.alias != first]
    count = MOST_COLUMNS if feature.columnwise else takes.least
    columns = () if first is None else (first, *rest)[:count]
    return takes.arranged(columns) if len(columns) >= takes.least else ()


def _suits(feature: Feature, column: ColumnCard) -> bool:
    if feature.skewed_only:
        return column.kind == "numeric" and column.skew >= 1
    return column.missing > 0 if feature.gaps_only else True

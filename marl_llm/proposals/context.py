"""What an action is held against: the kind of target and the columns, by alias or by their own
names.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from marl_llm.core.kind import Kind
from marl_llm.proposals.actions import (
    Action,
    Analyze,
    EngineerFeatures,
    InvalidAction,
    ProposeModel,
)
from marl_llm.proposals.features import Extra
from marl_llm.proposals.ops import CHOICES, FEATURES
from marl_llm.proposals.ops.action import ColumnsAction, OperationAction
from marl_llm.proposals.ops.columns import NUMBERS, ColumnFacts, sorted_columns
from marl_llm.proposals.spec import PipelineSpec
from marl_llm.proposals.synonyms import estimator_name

_NAMED = 8
"""Columns named in a message."""

A = TypeVar("A", bound=Action)


@dataclass(frozen=True)
class Context:
    """Kind of target, columns by alias, number of development rows, least value of a numeric
    target, and rows of the smallest class in development.
    """

    kind: Kind
    columns: Mapping[str, ColumnFacts]
    rows: int
    lowest_target: float | None = None
    smallest_class: int | None = None

    def resolve(self, name: str) -> str:
        """Alias of a column given by alias or by its own name; raises InvalidAction with the
        nearest name.
        """
        if name in self.columns:
            return name
        by_name = {column.name: alias for alias, column in self.columns.items()}
        if name in by_name:
            return by_name[name]
        near = difflib.get_close_matches(name, [*by_name, *self.columns], n=1)
        there = (
            "; there are "
            f"{', '.join([*self.columns][:_NAMED])}{', ...' if len(self.columns) > _NAMED else ''}"
        )
        raise InvalidAction(
            f"no column {name!r:.60}" + (f", did you mean {near[0]!r}?" if near else there)
        )

    def numeric(self, alias: str) -> bool:
        """True for a column that is a number to every transformer (dates are)."""
        return self.columns[alias].kind in NUMBERS


def resolve_columns(action: A, context: Context) -> A:
    """The same action with every column as an alias, in alias order where the order means nothing,
    and the estimator under the catalogue's name.
    """

    def fix(op: OperationAction) -> OperationAction:
        if not isinstance(op, ColumnsAction):
            return op
        aliases = tuple(context.resolve(c) for c in op.columns)
        feature = FEATURES.get(op.op)
        ordered = feature.takes.arranged(aliases) if feature else sorted_columns(aliases)
        return op.model_copy(update={"columns": ordered})

    if isinstance(action, ProposeModel):
        return action.model_copy(
            update={"estimator": estimator_name(action.estimator, context.kind)}
        )
    if isinstance(action, Analyze):
        return action.model_copy(
            update={"columns": sorted_columns(context.resolve(c) for c in action.columns)}
        )
    if isinstance(action, EngineerFeatures):
        return action.model_copy(update={"ops": tuple(fix(op) for op in action.ops)})
    return action


def _telling(context: Context) -> Callable[[Extra], Extra | None]:
    """Drops features of missing values where none is missing."""

    def kept(extra: Extra) -> Extra | None:
        if not extra.record.gaps_only:
            return extra
        return extra.without(
            c for c in extra.columns if c in context.columns and not context.columns[c].gaps
        )

    return kept


def effective(spec: PipelineSpec, context: Context) -> PipelineSpec:
    """The solution in normal form, without what changes nothing on these data: how numbers are
    filled where none is missing, how categories are encoded where there are none. Two solutions
    with equal results here are one.
    """
    if spec.members:
        return spec.model_copy(
            update={"members": tuple(effective(m, context) for m in spec.members)}
        ).normal()
    left = [column for alias, column in context.columns.items() if alias not in spec.drop]
    changes: dict[str, object] = {
        "extra": tuple(e for e in map(_telling(context), spec.extra) if e is not None)
    }
    for choice in CHOICES:
        if choice.matters is not None and not choice.matters(left):
            changes[choice.name] = choice.default
    return spec.model_copy(update=changes).normal()

"""The Data Scientist's five actions as typed, validated objects with a JSON schema.

What comes in is untrusted text that was already parsed into these types; `check` holds them against the columns and the
current solution, `apply` turns one `PipelineSpec` into the next. Nothing here runs a model.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from marl_llm.kind import Kind
from marl_llm.proposals.estimators import ESTIMATORS, ParamValue, estimators_for
from marl_llm.proposals.spec import (
    MIN_COLUMNS,
    EncodeMethod,
    Extra,
    ExtraOp,
    ImputeStrategy,
    PipelineSpec,
    ScaleMethod,
    ordered_params,
    sorted_columns,
)

MAX_OPS = 3
"""Most feature operations in one proposal: a step should stay one idea."""


class InvalidAction(ValueError):
    """A suggestion that cannot be carried out; the message is one short sentence for the agent."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Impute(_Strict):
    """Fill missing numbers."""

    op: Literal["impute"] = "impute"
    strategy: ImputeStrategy


class Scale(_Strict):
    """Scale all numeric columns."""

    op: Literal["scale"] = "scale"
    method: ScaleMethod


class Encode(_Strict):
    """Encode all categorical columns."""

    op: Literal["encode"] = "encode"
    method: EncodeMethod


class AddFeatures(_Strict):
    """Add features computed from numeric columns: `log` (signed logarithm) or `polynomial` (squares and products)."""

    op: ExtraOp
    columns: tuple[str, ...] = Field(min_length=1)


class Drop(_Strict):
    """Remove columns."""

    op: Literal["drop"] = "drop"
    columns: tuple[str, ...] = Field(min_length=1)


FeatureOp = Annotated[Impute | Scale | Encode | AddFeatures | Drop, Field(discriminator="op")]


class Analyze(_Strict):
    """Ask about the development data; costs tokens, no step."""

    action: Literal["analyze"] = "analyze"
    query: Literal["distribution", "target", "errors"]
    columns: tuple[str, ...] = ()
    why: str = ""


class ProposeModel(_Strict):
    """Replace the estimator."""

    action: Literal["propose_model"] = "propose_model"
    estimator: str
    params: dict[str, ParamValue] = Field(default_factory=dict)
    why: str = ""


class Tune(_Strict):
    """Set parameters of the current estimator."""

    action: Literal["tune"] = "tune"
    params: dict[str, ParamValue] = Field(min_length=1)
    why: str = ""


class EngineerFeatures(_Strict):
    """Change the preparation of the columns."""

    action: Literal["engineer_features"] = "engineer_features"
    ops: tuple[FeatureOp, ...] = Field(min_length=1, max_length=MAX_OPS)
    why: str = ""


class Finish(_Strict):
    """Deliver the current model."""

    action: Literal["finish"] = "finish"
    why: str = ""


Action = Annotated[Analyze | ProposeModel | Tune | EngineerFeatures | Finish, Field(discriminator="action")]
Proposal = ProposeModel | Tune | EngineerFeatures
ACTION: TypeAdapter[Any] = TypeAdapter(Action)


def action_schema() -> dict[str, Any]:
    """JSON schema of the five actions, generated from the types."""
    return ACTION.json_schema()


@dataclass(frozen=True)
class Context:
    """What an action is held against: kind of target, and each column's alias -> (own name, is it numeric)."""

    kind: Kind
    columns: Mapping[str, tuple[str, bool]]

    def resolve(self, name: str) -> str:
        """Alias of a column given by alias or by its own name; raises InvalidAction with the nearest name."""
        if name in self.columns:
            return name
        by_name = {own: alias for alias, (own, _) in self.columns.items()}
        if name in by_name:
            return by_name[name]
        near = difflib.get_close_matches(name, [*by_name, *self.columns], n=1)
        raise InvalidAction(f"no column {name!r:.60}" + (f", did you mean {near[0]!r}?" if near else ""))

    def numeric(self, alias: str) -> bool:
        """True for a numeric column."""
        return self.columns[alias][1]


def resolve_columns(action: Any, context: Context) -> Any:
    """The same action with every column as an alias, in alias order."""

    def fix(columns: tuple[str, ...]) -> tuple[str, ...]:
        return sorted_columns(context.resolve(c) for c in columns)

    if isinstance(action, Analyze):
        return action.model_copy(update={"columns": fix(action.columns)})
    if isinstance(action, EngineerFeatures):
        ops = tuple(
            op.model_copy(update={"columns": fix(op.columns)}) if isinstance(op, AddFeatures | Drop) else op
            for op in action.ops
        )
        return action.model_copy(update={"ops": ops})
    return action


def _check_params(estimator: str, params: Mapping[str, ParamValue]) -> None:
    info = ESTIMATORS[estimator]
    for name, value in params.items():
        param = info.param(name)
        if param is None:
            known = ", ".join(p.name for p in info.params)
            raise InvalidAction(f"{estimator} has no parameter {name!r:.40} here; it has {known}")
        if problem := param.problem(value):
            raise InvalidAction(problem)


def _check_model(action: ProposeModel, context: Context) -> None:
    names = [info.name for info in estimators_for(context.kind)]
    if action.estimator not in names:
        wrong = f"{action.estimator!r:.40} is no estimator for a {context.kind} target"
        raise InvalidAction(f"{wrong}; there are {', '.join(names)}")
    _check_params(action.estimator, action.params)


def _check_op(op: Any, spec: PipelineSpec, context: Context) -> None:
    if isinstance(op, Encode) and all(context.numeric(c) for c in context.columns if c not in spec.drop):
        raise InvalidAction("there is no categorical column to encode")
    if isinstance(op, Impute | Scale) and not any(context.numeric(c) for c in context.columns if c not in spec.drop):
        raise InvalidAction(f"there is no numeric column to {op.op}")
    if not isinstance(op, AddFeatures | Drop):
        return
    gone = [c for c in op.columns if c in spec.drop]
    if gone:
        raise InvalidAction(f"{', '.join(gone)} was dropped")
    if isinstance(op, Drop):
        if len(op.columns) + len(spec.drop) >= len(context.columns):
            raise InvalidAction("no column would be left")
        return
    words = [c for c in op.columns if not context.numeric(c)]
    if words:
        raise InvalidAction(f"{', '.join(words)} is not numeric")
    if len(op.columns) < MIN_COLUMNS[op.op]:
        raise InvalidAction(f"{op.op} needs at least {MIN_COLUMNS[op.op]} columns")
    if len(op.columns) > 8 and op.op == "polynomial":
        raise InvalidAction("polynomial takes at most 8 columns")


def _apply_op(op: Any, spec: PipelineSpec) -> PipelineSpec:
    if isinstance(op, Impute):
        return spec.model_copy(update={"impute": op.strategy})
    if isinstance(op, Scale):
        return spec.model_copy(update={"scale": op.method})
    if isinstance(op, Encode):
        return spec.model_copy(update={"encode": op.method})
    if isinstance(op, Drop):
        return spec.with_drop(op.columns)
    extra = Extra(op=op.op, columns=sorted_columns(op.columns))
    return spec if extra in spec.extra else spec.model_copy(update={"extra": (*spec.extra, extra)})


def apply(action: Proposal, spec: PipelineSpec, context: Context) -> PipelineSpec:
    """Turn one solution into the next.

    Parameters
    ----------
    action : ProposeModel, Tune or EngineerFeatures
        With columns already resolved to aliases.
    spec : PipelineSpec
        The current solution.
    context : Context
        Kind of target and columns.

    Returns
    -------
    PipelineSpec
        The solution asked for; equal to `spec` when nothing changes.

    Raises
    ------
    InvalidAction
        The action does not fit the data or the current solution.
    """
    if isinstance(action, ProposeModel):
        _check_model(action, context)
        params = ordered_params(action.estimator, action.params)
        return spec.model_copy(update={"estimator": action.estimator, "params": params})
    if isinstance(action, Tune):
        _check_params(spec.estimator, action.params)
        return spec.with_params(action.params)
    for op in action.ops:
        _check_op(op, spec, context)
        spec = _apply_op(op, spec)
    return spec

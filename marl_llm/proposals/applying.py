"""From one solution to the next: an action, held against the data and the current solution, makes a
new spec.

Pure functions over typed values; what cannot be carried out raises `InvalidAction` with one short
sentence.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import get_args

from marl_llm.core.kind import Kind
from marl_llm.proposals.actions import Between, InvalidAction, Proposal, ProposeModel, Tune
from marl_llm.proposals.codegen import INNER_FOLDS
from marl_llm.proposals.context import Context
from marl_llm.proposals.estimators import ESTIMATORS, ParamValue, estimators_for
from marl_llm.proposals.features import Extra, Reduction
from marl_llm.proposals.ops import FEATURES, OPERATIONS, REDUCERS
from marl_llm.proposals.ops.action import ColumnsAction, OperationAction
from marl_llm.proposals.ops.columns import ColumnKind
from marl_llm.proposals.ops.feature import Feature
from marl_llm.proposals.ops.preparation import Choice, Reducer, Removal, Undo, argument
from marl_llm.proposals.spec import ENSEMBLES, Calibration, PipelineSpec, ordered_params

THRESHOLDS = ("balanced_accuracy", "accuracy", "f1", "f1_macro", "jaccard", "matthews_corrcoef")
"""Scorers that a decision threshold can be tuned for (recall or precision alone would be driven to
an extreme).
"""
CALIBRATIONS: tuple[str, ...] = get_args(Calibration)
SPECIAL = ("calibration", "threshold")
"""What `tune` may set beside the estimator's own parameters."""
MOST_MEMBERS = 5
_NAMED = 8
"""Columns named in a message."""
_POSITIVE = {"GammaRegressor": 1e-300, "PoissonRegressor": 0.0}
"""Regressors with a least value of the target."""


def apply(
    action: Proposal,
    spec: PipelineSpec,
    context: Context,
    solutions: Mapping[int, PipelineSpec] | None = None,
) -> PipelineSpec:
    """Turn one solution into the next.

    Parameters
    ----------
    action : ProposeModel, Tune or EngineerFeatures
        With columns already resolved to aliases; a `tune` without regions (they are searched
        before).
    spec : PipelineSpec
        The current solution.
    context : Context
        Kind of target and columns.
    solutions : mapping of memory line to PipelineSpec, optional
        Earlier solutions that an ensemble may be made of.

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
        return _propose(action, spec, context, {0: spec, **(solutions or {})})
    if spec.members:
        raise InvalidAction("an ensemble cannot be changed: propose another model")
    if isinstance(action, Tune):
        return _tune(action, spec, context)
    for op in action.ops:
        _check_op(op, spec, context)
        spec = _apply_op(op, spec)
    return spec


def can_vote(spec: PipelineSpec) -> bool:
    """True if a solution can be part of a vote: of classifiers their probabilities are averaged."""
    if spec.members or not spec.classifier:
        return not spec.members
    return ESTIMATORS[spec.estimator].proba or spec.calibration is not None


def fits(spec: PipelineSpec, context: Context) -> bool:
    """True if a solution could have been asked for on these columns and this kind of target."""
    try:
        for member in spec.members:
            if member.members or not fits(member, context):
                return False
        if not spec.members:
            _check_model(ProposeModel(estimator=spec.estimator, params=dict(spec.params)), context)
            _check_special(
                {name: value for name in SPECIAL if (value := getattr(spec, name)) is not None},
                context,
            )
            for extra in spec.extra:
                _check_added(extra.record, extra.columns, context)
        used = (*spec.drop, *(column for extra in spec.extra for column in extra.columns))
        return all(column in context.columns for column in used)
    except (InvalidAction, KeyError, ValueError):
        return False


def check_region(action: Tune, spec: PipelineSpec, context: Context) -> None:
    """Hold the regions of a `tune` against the current estimator; raises InvalidAction."""
    if spec.members:
        raise InvalidAction("an ensemble has nothing to tune: propose another model")
    info = ESTIMATORS[spec.estimator]
    for name, region in action.regions.items():
        param = info.param(name)
        if param is not None and (param.low is None or param.high is None):
            raise InvalidAction(
                f"{name} takes one of {', '.join(map(str, param.grid))}, not a region"
            )
        for end in (region.low, region.high):
            whole = param is not None and param.integer and float(end).is_integer()
            _check_params(spec.estimator, {name: int(end) if whole else end})
        if not region.low < region.high:
            raise InvalidAction(f"the region of {name} is empty: write between(low, high)")
    if action.exact:
        _tune(Tune(params=dict(action.exact)), spec, context)


def _propose(
    action: ProposeModel,
    spec: PipelineSpec,
    context: Context,
    solutions: Mapping[int, PipelineSpec],
) -> PipelineSpec:
    if action.estimator in ENSEMBLES:
        return _combine(action, solutions)
    if action.members:
        raise InvalidAction(f"only {' and '.join(ENSEMBLES)} take earlier solutions")
    _check_model(action, context)
    params = ordered_params(action.estimator, action.params)
    start = spec.members[0] if spec.members else spec
    return start.model_copy(update={"estimator": action.estimator, "params": params})


def _combine(action: ProposeModel, solutions: Mapping[int, PipelineSpec]) -> PipelineSpec:
    if action.params:
        raise InvalidAction(
            f"{action.estimator} takes memory lines, e.g. {action.estimator}(0, 2), no parameters"
        )
    unknown = [k for k in action.members if k not in solutions]
    if unknown:
        there = ", ".join(map(str, sorted(solutions)))
        raise InvalidAction(
            f"memory line {unknown[0]} holds no solution that ran; there are {there} (0: current)"
        )
    members = tuple(dict.fromkeys(solutions[k] for k in action.members))
    if any(m.members for m in members):
        raise InvalidAction("an ensemble cannot be part of another one")
    for member in members if action.estimator == "Voting" else ():
        if not can_vote(member):
            raise InvalidAction(
                f"{member.estimator} has no probabilities to vote with: calibrate it or use "
                "Stacking"
            )
    if not 2 <= len(set(map(_identity, members))) <= MOST_MEMBERS:
        wanted = f"an ensemble takes 2 to {MOST_MEMBERS} different solutions"
        raise InvalidAction(
            f"{wanted}, e.g. {action.estimator}(0, 2) of the current one and memory line 2"
        )
    return PipelineSpec(estimator=action.estimator, members=members)


def _identity(spec: PipelineSpec) -> str:
    return spec.normal().model_dump_json()


def _check_model(action: ProposeModel, context: Context) -> None:
    infos = {info.name: info for info in estimators_for(context.kind)}
    info = infos.get(action.estimator)
    if info is None:
        known = ESTIMATORS.get(action.estimator)
        if known is not None and not known.available:
            raise InvalidAction(f"{action.estimator} is not installed here")
        raise InvalidAction(_no_estimator(action.estimator, list(infos), context))
    if info.max_rows is not None and context.rows > info.max_rows:
        raise InvalidAction(
            f"{action.estimator} is too slow for {context.rows} rows (at most {info.max_rows})"
        )
    least = _POSITIVE.get(action.estimator)
    if least is not None and context.lowest_target is not None and context.lowest_target < least:
        raise InvalidAction(
            f"{action.estimator} needs a {'positive' if least else 'non-negative'} target"
        )
    _check_params(action.estimator, action.params)


def _no_estimator(name: str, known: list[str], context: Context) -> str:
    """The nearest name, or where none is near some of those there are."""
    wrong = f"{name!r:.40} is no estimator for a {context.kind} target"
    stem = name.removesuffix("Classifier").removesuffix("Regressor")
    near = [other for other in known if other in (f"{stem}Classifier", f"{stem}Regressor")]
    near = near or difflib.get_close_matches(name, known, n=1)
    if near:
        return f"{wrong}, did you mean {near[0]}?"
    return f"{wrong}; there are {', '.join(n for n in known if ESTIMATORS[n].core)} and others"


def _check_params(estimator: str, params: Mapping[str, ParamValue]) -> None:
    info = ESTIMATORS[estimator]
    for name, value in params.items():
        param = info.param(name)
        if param is None:
            known = ", ".join(p.name for p in info.params) or "none"
            raise InvalidAction(f"{estimator} has no parameter {name!r:.40} here; it has {known}")
        if problem := param.problem(value):
            raise InvalidAction(problem)


def _tune(action: Tune, spec: PipelineSpec, context: Context) -> PipelineSpec:
    if any(isinstance(value, Between) for value in action.params.values()):
        raise InvalidAction("a region must be searched before it is a solution")
    own = {name: value for name, value in action.exact.items() if name not in SPECIAL}
    _check_params(spec.estimator, own)
    changes: dict[str, ParamValue] = {
        name: value for name, value in action.exact.items() if name in SPECIAL
    }
    _check_special(changes, context)
    return spec.with_params(own).model_copy(update=changes)


def _check_special(changes: Mapping[str, ParamValue], context: Context) -> None:
    if changes and not context.kind.is_classification:
        raise InvalidAction(f"{' and '.join(changes)} is for classes, the target is a number")
    _check_choice("calibration", changes, CALIBRATIONS)
    _check_choice("threshold", changes, THRESHOLDS)
    if changes.get("calibration") is not None and not can_calibrate(context):
        smallest = context.smallest_class
        raise InvalidAction(
            f"calibration needs {INNER_FOLDS} rows of each class, the smallest has {smallest}"
        )
    if changes.get("threshold") is not None and context.kind is not Kind.binary:
        raise InvalidAction("a threshold is for two classes")


def can_calibrate(context: Context) -> bool:
    """Whether every class has a row for each of calibration's own folds."""
    return context.smallest_class is None or context.smallest_class >= INNER_FOLDS


def _check_choice(name: str, changes: Mapping[str, ParamValue], values: tuple[str, ...]) -> None:
    if name in changes and changes[name] not in (*values, None):
        raise InvalidAction(f"{name} takes one of {', '.join(values)}, None")


def _check_op(op: OperationAction, spec: PipelineSpec, context: Context) -> None:
    left = [context.columns[c] for c in context.columns if c not in spec.drop]
    match OPERATIONS[op.op]:
        case Choice() as choice if not any(column.kind in choice.kinds for column in left):
            raise InvalidAction(f"there is no {choice.kinds[0]} column to {choice.name}")
        case Undo() if spec.reduce is None:
            raise InvalidAction(f"nothing is reduced: there is no {' or '.join(REDUCERS)} to undo")
        case _:
            pass
    if isinstance(op, ColumnsAction):
        _check_columns(op, spec, context)


def _check_columns(op: ColumnsAction, spec: PipelineSpec, context: Context) -> None:
    gone = [c for c in op.columns if c in spec.drop]
    if gone:
        raise InvalidAction(f"{', '.join(gone)} was dropped: name columns that are left")
    if op.op in FEATURES:
        _check_added(FEATURES[op.op], op.columns, context)
        return
    left = (c for c in context.columns if c not in (*spec.drop, *op.columns))
    if not any(context.columns[c].kind != "text" for c in left):
        raise InvalidAction("no column would be left: drop fewer")


def _check_added(feature: Feature, columns: tuple[str, ...], context: Context) -> None:
    takes = feature.takes
    for at, column in enumerate(columns):
        allowed = takes.allowed(at)
        if context.columns[column].kind not in allowed:
            raise InvalidAction(f"{column} is not {_kind_words(allowed)}{_those(allowed, context)}")
    if len(columns) < takes.least:
        raise InvalidAction(f"{feature.name} needs at least {takes.least} columns")
    if len(columns) > takes.most:
        plural = "s" if takes.most > 1 else ""
        raise InvalidAction(f"{feature.name} takes at most {takes.most} column{plural}")
    if len(set(columns)) < len(columns):
        raise InvalidAction(f"{feature.name} names a column twice")


def _those(kinds: tuple[ColumnKind, ...], context: Context) -> str:
    """Some columns of these kinds, for a message."""
    there = [alias for alias, column in context.columns.items() if column.kind in kinds]
    return (
        f"; {', '.join(there[:_NAMED])}{' and others are' if len(there) > _NAMED else ' are'}"
        if there
        else ""
    )


def _kind_words(kinds: tuple[ColumnKind, ...]) -> str:
    """Kinds of columns for people; a date is a number wherever numbers are taken."""
    named = {"date": "a date"}
    return " or ".join(named.get(k, k) for k in kinds if k != "date" or "numeric" not in kinds)


def _apply_op(op: OperationAction, spec: PipelineSpec) -> PipelineSpec:
    match OPERATIONS[op.op]:
        case Choice() as choice:
            return spec.model_copy(update={choice.name: argument(op)})
        case Reducer() as reducer:
            reduction = Reduction(op=reducer.name, amount=float(argument(op)))
            return spec.model_copy(update={"reduce": reduction})
        case Undo():
            return spec.model_copy(update={"reduce": None})
        case Removal() if isinstance(op, ColumnsAction):
            return spec.with_drop(op.columns)
        case Feature() as feature if isinstance(op, ColumnsAction):
            extra = Extra(op=feature.name, columns=feature.takes.arranged(op.columns))
            new = () if extra in spec.extra else (extra,)
            return spec.model_copy(update={"extra": (*spec.extra, *new)}) if new else spec
        case _:
            raise TypeError(f"{op!r} is no feature operation")

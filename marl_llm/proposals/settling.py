"""What only the data and the current solution can tell of an action that was read: the catalogue's
name of its estimator, numbers in quotes, columns in other letters' case, parameters that are the
environment's to set.

A typed action goes in and out. What is in doubt stays as it is, and `applying.py` says what is
wrong with it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping

from marl_llm.core.forgiven import Forgiven
from marl_llm.proposals.actions import (
    Action,
    Analyze,
    Between,
    EngineerFeatures,
    InvalidAction,
    ProposeModel,
    Setting,
    Tune,
)
from marl_llm.proposals.context import Context
from marl_llm.proposals.estimators import ESTIMATORS, EstimatorInfo, Param, ParamValue
from marl_llm.proposals.ops.action import ColumnsAction, OperationAction
from marl_llm.proposals.spelling import ensemble_name
from marl_llm.proposals.synonyms import estimator_name

RUN_PARAMETERS = (
    "random_state",
    "seed",
    "random_seed",
    "n_jobs",
    "thread_count",
    "nthread",
    "verbose",
    "verbosity",
    "silent",
)
"""Parameters of estimators that change no model but by chance: the environment sets seeds, threads
and output.
"""
_TUNED = re.compile(r"tune\W+(?:est\s*=\s*)?([A-Za-z]\w*)\s*\(", re.IGNORECASE)
_WORDS = {"none": None, "null": None, "true": True, "false": False}


def settled(
    action: Action, line: str, context: Context, current: str, forgiven: set[Forgiven]
) -> Action:
    """The action under the names of the catalogue and the data; `forgiven` is added to.

    Parameters
    ----------
    action : Action
        As it was read.
    line : str
        The line it was read from, "" where there was none.
    context, current
        See `read_action`.
    forgiven : set of Forgiven

    Raises
    ------
    InvalidAction
        A `tune` of another estimator than the current one, or of nothing that it could set.
    """
    if isinstance(action, ProposeModel):
        name = _estimator(action.estimator, context)
        if name != action.estimator:
            forgiven.add(
                Forgiven.estimator_name
                if name.lower() != action.estimator.lower()
                else Forgiven.case
            )
        params = _params(action.params, ESTIMATORS.get(name), forgiven)
        return action.model_copy(update={"estimator": name, "params": params})
    if isinstance(action, Tune):
        return _tuned(action, line, context, current, forgiven)
    if isinstance(action, Analyze):
        return action.model_copy(update={"columns": _columns(action.columns, context, forgiven)})
    if isinstance(action, EngineerFeatures):
        return action.model_copy(
            update={"ops": tuple(_op(op, context, forgiven) for op in action.ops)}
        )
    return action


def _estimator(name: str, context: Context) -> str:
    return ensemble_name(name) or estimator_name(name, context.kind)


def _tuned(
    action: Tune, line: str, context: Context, current: str, forgiven: set[Forgiven]
) -> Tune:
    named = _TUNED.match(line)
    if named and named[1] != "between":
        other = _estimator(named[1], context)
        if other != current and other in ESTIMATORS:
            write = f"propose_model est = {other}(parameter=value)"
            raise InvalidAction(
                f"tune sets parameters of the current {current}; for another model write {write}"
            )
    info = ESTIMATORS.get(current)
    params = _params(action.params, info, forgiven)
    if not params:
        known = ", ".join(p.name for p in info.params) if info else "none"
        raise InvalidAction(
            f"{', '.join(action.params)} is set by the environment; parameters of {current}: "
            f"{known}"
        )
    return action.model_copy(update={"params": params})


def _params(
    params: Mapping[str, Setting], info: EstimatorInfo | None, forgiven: set[Forgiven]
) -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    for name, value in params.items():
        param = info.param(name) if info else None
        if param is None and name in RUN_PARAMETERS and info is not None:
            forgiven.add(Forgiven.ignored_parameter)
        else:
            found[name] = value if param is None else _value(param, value, forgiven)
    return found


def _value(param: Param, value: Setting, forgiven: set[Forgiven]) -> Setting:
    """The value, if it is none of the parameter's and another spelling of it is."""
    if isinstance(value, Between) or not param.problem(value):
        return value
    for other, what in _spellings(value):
        if not param.problem(other):
            forgiven.add(what)
            return other
    return value


def _spellings(value: ParamValue) -> Iterable[tuple[ParamValue, Forgiven]]:
    if isinstance(value, float) and value.is_integer():
        yield int(value), Forgiven.number
    if not isinstance(value, str):
        return
    word = value.strip()
    if re.fullmatch(r"[+-]?[\d.]+(?:[eE][+-]?\d+)?", word) and len(word) < 40:
        try:
            number = ast.literal_eval(word)
        except (SyntaxError, ValueError):
            return
        yield number, Forgiven.number
        if isinstance(number, float) and number.is_integer():
            yield int(number), Forgiven.number
    if word.lower() in _WORDS:
        yield _WORDS[word.lower()], Forgiven.quotes
    yield word.lower(), Forgiven.case


def _op(op: OperationAction, context: Context, forgiven: set[Forgiven]) -> OperationAction:
    if not isinstance(op, ColumnsAction):
        return op
    return op.model_copy(update={"columns": _columns(op.columns, context, forgiven)})


def _columns(
    columns: tuple[str, ...], context: Context, forgiven: set[Forgiven]
) -> tuple[str, ...]:
    known = {*context.columns, *(column.name for column in context.columns.values())}
    return tuple(found for name in columns for found in _column(name, known, forgiven))


def _column(name: str, known: set[str], forgiven: set[Forgiven]) -> list[str]:
    """The column or columns that an unknown name can only mean: one in quotes or in other letters'
    case, or several.
    """
    plain = name.strip("\"'` ")
    if name in known or not plain:
        return [name]
    if plain in known:
        forgiven.add(Forgiven.quotes)
        return [plain]
    alike = [one for one in known if one.lower() == plain.lower()]
    if len(alike) == 1:
        forgiven.add(Forgiven.case)
        return alike
    parts = [part for part in re.split(r"[\s,]+(?:and\s+)?", plain) if part]
    if len(parts) > 1 and all(part in known for part in parts):
        forgiven.add(Forgiven.separator)
        return parts
    return [name]

"""From code back to a solution: the components of the pipeline that `build_pipeline` returns, and
the spec where the code is one of ours.

`read_spec(generate_code(spec)) == spec`. Parts that the typed space does not know come out as
components of their own ("other ..."), so that a comparison counts them as changes nobody asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import ValidationError

from marl_llm.core.narrow import is_frozenset
from marl_llm.proposals.codegen import INNER_FOLDS
from marl_llm.proposals.estimators import ESTIMATORS
from marl_llm.proposals.features import Extra, Reduction
from marl_llm.proposals.ops import CHOICES, FEATURES, REDUCERS
from marl_llm.proposals.ops.columns import sorted_columns
from marl_llm.proposals.ops.encode import ENCODE
from marl_llm.proposals.ops.preparation import Choice, Reducer
from marl_llm.proposals.ops.scale import SCALE
from marl_llm.proposals.spec import (
    BLEND,
    Member,
    PipelineSpec,
    canonical_value,
    member_parts,
    members_of,
    ordered_params,
)
from marl_llm.proposals.symbols import Call, Name, Symbol, Unreadable, read_returned, symbol

_MEMBERS = {"VotingClassifier": "Voting", "VotingRegressor": "Voting"} | {
    "StackingClassifier": "Stacking",
    "StackingRegressor": "Stacking",
    "BlendClassifier": BLEND,
    "BlendRegressor": BLEND,
}

_REDUCTION = re.compile(rf"({'|'.join(REDUCERS)}) ([\d.]+)")
_WRAPPERS = (
    ("TunedThresholdClassifierCV", "threshold", "scoring", "balanced_accuracy"),
    ("CalibratedClassifierCV", "calibration", "method", "sigmoid"),
)
"""Class, component, option that names the method, its default; the outer one first."""


def read_components(code: str) -> dict[str, object]:
    """Components of the solution, keyed as `PipelineSpec.components` does.

    Raises
    ------
    Unreadable
        The code has another shape than a preparation followed by one estimator, or an ensemble of
        such.
    """
    return _components(read_returned(code))


def read_spec(code: str) -> PipelineSpec:
    """The spec of a code that the typed space can express.

    Raises
    ------
    Unreadable
        It is no straight-line code, or does something that no proposal can ask for.
    """
    return _spec(read_components(code))


def _components(returned: Symbol) -> dict[str, object]:
    if isinstance(returned, Call) and returned.name in _MEMBERS:
        return _ensemble(returned)
    steps = _steps(returned)
    parts: dict[str, object] = {"drop": frozenset()}
    if steps and isinstance(first := steps[0], Call) and first.name == "FunctionTransformer":
        parts["drop"], steps = _dropped(first), steps[1:]
    if not 2 <= len(steps) <= 3:
        raise Unreadable("the pipeline is not preparation and estimator")
    estimator = _estimator(steps[-1])
    info = ESTIMATORS.get(str(estimator["estimator"]))
    classifier = info is None or info.classifier
    if len(steps) == 3:
        parts["reduce"] = _reduction(steps[1], classifier)
    return {**parts, **_preparation(steps[0], classifier), **estimator}


def _steps(value: Symbol) -> list[Symbol]:
    """Steps of a pipeline, made by either constructor."""
    if isinstance(value, Call) and value.name == "make_pipeline" and not value.kwargs:
        return list(value.args)
    if isinstance(value, Call) and value.name == "Pipeline" and set(value.options) == {"steps"}:
        return [_named(step, 2)[1] for step in _sequence(value.options["steps"])]
    raise Unreadable("a pipeline was expected")


def _sequence(value: Symbol) -> tuple[Symbol, ...]:
    if not isinstance(value, tuple):
        raise Unreadable("a list was expected")
    return value


def _named(step: Symbol, length: int) -> tuple[Symbol, ...]:
    if not isinstance(step, tuple) or len(step) != length or not isinstance(step[0], str):
        raise Unreadable("a named step was expected")
    return step


def _ensemble(call: Call) -> dict[str, object]:
    name, options = _MEMBERS[call.name], dict(call.options)
    listed = options.pop("members" if name == BLEND else "estimators", None)
    members = [_named(m, 2)[1] for m in _sequence(listed)]
    weights = (
        _weights(options.pop("weights", None), len(members))
        if name == BLEND
        else [None] * len(members)
    )
    power = options.pop("power", 0.0) if call.name == "BlendClassifier" else 0.0
    found = frozenset(
        member_parts(_components(m), w) for m, w in zip(members, weights, strict=True)
    )
    usual: dict[str, Symbol] = {}
    if name == "Stacking":
        final = "LogisticRegression" if call.name.endswith("Classifier") else "Ridge"
        usual = {"cv": INNER_FOLDS, "final_estimator": Call(final, (), ())}
    elif call.name == "VotingClassifier":
        usual = {"voting": "soft"}
    if not isinstance(power, int | float):
        raise Unreadable("a power was expected")
    parts: dict[str, object] = {
        "estimator": name,
        "members": found,
        **({"power": power} if power else {}),
    }
    if options != usual:
        parts["other options"] = str(sorted(options.items(), key=str))
    if len(members) != len(found):
        parts["other members"] = len(members)
    return parts


def _weights(value: Symbol, count: int) -> list[Symbol]:
    """A weight for each member of a blend; equal ones where none are given."""
    weights: list[Symbol] = [1] * count if value is None else list(_sequence(value))
    if len(weights) != count:
        raise Unreadable("a weight for each member was expected")
    return weights


def _dropped(call: Call) -> frozenset[str]:
    options = dict(call.options)
    match options.pop("kw_args", None):
        case (("columns", tuple(columns)),) if options == {"func": Name("pd.DataFrame.drop")}:
            return frozenset(map(str, columns))
        case _:
            raise Unreadable("the first step is not the usual drop")


def _reduction(step: Symbol, classifier: bool) -> object:
    if isinstance(step, Call):
        for reducer in REDUCERS.values():
            if (amount := _amount(reducer, step, classifier)) is not None:
                return f"{reducer.name} {amount}"
    return f"other {step}"


def _amount(reducer: Reducer, step: Call, classifier: bool) -> object | None:
    """The amount of a step that is this reduction; None if it is another step."""
    usual = symbol(reducer.code(reducer.example, classifier))
    if not isinstance(usual, Call) or step.name != usual.name:
        return None
    options, expected = dict(step.options), dict(usual.options)
    amount = options.pop(reducer.parameter, reducer.implied)
    expected.pop(reducer.parameter, None)
    return amount if options == expected else None


def _preparation(value: Symbol, classifier: bool) -> dict[str, object]:
    parts: dict[str, object] = {}
    for transformer, columns in _entries(value):
        found = _entry(transformer, columns, classifier)
        if set(found) & set(parts):
            raise Unreadable("columns are prepared twice")
        parts.update(found)
    if not {"impute", "encode"} <= set(parts):
        raise Unreadable("NUM or CAT is not prepared")
    return parts


def _entries(value: Symbol) -> list[tuple[Symbol, Symbol]]:
    """(transformer, columns) pairs of a column transformer, made by either constructor."""
    if isinstance(value, Call) and value.name == "make_column_transformer" and not value.kwargs:
        pairs = [(e[0], e[1]) for e in value.args if isinstance(e, tuple) and len(e) == 2]
        if len(pairs) == len(value.args):
            return pairs
    if (
        isinstance(value, Call)
        and value.name == "ColumnTransformer"
        and set(value.options) == {"transformers"}
    ):
        named = [_named(e, 3) for e in _sequence(value.options["transformers"])]
        return [(transformer, columns) for _, transformer, columns in named]
    raise Unreadable("a column transformer was expected")


def _entry(transformer: Symbol, columns: Symbol, classifier: bool) -> dict[str, object]:
    if columns == symbol("NUM"):
        return _numeric(_steps(transformer))
    if columns == symbol("CAT"):
        return _categorical(_steps(transformer), classifier)
    for op, feature in FEATURES.items():
        if transformer == symbol(feature.constant):
            alone = feature.series and isinstance(columns, str)
            listed = tuple(map(str, (columns,) if alone else _sequence(columns)))
            try:
                return {Extra(op=op, columns=feature.takes.arranged(listed)).component: True}
            except (
                ValidationError
            ):  # such as a polynomial of one column: it runs, but no proposal can ask for it
                break
    return {f"other feature {transformer} of {columns}": True}


def _imputer(step: Symbol) -> object:
    if (
        isinstance(step, Call)
        and step.name == "SimpleImputer"
        and set(step.options) <= {"strategy"}
    ):
        return step.options.get("strategy", "mean")
    return f"other {step}"


def _numeric(steps: list[Symbol]) -> dict[str, object]:
    if not steps or len(steps) > 2:
        raise Unreadable("the numeric preparation has other steps")
    scale = _method(SCALE, steps[1], True) if len(steps) == 2 else "none"
    return {"impute": _imputer(steps[0]), "scale": scale}


def _method(choice: Choice, step: Symbol, classifier: bool) -> str:
    """The word of the method that a step is."""
    for method in choice.methods:
        if method.code and step == symbol(method.code_for(classifier)):
            return method.word
    return f"other {step}"


def _categorical(steps: list[Symbol], classifier: bool) -> dict[str, object]:
    if len(steps) != 2:
        raise Unreadable("the categorical preparation has other steps")
    parts: dict[str, object] = {"encode": _method(ENCODE, steps[1], classifier)}
    if (filled := _imputer(steps[0])) != "most_frequent":
        parts["other imputation of categories"] = str(filled)
    return parts


def _estimator(step: Symbol) -> dict[str, object]:
    parts: dict[str, object] = {}
    for wrapper, component, option, default in _WRAPPERS:
        if isinstance(step, Call) and step.name == wrapper:
            options = dict(step.options)
            step = options.pop("estimator", None)
            parts[component] = options.pop(option, default)
            if options != {"cv": INNER_FOLDS}:
                parts[f"other {component}"] = str(sorted(options.items(), key=str))
    if not isinstance(step, Call) or step.args:
        raise Unreadable("the estimator is no call with keyword parameters")
    parts["estimator"] = step.name
    info = ESTIMATORS.get(step.name)
    fixed = dict(info.fixed) if info else {}
    for name, value in step.kwargs:
        if name in fixed and fixed[name] == value:
            continue
        parts[f"param {name}"] = (
            canonical_value(info.param(name) if info else None, value)
            if value is None or isinstance(value, str | int | float)
            else str(value)
        )
    return parts


def _spec(parts: Mapping[str, object]) -> PipelineSpec:
    if any(
        name.startswith("other") or str(value).startswith("other") for name, value in parts.items()
    ):
        raise Unreadable("the code does what no proposal can ask for")
    if (members := members_of(parts)) is not None:
        return _ensemble_spec(str(parts["estimator"]), members, parts.get("power", 0.0))
    if parts["estimator"] not in ESTIMATORS:
        raise Unreadable(f"{parts['estimator']} is no estimator of the catalogue")
    estimator = str(parts["estimator"])
    fields = {choice.name: parts[choice.name] for choice in CHOICES} | {"estimator": estimator}
    fields |= {f: parts[f] for f in ("calibration", "threshold") if f in parts}
    if not is_frozenset(dropped := parts["drop"]):
        raise Unreadable("the columns that are dropped are no set")
    fields["drop"] = sorted_columns(map(str, dropped))
    fields["extra"] = tuple(_extra(name) for name in parts if name.split(" ")[0] in FEATURES)
    if match := _REDUCTION.fullmatch(str(parts.get("reduce", ""))):
        fields["reduce"] = Reduction(op=match[1], amount=float(match[2]))
    params: dict[str, str | int | float | None] = {}
    for name, value in parts.items():
        if name.startswith("param "):
            if value is not None and not isinstance(value, str | int | float):
                raise Unreadable(f"{name} is no plain value")
            params[name.removeprefix("param ")] = value
    try:
        return PipelineSpec.model_validate({**fields, "params": ordered_params(estimator, params)})
    except ValidationError as error:
        raise Unreadable("the code does what no proposal can ask for") from error


def _ensemble_spec(estimator: str, members: frozenset[Member], power: object) -> PipelineSpec:
    pairs = [({**dict(member)}, dict(member).get("weight")) for member in members]
    specs = [
        (_spec({k: v for k, v in parts.items() if k != "weight"}), weight)
        for parts, weight in pairs
    ]
    ordered = sorted(specs, key=lambda pair: (pair[0].model_dump_json(), str(pair[1])))
    weights = (
        tuple(weight for _, weight in ordered if weight is not None) if estimator == BLEND else ()
    )
    try:
        return PipelineSpec.model_validate(
            {
                "estimator": estimator,
                "members": tuple(spec for spec, _ in ordered),
                "weights": weights,
                "power": power,
            }
        )
    except ValidationError as error:
        raise Unreadable("the code does what no proposal can ask for") from error


def _extra(component: str) -> Extra:
    op, *columns = component.split(" ")
    return Extra(op=op, columns=tuple(columns))

"""Reading a candidate's code without running it: the components of the pipeline that `build_pipeline` returns.

A small symbolic reader of straight-line code: assignments to names, then one return. Whatever it does not know (a
branch, a loop, an import, a class) makes the code unreadable, which costs compliance, never trust.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from marl_llm.proposals.codegen import ENCODERS, EXTRAS
from marl_llm.proposals.estimators import ESTIMATORS
from marl_llm.proposals.spec import sorted_columns

_CALLS = frozenset(
    (
        "make_pipeline", "make_column_transformer", "make_column_selector", "SimpleImputer", "FunctionTransformer",
        "StandardScaler", "QuantileTransformer", "OneHotEncoder", "OrdinalEncoder", "PolynomialFeatures", *ESTIMATORS,
    )
)  # fmt: skip
"""What the code may call: constructors of the prelude. Any other call could change what a name means."""


class Unreadable(ValueError):
    """The code is no straight-line `build_pipeline`."""


@dataclass(frozen=True)
class Call:
    """A symbolic constructor call."""

    name: str
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Name:
    """A name of the prelude, e.g. NUM or `pd.DataFrame.drop`."""

    text: str


def read_components(code: str) -> dict[str, object]:
    """Components of the solution, keyed as `PipelineSpec.components` does.

    Raises
    ------
    Unreadable
        The code has another shape than a preparation followed by one estimator.
    """
    try:
        module = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unreadable("the code does not parse") from error
    if len(module.body) != 1 or not isinstance(module.body[0], ast.FunctionDef):
        raise Unreadable("there is more than build_pipeline")
    try:
        return _components(_run(module.body[0]))
    except RecursionError as error:
        raise Unreadable("the code is nested too deeply") from error


def _run(function: ast.FunctionDef) -> Any:
    if function.name != "build_pipeline" or ast.unparse(function.args) or function.decorator_list:
        raise Unreadable("build_pipeline takes no arguments")
    if function.returns is not None and not isinstance(function.returns, ast.Name):
        raise Unreadable("an annotation that is no name")
    names: dict[str, Any] = {}
    for statement in function.body:
        if isinstance(statement, ast.Return) and statement.value is not None:
            return _value(statement.value, names)
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            raise Unreadable("only assignments and a return")
        target = statement.targets[0]
        if not isinstance(target, ast.Name):
            raise Unreadable("only assignments to names")
        names[target.id] = _value(statement.value, names)
    raise Unreadable("nothing is returned")


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return names.get(node.id, Name(node.id))
    if isinstance(node, ast.Attribute):
        return _attribute(node, names)
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(_value(item, names) for item in node.elts)
    if isinstance(node, ast.Dict) and all(isinstance(k, ast.Constant) for k in node.keys):
        keys = [k.value for k in node.keys if isinstance(k, ast.Constant)]
        return tuple(zip(keys, (_value(v, names) for v in node.values), strict=True))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _value(node.operand, names)
        if isinstance(number, int | float):
            return -number
    if isinstance(node, ast.Call):
        return _call(node, names)
    raise Unreadable(f"cannot read {ast.unparse(node)[:60]}")


def _attribute(node: ast.Attribute, names: dict[str, Any]) -> Name:
    text = ast.unparse(node)
    if not all(part.isidentifier() for part in text.split(".")) or text.split(".")[0] in names:
        raise Unreadable(f"cannot read {text[:60]}")
    return Name(text)


def _call(node: ast.Call, names: dict[str, Any]) -> Call:
    if any(k.arg is None for k in node.keywords) or any(isinstance(a, ast.Starred) for a in node.args):
        raise Unreadable("unpacked arguments")
    if isinstance(node.func, ast.Name) and node.func.id in names:
        raise Unreadable(f"{node.func.id} was assigned and then called")
    if ast.unparse(node.func) not in _CALLS:
        raise Unreadable(f"a call of {ast.unparse(node.func)[:60]}")
    kwargs = tuple(sorted((str(k.arg), _value(k.value, names)) for k in node.keywords))
    return Call(ast.unparse(node.func), tuple(_value(a, names) for a in node.args), kwargs)


def _components(returned: Any) -> dict[str, object]:
    steps = _steps(returned)
    parts: dict[str, object] = {"drop": frozenset()}
    if len(steps) == 3:
        parts["drop"] = _dropped(steps.pop(0))
    if len(steps) != 2:
        raise Unreadable("the pipeline is not preparation and estimator")
    parts.update(_preparation(_expect(steps[0], "make_column_transformer")))
    return {**parts, **_estimator(steps[1])}


def _expect(value: Any, name: str) -> Call:
    if not isinstance(value, Call) or value.name != name:
        raise Unreadable(f"{name} was expected")
    return value


def _steps(value: Any) -> list[Any]:
    pipeline = _expect(value, "make_pipeline")
    if pipeline.kwargs:
        raise Unreadable("make_pipeline with options")
    return list(pipeline.args)


def _dropped(step: Any) -> frozenset[str]:
    call = _expect(step, "FunctionTransformer")
    keywords = dict(call.kwargs)
    match keywords.get("kw_args"):
        case (("columns", tuple(columns)),) if call.args == (Name("pd.DataFrame.drop"),) and len(keywords) == 1:
            return frozenset(map(str, columns))
    raise Unreadable("the first step is not the usual drop")


def _preparation(transformer: Call) -> dict[str, object]:
    if transformer.kwargs:
        raise Unreadable("make_column_transformer with options")
    parts: dict[str, object] = {}
    for entry in transformer.args:
        if not isinstance(entry, tuple) or len(entry) != 2:
            raise Unreadable("a column transformer's entry is no pair")
        found = _entry(*entry)
        if set(found) & set(parts):
            raise Unreadable("columns are prepared twice")
        parts.update(found)
    if not {"impute", "encode"} <= set(parts):
        raise Unreadable("NUM or CAT is not prepared")
    return parts


def _entry(transformer: Any, columns: Any) -> dict[str, object]:
    if columns == Name("NUM"):
        return _numeric(_steps(transformer))
    if columns == Name("CAT"):
        return _categorical(_steps(transformer))
    names = {Name(code): op for op, code in EXTRAS.items()}
    if transformer not in names or not isinstance(columns, tuple):
        raise Unreadable("an added feature is neither LOG nor POLY of a list of columns")
    return {f"{names[transformer]} {' '.join(sorted_columns(map(str, columns)))}": True}


def _imputer(step: Any) -> Any:
    call = _expect(step, "SimpleImputer")
    if call.args or set(dict(call.kwargs)) - {"strategy"}:
        raise Unreadable("an imputer with other options")
    return dict(call.kwargs).get("strategy", "mean")


def _numeric(steps: list[Any]) -> dict[str, object]:
    scale: object = "none"
    if len(steps) == 2:
        scalers: dict[Any, str] = {Call("StandardScaler", (), ()): "standard", Name("QUANTILE"): "quantile"}
        if steps[1] not in scalers:
            raise Unreadable("an unknown scaler")
        scale = scalers[steps[1]]
    elif len(steps) != 1:
        raise Unreadable("the numeric preparation has other steps")
    return {"impute": _imputer(steps[0]), "scale": scale}


def _categorical(steps: list[Any]) -> dict[str, object]:
    encoders = {Name(code): method for method, code in ENCODERS.items()}
    if len(steps) != 2 or steps[1] not in encoders or _imputer(steps[0]) != "most_frequent":
        raise Unreadable("the categorical preparation has other steps")
    return {"encode": encoders[steps[1]]}


def _estimator(call: Any) -> dict[str, object]:
    if not isinstance(call, Call) or call.args:
        raise Unreadable("the estimator is no call with keyword parameters")
    parts: dict[str, object] = {"estimator": call.name}
    info = ESTIMATORS.get(call.name)
    for name, value in call.kwargs:
        param = info.param(name) if info else None
        as_float = param is not None and param.low is not None and not param.integer and isinstance(value, int)
        parts[f"param {name}"] = float(value) if as_float else value
    return parts

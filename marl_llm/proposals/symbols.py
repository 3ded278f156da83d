"""Reading code without running it: straight-line Python as a tree of symbolic constructor calls.

In: the text of a `build_pipeline`. Out: the value it returns, made of constants, tuples, `Name`s
and `Call`s. Only assignments to names, imports of the prelude's own names, and calls of its
constructors are known. Whatever else stands there (a branch, a loop, a class, a call of an assigned
name) makes the code unreadable, which costs compliance, never trust.
"""

from __future__ import annotations

import ast
import functools
import inspect
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import EllipsisType
from typing import TypeAlias

from marl_llm.core.syntax import parse, parse_expression
from marl_llm.proposals.estimator_info import LONGEST
from marl_llm.proposals.prelude import CONSTANTS, prelude_for


class Unreadable(ValueError):
    """The code is no straight-line `build_pipeline`."""


Symbol: TypeAlias = (
    "str | bytes | int | float | complex | EllipsisType | Name | Call | tuple[Symbol, ...] | None"
)
"""What an expression stands for: a constant, a name, a call, or a list of such."""


@dataclass(frozen=True)
class Call:
    """A symbolic constructor call: keyword arguments sorted by name, those at their default left
    out.
    """

    name: str
    args: tuple[Symbol, ...]
    kwargs: tuple[tuple[str, Symbol], ...]

    @property
    def options(self) -> dict[str, Symbol]:
        """Keyword arguments by name."""
        return dict(self.kwargs)


@dataclass(frozen=True)
class Name:
    """A name of the prelude that is no constant, e.g. `pd.DataFrame.drop` or `f_regression`."""

    text: str


_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: a / b,  # operator's are not typed
    ast.FloorDiv: lambda a, b: a // b,
    ast.Pow: math.pow,
}
_PLAIN = int | float
Constructor = Callable[..., object]
"""A class or a function of the prelude."""


@functools.cache
def _constructors(prelude: str) -> Mapping[str, Constructor]:
    """The prelude's own names: what the code may call. The prelude is trusted text, so it may be
    executed.
    """
    names: dict[str, object] = {}
    exec(compile(prelude, "<prelude>", "exec", dont_inherit=True), names)
    return {
        name: value
        for name, value in names.items()
        if inspect.isclass(value) or inspect.isfunction(value)
    }


@functools.cache
def _constants() -> Mapping[str, Symbol]:
    """Symbolic values of NUM, LOG, ...: so that a name and what it stands for, written out, read
    the same.
    """
    reader = _Reader(_constructors(prelude_for("")), {})
    for statement in parse(CONSTANTS).body:
        reader.run(statement)
    return dict(reader.names)


def read_returned(code: str) -> Symbol:
    """The symbolic value that `build_pipeline` returns.

    Raises
    ------
    Unreadable
        The code is anything else than one function of straight-line statements.
    """
    try:
        module = parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unreadable("the code does not parse") from error
    words = {node.id for node in ast.walk(module) if isinstance(node, ast.Name)}
    reader = _Reader(_constructors(prelude_for(" ".join(sorted(words)))), dict(_constants()))
    try:
        return _run(module, reader)
    except RecursionError as error:
        raise Unreadable("the code is nested too deeply") from error


@functools.cache
def symbol(expression: str) -> Symbol:
    """What an expression under the names of the prelude stands for, e.g. `NUM` or
    `PCA(n_components=0.9)`.
    """
    reader = _Reader(_constructors(prelude_for("")), dict(_constants()))
    return reader.value(parse_expression(expression).body)


def _run(module: ast.Module, reader: _Reader) -> Symbol:
    *before, function = module.body or [ast.Pass()]
    for statement in before:
        if isinstance(statement, ast.FunctionDef):
            reader.define(statement)
        elif isinstance(statement, ast.Import | ast.ImportFrom) or _is_text(statement):
            reader.run(statement)
        else:
            raise Unreadable("there is more than functions and build_pipeline")
    if not isinstance(function, ast.FunctionDef) or function.name != "build_pipeline":
        raise Unreadable("the code does not end with build_pipeline")
    return reader.returned(function)


def _is_text(statement: ast.stmt) -> bool:
    """A docstring."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


@dataclass
class _Reader:
    """Names assigned so far, and the evaluation of expressions under them."""

    constructors: Mapping[str, Constructor]
    names: dict[str, Symbol]
    functions: dict[str, Symbol] = field(default_factory=dict[str, Symbol])

    def define(self, function: ast.FunctionDef) -> None:
        """A function before `build_pipeline`, such as `solution_1`: a call of it stands for what it
        returns.
        """
        taken = (
            *self.names,
            *self.functions,
            "pd",
            "np",
            "build_pipeline",
        )  # calls are looked up when they are made
        if function.name in self.constructors or function.name in taken:
            raise Unreadable(f"{function.name} is given another meaning")
        self.functions[function.name] = self.returned(function)

    def returned(self, function: ast.FunctionDef) -> Symbol:
        """The value of a function without arguments; its own names end with it."""
        if ast.unparse(function.args) or function.decorator_list:
            raise Unreadable(f"{function.name} takes no arguments")
        if function.returns is not None and not isinstance(function.returns, ast.Name):
            raise Unreadable("an annotation that is no name")
        inner = _Reader(self.constructors, dict(self.names), self.functions)
        for statement in function.body:
            if isinstance(statement, ast.Return) and statement.value is not None:
                return inner.value(statement.value)
            inner.run(statement)
        raise Unreadable("nothing is returned")

    def run(self, statement: ast.stmt) -> None:
        """One statement that is no return."""
        if _is_text(statement) or isinstance(statement, ast.Pass):
            return
        if isinstance(statement, ast.Import | ast.ImportFrom):
            self._import(statement)
            return
        target: ast.expr | None = None
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.annotation, ast.Name):
            target = statement.target
        value = getattr(statement, "value", None)
        if not isinstance(target, ast.Name) or value is None:
            raise Unreadable("only assignments to names")
        if (
            target.id in self.constructors
            or target.id in self.functions
            or target.id in ("pd", "np")
        ):
            raise Unreadable(f"{target.id} is given another meaning")
        self.names[target.id] = self.value(value)

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        """Only what the prelude holds already, under its own name."""
        for alias in statement.names:
            if isinstance(statement, ast.Import):
                known = (alias.name, alias.asname) in (("numpy", "np"), ("pandas", "pd"))
            else:
                found = self.constructors.get(alias.name)
                module = str(getattr(found, "__module__", ""))
                known = (
                    found is not None
                    and alias.asname in (None, alias.name)
                    and statement.level == 0
                )
                known = known and _top(module) == _top(statement.module or "")
            if not known:
                raise Unreadable(f"an import of {alias.name}")

    def value(self, node: ast.expr) -> Symbol:
        """The symbolic value of an expression."""
        if isinstance(node, ast.Constant):
            return _small_enough(node.value)
        if isinstance(node, ast.Name):
            return self.names.get(node.id, Name(node.id))
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.List | ast.Tuple):
            return self._items(node.elts)
        if isinstance(node, ast.Dict) and all(isinstance(k, ast.Constant) for k in node.keys):
            keys = [k.value for k in node.keys if isinstance(k, ast.Constant)]
            return tuple(zip(keys, (self.value(v) for v in node.values), strict=True))
        if isinstance(node, ast.UnaryOp | ast.BinOp):
            return self._arithmetic(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        raise Unreadable(f"cannot read {ast.unparse(node)[:60]}")

    def _items(self, nodes: list[ast.expr]) -> tuple[Symbol, ...]:
        items: list[Symbol] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                unpacked = self.value(node.value)
                if not isinstance(unpacked, tuple):
                    raise Unreadable("unpacking of something else than a list")
                items += unpacked
            else:
                items.append(self.value(node))
        return tuple(items)

    def _arithmetic(self, node: ast.UnaryOp | ast.BinOp) -> Symbol:
        if isinstance(node, ast.UnaryOp):
            number = self.value(node.operand)
            if isinstance(node.op, ast.USub) and isinstance(number, _PLAIN):
                return -number
            raise Unreadable("an operator")
        left = self.value(node.left)
        right = self.value(node.right)
        if isinstance(node.op, ast.Add) and isinstance(left, tuple) and isinstance(right, tuple):
            return left + right
        combine = _ARITHMETIC.get(type(node.op))
        if combine is None or not isinstance(left, _PLAIN) or not isinstance(right, _PLAIN):
            raise Unreadable("an operator")
        try:
            return _small_enough(combine(left, right))
        except (ArithmeticError, ValueError) as error:
            raise Unreadable("arithmetic that fails") from error

    def _attribute(self, node: ast.Attribute) -> Name:
        text = ast.unparse(node)
        if (
            not all(part.isidentifier() for part in text.split("."))
            or text.split(".")[0] in self.names
        ):
            raise Unreadable(f"cannot read {text[:60]}")
        return Name(text)

    def _call(self, node: ast.Call) -> Symbol:
        name = ast.unparse(node.func)
        if name in self.names:
            raise Unreadable(f"{name} was assigned and then called")
        if name in self.functions and not node.args and not node.keywords:
            return self.functions[name]
        if name not in self.constructors:
            raise Unreadable(f"a call of {name[:60]}")
        if any(k.arg is None for k in node.keywords):
            raise Unreadable("unpacked keyword arguments")
        args, kwargs = (
            self._items(node.args),
            {str(k.arg): self.value(k.value) for k in node.keywords},
        )
        return _normal(name, self.constructors[name], args, kwargs)


def _small_enough(value: Symbol) -> Symbol:
    """The value, unless it is a whole number so long that writing it down fails."""
    if isinstance(value, int) and abs(value) >= LONGEST:
        raise Unreadable("a number of thousands of digits")
    return value


def _normal(
    name: str, constructor: Constructor, args: tuple[Symbol, ...], kwargs: dict[str, Symbol]
) -> Call:
    """The call with arguments at their default left out, and positional arguments of classes under
    their names.
    """
    if not inspect.isclass(constructor):
        return Call(name, args, tuple(sorted(kwargs.items(), key=lambda item: item[0])))
    parameters = inspect.signature(constructor).parameters
    names = [p.name for p in parameters.values() if p.kind is not p.VAR_KEYWORD]
    if len(args) > len(names) or set(names[: len(args)]) & set(kwargs):
        raise Unreadable(f"{name} with too many arguments")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    kept = {
        key: value
        for key, value in given.items()
        if key not in parameters or not _is(value, parameters[key].default)
    }
    return Call(name, (), tuple(sorted(kept.items(), key=lambda item: item[0])))


def _is(value: Symbol, default: object) -> bool:
    if isinstance(value, Name):
        return value.text == getattr(default, "__name__", None)
    return type(value) is type(default) and value == default


def _top(module: str) -> str:
    """The package that a module lies in."""
    return module.split(".", maxsplit=1)[0]

"""One file of the definitions that a program reaches, out of the modules they stand in.

In: the text of modules, the names to begin with, and constants that are given. Out: the sources of
all functions, classes and constants that these use, in an order in which they can be executed, and
the imports of what is no part of the package. A name is followed to where it is defined, through
imports of the package; nothing is executed.
"""

from __future__ import annotations

import ast
import builtins
import copy
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

from marl_llm.solve.formatting import formatted, import_lines, joined

PACKAGE = "marl_llm"


@dataclass(frozen=True)
class Source:
    """The text of a module, whose definitions can be taken one by one."""

    module: str
    text: str

    @classmethod
    @cache
    def of(cls, module: str) -> Source:
        """The source of an importable module."""
        spec = find_spec(module)
        assert spec is not None and spec.origin is not None, module
        return cls(module, Path(spec.origin).read_text(encoding="utf-8"))

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.text)

    @cached_property
    def definitions(self) -> dict[str, ast.stmt]:
        """What defines each name, in the order of the text."""
        return {name: node for node in self.tree.body for name in _defined(node)}

    @cached_property
    def imports(self) -> dict[str, tuple[str, str]]:
        """Module and name behind each imported name; the name is "" where a module is imported."""
        found: dict[str, tuple[str, str]] = {}
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {one.asname or one.name: (node.module, one.name) for one in node.names}
            elif isinstance(node, ast.Import):
                found |= {one.asname or one.name: (one.name, "") for one in node.names}
        return found

    def lines(self, node: ast.stmt, flags: Mapping[str, bool] | None = None) -> str:
        """The text of a statement, with decorators and comments on its lines; with flags, as it is
        executed under them.
        """
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(one.lineno for one in decorators)])
        lines = dict(enumerate(self.text.splitlines(), start=1))
        for one in ast.walk(node):
            executed = _executed(one, flags or {}) if isinstance(one, ast.If) else None
            if executed is not None and isinstance(one, ast.If):
                inside = range(one.body[0].lineno, (one.end_lineno or 0) + 1)
                within = {i: lines[i].removeprefix("    ") for i in inside if executed}
                lines |= within
                for i in set(range(one.lineno, inside.stop)) - within.keys():
                    lines.pop(i, None)
        return "\n".join(lines[i] for i in range(first, (node.end_lineno or 0) + 1) if i in lines)


@dataclass
class Program:
    """What a program consists of so far.

    Attributes
    ----------
    given : mapping of name to text
        Assignments that stand in for those of the modules.
    elsewhere : mapping of name to Source
        Names that are defined there, whatever the modules define.
    readings : collection of str
        Of a table of functions by name, only these are taken.
    flags : mapping of name to bool
        Known truths: what stands under `if NAME:` or `if not NAME:` is taken where it is executed.
    """

    given: Mapping[str, str]
    elsewhere: Mapping[str, Source]
    readings: Collection[str] = ()
    flags: Mapping[str, bool] = field(default_factory=dict[str, bool])
    _taken: dict[tuple[str, str], ast.stmt] = field(default_factory=dict[tuple[str, str], ast.stmt])
    _used: dict[Source, list[Source]] = field(default_factory=dict[Source, list[Source]])
    _imported: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])
    _constants: set[str] = field(default_factory=set[str])

    def take(self, source: Source, name: str) -> None:
        """Take what a name of a source stands for, and all that it uses.

        Raises
        ------
        AssertionError
            A name has no definition, or has two in what was taken.
        """
        self._used.setdefault(source, [])
        if name in self.given:
            self._constants.add(name)
        elif name in self.elsewhere and self.elsewhere[name] is not source:
            self._take_from(self.elsewhere[name], name, source)
        elif name in source.definitions:
            self._take_definition(source, name)
        elif name in source.imports:
            self._take_import(source, name, *source.imports[name])
        else:
            assert hasattr(builtins, name), f"{source.module} does not define {name}"

    def constants(self) -> str:
        """The given assignments that are used, in their order."""
        return "\n".join(text for name, text in self.given.items() if name in self._constants)

    def definitions(self, *first: Source) -> str:
        """What was taken of these sources; without any, of all others: used ones come before those
        that use them.
        """
        wanted = first or [one for one in self._order() if one not in self.elsewhere.values()]
        return joined(text for source in wanted for text in self._texts(source))

    def add_imports(self, *modules: str) -> None:
        """Import more modules, e.g. "sys" or "numpy as np"."""
        for module in modules:
            name, _, local = module.partition(" as ")
            self._imported.add((local or name, name, ""))

    def imports(self, features: Collection[str] = ("annotations",)) -> str:
        """Import statements of what is used, and of features of the language."""
        names: dict[str, set[str]] = {"__future__": set(features)} if features else {}
        modules: set[str] = set()
        for local, module, name in self._imported:
            if name:
                names.setdefault(module, set()).add(name if name == local else f"{name} as {local}")
            else:
                modules.add(module if module == local else f"{module} as {local}")
        return import_lines(names, modules)

    def _take_definition(self, source: Source, name: str) -> None:
        if (source.module, name) in self._taken:
            return
        other = [module for module, taken in self._taken if taken == name]
        assert not other, f"{name} is defined in {source.module} and in {other}"
        taken = self._pruned(source.definitions[name], source)
        self._taken[source.module, name] = taken
        for used in sorted(_uses(taken)):
            self.take(source, used)

    def _take_import(self, source: Source, local: str, module: str, name: str) -> None:
        if module.split(".", 1)[0] == PACKAGE:
            assert name == local, f"{name} is imported as {local}"
            self._take_from(Source.of(module), name, source)
        else:
            self._imported.add((local, module, name))

    def _take_from(self, source: Source, name: str, user: Source) -> None:
        self._used[user].append(source)
        self.take(source, name)

    def _pruned(self, node: ast.stmt, source: Source) -> ast.stmt:
        """A table of functions without those that nothing is read by, a function without what a
        flag keeps from being executed; all else as it is.
        """
        if isinstance(node, ast.FunctionDef):
            return _Executed(self.flags).visit(copy.deepcopy(node))
        table = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if not isinstance(table, ast.Dict) or not table.keys:
            return node
        functions = source.definitions.keys() | source.imports.keys()
        names = [one.value if isinstance(one, ast.Constant) else None for one in table.keys]
        named = (isinstance(one, ast.Name) and one.id in functions for one in table.values)
        if not all(isinstance(name, str) for name in names) or not all(named):
            return node
        kept = [i for i, name in enumerate(names) if name in self.readings]
        pruned = ast.Dict([table.keys[i] for i in kept], [table.values[i] for i in kept])
        target = ast.Name(_defined(node)[0], ast.Store())
        return ast.copy_location(ast.Assign([target], pruned), node)

    def _order(self) -> list[Source]:
        """Sources, each behind those that it uses."""
        ordered: dict[Source, None] = {}
        begun: set[Source] = set()

        def visit(source: Source) -> None:
            if source in begun:
                return
            begun.add(source)
            for used in self._used[source]:
                visit(used)
            ordered[source] = None

        for source in self._used:
            visit(source)
        return list(ordered)

    def _texts(self, source: Source) -> Iterator[str]:
        """The taken definitions of a source, each once, in the order of its text."""
        nodes: dict[int, tuple[ast.stmt, ast.stmt]] = {}
        for name, node in source.definitions.items():
            if (source.module, name) in self._taken:
                nodes[id(node)] = node, self._taken[source.module, name]
        for node, taken in nodes.values():
            if taken is node or isinstance(node, ast.FunctionDef):
                yield source.lines(node, self.flags)
            else:
                yield formatted(ast.unparse(ast.fix_missing_locations(taken)))


class _Executed(ast.NodeTransformer):
    """Resolves branches whose condition is a flag."""

    def __init__(self, flags: Mapping[str, bool]) -> None:
        self._flags = flags

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """The body of a branch that is always executed, nothing of one that never is."""
        self.generic_visit(node)
        executed = _executed(node, self._flags)
        return node if executed is None else node.body if executed else []


def _executed(node: ast.If, flags: Mapping[str, bool]) -> bool | None:
    """Whether a branch without another one is executed; None where no flag says it."""
    negated = isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)
    name = node.test.operand if isinstance(node.test, ast.UnaryOp) else node.test
    if node.orelse or not isinstance(name, ast.Name) or name.id not in flags:
        return None
    return flags[name.id] != negated


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [
            one.id
            for target in node.targets
            for one in ast.walk(target)
            if isinstance(one, ast.Name)
        ]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def _uses(node: ast.AST) -> set[str]:
    """Names that a statement takes from outside of it."""
    if isinstance(node, ast.ClassDef):
        inside = set().union(*map(_uses, (*node.body, *node.bases, *node.decorator_list)))
        return inside - {name for one in node.body for name in _defined(one)}
    names = [one for one in ast.walk(node) if isinstance(one, ast.Name)]
    loaded = {one.id for one in names if isinstance(one.ctx, ast.Load)}
    if not isinstance(node, ast.FunctionDef):
        comprehended = {
            one.id
            for part in ast.walk(node)
            if isinstance(part, ast.comprehension | ast.Lambda)
            for one in ast.walk(part.target if isinstance(part, ast.comprehension) else part.args)
            if isinstance(one, ast.Name)
        }
        return loaded - comprehended - {arg.arg for arg in _arguments(node)}
    own = {arg.arg for arg in _arguments(node)}
    own |= {one.id for one in names if isinstance(one.ctx, ast.Store)}
    own |= {
        str(one.name)
        for one in ast.walk(node)
        if isinstance(one, ast.FunctionDef | ast.ExceptHandler) and one is not node
    }
    return loaded - own


def _arguments(node: ast.AST) -> Iterator[ast.arg]:
    return (one for one in ast.walk(node) if isinstance(one, ast.arg))

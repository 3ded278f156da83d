"""Python text as `ruff format` leaves it, for the few statements of a delivered file that are made
by a program: imports, constants, and what `generate_code` writes.

A statement stands on one line where it fits, and else with one element to a line, innermost
brackets last.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterable, Mapping

WIDTH = 100
_APART = (ast.FunctionDef, ast.ClassDef, ast.If)


def formatted(code: str) -> str:
    """The same assignments, returns and functions in at most `WIDTH` columns where that is
    possible; comments are lost.
    """
    blocks = [_statement(node, code) for node in ast.parse(code).body]
    return joined(blocks)


def joined(blocks: Iterable[str]) -> str:
    """Blocks of top-level statements in sequence; functions and classes stand between two empty
    lines.
    """
    text = ""
    before: list[ast.stmt] = []
    for block in blocks:
        statements = ast.parse(block).body
        apart = any(isinstance(one, _APART) for one in (*before[-1:], *statements[:1]))
        text += ("\n\n\n" if apart else "\n") * bool(text) + block
        before = statements
    return text


def constant(name: str, value: object) -> str:
    """The assignment of a plain value: text, numbers, and lists, tuples and dictionaries of
    such.
    """
    return "\n".join(_lines(f"{name} = ", ast.parse(repr(value), mode="eval").body, "", 0))


def import_lines(names: Mapping[str, Iterable[str]], modules: Iterable[str] = ()) -> str:
    """Sorted imports in their sections.

    Parameters
    ----------
    names : mapping of module to names
        `from module import name`.
    modules : iterable of str
        What stands behind `import`, e.g. "numpy as np".
    """
    sections: dict[int, list[str]] = {}
    for module in sorted(modules):
        sections.setdefault(_section(module), []).append(f"import {module}")
    for module in sorted(names):
        listed = sorted(set(names[module]), key=_by_type)
        line = f"from {module} import {', '.join(listed)}"
        if len(line) > WIDTH:
            rows = "".join(f"    {name},\n" for name in listed)
            line = f"from {module} import (\n{rows})"
        sections.setdefault(_section(module), []).append(line)
    return "\n\n".join("\n".join(sections[section]) for section in sorted(sections))


def _section(module: str) -> int:
    top = module.split(" ", 1)[0].split(".", 1)[0]
    return 0 if top == "__future__" else 1 if top in sys.stdlib_module_names else 2


def _by_type(name: str) -> tuple[int, str]:
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return kind, name


def _statement(node: ast.stmt, code: str) -> str:
    if isinstance(node, ast.FunctionDef):
        head = f"def {node.name}({ast.unparse(node.args)}):"
        return "\n".join([head, *(line for one in node.body for line in _simple(one, 4, code))])
    return "\n".join(_simple(node, 0, code))


def _simple(node: ast.stmt, indent: int, code: str) -> list[str]:
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        return _lines(f"{_one_line(node.targets[0])} = ", node.value, "", indent)
    if isinstance(node, ast.Return) and node.value is not None:
        return _lines("return ", node.value, "", indent)
    text = ast.get_source_segment(code, node)
    assert text is not None
    return [" " * indent + text]


def _lines(prefix: str, node: ast.expr, suffix: str, indent: int) -> list[str]:
    margin = " " * indent
    line = f"{margin}{prefix}{_one_line(node)}{suffix}"
    parts = _parts(node)
    if len(line) <= WIDTH or parts is None:
        return [line]
    opening, items, closing = parts
    return [
        f"{margin}{prefix}{opening}",
        *(line for head, item in items for line in _lines(head, item, ",", indent + 4)),
        f"{margin}{closing}{suffix}",
    ]


def _parts(node: ast.expr) -> tuple[str, list[tuple[str, ast.expr]], str] | None:
    """What opens a bracket, each element with what stands before it, and what closes it."""
    if isinstance(node, ast.Call):
        keywords = [(f"{one.arg}=" if one.arg else "**", one.value) for one in node.keywords]
        return f"{_one_line(node.func)}(", [*(("", one) for one in node.args), *keywords], ")"
    if isinstance(node, ast.List | ast.Tuple):
        opening, closing = "[]" if isinstance(node, ast.List) else "()"
        return opening, [("", one) for one in node.elts], closing
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return "{", [(f"{_one_line(key)}: " if key else "**", value) for key, value in pairs], "}"
    return None


def _one_line(node: ast.expr) -> str:
    """The expression with text in double quotes."""
    text = ast.unparse(node)
    tokens = [
        token._replace(string=quoted(ast.literal_eval(token.string)))
        if token.type == tokenize.STRING and token.string[0] in "'\""
        else token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
    ]
    position, made = 0, ""
    for token in tokens:
        start, end = token.start[1], token.end[1]
        made += text[position:start] + token.string
        position = max(position, end)
    return made.rstrip("\n")


def quoted(text: str) -> str:
    """A text as code, in double quotes unless that needs more backslashes.

    >>> quoted("it's"), quoted('the "red" one')
    ('"it\\'s"', '\\'the "red" one\\'')
    """
    body = repr(text + "'\"")[1:-4].replace("\\'", "'")  # repr quotes with ' what has both marks
    double = text.count('"') <= text.count("'")
    mark = '"' if double else "'"
    return mark + body.replace(mark, f"\\{mark}") + mark

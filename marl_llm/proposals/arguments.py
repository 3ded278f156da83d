"""Keyword arguments as models write them: `C: 0.3`, a dictionary, missing commas, words without
quotes. Text goes in, Python's spelling comes out with the names of what was forgiven; values are
not checked.
"""

from __future__ import annotations

import ast
import re

from marl_llm.core.forgiven import Forgiven
from marl_llm.core.syntax import parse_expression
from marl_llm.proposals.text import outside_quotes

_KEYWORD = re.compile(r"([A-Za-z]\w*)\s*[=:]\s*")
_WORDS = {"none": None, "null": None, "true": True, "false": False}


def arguments(text: str, forgiven: set[Forgiven]) -> str:
    """Keyword arguments as Python writes them: of `name: value`, of a dictionary, with words for
    texts.

    Raises SyntaxError, ValueError, RecursionError or MemoryError where there is no telling.
    """
    text = text.strip().rstrip(",")
    node = _keywords(text, forgiven)
    if node.args or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError("positional arguments")
    pairs = [pair for keyword in node.keywords for pair in _pairs(keyword, forgiven)]
    return ", ".join(f"{name}={ast.unparse(_value(value, forgiven))}" for name, value in pairs)


def _keywords(text: str, forgiven: set[Forgiven]) -> ast.Call:
    if text.startswith("{") and closing(text, 0) == len(text) - 1:
        forgiven.add(Forgiven.json)
        return _call(f"params={text}")
    try:
        return _call(text)
    except SyntaxError:
        forgiven.add(Forgiven.separator)
        return _call(_with_commas(text))


def _with_commas(text: str) -> str:
    """`a: 1 b = 2` as `a=1, b=2`; inside brackets and quotes nothing changes."""
    spots = [m for m in _KEYWORD.finditer(text) if not inside_brackets(text, m.start())]
    if not spots or text[: spots[0].start()].strip():
        return text
    ends = [*(spot.start() for spot in spots[1:]), len(text)]
    values = (
        text[spot.end() : end].strip().rstrip(",;").rstrip()
        for spot, end in zip(spots, ends, strict=True)
    )
    return ", ".join(f"{spot[1]}={value}" for spot, value in zip(spots, values, strict=True))


def _call(text: str) -> ast.Call:
    node = parse_expression(f"_({text})").body
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError("no arguments")
    return node


def _pairs(keyword: ast.keyword, forgiven: set[Forgiven]) -> list[tuple[str, ast.expr]]:
    """The parameters of one keyword: itself, or what a dictionary `params` holds."""
    if keyword.arg not in ("params", "parameters", "hyperparameters") or not isinstance(
        keyword.value, ast.Dict
    ):
        return [(str(keyword.arg), keyword.value)]
    forgiven.add(Forgiven.json)
    names = [
        ast.literal_eval(key) if isinstance(key, ast.Constant) else None
        for key in keyword.value.keys
    ]
    if not all(isinstance(name, str) and name.isidentifier() for name in names):
        raise ValueError("names of parameters are texts")
    return list(zip(map(str, names), keyword.value.values, strict=True))


def _value(node: ast.expr, forgiven: set[Forgiven]) -> ast.expr:
    """A word that Python does not know is a text."""
    if not isinstance(node, ast.Name):
        return node
    forgiven.add(Forgiven.quotes)
    return ast.Constant(_WORDS.get(node.id.lower(), node.id))


def closing(text: str, start: int) -> int:
    """Where the bracket at `start` is closed, outside of quotes; -1 if it is not."""
    depth = 0
    for at in outside_quotes(text, "()[]{}"):
        if at >= start:
            depth += 1 if text[at] in "([{" else -1
            if depth == 0:
                return at
    return -1


def inside_brackets(text: str, at: int) -> bool:
    """True within brackets or quotes."""
    before = text[:at]
    opened = len(outside_quotes(before, "([{")) - len(outside_quotes(before, ")]}"))
    return opened > 0 or at not in outside_quotes(text, text[at])

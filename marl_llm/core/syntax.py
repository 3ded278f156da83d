"""Parsing of Python text from several threads: text goes in, its syntax tree comes out.

CPython up to 3.12 counts the depth of the tree it builds once for all threads of an interpreter, so
that two threads parsing at the same time can fail with "SystemError: AST constructor recursion
depth mismatch" (python/cpython gh-106905). One lock around it is all it takes.
"""

from __future__ import annotations

import ast
import threading

_LOCK = threading.Lock()
MOST_CHARACTERS = 2 * 2**20
"""Of code that is parsed: the tree takes some 70 bytes of memory per character."""


def parse(text: str) -> ast.Module:
    """`ast.parse(text)`, one thread at a time; raises what it raises, and ValueError for text that
    is too long.
    """
    _check_length(text)
    with _LOCK:
        return ast.parse(text)


def parse_expression(text: str) -> ast.Expression:
    """`ast.parse(text, mode="eval")`, one thread at a time; raises what it raises, and ValueError
    for text that is too long.
    """
    _check_length(text)
    with _LOCK:
        return ast.parse(text, mode="eval")


def _check_length(text: str) -> None:
    if len(text) > MOST_CHARACTERS:
        raise ValueError(
            f"the code has {len(text):,} characters, at most {MOST_CHARACTERS:,} are read"
        )


def syntax_error(code: str) -> str:
    """Why text is no Python, in one line."""
    try:
        _check_length(code)
        compile(code, "<candidate>", "exec")
    except SyntaxError as error:
        return f"SyntaxError: {error.msg} (line {error.lineno})"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{type(error).__name__}: {error}"
    return "SyntaxError: unreadable code"

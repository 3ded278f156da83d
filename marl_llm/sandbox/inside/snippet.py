"""Runs a pandas snippet in a child: rows and code in, bounded text out (what it printed, then its
last expression).

Everything this module returns has passed through memory that the snippet can write. The host trusts
none of it.
"""

from __future__ import annotations

import ast
import builtins
import io
import reprlib
import sys
import types
from typing import TYPE_CHECKING

from .candidate import CANDIDATE_FILE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_MODULE = "snippet"
_MAX_ROWS, _MAX_COLUMNS, _MAX_CELL, _WIDTH, _DIGITS = 20, 12, 40, 120, 4
_MAX_ITEMS = 30


class _Bounded(io.TextIOBase):
    """Standard output of a snippet: the first characters are kept, the rest is forgotten."""

    def __init__(self, most: int) -> None:
        self._room = most
        self._kept: list[str] = []

    def write(self, text: str) -> int:
        if self._room > 0:
            self._kept.append(text[: self._room])
            self._room -= len(self._kept[-1])
        return len(text)

    def writable(self) -> bool:
        return True

    @property
    def text(self) -> str:
        """What was kept."""
        return "".join(self._kept)


class _Short(reprlib.Repr):
    """`repr` with a bound on items and characters, and numpy's numbers as plain ones."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = (
            self.maxdeque
        ) = _MAX_ITEMS
        self.maxstring = self.maxother = self.maxlong = most

    def repr_float(self, value: float, level: int) -> str:
        return f"{value:.6g}"

    def repr_float64(self, value: np.float64, level: int) -> str:
        return self.repr_float(float(value), level)

    def repr_int64(self, value: np.int64, level: int) -> str:
        return str(int(value))

    def repr_bool(self, value: object, level: int) -> str:
        return str(bool(value))


def run(code: str, frame: pd.DataFrame, characters: int) -> bytes:
    """Execute a snippet with `df`, `pd` and `np` at hand.

    Parameters
    ----------
    code : str
        Untrusted.
    frame : DataFrame
        The rows, target included.
    characters : int
        Most characters of the result.

    Returns
    -------
    bytes
        UTF-8.

    Raises
    ------
    BaseException
        Whatever the code raises.
    """
    import numpy as np
    import pandas as pd

    sys.stdout = sys.stderr = printed = _Bounded(characters)
    _shorten_output(pd, np)
    module = types.ModuleType(_MODULE)
    sys.modules[_MODULE] = module
    module.__dict__.update(__builtins__=builtins, df=frame, pd=pd, np=np)
    shown = _show(_value(code, module.__dict__), characters)
    text = printed.text
    if text and shown and not text.endswith("\n"):
        text += "\n"
    return (text + shown)[:characters].encode("utf-8", "replace")


def _shorten_output(pd: types.ModuleType, np: types.ModuleType) -> None:
    for name, value in (
        ("max_rows", _MAX_ROWS),
        ("max_columns", _MAX_COLUMNS),
        ("max_colwidth", _MAX_CELL),
    ):
        pd.set_option(f"display.{name}", value)
    pd.set_option("display.width", _WIDTH, "display.precision", _DIGITS)
    np.set_printoptions(
        precision=_DIGITS, threshold=_MAX_ITEMS, edgeitems=3, linewidth=_WIDTH, suppress=True
    )


def _value(code: str, namespace: dict[str, object]) -> object:
    """Execute all statements; the value of the last one if it is an expression, else None."""
    tree = ast.parse(code, CANDIDATE_FILE)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(tree, CANDIDATE_FILE, "exec", dont_inherit=True), namespace)
        return None
    tree.body.pop()
    exec(compile(tree, CANDIDATE_FILE, "exec", dont_inherit=True), namespace)
    return eval(
        compile(ast.Expression(last.value), CANDIDATE_FILE, "eval", dont_inherit=True), namespace
    )


def _show(value: object, characters: int) -> str:
    import numpy as np
    import pandas as pd

    if value is None:
        return ""
    if isinstance(value, str):
        return value[:characters]
    if isinstance(value, pd.DataFrame):
        return value.to_string(
            max_rows=_MAX_ROWS, max_cols=_MAX_COLUMNS, max_colwidth=_MAX_CELL, line_width=_WIDTH
        )[:characters]
    if isinstance(value, pd.Series):
        return value.to_string(max_rows=_MAX_ROWS)[:characters]
    if isinstance(value, np.ndarray | pd.Index):
        return str(value)[:characters]
    return _Short(characters).repr(value)[:characters]

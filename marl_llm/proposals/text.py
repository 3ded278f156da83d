"""How values, calls and columns are spelled, in code as in canonical text."""

from __future__ import annotations

import json
import re

from marl_llm.proposals.estimators import ParamValue


def literal(value: ParamValue) -> str:
    """A parameter value as it stands in code."""
    return json.dumps(value) if isinstance(value, str) else repr(value)


def call(estimator: str, params: tuple[tuple[str, ParamValue], ...]) -> str:
    """The constructor call of an estimator.

    >>> call("SVC", (("C", 0.3), ("kernel", "rbf")))
    'SVC(C=0.3, kernel="rbf")'
    """
    return f"{estimator}({', '.join(f'{name}={literal(value)}' for name, value in params)})"


def short_number(value: float) -> str:
    """A number of a continuous range as it stands in code, without decimals where it needs none.

    >>> short_number(3.0), short_number(0.1 + 0.2)
    ('3', '0.30000000000000004')
    """
    return text if float(text := f"{value:g}") == value else repr(value)


def column_list(columns: tuple[str, ...]) -> str:
    """A list of aliases as it stands in code."""
    return json.dumps(list(columns))


_QUOTED_OR_MARK = re.compile(
    r""" "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | [^"'] """, re.VERBOSE | re.DOTALL
)


def outside_quotes(text: str, marks: str) -> list[int]:
    """Where one of the characters `marks` stands outside of quotes."""
    return [match.start() for match in _QUOTED_OR_MARK.finditer(text) if match.group() in marks]


def without_comment(line: str) -> tuple[str, str]:
    """A line up to its `#` outside of quotes, and what follows.

    >>> without_comment('drop ["#x"] # an id')
    ('drop ["#x"] ', ' an id')
    """
    at = next(iter(outside_quotes(line, "#")), len(line))
    return line[:at], line[at + 1 :]

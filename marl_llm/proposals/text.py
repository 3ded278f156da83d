"""How values, calls and columns are spelled, in code as in canonical text."""

from __future__ import annotations

import json

from marl_llm.proposals.estimators import ParamValue


def literal(value: ParamValue) -> str:
    """A parameter value as it stands in code."""
    return json.dumps(value) if isinstance(value, str) else repr(value)


def call(estimator: str, params: tuple[tuple[str, ParamValue], ...]) -> str:
    """The constructor call of an estimator, e.g. `SVC(C=0.3)`."""
    return f"{estimator}({', '.join(f'{name}={literal(value)}' for name, value in params)})"


def short_number(value: float) -> str:
    """A number of a continuous range as it stands in code, without decimals where it needs none."""
    return text if float(text := f"{value:g}") == value else repr(value)


def column_list(columns: tuple[str, ...]) -> str:
    """A list of aliases as it stands in code."""
    return json.dumps(list(columns))

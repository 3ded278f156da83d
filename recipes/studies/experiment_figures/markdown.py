"""Figures and tables as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from marl_llm.evaluation.statistics import NONE, Estimate


def number(e: Estimate, digits: int = 3) -> str:
    """A mean with its interval."""
    return e.text(f".{digits}f")


def share(e: Estimate) -> str:
    """A share in percent with its interval."""
    return e.text(".1%")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; one column of text, then numbers."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
        for line in (header, rule, *rows)
    ]


def mean(values: Sequence[float | None], sign: str = "+", digits: int = 3) -> str:
    """The mean of what is known."""
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):{sign}.{digits}f}" if known else NONE

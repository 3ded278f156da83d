"""The data, the current pipeline, its scores and the past, as a person would describe them.

In: a `Situation`. Out: lines of text, short, with the columns' aliases. What does not change within
an episode comes first, so that a server's prefix cache holds.
"""

from __future__ import annotations

from collections.abc import Iterable

from marl_llm.agents.prompts import PromptConfig, Situation, harmless, number, shown_columns
from marl_llm.core.kind import Kind
from marl_llm.environment.card import ColumnCard, TaskCard
from marl_llm.environment.memory import TokenCounter
from marl_llm.proposals import PipelineSpec
from marl_llm.proposals.text import call

_TARGETS = {Kind.binary: "two classes", Kind.multiclass: "classes", Kind.regression: "a number"}
_TITLES = {"numeric": "Numbers", "categorical": "Categories", "date": "Dates", "text": "Texts"}
_NAME_LENGTH, _SHORT_NAME_LENGTH, _FEW_COLUMNS = 16, 8, 20
"""Most characters of a column's name, where there are few columns and where there are more."""
_SKEWED = 2
"""Skewness from which a column is called skewed: a logarithm may help it."""


def data_lines(situation: Situation, config: PromptConfig) -> list[str]:
    """The task and its columns by kind, each with how strongly it alone goes with the target; what
    the screening warns of.
    """
    card, spec = situation.card, situation.spec
    shown = shown_columns(card, spec, config.max_columns)
    length = _NAME_LENGTH if len(shown) <= _FEW_COLUMNS else _SHORT_NAME_LENGTH
    lines = [
        f"Data: {card.rows} rows, the target is {_target(card)}. After each column: its "
        "relation to the target."
    ]
    for kind in dict.fromkeys(column.kind for column in shown):
        of_kind = [
            _column(column, length * config.names) for column in shown if column.kind == kind
        ]
        lines.append(f"{_TITLES[kind]}: {'; '.join(of_kind)}")
    hidden = len(card.columns) - len(spec.drop) - len(shown)
    lines += [f"and {hidden} weaker columns"] if hidden else []
    return [
        *lines,
        *(f"Warning: {harmless(warning)}" for warning in card.warnings[: config.max_warnings]),
    ]


def _target(card: TaskCard) -> str:
    if not card.class_shares:
        return _TARGETS[card.kind]
    shares = " ".join(f"{share:.2f}" for share in card.class_shares[:12])
    count = f"{len(card.class_shares)} " if card.kind is Kind.multiclass else ""
    return f"{count}{_TARGETS[card.kind]}, shares {shares}"


def _column(column: ColumnCard, length: int) -> str:
    """One column, with so many characters of its own name."""
    name = harmless(" ".join(column.name.replace(";", " ").split()))[:length]
    parts = [column.alias, *([name] if name else []), f"{column.association:.1f}"]
    if column.kind == "categorical":
        parts.append(f"{column.levels} values")
    if column.missing > 0:
        parts.append(f"{max(1, round(100 * column.missing))}% missing")
    if column.kind == "numeric" and abs(column.skew) >= _SKEWED:
        parts.append("skewed")
    return " ".join(parts)


def model_lines(situation: Situation) -> list[str]:
    """The current pipeline and its scores."""
    raw = ", ".join(f"{name} {number(value)}" for name, value in situation.raw.items())
    left = situation.steps_left
    return [
        f"Current model: {_pipeline(situation.spec)}",
        f"Its score (best is 1): {situation.score:.2f} ({raw}). Changes left: {left}",
    ]


def _pipeline(spec: PipelineSpec) -> str:
    if spec.members:
        return f"{spec.estimator} of " + " and of ".join(map(_pipeline, spec.members))
    parts = [
        call(spec.estimator, spec.params),
        f"impute {spec.impute}",
        f"scale {spec.scale}",
        f"encode {spec.encode}",
    ]
    parts += [f"{extra.op} {' '.join(extra.columns)}" for extra in spec.extra]
    if spec.drop:
        parts.append(f"dropped {' '.join(spec.drop)}")
    if spec.reduce is not None:
        parts.append(spec.reduce.component)
    parts += [
        f"{name} {value}" for name in ("calibration", "threshold") if (value := getattr(spec, name))
    ]
    return "; ".join(parts)


def past_lines(situation: Situation, config: PromptConfig, count: TokenCounter) -> list[str]:
    """What the screening of models found, what worked on similar data sets, and the memory with its
    line numbers.
    """
    memory = situation.memory.render(config.memory_tokens, count, numbered=True)
    return [
        *_titled("Families of models at their defaults, by score:", situation.models),
        *_titled("Helped on similar data:", situation.experience[: config.experience_lines]),
        *_titled("Tried before (kept: accepted; no: no gain), do not repeat:", memory.splitlines()),
    ]


def _titled(title: str, lines: Iterable[str]) -> list[str]:
    found = [harmless(line) for line in lines]
    return [title, *found] if found else []

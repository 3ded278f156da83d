"""What each role reads: compact, deterministic text from a task's card, the current solution and
the memory.

Pure functions from plain data to chat messages. With `instructions` the rules of the reply are
spelled out, for models that were not trained on them; the embedded model learned them and reads the
compact form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from marl_llm.agents.answers import EngineerAnswer
from marl_llm.agents.edits import numbered
from marl_llm.agents.rules import ENGINEER_RULES, data_scientist_rules
from marl_llm.core.section import Section
from marl_llm.environment.card import ColumnCard, TaskCard
from marl_llm.environment.memory import Memory, TokenCounter, rough_tokens
from marl_llm.proposals import PipelineSpec
from marl_llm.proposals.text import call, short_number

Message = dict[str, str]
"""A chat message: role ("system", "user" or "assistant") and content."""


class PromptConfig(Section):
    """How prompts are written; part of the recipe."""

    style: Literal["compact", "chat"] = Field(
        default="compact",
        description="compact: few tokens, as the embedded model was taught; chat: plain words and "
        "examples, for other models",
    )
    instructions: bool = Field(
        default=True, description="compact style: spell out the rules of the reply"
    )
    action_examples: bool = Field(
        default=True,
        description="chat style: an example of every kind of action, valid now, in the Data "
        "Scientist's prompt; a model that a warm start taught the form needs none",
    )
    engineer_answer: EngineerAnswer = Field(
        default="program",
        description="chat style: the Engineer answers with the whole program, or with line edits",
    )
    engineer_examples: int = Field(
        default=1,
        ge=0,
        le=4,
        description="chat style: worked requests of the same kind before the Engineer's own",
    )
    names: bool = Field(
        default=True, description="show the columns' own names beside their aliases"
    )
    memory_tokens: int = Field(
        default=300, ge=0, description="maximum tokens of memory in the Data Scientist's prompt"
    )
    engineer_memory_tokens: int = Field(
        default=0, ge=0, description="maximum tokens of memory in the Engineer's prompt"
    )
    experience_lines: int = Field(
        default=0,
        ge=0,
        le=3,
        description="maximum number of lines of what worked on similar data sets; 0: none are "
        "shown",
    )
    max_warnings: int = Field(
        default=4,
        ge=0,
        description="maximum number of warnings of the screening in the Data Scientist's prompt",
    )
    max_columns: int = Field(
        default=60,
        ge=1,
        description="columns described one by one; of more, those closest to the target",
    )

    @property
    def reference_answer(self) -> EngineerAnswer:
        """How the Engineer is to answer in this style."""
        return "edits" if self.style == "compact" else self.engineer_answer


@dataclass(frozen=True)
class Situation:
    """What there is to tell at the start of a step: the task, the current solution, its scores, the
    past; what the screening of models found, if there was one; what worked on similar data sets; of
    the Engineer's turn the functions at hand; and the seed of the examples that are drawn.
    """

    card: TaskCard
    spec: PipelineSpec
    code: str
    score: float
    raw: dict[str, float]
    memory: Memory
    steps_left: int
    models: tuple[str, ...] = ()
    at_hand: tuple[str, ...] = ()
    experience: tuple[str, ...] = ()
    draw: int = 0


@dataclass(frozen=True)
class Heard:
    """What came before in a turn of the Data Scientist: its reply, and the answer to an analysis,
    or why an action was refused.
    """

    reply: str
    told: str
    refused: bool = False


def harmless(text: str) -> str:
    """Text from outside (a CSV, an error) without the marks that chat templates read as
    structure.
    """
    return text.replace("<|", "< |").replace("|>", "| >")


def _column_line(column: ColumnCard, names: bool) -> str:
    parts = [column.alias]
    if names:
        parts.append(harmless(" ".join(column.name.split())[:16]))
    parts.append(
        {"numeric": "num", "categorical": f"cat u{column.levels}"}.get(column.kind, column.kind)
    )
    if column.missing > 0:
        parts.append(f"m{max(0.01, column.missing):.2f}")
    if column.kind == "numeric" and abs(column.skew) >= 1:
        parts.append(f"s{max(-9, min(9, round(column.skew)))}")
    parts.append(f"t{column.association:.1f}")
    return " ".join(parts)


def shown_columns(card: TaskCard, spec: PipelineSpec, limit: int) -> list[ColumnCard]:
    """The columns that are left, of more than `limit` those closest to the target, in the table's
    order.
    """
    left = [c for c in card.columns if c.alias not in spec.drop]
    if len(left) <= limit:
        return left
    keep = {c.alias for c in sorted(left, key=lambda c: -c.association)[:limit]}
    return [c for c in left if c.alias in keep]


def _preparation(spec: PipelineSpec) -> str:
    parts = [f"impute={spec.impute}", f"scale={spec.scale}", f"encode={spec.encode}"]
    parts += [f"{extra.op}={','.join(extra.columns)}" for extra in spec.extra]
    if spec.drop:
        parts.append(f"drop={','.join(spec.drop)}")
    if spec.reduce is not None:
        parts.append(spec.reduce.component.replace(" ", "="))
    return " ".join(parts)


def _solution_lines(spec: PipelineSpec) -> list[str]:
    """Preparation and model of the current solution; of an ensemble those of each member."""
    if spec.members:
        return [
            f"model: {spec.estimator} of",
            *(line for member in spec.members for line in _solution_lines(member)),
        ]
    wrapped = [
        f"{name}={value}" for name in ("calibration", "threshold") if (value := getattr(spec, name))
    ]
    return [
        f"prep: {_preparation(spec)}",
        " ".join([f"model: {call(spec.estimator, spec.params)}", *wrapped]),
    ]


def number(value: float) -> str:
    """A metric, in few characters."""
    return f"{value:.3g}" if abs(value) >= 10 else f"{value:.2f}"


def data_scientist_prompt(
    situation: Situation, config: PromptConfig, count: TokenCounter = rough_tokens
) -> str:
    """The Data Scientist's first message of a turn."""
    card, spec = situation.card, situation.spec
    shown = shown_columns(card, spec, config.max_columns)
    lines = ["role: data scientist"]
    if config.instructions:
        lines.append(data_scientist_rules(card.kind))
    lines.append(f"task: {card.kind} rows {card.rows}")
    if card.class_shares:
        lines.append("classes: " + " ".join(f"{share:.2f}" for share in card.class_shares[:12]))
    lines += [_column_line(column, config.names) for column in shown]
    hidden = len(card.columns) - len(spec.drop) - len(shown)
    if hidden:
        lines.append(f"and {hidden} columns more")
    lines += [f"warning: {harmless(warning)}" for warning in card.warnings[: config.max_warnings]]
    lines += _solution_lines(spec)
    if situation.models:
        lines.append("\n".join(("models:", *situation.models)))
    lines += [f"seen: {harmless(line)}" for line in situation.experience[: config.experience_lines]]
    memory = situation.memory.render(config.memory_tokens, count, numbered=config.instructions)
    if memory:
        lines.append(f"memory:\n{harmless(memory)}")
    metrics = " ".join(f"{name} {number(value)}" for name, value in situation.raw.items())
    lines.append(f"score {situation.score:.2f} {metrics} left {situation.steps_left}")
    return "\n".join(lines)


def engineer_prompt(
    situation: Situation, proposal: str, config: PromptConfig, count: TokenCounter = rough_tokens
) -> str:
    """The Engineer's first message of a turn; `proposal` in canonical form."""
    lines = ["role: ml engineer"]
    if config.instructions:
        lines.append(ENGINEER_RULES)
    memory = (
        situation.memory.render(config.engineer_memory_tokens, count)
        if config.engineer_memory_tokens
        else ""
    )
    if memory:
        lines.append(f"memory:\n{harmless(memory)}")
    lines += situation.at_hand
    lines.append(numbered(situation.code))
    lines.append(f"proposal: {proposal}")
    return "\n".join(lines)


def repair_message(error: str) -> str:
    """What the Engineer reads after its code failed."""
    return f"error: {harmless(error)}"


def correction_message(problem: str) -> str:
    """What the Data Scientist reads after an invalid action."""
    return f"error: {harmless(problem)}"


def answer_message(answer: str) -> str:
    """What the Data Scientist reads after an analysis."""
    return f"answer: {harmless(answer)}"


def proposal_text(text: str, wanted: PipelineSpec | None) -> str:
    """The proposal as the Engineer reads it: canonical text, and of an ensemble what of which
    solutions.
    """
    if wanted is None or not wanted.members:
        return text
    verb = text.split(" ", 1)[0]
    kind = "Classifier" if wanted.classifier else "Regressor"
    solutions = ", ".join(f"solution_{i}" for i in range(1, len(wanted.members) + 1))
    weights = f", weights={list(wanted.weights)}" if wanted.weights else ""
    power = f", power={short_number(wanted.power)}" if wanted.power else ""
    return f"{verb} est = {wanted.estimator}{kind}({solutions}{weights}{power})"


def functions_at_hand(wanted: PipelineSpec | None) -> tuple[str, ...]:
    """One line for each function that an ensemble's Engineer may call: its name and the model it
    returns.
    """
    members = wanted.members if wanted is not None else ()
    return tuple(
        f"solution_{i}() {call(member.estimator, member.params)}"
        for i, member in enumerate(members, 1)
    )

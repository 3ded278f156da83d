"""The figures of a team: one table from which metrics files, learning curves, comparisons and
progress lines are made.

How to add one: marl_llm/rollout/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.core.verdict import Verdict
from marl_llm.rollout.summary import EpisodeSummary


class View(StrEnum):
    """Where a figure is shown; it stands in JSON files in any case."""

    progress = "progress"
    """The line about a finished iteration."""
    curve = "curve"
    """The learning curve's table."""
    picture = "picture"
    """The learning curve's picture."""
    comparison = "comparison"
    """How the teams of `marl-llm evaluate` play."""
    experiment = "experiment"
    """How the teams of an experiment play."""


@dataclass(frozen=True)
class Played:
    """What figures are computed of: some episodes of one team.

    Attributes
    ----------
    scientist, engineer : DataFrame
        The last call of each turn of a role; columns of trajectory rows.
    summaries : sequence of EpisodeSummary
        Of the same episodes.
    tokens : float
        Prompt and completion tokens of all calls.
    reward : mapping of role to float
        Mean over turns.
    """

    scientist: pd.DataFrame
    engineer: pd.DataFrame
    summaries: Sequence[EpisodeSummary]
    tokens: float
    reward: Mapping[str, float]


@dataclass(frozen=True)
class Figure:
    """One figure of a team.

    Attributes
    ----------
    key : str
        In JSON files; a dot stands for a level of nesting.
    label : str
        Head of its column.
    about : str
        What it is, with its unit; title of its picture.
    value : callable or None
        What it comes to; None for scores, which evaluation gives.
    columns : tuple of str
        Columns of the trajectory rows that `value` reads.
    turns_of : str or None
        The role whose turns are counted: without any of them there is no figure; None for episodes.
    share : bool
        Written in percent.
    digits : int
        Decimals of what is no share.
    signed : bool
        Written with its sign.
    views : frozenset of View
    """

    key: str
    label: str
    about: str
    value: Callable[[Played], float] | None
    columns: tuple[str, ...] = ()
    turns_of: str | None = None
    share: bool = False
    digits: int = 2
    signed: bool = False
    views: frozenset[View] = frozenset()

    @property
    def name(self) -> str:
        """The key where nothing is nested, e.g. `reward_data_scientist`."""
        return self.key.replace(".", "_")

    def text(self, value: float) -> str:
        """The value for people."""
        return format(value, ".1%" if self.share else f"{'+' * self.signed}.{self.digits}f")


def mean(values: Iterable[float]) -> float:
    """The mean; 0 of nothing."""
    numbers = np.fromiter(values, dtype=np.float64)
    return float(numbers.mean()) if len(numbers) else 0.0


def _verdict_share(
    key: str, label: str, about: str, role: str, verdict: Verdict, *views: View
) -> Figure:
    """Share of a role's turns with a verdict."""

    def value(played: Played) -> float:
        turns = played.engineer if role == ML_ENGINEER else played.scientist
        return mean(turns["verdict"] == verdict)

    return Figure(key, label, about, value, ("verdict",), role, share=True, views=frozenset(views))


def _reward(role: str, label: str, person: str) -> Figure:
    return Figure(
        key=f"reward.{role}",
        label=label,
        about=f"{person}'s reward per turn",
        value=lambda played: played.reward[role],
        turns_of=role,
        digits=4,
        signed=True,
        views=frozenset({View.progress, View.curve, View.picture}),
    )


_TABLES = (View.comparison, View.experiment)

FIGURES: tuple[Figure, ...] = (
    Figure(
        key="gain",
        label="hold-out gain",
        about="gain on the hold-out per episode, skill",
        value=None,
        digits=4,
        signed=True,
        views=frozenset({View.progress, View.curve}),
    ),
    Figure(
        key="test_gain",
        label="test gain",
        about="gain on the test part, skill",
        value=None,
        digits=4,
        signed=True,
        views=frozenset({View.curve, View.picture}),
    ),
    _reward(DATA_SCIENTIST, "reward DS", "Data Scientist"),
    _reward(ML_ENGINEER, "reward Eng", "ML Engineer"),
    Figure(
        key="steps",
        label="steps",
        about="steps per episode",
        value=lambda played: mean(s.steps for s in played.summaries),
        views=frozenset({View.curve, *_TABLES}),
    ),
    Figure(
        key="accepted",
        label="accepted",
        about="accepted steps per episode",
        value=lambda played: mean(s.accepted for s in played.summaries),
        views=frozenset(_TABLES),
    ),
    Figure(
        key="finished_early",
        label="finished early",
        about="share of episodes that a team ended itself",
        value=lambda played: mean(s.finished_early for s in played.summaries),
        share=True,
        views=frozenset({View.experiment}),
    ),
    Figure(
        key="tokens",
        label="tokens/episode",
        about="prompt and completion tokens per episode",
        value=lambda played: mean(s.tokens for s in played.summaries),
        digits=0,
        views=frozenset(_TABLES),
    ),
    Figure(
        key="tokens_per_step",
        label="tokens/step",
        about="prompt and completion tokens of all calls per turn of the Data Scientist",
        value=lambda played: played.tokens / max(1, len(played.scientist)),
        columns=("prompt_tokens", "completion_tokens"),
        digits=0,
        views=frozenset({View.progress, View.curve}),
    ),
    Figure(
        key="compliance",
        label="compliance",
        about="mean compliance of the Engineer's turns, 0 for code that does not run",
        value=lambda played: mean(played.engineer["compliance"].fillna(0.0)),
        columns=("compliance",),
        turns_of=ML_ENGINEER,
        share=True,
        views=frozenset(_TABLES),
    ),
    _verdict_share(
        "failed_code",
        "failed code",
        "share of code that fails",
        ML_ENGINEER,
        Verdict.failed,
        View.progress,
        View.curve,
        *_TABLES,
    ),
    Figure(
        key="as_asked",
        label="as asked",
        about="share of code done as asked",
        value=lambda played: mean(played.engineer["compliance"] == 1),
        columns=("compliance",),
        turns_of=ML_ENGINEER,
        share=True,
        views=frozenset({View.progress, View.curve, View.picture, *_TABLES}),
    ),
    _verdict_share(
        "invalid_actions",
        "invalid actions",
        "share of the Data Scientist's turns without a valid action",
        DATA_SCIENTIST,
        Verdict.invalid,
        View.progress,
        View.curve,
        *_TABLES,
    ),
    _verdict_share(
        "redundant_actions",
        "redundant actions",
        "share of suggestions that were tried before",
        DATA_SCIENTIST,
        Verdict.redundant,
        *_TABLES,
    ),
    _verdict_share(
        "suggestions_with_gain",
        "suggestions with gain",
        "share of suggestions that were accepted",
        DATA_SCIENTIST,
        Verdict.accepted,
        View.experiment,
    ),
)

COLUMNS: tuple[str, ...] = tuple(
    dict.fromkeys(column for figure in FIGURES for column in figure.columns)
)
"""Columns of the trajectory rows that figures read."""


def shown(view: View) -> tuple[Figure, ...]:
    """The figures of a view, in the table's order."""
    return tuple(figure for figure in FIGURES if view in figure.views)


def values(played: Played) -> dict[str, float]:
    """All figures but scores, by key."""
    return {figure.key: figure.value(played) for figure in FIGURES if figure.value is not None}


def nested(flat: Mapping[str, object]) -> dict[str, object]:
    """Figures by key as JSON files hold them: `reward.ml_engineer` under "reward"."""
    found: dict[str, Any] = {}
    for key, value in flat.items():
        *levels, last = key.split(".")
        into = found
        for level in levels:
            into = into.setdefault(level, {})
        into[last] = value
    return found


def pick(figures: Mapping[str, object], key: str) -> Any:
    """The value that a JSON file holds under a key; raises KeyError without it."""
    value: Any = figures
    for level in key.split("."):
        value = value[level]
    return value

"""Can a model play? Shares of turns and replies that are usable, with intervals over tasks, and why
the others are not.

In: the rows of episodes. Out: a `Playability` and its text. Pure; who plays is in `measure.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.environment import Verdict
from marl_llm.evaluation.statistics import Estimate, clustered_mean
from marl_llm.proposals import InvalidAction, ProposeModel, parse_action

MOST_REASONS = 5
_TURN = ["episode", "branch"]
_EXAMPLE_LENGTH = 160


@dataclass(frozen=True)
class Reason:
    """Why replies were no use: one sentence, how many replies, and one of them."""

    text: str
    count: int
    example: str


@dataclass(frozen=True)
class Playability:
    """Figures of one model on unseen tasks.

    Attributes
    ----------
    valid_turns, valid_first : Estimate
        Share of the Data Scientist's turns that end in an action that can be carried out; the same
        of first replies, before any correction.
    runs, as_asked : Estimate
        Share of the Engineer's first replies whose program runs; that do what was asked and nothing
        else.
    actions, estimators : dict of str to int
        How often each kind of action, and each proposed estimator, occurs among valid turns.
    action_entropy, estimator_entropy : float
        Of these, nats (plug-in estimate, too low where turns are few).
    turns, replies : int
        Turns of the Data Scientist; first replies of the Engineer.
    prompt_tokens, data_scientist_tokens, engineer_tokens : float
        Mean first prompt of the Data Scientist; mean reply of either role.
    surprise : dict of str to float
        Mean -log p of a reply by role, nats.
    forgiven : dict of str to int
        What the reader forgave, and how often.
    invalid, failed : tuple of Reason
        The commonest reasons of invalid replies of the Data Scientist, of failing first replies of
        the Engineer.
    """

    valid_turns: Estimate
    valid_first: Estimate
    runs: Estimate
    as_asked: Estimate
    actions: dict[str, int]
    estimators: dict[str, int]
    action_entropy: float
    estimator_entropy: float
    turns: int
    replies: int
    prompt_tokens: float
    data_scientist_tokens: float
    engineer_tokens: float
    surprise: dict[str, float]
    forgiven: dict[str, int]
    invalid: tuple[Reason, ...]
    failed: tuple[Reason, ...]

    def to_dict(self) -> dict[str, object]:
        """As JSON holds it."""
        return asdict(self)


def playability(rows: pd.DataFrame) -> Playability:
    """Figures of the rows of one team; rows as `read_rows` gives them, at least one turn of each
    role or none.
    """
    scientist, engineer = (rows.loc[rows["role"] == role] for role in (DATA_SCIENTIST, ML_ENGINEER))
    last, first = scientist.groupby(_TURN).last().reset_index(), engineer.loc[engineer["call"] == 0]
    good = last.loc[last["verdict"] != Verdict.invalid]
    actions = _counts(str(text).split(" ")[0] for text in good["action"])
    estimators = _counts(name for text in good["action"] if (name := _estimator(text)))
    ran = _ran_at_once(engineer, first)
    return Playability(
        valid_turns=_share(last["verdict"] != Verdict.invalid, last),
        valid_first=_share(_valid_at_once(scientist, last), last),
        runs=_share(ran, first),
        as_asked=_share(ran & (first["compliance"] == 1).to_numpy(bool), first),
        actions=actions,
        estimators=estimators,
        action_entropy=entropy(list(actions.values())),
        estimator_entropy=entropy(list(estimators.values())),
        turns=len(last),
        replies=len(first),
        prompt_tokens=_mean(scientist.loc[scientist["call"] == 0, "prompt_tokens"]),
        data_scientist_tokens=_mean(scientist["completion_tokens"]),
        engineer_tokens=_mean(engineer["completion_tokens"]),
        surprise={
            role: _surprise(of)
            for role, of in ((DATA_SCIENTIST, scientist), (ML_ENGINEER, engineer))
        },
        forgiven=_counts(name for names in rows["forgiven"].dropna() for name in names.split()),
        invalid=_reasons(scientist),
        failed=_reasons(first),
    )


def entropy(counts: Sequence[int]) -> float:
    """Shannon entropy of the shares of these counts, nats."""
    shares = np.asarray([count for count in counts if count], dtype=np.float64)
    shares /= max(shares.sum(), 1.0)
    return float(-(shares * np.log(shares)).sum()) + 0.0


def playability_text(found: Playability) -> str:
    """The figures for people."""
    percent = ".1%"
    lines = [
        f"Data Scientist, {found.turns} turns: valid {found.valid_turns.text(percent)}, "
        f"at the first reply {found.valid_first.text(percent)}",
        f"  actions {_listed(found.actions)} (entropy {found.action_entropy:.2f} nats)",
        f"  estimators {_listed(found.estimators)} (entropy {found.estimator_entropy:.2f} nats)",
        f"ML Engineer, {found.replies} first replies: run {found.runs.text(percent)}, "
        f"as asked {found.as_asked.text(percent)}",
        f"Tokens: {found.prompt_tokens:.0f} of the first prompt, {found.data_scientist_tokens:.0f} "
        f"and {found.engineer_tokens:.0f} of a reply; -log p of a reply "
        + " and ".join(f"{value:.1f}" for value in found.surprise.values()),
    ]
    lines += [f"Forgiven: {_listed(found.forgiven)}"] if found.forgiven else []
    for title, reasons in (
        ("Invalid replies", found.invalid),
        ("Programs that failed", found.failed),
    ):
        lines += [f"{title}, commonest reasons:"] if reasons else []
        lines += [
            f"  {reason.count} x {reason.text}\n      e.g. {reason.example}" for reason in reasons
        ]
    return "\n".join(lines)


def _share(which: pd.Series | np.ndarray, of: pd.DataFrame) -> Estimate:
    return clustered_mean([float(one) for one in which], list(of["task"]))


def _valid_at_once(scientist: pd.DataFrame, last: pd.DataFrame) -> np.ndarray:
    """Whether no reply of a turn was invalid, in the order of `last`."""
    corrected = scientist.loc[scientist["problem"].fillna("") != ""].set_index(_TURN).index
    return ~pd.MultiIndex.from_frame(last.loc[:, _TURN]).isin(corrected)


def _ran_at_once(engineer: pd.DataFrame, first: pd.DataFrame) -> np.ndarray:
    """Whether the program of a first reply ran: no repair was asked for, and the turn did not
    fail.
    """
    calls = engineer.groupby(_TURN).size()
    once = calls.reindex(pd.MultiIndex.from_frame(first.loc[:, _TURN])).to_numpy() == 1
    return once & (first["verdict"] != Verdict.failed).to_numpy(bool)


def _estimator(text: str) -> str:
    """The estimator that a valid action proposes; "" of another action."""
    try:
        action = parse_action(text)
    except InvalidAction:
        return ""
    return action.estimator if isinstance(action, ProposeModel) else ""


def _reasons(rows: pd.DataFrame) -> tuple[Reason, ...]:
    """The commonest problems of these calls, each with the first reply that had it."""
    wrong = rows.loc[rows["problem"].fillna("") != ""]
    found = wrong["problem"].value_counts().head(MOST_REASONS)
    return tuple(
        Reason(str(text), int(count), _example(wrong, str(text))) for text, count in found.items()
    )


def _example(rows: pd.DataFrame, problem: str) -> str:
    replies = rows.loc[rows["problem"] == problem, "reply"]
    return " ".join(str(replies.iloc[0]).split())[:_EXAMPLE_LENGTH]


def _surprise(rows: pd.DataFrame) -> float:
    return _mean(pd.Series([-float(np.sum(values)) for values in rows["logprobs"]]))


def _mean(values: pd.Series) -> float:
    return float(values.mean()) if len(values) else 0.0


def _counts(names: Iterable[object]) -> dict[str, int]:
    return {
        str(name): int(count)
        for name, count in pd.Series(list(names), dtype=object).value_counts().items()
    }


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"

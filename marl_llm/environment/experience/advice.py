"""What worked on similar data sets, in two or three lines.

In: the nearest data sets with their closeness, and the card of the data set at hand. Out: lines as
an agent would write them, each with the mean gain it had where it was seen. Pure and deterministic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from marl_llm.environment.card import TaskCard
from marl_llm.environment.experience.carrying import carried
from marl_llm.environment.experience.data_set import DataSet, Finding


@dataclass
class _Votes:
    """What the data sets say of one estimator, or of one change: weight times gain by text, and the
    total of each.
    """

    by_text: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    gained: float = 0.0
    weight: float = 0.0

    def add(self, weight: float, said: dict[str, float]) -> None:
        """The vote of one data set: gain by text; of several settings of an estimator the best
        speaks for it.
        """
        for text, gain in said.items():
            self.by_text[text] += weight * gain
        self.gained += weight * max(said.values())
        self.weight += weight

    def line(self) -> str:
        """The text that most speaks for, with the mean gain where it was seen."""
        text = min(self.by_text, key=lambda t: (-self.by_text[t], t))
        return f"{self.gained / self.weight:+.2f} {text}"


def advice(near: Sequence[tuple[DataSet, float]], card: TaskCard, most: int) -> tuple[str, ...]:
    """At most `most` lines, the best first.

    Estimators are ranked by their gain summed over the data sets, each weighted by its closeness:
    one seen on none but one of five counts as without gain on the others, so what helped often
    comes before what helped once. The settings shown are those that helped most. With three lines
    or more, the last is kept for the best change that is no model.

    Parameters
    ----------
    near : sequence of (DataSet, weight)
        Weights are positive.
    card : TaskCard
        Of the data set at hand: what cannot be asked for there is left out.
    most : int
    """
    models: dict[str, _Votes] = defaultdict(_Votes)
    changes: dict[str, _Votes] = defaultdict(_Votes)
    for data_set, weight in near:
        for (is_model, name), said in _said(data_set.findings, card).items():
            (models if is_model else changes)[name].add(weight, said)
    ranked, others = _ranked(models), _ranked(changes)
    kept = 1 if most >= 3 and others else 0
    chosen = [*ranked[: most - kept], *others][:most]
    return tuple(votes.line() for votes in chosen)


def _said(findings: Sequence[Finding], card: TaskCard) -> dict[tuple[bool, str], dict[str, float]]:
    """Gain by text for each estimator, and for each other change, that can be asked for here."""
    said: dict[tuple[bool, str], dict[str, float]] = defaultdict(dict)
    for finding in findings:
        if (found := carried(finding.text, card)) is not None:
            text, spec = found
            said[finding.is_model, spec.estimator if finding.is_model else text][text] = (
                finding.gain
            )
    return said


def _ranked(votes: dict[str, _Votes]) -> list[_Votes]:
    return [votes[name] for name in sorted(votes, key=lambda n: (-votes[n].gained, n))]

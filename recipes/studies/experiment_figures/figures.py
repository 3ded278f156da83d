"""Figures of a team on one part of the unseen tasks: pure functions from results to estimates with
95% intervals.

Trials of a CSV (other splits, other training seeds) are not independent: every interval comes from
the spread between CSVs, over the seeds that were run (`evaluation/statistics.py`). It says nothing
of how far another training seed may differ: figures of each seed stand beside. Ratios are ratios of
sums, with an interval from resampling CSVs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from headroom_file import Headroom
from pydantic import BaseModel, ConfigDict

from experiment_figures.material import Part, Played
from marl_llm.evaluation.report import Result
from marl_llm.evaluation.statistics import (
    Estimate,
    bootstrap_ratio,
    clustered_mean,
    unpaired_difference,
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Split(_Frozen):
    """Episodes on trials with something to gain and on those without.

    Attributes
    ----------
    steps_with, steps_without, finished_with, finished_without : Estimate
        Steps of an episode; share of episodes that the Data Scientist ended itself.
    steps_difference, finished_difference : Estimate
        Without minus with: it stops earlier where nothing is to be gained if the first is below
        zero.
    """

    steps_with: Estimate
    steps_without: Estimate
    steps_difference: Estimate
    finished_with: Estimate
    finished_without: Estimate
    finished_difference: Estimate


class Figures(_Frozen):
    """What one team came to. Scores are skills on the test part, gains over the baseline.

    Attributes
    ----------
    trials, failed : int
        Trials played, and those of them without a score, which the means leave out.
    test, gain : Estimate
    improved, worse : Estimate
        Shares of trials whose own test gain lies above, or below, zero by its 95% interval; a trial
        that only the baseline has a score for counts as worse.
    of_best, of_oracle : Estimate
        Gain as a share of that of the best single step: the one an all-knowing Data Scientist would
        choose by the hold-out, and the one that turns out best on the test part. No mean without a
        headroom search.
    over_untrained : Estimate
        Test score minus the untrained team's on the same trials.
    relative_score, relative_gain : Estimate
        The same difference as a share of the untrained team's score, and of its gain over the
        baseline.
    tokens_change : Estimate
        Tokens of an episode: difference from the untrained team's as a share of them.
    team : dict of str to Estimate
        Means of the figures of episodes.
    splits : dict of str to Split
        "headroom": by whether one step gains significantly; "confirmed": by whether the best such
        step is better on the test part too. Empty without a headroom search.
    """

    trials: int
    failed: int
    test: Estimate
    gain: Estimate
    improved: Estimate
    worse: Estimate
    of_best: Estimate
    of_oracle: Estimate
    over_untrained: Estimate
    relative_score: Estimate
    relative_gain: Estimate
    tokens_change: Estimate
    team: dict[str, Estimate]
    splits: dict[str, Split]


def figures(part: Part, played: Sequence[Played]) -> Figures:
    """Figures of what was played, all seeds in it together.

    Parameters
    ----------
    part : Part
        For the untrained team's results and the headroom of its trials.
    played : sequence of Played
        One arm and version; one seed or several.
    """
    results = [one.result for one in played]
    scored = [r for r in results if r.test is not None and r.gain is not None]
    known = [(r, part.headroom[r.trial]) for r in scored if r.trial in part.headroom]
    gains, clusters = [r.gain or 0.0 for r, _ in known], [r.task for r, _ in known]
    pairs = [(r, start) for r in scored if (start := part.untrained.get(r.trial)) is not None]
    differences = [_test(r) - _test(start) for r, start in pairs]
    tasks = [r.task for r, _ in pairs]
    return Figures(
        trials=len(results),
        failed=len(results) - len(scored),
        test=_mean(scored, _test),
        gain=_mean(scored, lambda r: r.gain),
        improved=_mean(scored, lambda r: float(r.improved)),
        worse=_mean(
            [r for r in results if _scored(r) or _scored(part.baseline.get(r.trial))], _is_worse
        ),
        of_best=bootstrap_ratio(gains, [room.best_gain for _, room in known], clusters),
        of_oracle=bootstrap_ratio(gains, [_oracle(room) for _, room in known], clusters),
        over_untrained=clustered_mean(differences, tasks),
        relative_score=bootstrap_ratio(differences, [_test(start) for _, start in pairs], tasks),
        relative_gain=bootstrap_ratio(
            differences, [start.gain or 0.0 for _, start in pairs], tasks
        ),
        tokens_change=_change(results, part.untrained, "tokens"),
        team={key: _mean(results, lambda r, key=key: r.team.get(key)) for key in _keys(results)},
        splits=splits(results, part.headroom),
    )


def by_seed(part: Part, played: Sequence[Played]) -> dict[int, Figures]:
    """Figures of each training seed by itself; empty for the untrained team."""
    seeds = sorted({one.seed for one in played if one.seed is not None})
    return {seed: figures(part, [one for one in played if one.seed == seed]) for seed in seeds}


def splits(results: Sequence[Result], headroom: Mapping[str, Headroom]) -> dict[str, Split]:
    """Steps where something is to be gained and where nothing is, by both meanings; empty without
    headroom.
    """
    known = [r for r in results if r.trial in headroom and r.team.get("steps") is not None]
    if not known:
        return {}
    return {
        "headroom": _split(known, [headroom[r.trial].headroom for r in known]),
        "confirmed": _split(known, [headroom[r.trial].confirmed for r in known]),
    }


def _split(results: Sequence[Result], inside: Sequence[bool]) -> Split:
    tasks = [r.task for r in results]
    found: dict[str, Estimate] = {}
    for name, key in (("steps", "steps"), ("finished", "finished_early")):
        values = [r.team.get(key) or 0.0 for r in results]
        sides = {
            "with": [i for i, one in enumerate(inside) if one],
            "without": [i for i, o in enumerate(inside) if not o],
        }
        for side, at in sides.items():
            found[f"{name}_{side}"] = clustered_mean(
                [values[i] for i in at], [tasks[i] for i in at]
            )
        found[f"{name}_difference"] = unpaired_difference(
            values, [not one for one in inside], tasks
        )
    return Split(**found)


def _mean(results: Iterable[Result], value: Callable[[Result], float | None]) -> Estimate:
    known = [(v, r.task) for r in results if (v := value(r)) is not None]
    return clustered_mean([v for v, _ in known], [task for _, task in known])


def _change(results: Sequence[Result], untrained: Mapping[str, Result], key: str) -> Estimate:
    pairs = [(r, untrained[r.trial]) for r in results if r.trial in untrained]
    both = [
        (after, before, r.task)
        for r, start in pairs
        if (after := r.team.get(key)) is not None and (before := start.team.get(key)) is not None
    ]
    return bootstrap_ratio(
        [a - b for a, b, _ in both], [b for _, b, _ in both], [task for _, _, task in both]
    )


def _scored(result: Result | None) -> bool:
    return result is not None and result.test is not None


def _is_worse(result: Result) -> float:
    """1.0 where the baseline is better, and where there is no score at all."""
    return float(result.worse or result.test is None)


def _test(result: Result) -> float:
    return result.test or 0.0


def _oracle(room: Headroom) -> float:
    return 0.0 if room.oracle is None else room.oracle.test_gain or 0.0


def _keys(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(key for r in results for key in r.team))


__all__ = ["Figures", "Split", "by_seed", "figures", "splits"]

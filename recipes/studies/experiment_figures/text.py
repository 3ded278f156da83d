"""The report of an experiment as Markdown: targets, every arm, every seed, every task, and what the
figures mean.
"""

from __future__ import annotations

from collections.abc import Iterable

from experiment_figures.figures import Figures, Split, by_seed, figures
from experiment_figures.markdown import NONE, mean, number, share, table
from experiment_figures.material import Material, Part, Played
from experiment_figures.runs import runs_to_markdown
from experiment_figures.targets import Target, targets
from marl_llm.evaluation.statistics import Estimate
from marl_llm.pipeline.experiment.config import UNTRAINED
from marl_llm.rollout.figures import View, shown

_NOTHING = Estimate(None, None, None, 0, 0)
_CARE = ("compliance", "failed_code")
NOTES = (
    "Score: weighted mean of the task's metrics as skills on the test part, 1 is perfect. Gain: "
    "score minus the baseline's on the same rows.",
    "[ ]: 95% intervals over tasks, which weigh the same; splits and training seeds of a task are "
    "repetitions within it. They speak of other tasks of this kind, not of other training seeds: "
    "those stand by themselves.",
    "Better, worse: shares of trials whose own test gain differs from zero (95% interval of a "
    "paired bootstrap of the test rows; about one trial in 40 shows each by chance).",
    "Of best step: gain as a share of the test gain of the best single step that exhaustive search "
    "over about a hundred one-step proposals finds significant on the hold-out (0 where none is). "
    "Of oracle: of the best step in hindsight, chosen on the test part itself, which nobody can "
    "do. A team takes several steps, so more than 100% is possible. Ratios of sums.",
    "Headroom: some single step is a significant gain on the hold-out; with a hundred tries that "
    "happens by chance too. Confirmed: the best of them is better on the test part as well, by its "
    "own interval.",
)


def to_markdown(material: Material) -> str:
    """The whole report; it names no path."""
    lines = [f"# {material.experiment.name}", ""]
    for part in material.parts:
        lines += _part_lines(material, part)
    lines += runs_to_markdown(material.runs)
    lines += ["## What the figures mean", "", *(f"- {note}" for note in NOTES)]
    lines += [
        f"- {name}: {arm.about}" for name, arm in material.experiment.arms.items() if arm.about
    ]
    return "\n".join(lines) + "\n"


def _part_lines(material: Material, part: Part) -> list[str]:
    tasks = len({result.task for result in part.baseline.values()})
    lines = [f"## {part.name}: {tasks} tasks, {len(part.baseline)} trials", ""]
    final = {arm: played for arm in material.arms if (played := part.final(arm))}
    found = {arm: figures(part, played) for arm, played in final.items()}
    main = found.get(material.experiment.main)
    if main is not None:
        name = material.experiment.main
        held = targets(main, complete=material.complete(part, name))
        lines += [f"**Targets** (arm {name})", "", *_target_table(held), ""]
    lines += ["**Final teams**", "", *_arm_table(part, final, found), ""]
    lines += ["**How they play**", "", *_play_table(found), ""]
    if part.headroom:
        lines += ["**Stopping where nothing is to be gained**", "", *_split_table(found), ""]
    lines += ["**Each seed**", "", *_seed_table(material, part), ""]
    lines += ["**Learning**", "", *_learning_table(material, part), ""]
    lines += [
        "**Each task: test gain over the baseline, mean of splits and seeds**",
        "",
        *_task_table(part, final),
        "",
    ]
    lines += [f"- {task} is left out: {why}" for task, why in part.left_out.items()]
    return [*lines, ""]


def _target_table(found: Iterable[Target]) -> list[str]:
    rows = []
    for one in found:
        form = share if one.share else number
        verdict = one.verdict
        if one.missed_by is not None:
            verdict += (
                f" by {100 * one.missed_by:.1f} points" if one.share else f" by {one.missed_by:.3f}"
            )
        rows.append(
            [one.name, one.wanted, NONE if one.estimate is None else form(one.estimate), verdict]
        )
    return table(["target", "wanted", "measured", "verdict"], rows)


def _arm_table(part: Part, final: dict[str, list[Played]], found: dict[str, Figures]) -> list[str]:
    header = [
        "arm",
        "version",
        "seeds",
        "test score",
        "gain",
        "over untrained",
        "relative: score",
        "relative: gain",
        "better",
        "worse",
        "of best step",
        "of oracle",
        "no score",
    ]
    rows = []
    for arm, one in found.items():
        compared = [number(one.over_untrained), share(one.relative_score), share(one.relative_gain)]
        rows.append(
            [
                arm,
                str(part.versions(arm)[-1]),
                str(max(1, len({p.seed for p in final[arm]}))),
                number(one.test),
                number(one.gain),
                *([NONE] * 3 if arm == UNTRAINED else compared),
                share(one.improved),
                share(one.worse),
                share(one.of_best),
                share(one.of_oracle),
                str(one.failed),
            ]
        )
    return table(header, rows)


def _play_table(found: dict[str, Figures]) -> list[str]:
    header, rows = ["arm"], [[arm] for arm in found]
    for figure in shown(View.experiment):
        header.append(figure.label)
        for row, one in zip(rows, found.values(), strict=True):
            estimate = one.team.get(figure.name, _NOTHING)
            row.append(share(estimate) if figure.share else number(estimate, figure.digits))
        if figure.key == "tokens":
            header.append("change")
            for row, (arm, one) in zip(rows, found.items(), strict=True):
                row.append(NONE if arm == UNTRAINED else share(one.tokens_change))
    return table(header, rows)


def _split_table(found: dict[str, Figures]) -> list[str]:
    header = [
        "arm",
        "headroom means",
        "trials with",
        "steps with",
        "steps without",
        "difference",
        "finished with",
        "finished without",
        "difference",
    ]
    return table(
        header,
        [_split_row(arm, how, s) for arm, one in found.items() for how, s in one.splits.items()],
    )


def _split_row(arm: str, how: str, split: Split) -> list[str]:
    steps = [number(e, 2) for e in (split.steps_with, split.steps_without, split.steps_difference)]
    finished = [
        share(e) for e in (split.finished_with, split.finished_without, split.finished_difference)
    ]
    return [
        arm,
        how,
        f"{split.steps_with.trials} of {split.steps_difference.trials}",
        *steps,
        *finished,
    ]


def _seed_table(material: Material, part: Part) -> list[str]:
    header = [
        "arm",
        "version",
        "seed",
        "gain",
        "over untrained",
        "better",
        "worse",
        "of best step",
        "compliance",
        "failed code",
        "tokens change",
    ]
    return table(
        header,
        [
            _seed_row(arm, version, seed, one)
            for arm in material.arms
            for version in part.versions(arm)
            for seed, one in by_seed(part, part.played[arm, version]).items()
        ],
    )


def _seed_row(arm: str, version: int, seed: int, one: Figures) -> list[str]:
    shares = (
        one.improved,
        one.worse,
        one.of_best,
        *(one.team.get(key, _NOTHING) for key in _CARE),
        one.tokens_change,
    )
    return [
        arm,
        str(version),
        str(seed),
        number(one.gain),
        number(one.over_untrained),
        *map(share, shares),
    ]


def _learning_table(material: Material, part: Part) -> list[str]:
    header = [
        "arm",
        "version",
        "gain",
        "over untrained",
        "tokens change",
        "failed code",
        "compliance",
    ]
    rows = []
    for arm in material.arms:
        for version in part.versions(arm):
            one = figures(part, part.played[arm, version])
            compared = (
                [NONE] * 2
                if arm == UNTRAINED
                else [number(one.over_untrained), share(one.tokens_change)]
            )
            team = [share(one.team.get(key, _NOTHING)) for key in ("failed_code", "compliance")]
            rows.append([arm, str(version), number(one.gain), *compared, *team])
    return table(header, rows)


def _task_table(part: Part, final: dict[str, list[Played]]) -> list[str]:
    rows = []
    for task in dict.fromkeys(result.task for result in part.baseline.values()):
        start = [result.test for result in part.baseline.values() if result.task == task]
        cells = []
        for played in final.values():
            results = [one.result for one in played if one.result.task == task]
            better, worse = sum(r.improved for r in results), sum(r.worse for r in results)
            cells.append(mean([r.gain for r in results]) + "▲" * bool(better) + "▼" * bool(worse))
        rooms = [room for room in part.headroom.values() if room.task == task]
        confirmed = f"{sum(r.confirmed for r in rooms)} of {len(rooms)}" if rooms else NONE
        oracle = [None if room.oracle is None else room.oracle.test_gain for room in rooms]
        best = mean([room.best_gain for room in rooms])
        rows.append([task, mean(start, "", 3), *cells, best, mean(oracle), confirmed])
    return table(["task", "baseline score", *final, "best step", "oracle", "confirmed"], rows)

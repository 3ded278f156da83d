"""The comparison as a person reads it: a text table for the terminal and Markdown for model cards,
from the same cells.

In: an `EvaluationReport`. Out: text. What a score means, and how many tasks, repetitions and seeds
stand behind it, is said under the tables.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from marl_llm.evaluation.fixed import BASELINE
from marl_llm.evaluation.pairs import Pair
from marl_llm.evaluation.report import NOTHING, ArmSummary, EvaluationReport, Result
from marl_llm.evaluation.statistics import MIN_BOOTSTRAP_TASKS, Estimate
from marl_llm.rollout.figures import Figure, View, shown

WIDTH = 118
"""Columns of the text table."""
BETTER, WORSE, NONE = "▲", "▼", "-"
MEANING = (
    "Score: weighted mean of the task's metrics as skills on the test part, which nothing was "
    "chosen by; the final solution is fitted on development and hold-out rows. 1 is perfect; "
    "metrics bounded in [0, 1] as they are, losses as 1 - loss / loss of the trivial predictor.",
    "Gain: score minus the baseline's on the same test rows. Closed: share of the baseline's "
    "distance to 1 that was gained (ratio of sums; its interval resamples tasks and needs "
    f"{MIN_BOOTSTRAP_TASKS}).",
    "[ ]: 95% intervals over tasks, which weigh the same (Student's t on task means); they speak "
    "of other tasks of this kind.",
    f"{BETTER} better, {WORSE} worse than the baseline: the 95% interval of that trial's gain "
    "(paired bootstrap of its test rows) excludes 0; about one trial in 40 would show each by "
    "chance. Better and worse above: shares of trials.",
    "Hold-out: gain there, which a team chose its steps by and which is therefore too high; "
    "compare test gains.",
    "CPU s: user and system seconds per trial of all processes that worked for the arm, as one "
    "would pay for it alone: fits on folds, for the hold-out and the final one; of a team also its "
    "share of server and environment and the server's start (an attached server's are unknown); of "
    "FLAML its process. Wall s: from start to end; of a team's episode with those beside it.",
)
"""What the figures mean, for every report."""
_AGAINST = (
    "Against one arm: a task's interval is that of the corrected resampled t-test over its splits "
    "and speaks of other splits of that CSV (none for a single split); that of all tasks, of other "
    "tasks."
)


@dataclass(frozen=True)
class Grid:
    """A table: title, header and lines of cells; the first column is text, the others are
    numbers.
    """

    title: str
    header: list[str]
    lines: list[list[str]]


def report_text(report: EvaluationReport) -> str:
    """Tables and notes for the terminal, plain text."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(
        file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False, highlight=False
    )
    for grid in _grids(report):
        table = Table(title=grid.title, title_justify="left", box=SIMPLE_HEAD)
        for i, head in enumerate(grid.header):
            table.add_column(head, justify="right" if i else "left", overflow="fold")
        for line in grid.lines:
            table.add_row(*line)
        console.print(table)
    for note in notes(report):
        console.print(f"- {note}", markup=False)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def to_markdown(report: EvaluationReport) -> str:
    """The same tables and notes in Markdown, with raw test metrics; fit for a model card: it names
    no path.
    """
    parts = [_markdown(grid) for grid in (*_grids(report), _raw_grid(report))]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes(report))]) + "\n"


def notes(report: EvaluationReport) -> list[str]:
    """What the figures mean, sentence by sentence."""
    environment = report.settings["environment"]
    repeats = (
        "1 repetition"
        if report.repeats == 1
        else f"{report.repeats} repetitions (other seeds each)"
    )
    said = [
        f"{report.name}: {report.tasks} tasks, {repeats}, seed {report.seed}; episodes of at most "
        f"{environment['steps']} steps; isolation {report.settings['isolation']}.",
        *MEANING,
    ]
    said += [f"{arm.arm}: {arm.what}." for arm in report.arms]
    said += [_worse_note(report)]
    if report.against:
        said.append(_AGAINST)
    failed = [f"{arm.arm} {arm.failed}" for arm in report.arms if arm.failed]
    said += (
        [f"Trials without a score, left out of the means: {', '.join(failed)}."] if failed else []
    )
    said += report.settings.get("left_out", [])
    return said + [f"{r.arm} on {r.task}: {r.error}" for r in report.results if r.error]


def _worse_note(report: EvaluationReport) -> str:
    """How many tasks each arm makes significantly worse, and which."""
    arms = [arm for arm in report.arms if arm.arm != BASELINE]
    counts = [
        f"{a.arm} {len(a.worse_tasks)}" + f" ({', '.join(a.worse_tasks)})" * bool(a.worse_tasks)
        for a in arms
    ]
    by = (
        "over its splits, or by the test rows of most of them"
        if report.repeats > 1
        else "by its test rows"
    )
    return (
        f"Tasks significantly worse than the baseline ({by}, of {report.tasks}): "
        f"{', '.join(counts) or NONE}."
    )


def _grids(report: EvaluationReport) -> list[Grid]:
    teams = [arm for arm in report.arms if arm.team]
    grids = [_arms_grid(report.arms)]
    grids += [_differences_grid(report)] if report.differences else []
    grids += _against_grids(report.against)
    grids += [_team_grid(teams)] if teams else []
    return [*grids, _task_grid(report)]


def _arms_grid(arms: Sequence[ArmSummary]) -> Grid:
    header = [
        "arm",
        "test score",
        "gain",
        "closed",
        "better",
        "worse",
        "hold-out",
        "CPU s",
        "wall s",
        "tasks",
    ]
    lines = []
    for arm in arms:
        cells = [
            _estimate(arm.gain, sign=True),
            _share(arm.relative, interval=True),
            _share(arm.improved),
        ]
        cells += [_share(arm.worse), _number(arm.holdout_gain, 3, sign=True)]
        if arm.arm == BASELINE:
            cells = [NONE] * len(cells)
        costs = [_number(arm.cpu_s, 1), _number(arm.wall_s, 1)]
        lines.append([arm.arm, _estimate(arm.test), *cells, *costs, str(arm.test.tasks)])
    return Grid("All tasks: mean [95% interval]", header, lines)


def _differences_grid(report: EvaluationReport) -> Grid:
    lines = [
        [f"{d.arm} - {d.against}", _estimate(d.estimate, sign=True), str(d.estimate.tasks)]
        for d in report.differences
    ]
    return Grid(
        "Differences of test scores, paired by task", ["arms", "difference", "tasks"], lines
    )


def _against_grids(pairs: Sequence[Pair]) -> list[Grid]:
    """One arm held against a few others at a time, so that the table fits a terminal."""
    return [_against_grid(pairs[start : start + 3]) for start in range(0, len(pairs), 3)]


def _against_grid(pairs: Sequence[Pair]) -> Grid:
    header = ["task", *(f"{pair.arm} - {pair.against}" for pair in pairs)]
    by_pair = [{one.task: one.estimate for one in pair.tasks} for pair in pairs]
    tasks = list(dict.fromkeys(task for of_pair in by_pair for task in of_pair))
    lines = [
        [task, *(_estimate(found.get(task, NOTHING), sign=True) for found in by_pair)]
        for task in tasks
    ]
    lines.append(["all tasks", *(_estimate(pair.overall, sign=True) for pair in pairs)])
    lines.append(
        [
            "better, worse",
            *(f"{len(pair.better)}, {len(pair.worse)} of {len(pair.tasks)}" for pair in pairs),
        ]
    )
    return Grid(
        "Test score by task, against one arm: mean over splits [95% interval over splits]",
        header,
        lines,
    )


def _team_grid(arms: Sequence[ArmSummary]) -> Grid:
    figures = shown(View.comparison)
    lines = [[arm.arm, *(_figure(figure, arm) for figure in figures)] for arm in arms]
    header = ["team", *(figure.label for figure in figures)]
    return Grid("How the teams play: means over episodes, shares of turns", header, lines)


def _figure(figure: Figure, arm: ArmSummary) -> str:
    estimate = arm.team.get(figure.name, NOTHING)
    return (
        _share(estimate) if figure.share else _number(estimate, figure.digits, sign=figure.signed)
    )


def _task_grid(report: EvaluationReport) -> Grid:
    arms = [arm.arm for arm in report.arms]
    tasks = list(dict.fromkeys(result.task for result in report.results))
    lines = []
    for task in tasks:
        of_task = [[r for r in report.results if r.task == task and r.arm == arm] for arm in arms]
        lines.append([task, *(_task_cell(results) for results in of_task)])
    for problem in dict.fromkeys((p.task, p.error) for p in report.problems):
        lines.append([problem[0], *[f"left out: {problem[1]}"], *[""] * (len(arms) - 1)])
    return Grid("Test score by task", ["task", *arms], lines)


def _task_cell(results: Sequence[Result]) -> str:
    """Mean over repetitions, with one mark for each that differs from the baseline."""
    scores = [r.test for r in results if r.test is not None]
    if not scores:
        return "failed" if results else NONE
    marks = BETTER * sum(r.improved for r in results) + WORSE * sum(r.worse for r in results)
    return f"{sum(scores) / len(scores):.3f}" + (f" {marks}" if marks else "")


def _raw_grid(report: EvaluationReport) -> Grid:
    lines = []
    for result in report.results:
        raw = ", ".join(f"{name} {value:.4g}" for name, value in result.raw.items())
        label = result.task if report.repeats == 1 else f"{result.task} ({result.repeat})"
        lines.append([label, result.arm, raw or result.error])
    lines.sort(key=lambda line: line[0])
    return Grid(
        "Raw metrics on the test part (as scikit-learn's scorers give them)",
        ["task", "arm", "metrics"],
        lines,
    )


def _estimate(e: Estimate, sign: bool = False) -> str:
    return e.text("+.3f" if sign else ".3f")


def _share(e: Estimate, interval: bool = False) -> str:
    if e.mean is None:
        return NONE
    if not interval or e.low is None or e.high is None:
        return f"{e.mean:.0%}"
    return f"{e.mean:.0%} [{e.low:.0%}, {e.high:.0%}]"


def _number(e: Estimate, digits: int, sign: bool = False) -> str:
    return NONE if e.mean is None else f"{e.mean:{'+' if sign else ''}.{digits}f}"


def _markdown(grid: Grid) -> str:
    rule = ["---", *["---:"] * (len(grid.header) - 1)]
    lines = [
        grid.header,
        rule,
        *([cell.replace("|", "\\|") for cell in line] for line in grid.lines),
    ]
    return f"**{grid.title}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)

"""Every task of a suite improved one after the other, and a table of what came of it.

In: task files. Out: one directory a task, and a row a task. What fails (a CSV that can't be read,
data that defeat the baseline) is a row with its reason; the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.solve.report import SolveReport
from marl_llm.tasks import TaskFile

_LAYOUT = "{:<34} {:<10} {:>5} {:>8} {:>9} {:>9} {:>9} {:>8} {:>7}"
HEADER = _LAYOUT.format(
    "csv", "kind", "steps", "accepted", "baseline", "delivered", "hold-out", "test", "seconds"
)


@dataclass(frozen=True)
class SuiteRow:
    """One task: its report, or why there is none."""

    name: str
    report: SolveReport | None
    problem: str = ""

    def line(self) -> str:
        """The row of the table: scores of the baseline and of the delivered model on the test part,
        and gains.
        """
        if self.report is None:
            return f"{self.name:<34} failed: {self.problem}"
        r = self.report
        before, after = (part["test"] or {} for part in (r.baseline, r.final))
        scores = (
            _number(before.get("score")),
            _number(after.get("score")),
            *map(_gain, (r.gain["holdout"], r.gain["test"])),
        )
        return _LAYOUT.format(
            self.name[:34], r.kind, r.steps, r.accepted, *scores, f"{r.seconds:.0f}"
        )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _gain(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"


def solve_suite(
    entries: Sequence[TaskFile],
    out: Path,
    solve: Callable[[TaskFile, Path], SolveReport],
    on_line: Callable[[str], None],
) -> list[SuiteRow]:
    """Solve each task into `out/<name>`.

    Parameters
    ----------
    entries : sequence of TaskFile
    out : Path
        Made if need be.
    solve : callable
        One task and its directory to a report.
    on_line : callable
        Told the table's header, and a row as each task ends.
    """
    rows: list[SuiteRow] = []
    on_line(HEADER)
    for entry in entries:
        try:
            row = SuiteRow(entry.name, solve(entry, out / entry.name))
        except (UserError, RunFailed) as error:
            row = SuiteRow(entry.name, None, str(error))
        rows.append(row)
        on_line(row.line())
    gains = [row.report.gain["test"] or 0.0 for row in rows if row.report is not None]
    if gains:
        on_line(
            f"mean gain on the test parts {sum(gains) / len(gains):+.4f} in {len(gains)} of "
            f"{len(rows)} tasks"
        )
    return rows

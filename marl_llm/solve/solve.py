"""`solve`: two agents improve a model on a person's own CSV, in one line of steps, and leave a
directory.

In: a CSV and a team. Out: `SolveDirectory`'s files and a `SolveReport`. However the steps end (all
played, Ctrl-C, a dead model server), the best model so far is delivered. Candidates run in the
sandbox only; what is fitted here, in the trusted process, is compiled from the typed spec and not
from text that an agent wrote.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from marl_llm.core.atomic import write_text
from marl_llm.core.digests import file_sha256
from marl_llm.core.errors import UserError
from marl_llm.environment import Memory, TeamEnv
from marl_llm.environment.delivery import Tried
from marl_llm.environment.experience import NOTHING
from marl_llm.metrics import Scores
from marl_llm.proposals import PipelineSpec, compile, generate_code
from marl_llm.proposals.compiler import Model
from marl_llm.rollout.budget import Budget, Clock
from marl_llm.rollout.playing import Limits, Play, Players, Watchers
from marl_llm.rollout.session import ModelSession
from marl_llm.rollout.token_meter import TokenMeter
from marl_llm.solve.directory import SolveDirectory
from marl_llm.solve.experience import OwnExperience
from marl_llm.solve.journal import Journal
from marl_llm.solve.report import SolveReport, gains, part_scores, scores_dict
from marl_llm.solve.solution import solution_text
from marl_llm.solve.table import delivered_lines
from marl_llm.solve.versions import Needs, versions_for
from marl_llm.solve.whole import WholeTable, whole_table
from marl_llm.tasks import Task, TaskFile
from marl_llm.workspace.open_run import open_sandbox
from marl_llm.workspace.run import package_versions
from marl_llm.workspace.teams import TeamChoice, budgeted, players, team_session

MAX_SEED = 2**31 - 1
DEFAULT_LIMITS = Limits(Budget(60.0))


def solve_task(
    entry: TaskFile,
    *,
    team: TeamChoice,
    limits: Limits = DEFAULT_LIMITS,
    out: Path,
    servers: Sequence[str] = (),
    session: ModelSession | None = None,
    memory: Memory | None = None,
    experience: Path | None = None,
    clock: Clock | None = None,
    on_line: Callable[[str], None] = lambda line: None,
) -> SolveReport:
    """Improve a model on the task of a task file.

    Parameters
    ----------
    entry : TaskFile
        CSV, target and how they are read. Its seed is that of the split, the folds, the team and
        the delivered model; 0 to 2**31 - 1.
    team : TeamChoice
        Who plays, and the sections it plays by: `workspace.teams.choose_team`.
    limits : Limits
        Budget, most proposals, patience. A team that wants to finish is asked again.
    out : Path
        Where to leave the results; new, empty, or of an earlier `solve` of the same CSV, whose
        files are replaced.
    servers : sequence of str
        URLs of running vLLM servers to use; without any, a small model plays in this process, and a
        server is started for a larger one (`serving.in_process_parameters` of the team's recipe).
    session : ModelSession, optional
        The team's model, opened by `team_session` for several calls; it is left open.
    memory : Memory, optional
        Of an earlier solve of the same data: what it holds is not tried again.
    experience : Path, optional
        Store of what was found on earlier data sets; this one's findings are added. Shown to the
        agents if the team's recipe says so (`prompts.experience_lines`).
    clock : Clock, optional
        Of a command that began earlier; the budget counts from there.
    on_line : callable
        Told each line of the table as it happens.

    Raises
    ------
    UserError
        For what the user can mend, before anything starts.
    RunFailed, KeyboardInterrupt
        After what was found so far was delivered.
    """
    clock = clock or Clock(limits.budget)
    check_numbers(limits, entry.seed)
    choice = budgeted(team, limits)
    sections = choice.sections
    own = OwnExperience(experience, on_line, choice.experience if experience else NOTHING)
    task = entry.load()
    directory, sha256 = SolveDirectory(out), file_sha256(entry.csv)
    with directory.claimed(entry.csv, sha256):
        for line in (
            *(f"note: {note}" for note in task.notes),
            *(f"warning: {warning}" for warning in task.warnings),
        ):
            on_line(line)
        with (
            nullcontext(session) if session else team_session(choice, out, servers) as model,
            open_sandbox(sections.sandbox) as sandbox,
            closing(TeamEnv(task, sandbox, sections.environment, entry.seed)) as env,
            closing(sandbox),  # first of all: what still runs, or waits for it, ends with it
        ):
            journal = Journal(directory, TokenMeter(), on_line, env.reset(memory))
            play = Play(
                env,
                limits,
                clock,
                journal.first,
                Watchers(journal.screened, journal.looked, journal.step),
            )
            delivery = _Delivery(env, team.name, directory, journal, sha256, play, clock)
            try:
                lines = own.lines(env, sections.prompts.experience_lines)
                return _improve(env, play, players(choice, model), delivery, lines)
            finally:
                own.remember(env, journal)


def _improve(
    env: TeamEnv, play: Play, team: Players, delivery: _Delivery, lines: tuple[str, ...]
) -> SolveReport:
    """Look, play and deliver; when that is cut short, deliver the best there is and pass the reason
    on.
    """
    try:
        play.look()
        play.run(team, delivery.journal.meter, lines)
        delivered = play.deliver()
        before, after = env.test_scores(play.first), env.test_scores_of(delivered.spec)
    except BaseException as error:
        if isinstance(error, UserError):  # RunFailed among them
            play.stopped = str(error)
        delivery.write("interrupted", play.deliver(), None, None)
        raise
    return delivery.write("done", delivered, before, after)


def check_numbers(limits: Limits, seed: int) -> None:
    """Raise UserError for limits that leave nothing to do, and for a seed out of range."""
    if limits.steps is not None and limits.steps < 1:
        raise UserError(f"{limits.steps} steps leave nothing to do: ask for at least 1.")
    if limits.patience < 1:
        raise UserError(
            f"A patience of {limits.patience} leaves nothing to do: ask for at least 1."
        )
    if not 0 <= seed <= MAX_SEED:
        raise UserError(f"The seed is {seed}: give a whole number from 0 to {MAX_SEED}.")


@dataclass(frozen=True)
class _Delivery:
    """Writes what was found, at whatever point."""

    env: TeamEnv
    team: str
    directory: SolveDirectory
    journal: Journal
    sha256: str
    play: Play
    clock: Clock

    def write(
        self, status: str, best: Tried, test_first: Scores | None, test_best: Scores | None
    ) -> SolveReport:
        """Write solution.py, model.joblib and report.json of the model that is delivered."""
        task, seed = self.env.task, self.env.seed
        before = part_scores(self.journal.first.evaluated, test_first)
        after = part_scores(best.evaluated, test_best)
        table = whole_table(task)
        write_text(self.directory.solution, solution_text(task, table, best.spec, after, seed))
        if status != "done":  # the fit may be cut short by a second Ctrl-C
            self.directory.write_report(self._report(status, best, before, after))
        needs = Needs(versions_for(best.spec))  # in front, to be checked before the model is loaded
        model = {"needs": needs, "model": fit_model(best.spec, table, seed), **_metadata(task)}
        self.directory.write_model(model)
        report = self._report(status, best, before, after)
        self.directory.write_report(report)
        for line in (
            *delivered_lines(best.spec, before, after),
            *self._ending(report),
            *self._places(len(table.y)),
        ):
            self.journal.on_line(line)
        return report

    def _ending(self, report: SolveReport) -> list[str]:
        cost = f"{report.seconds:.0f} s, of processor time {report.cpu_seconds:.0f} s"
        proposals = "1 proposal" if report.steps == 1 else f"{report.steps} proposals"
        stopped = f"Stopped after {proposals}: {report.stopped.removesuffix('.')}. {cost}."
        return [*([report.remark] if report.remark else []), stopped]

    def _places(self, rows: int) -> list[str]:
        directory = self.directory
        return [
            f"{directory.solution}: fits on a CSV and predicts another, by itself.",
            f"{directory.model}: the same, fitted on all {rows} rows. {directory.history}: "
            "every step.",
        ]

    def _report(
        self,
        status: str,
        best: Tried,
        before: dict[str, Scores | None],
        after: dict[str, Scores | None],
    ) -> SolveReport:
        task, journal = self.env.task, self.journal
        return SolveReport(
            status=status,
            csv=str(task.source),
            csv_sha256=self.sha256,
            target=task.target,
            kind=str(task.kind),
            metrics=dict(task.metrics),
            team=self.team,
            seed=self.env.seed,
            steps=self.play.steps,
            accepted=journal.accepted,
            stopped=self.play.stopped,
            budget=str(self.clock.budget),
            remark=self.play.remark(best),
            screened=journal.families,
            baseline={part: scores_dict(scores) for part, scores in before.items()},
            final={part: scores_dict(scores) for part, scores in after.items()},
            gain=gains(before, after),
            code=generate_code(best.spec),
            spec=best.spec.model_dump(mode="json"),
            notes=list(task.notes),
            warnings=list(task.warnings),
            isolation=best.evaluated.isolation,
            tokens=journal.meter.snapshot(),
            seconds=round(self.clock.wall_s, 3),
            cpu_seconds=round(self.clock.cpu_s, 3),
            packages=package_versions(),
        )


def fit_model(spec: PipelineSpec, table: WholeTable, seed: int) -> Model:
    """Fit the reference implementation of a spec on all rows, seeded as in `solution.py`; returns
    the pipeline.
    """
    random.seed(seed)
    np.random.seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(spec).fit(table.X, table.y)


def _metadata(task: Task) -> dict[str, object]:
    """What is needed to use a fitted model: which column is which alias, and what its outputs
    mean.
    """
    columns = [{"alias": c.alias, "name": c.name, "kind": c.kind} for c in task.columns]
    named = {"target": task.target, "kind": str(task.kind), "classes": list(task.classes)}
    return {"columns": columns, **named, "metrics": dict(task.metrics)}

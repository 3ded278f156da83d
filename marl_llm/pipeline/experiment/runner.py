"""`marl-llm experiment`: runs the jobs of an experiment, some at once, until all are done; started
again it goes on.

In: an experiment's file and a directory. Out: that directory, as `layout` describes it. Each job is
a process of its own; here are only the queue, the progress and the orderly end. A job that fails
does not stop the others.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from marl_llm.core.atomic import write_text
from marl_llm.core.directory import make_directory
from marl_llm.core.errors import RunFailed, UserError
from marl_llm.core.worker_lines import Event, follow
from marl_llm.pipeline.experiment.config import Experiment, dump_experiment, load_experiment
from marl_llm.pipeline.experiment.jobs import Job, left, plan, read_units, startable, time_left
from marl_llm.pipeline.experiment.layout import PARTS, PROCEDURAL, ExperimentDirectory
from marl_llm.pipeline.experiment.points import check_benchmark

logger = logging.getLogger(__name__)

WORKER = [sys.executable, "-m", "marl_llm.pipeline.experiment.worker"]
"""Command that does one job."""
GRACE_S = 120.0
"""Seconds that a job has to end in good order when it is stopped."""
_FIXED = ("name", "base", "overrides", "evaluation")
"""What may not change once an experiment has begun; arms may be added."""


def run_experiment(
    path: Path,
    out: Path,
    say: Callable[[str], None],
    *,
    benchmark: Path | None = None,
    arms: Sequence[str] = (),
) -> ExperimentDirectory:
    """Do all that is left of an experiment.

    Parameters
    ----------
    path : Path
        The experiment's YAML file.
    out : Path
        Its directory.
    say : callable
        Told a line of progress, with an estimate, after each iteration and evaluation.
    benchmark : Path, optional
        Directory of CSVs; without it only procedural tasks are evaluated.
    arms : sequence of str
        Only these; () for all.

    Raises
    ------
    UserError
        The files make no experiment, or `out` holds another one.
    RunFailed
        A job failed; the others were finished.
    """
    experiment, directory = load_experiment(path), ExperimentDirectory(out)
    unknown = set(arms) - set(experiment.arms)
    if unknown:
        raise UserError(
            f"{path}: there is no arm '{min(unknown)}'; there is {', '.join(experiment.arms)}."
        )
    prepare(directory, experiment)
    if benchmark is not None:
        check_benchmark(directory, benchmark)
    jobs = plan(experiment, PARTS if benchmark else (PROCEDURAL,), arms or None)
    failed = Runner(directory, jobs, benchmark, experiment.at_once, say).run()
    if failed:
        first = failed[0]
        raise RunFailed(
            f"{first[0]}: {first[1]} ({len(failed)} of {len(jobs)} jobs failed; logs: "
            f"{out / 'logs'})"
        )
    return directory


def prepare(directory: ExperimentDirectory, experiment: Experiment) -> None:
    """Keep the resolved experiment, or check that it is the one begun before.

    Raises
    ------
    UserError
        The base, the evaluation or an arm's keys differ from those that the directory was begun
        with, or it cannot be made.
    """
    make_directory(directory.root)
    path = directory.root / "experiment.yaml"
    if path.is_file():
        before = directory.experiment()
        changed = [name for name in _FIXED if getattr(before, name) != getattr(experiment, name)]
        arms = ((name, arm, experiment.arms.get(name)) for name, arm in before.arms.items())
        changed += [
            f"arms.{name}"
            for name, old, new in arms
            if new is not None and (old.overrides, old.of) != (new.overrides, new.of)
        ]
        if changed:
            raise UserError(
                f"{directory.root} holds another experiment ({changed[0]} differs): name a "
                "new directory."
            )
    write_text(path, dump_experiment(experiment))


@dataclass
class Runner:
    """The queue of jobs: starts processes, follows them, ends them."""

    directory: ExperimentDirectory
    jobs: Sequence[Job]
    benchmark: Path | None
    at_once: int
    say: Callable[[str], None]
    _processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    _stopping: bool = False

    def run(self) -> list[tuple[str, str]]:
        """Run all jobs; returns the names of those that failed, with the reason."""
        pending = [job for job in self.jobs if left(self.directory, job)]
        self.say(self._line("experiment"))
        failed: list[tuple[str, str]] = []
        running: dict[Future[str], Job] = {}
        with ThreadPoolExecutor(max_workers=self.at_once, thread_name_prefix="job") as pool:
            try:
                while pending or running:
                    self._fill(pool, pending, running)
                    if (
                        not running
                    ):  # what is left waits for jobs that failed, or that were not asked for
                        failed += [
                            (job.name, f"it needs {job.needs}, which is not finished")
                            for job in pending
                        ]
                        break
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        job, problem = running.pop(future), future.result()
                        failed += [(job.name, problem)] if problem else []
                        self.say(f"{job.name}: {problem or 'finished'}")
            finally:
                self._stop_all()
        return failed

    def _fill(
        self, pool: ThreadPoolExecutor, pending: list[Job], running: dict[Future[str], Job]
    ) -> None:
        """Start jobs that need not wait, as many as may run at once."""
        while len(running) < self.at_once:
            job = startable(
                pending, {job.name for job in running.values()} | self._unfinished(pending)
            )
            if job is None:
                return
            pending.remove(job)
            running[pool.submit(self._follow, job)] = job

    def _unfinished(self, pending: Iterable[Job]) -> set[str]:
        """Jobs that pending ones need and that are not finished, whether they are to be run here or
        not.
        """
        every = {job.name: job for job in plan(self.directory.experiment(), (PROCEDURAL,))}
        needed = {job.needs for job in pending if job.needs}
        return {name for name in needed if left(self.directory, every[name])}

    def _follow(self, job: Job) -> str:
        """Run one job to its end; returns why it failed, "" if it did not."""
        command = [*WORKER, str(self.directory.root), job.name]
        command += ["--benchmark", str(self.benchmark)] if self.benchmark else []
        log = self.directory.log(job.name)
        log.parent.mkdir(parents=True, exist_ok=True)

        def started(process: subprocess.Popen[str]) -> None:
            self._processes[job.name] = process
            if self._stopping and process.stdin:
                process.stdin.close()

        done = functools.partial(self._done, job)
        problem = follow(command, log, done, started, own_session=True)
        return "" if self._stopping else problem

    def _done(self, job: Job, unit: Event) -> None:
        """Note a finished unit."""
        seconds = unit["seconds"]
        assert isinstance(seconds, int | float), seconds
        with (self.directory.root / "units.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"job": job.name, **unit}) + "\n")
        what = f"{unit['kind']} {unit['number']}" if job.seed is not None else unit["kind"]
        self.say(self._line(f"{job.name}: {what} in {_hours(seconds)}"))

    def _line(self, what: str) -> str:
        every = sum(len(job.units) for job in self.jobs)
        units = [unit for job in self.jobs for unit in left(self.directory, job)]
        estimate = time_left(units, durations(self.directory), self.at_once)
        ending = (
            ""
            if not units
            else ", no estimate yet"
            if estimate is None
            else f", about {_hours(estimate)} left"
        )
        return f"{what} | {every - len(units)} of {every} units done{ending}"

    def _stop_all(self) -> None:
        """Close the standard input of every job, which ends it in good order; kill what does not
        end.
        """
        self._stopping = True
        started = list(
            self._processes.values()
        )  # one that starts from here on is stopped as it starts
        for process in started:
            if process.stdin and process.poll() is None:
                process.stdin.close()
        for process in started:
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def durations(directory: ExperimentDirectory) -> dict[str, list[float]]:
    """Seconds of all finished units, by kind."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for unit in read_units(directory):
        found[unit["kind"]].append(unit["seconds"])
    return dict(found)


def _hours(seconds: float) -> str:
    """Seconds as "1:02:05"."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"

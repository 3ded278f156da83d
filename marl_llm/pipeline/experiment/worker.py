"""One job of an experiment in a process of its own.

    python -m marl_llm.pipeline.experiment.worker OUT JOB [--benchmark DIR]

It speaks the protocol of `core.worker_lines`: `{"event": "unit", "kind": ..., "number": ...,
"seconds": ...}` after each unit.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marl_llm.core.atomic import write_text
from marl_llm.core.errors import UserError
from marl_llm.core.worker_lines import Tell, work
from marl_llm.pipeline.experiment.jobs import ITERATION, Job, left, plan
from marl_llm.pipeline.experiment.layout import PARTS, PROCEDURAL, ExperimentDirectory
from marl_llm.pipeline.experiment.points import evaluate_point
from marl_llm.pipeline.iterate import one_round
from marl_llm.workspace.open_run import OpenRun, open_run, opened
from marl_llm.workspace.recipe import dump_recipe
from marl_llm.workspace.run import RunDirectory


def do_job(directory: ExperimentDirectory, name: str, benchmark: Path | None, tell: Tell) -> None:
    """Do what is left of a job, telling of each unit."""
    experiment = directory.experiment()
    jobs = {job.name: job for job in plan(experiment, PARTS if benchmark else (PROCEDURAL,))}
    if name not in jobs:
        raise UserError(f"{directory.root}: there is no job '{name}'; there is {', '.join(jobs)}.")
    job = jobs[name]
    units = left(directory, job)
    if not units:
        return
    with _opened(directory, job) as ready:
        for unit in units:
            began = time.monotonic()
            if unit.kind == ITERATION:
                one_round(ready, unit.number)
            else:
                evaluate_point(ready, experiment, directory, job.point(unit), benchmark)
            seconds = round(time.monotonic() - began, 1)
            tell("unit", kind=unit.kind, number=unit.number, seconds=seconds)


@contextmanager
def _opened(directory: ExperimentDirectory, job: Job) -> Iterator[OpenRun]:
    """The run of a job with server and sandbox; made if it is one to be trained."""
    experiment = directory.experiment()
    if job.seed is not None and not experiment.arms[job.arm].of:
        path = directory.recipe(job.arm, job.seed)
        write_text(path, dump_recipe(experiment.recipe(job.arm, job.seed)))
        with open_run(path, directory.run(job.arm, job.seed).root) as ready:
            yield ready
        return
    if job.seed is None:  # the base model plays: no adapters, only a place for the server's log
        recipe = experiment.recipe(experiment.main, experiment.arms[experiment.main].seeds[0])
        run = RunDirectory(directory.root / "runs" / job.name)
        run.root.mkdir(parents=True, exist_ok=True)
    else:
        run = directory.run(experiment.arms[job.arm].of or job.arm, job.seed)
        recipe = run.recipe()
    with opened(recipe, run) as ready:
        yield ready


def main(arguments: list[str] | None = None) -> int:
    """Do one job; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("job")
    parser.add_argument("--benchmark", type=Path)
    args = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    shown = {"format": "%(asctime)s %(message)s", "datefmt": "%H:%M:%S", "stream": sys.stderr}
    logging.basicConfig(level=logging.INFO, **shown)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return work(lambda tell: do_job(ExperimentDirectory(args.out), args.job, args.benchmark, tell))


if __name__ == "__main__":
    sys.exit(main())

"""`python -m marl_llm.experiment.worker OUT JOB [--benchmark DIR]`: one job of an experiment in a process of its own.

Standard output carries one JSON object per line: `{"event": "unit", "kind": ..., "number": ..., "seconds": ...}` after
each unit, or `{"event": "error", "message": ...}`. Logs go to standard error. It ends, as by Ctrl-C, when its standard
input is closed: that is how its owner stops it, and what happens when the owner dies. Exit codes: 0 done, 1 the run
failed, 2 the user's mistake, 130 stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from marl_llm.core.atomic import write_text
from marl_llm.core.errors import UserError
from marl_llm.core.owner import STOPPED, stop_with_owner
from marl_llm.experiment.jobs import ITERATION, Job, left, plan
from marl_llm.experiment.layout import PARTS, PROCEDURAL, ExperimentDirectory
from marl_llm.experiment.points import evaluate_point
from marl_llm.pipeline.iterate import one_round
from marl_llm.workspace.open_run import OpenRun, open_run, open_sandbox, server_session
from marl_llm.workspace.recipe import dump_recipe
from marl_llm.workspace.run import RunDirectory


def do_job(directory: ExperimentDirectory, name: str, benchmark: Path | None) -> None:
    """Do what is left of a job, telling standard output of each unit."""
    experiment = directory.experiment()
    jobs = {job.name: job for job in plan(experiment, PARTS if benchmark else (PROCEDURAL,))}
    if name not in jobs:
        raise UserError(f"{directory.root}: there is no job '{name}'; there is {', '.join(jobs)}.")
    job = jobs[name]
    units = left(directory, job)
    if not units:
        return
    with _opened(directory, job) as opened:
        for unit in units:
            began = time.monotonic()
            if unit.kind == ITERATION:
                one_round(opened, unit.number)
            else:
                evaluate_point(opened, experiment, directory, job.point(unit), benchmark)
            _tell(event="unit", kind=unit.kind, number=unit.number, seconds=round(time.monotonic() - began, 1))


@contextmanager
def _opened(directory: ExperimentDirectory, job: Job) -> Iterator[OpenRun]:
    """The run of a job with server and sandbox; made if it is one to be trained."""
    experiment = directory.experiment()
    if job.seed is not None and not experiment.arms[job.arm].of:
        path = directory.recipe(job.arm, job.seed)
        write_text(path, dump_recipe(experiment.recipe(job.arm, job.seed)))
        with open_run(path, directory.run(job.arm, job.seed).root) as opened:
            yield opened
        return
    if job.seed is None:  # the base model plays: no adapters, only a place for the server's log
        recipe = experiment.recipe(experiment.main, experiment.arms[experiment.main].seeds[0])
        run = RunDirectory(directory.root / "runs" / job.name)
        run.root.mkdir(parents=True, exist_ok=True)
    else:
        run = directory.run(experiment.arms[job.arm].of or job.arm, job.seed)
        recipe = run.recipe()
    with server_session(recipe, run) as session, open_sandbox(recipe) as sandbox:
        yield OpenRun(recipe, run, session, sandbox)


def _tell(**event: Any) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Do one job; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("job")
    parser.add_argument("--benchmark", type=Path)
    args = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        stop_with_owner()
        do_job(ExperimentDirectory(args.out), args.job, args.benchmark)
    except UserError as error:
        _tell(event="error", message=str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return STOPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())

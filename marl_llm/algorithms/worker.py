"""`python -m marl_llm.algorithms.worker SPEC.json [--owned]`: one role's training in a process of
its own, so that its memory is given back at the end. With `--owned` it also ends when its standard
input does.

The specification names files; the metrics are written to a file by atomic rename. It speaks the
protocol of `core.worker_lines`: `{"event": "step", "step": 1, "total": 10, "loss": 0.1}` after each
step, then `{"event": "done", ...}`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from marl_llm.algorithms.registry import AnyAlgorithm, default_algorithm
from marl_llm.core.atomic import write_json, write_text
from marl_llm.core.errors import UserError
from marl_llm.core.frames import with_columns
from marl_llm.core.owner import OWNED
from marl_llm.core.roles import TEAM
from marl_llm.core.worker_lines import Tell, work
from marl_llm.credit.stage import read_credit
from marl_llm.training.data import TRAINING_COLUMNS, join_credit
from marl_llm.training.ranks import is_alone, is_first

_PATIENCE_S = 20.0
"""How long one of several processes may go on after its owner, seconds: it may wait for one that is
gone.
"""


class LoggedRows(BaseModel):
    """Rows of one run."""

    model_config = ConfigDict(extra="forbid")

    rows: list[Path] = Field(min_length=1, description="trajectory directories, the latest last")
    credit: list[Path] = Field(
        min_length=1, description="credit tables of these rows, one a directory and role"
    )


class WorkerSpec(LoggedRows):
    """What one worker process does: `rows` and `credit` are its own run's."""

    role: str = Field(
        description="role to train; team: the adapter of both roles, trained on the rows of both"
    )
    imitated: list[LoggedRows] = Field(default=[], description="sft: what other runs left")
    base_dir: Path = Field(description="base model")
    adapter_dir: Path = Field(description="adapter to go on from")
    out_dir: Path = Field(description="the next version's directory; must not exist")
    workdir: Path = Field(description="for the trainer's files")
    metrics: Path = Field(description="metrics file to write, JSON")
    seed: int = Field(default=0, description="seed of the order of rows")
    config: AnyAlgorithm = Field(
        default_factory=default_algorithm, description="algorithm and its settings"
    )

    def write(self, path: Path) -> None:
        """Write what `read_spec` reads.

        Raises
        ------
        RunFailed
            The disk refuses the file.
        """
        write_text(path, self.model_dump_json(indent=2) + "\n", "the specification")


def read_spec(path: Path) -> WorkerSpec:
    """Read and check a specification.

    Raises
    ------
    UserError
        The file is missing, no JSON, or has an unknown, missing or ill-typed key.
    """
    try:
        return WorkerSpec.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(
            f"{path}: the specification cannot be read ({error.strerror or error})."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(f"{path}: {where}: {first['msg']}.") from error


def run(spec: WorkerSpec, tell: Tell) -> None:
    """Train as `spec` says, telling of each step."""
    from marl_llm.training.train_role import train_role

    def step(number: int, total: int, loss: float) -> None:
        tell("step", step=number, total=total, loss=loss)

    role = None if spec.role == TEAM else spec.role
    frames = [
        _joined(spec, role),
        *(with_columns(_joined(run, role), run=str(run.rows[0])) for run in spec.imitated),
    ]
    metrics = train_role(
        pd.concat(frames, ignore_index=True),
        base_dir=spec.base_dir,
        adapter_dir=spec.adapter_dir,
        out_dir=spec.out_dir,
        algorithm=spec.config,
        workdir=spec.workdir,
        values=spec.metrics.with_name(f"{spec.role}-values.parquet"),
        seed=spec.seed,
        on_step=step if is_first() else None,
    )
    if is_first():
        write_json(spec.metrics, metrics, "the metrics")
        tell("done", metrics=str(spec.metrics), trained=metrics["trained"])


def _joined(logged: LoggedRows, role: str | None) -> pd.DataFrame:
    from marl_llm.trajectories import read_rows

    rows = read_rows(logged.rows, columns=TRAINING_COLUMNS, role=role)
    return join_credit(
        rows, pd.concat([read_credit(path) for path in logged.credit], ignore_index=True)
    )


def main(arguments: list[str]) -> int:
    """Run the specification named by the first argument; returns the exit code."""

    def job(tell: Tell) -> None:
        if not arguments or arguments[1:] not in ([], [OWNED]):
            raise UserError(f"usage: python -m marl_llm.algorithms.worker SPEC.json [{OWNED}]")
        run(read_spec(Path(arguments[0])), tell)

    end_after_s = None if is_alone() else _PATIENCE_S
    return work(job, owned=OWNED in arguments[1:], end_after_s=end_after_s)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python -m marl_llm.algorithms.launch PROCESSES CONFIG SPEC.json --owned`: the worker of one
specification in several processes of this machine, started by accelerate's launcher. CONFIG is a
file that `accelerate config` writes, or `-`: data parallel.

The processes end with this one, and this one with its owner. It speaks the protocol of
`core.worker_lines`: the first process tells of steps, each of its errors, and this one of a process
that could not.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.core.owner import OWNED
from marl_llm.core.worker_lines import work
from marl_llm.training.seam import accelerate_kind, accelerate_launch

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

DATA_PARALLEL = "-"
"""In place of a configuration: every process has the whole model."""
_WORKER = "marl_llm.algorithms.worker"


def launch(processes: int, config: str, spec: Path) -> None:
    """Train in so many processes.

    Raises
    ------
    UserError
        This machine has fewer GPUs, or none for a model in parts: accelerate would give each
        process the whole model instead.
    RunFailed
        A process failed or was killed; the others are ended.
    KeyboardInterrupt
        This process was told to stop; so are the others.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    _require_gpus(processes, config)
    parallel = ["--multi_gpu", "--mixed_precision", "no", "--dynamo_backend", "no"]
    arguments = parallel if config == DATA_PARALLEL else ["--config_file", config]
    arguments += ["--num_processes", str(processes), "--num_machines", "1"]
    arguments += ["--main_process_port", "0", "--module", _WORKER, str(spec), OWNED]
    try:
        with _ends_with_this_process():
            accelerate_launch(arguments)
    except SignalException as stopped:
        raise KeyboardInterrupt from stopped
    except ChildFailedError as error:
        raise RunFailed(why(error.failures)) from error


def why(failures: Mapping[int, ProcessFailure]) -> str:
    """Which process failed first, and how, of those that failed by rank.

    The launcher ends the others by SIGTERM, which therefore says least; and one whose peer was
    killed ends with a code.
    """

    def says_less(rank: int) -> tuple[bool, bool]:
        code = failures[rank].exitcode
        return code == -signal.SIGTERM, code > 0

    rank = min(failures, key=says_less)
    code = failures[rank].exitcode
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return f"process {rank + 1} {how}, and the others with it"


def _require_gpus(processes: int, config: str) -> None:
    import torch

    count = torch.cuda.device_count()
    if not count and config != DATA_PARALLEL and accelerate_kind(config) == "FSDP":
        raise UserError(
            f"training.accelerate: {config} shards the model over GPUs, and this machine has none; "
            "set it to null, where each process has the whole model."
        )
    if 0 < count < processes:
        raise UserError(
            f"training.processes: {processes} needs a GPU for each process, and this machine has "
            f"{count}; set it to {count} at most."
        )


@contextmanager
def _ends_with_this_process() -> Generator[None]:
    """Give the processes started within a standard input that ends when this process does."""
    theirs, held = os.pipe()
    os.dup2(theirs, 0)
    os.close(theirs)
    try:
        yield
    finally:
        os.close(held)


def main(arguments: list[str]) -> int:
    """Launch what the arguments say; returns the exit code."""
    processes, config, spec, owned = arguments
    return work(lambda tell: launch(int(processes), config, Path(spec)), owned=owned == OWNED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""How much memory and time a large CSV takes on its way to a task.

`python recipes/studies/large.py` writes CSVs of 1,000,000 rows and 50 columns into a temporary
directory (all numbers; ten categories among them; ten categories, two times, two sums of money and
two texts among numbers with decimal commas), makes a task of each in a process of its own, and
prints its peak resident memory and its seconds. More memory than `--limit` is an error.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

COLUMNS = 50
TARGET = "y"
SHAPES = ("numbers", "mixed", "messy")
_CHUNK = 50_000
_WORDS = np.array(
    ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett"]
)


def write_large(path: Path, shape: str, rows: int, seed: int = 0) -> None:
    """Write a CSV of 50 columns in chunks; `shape` is one of `SHAPES`."""
    rng = np.random.default_rng(seed)
    options = arrow_csv.WriteOptions(
        include_header=True, delimiter=";" if shape == "messy" else ","
    )
    first = _chunk(rng, shape, min(rows, _CHUNK))
    with arrow_csv.CSVWriter(path, first.schema, write_options=options) as writer:
        writer.write_table(first)
        for start in range(_CHUNK, rows, _CHUNK):
            writer.write_table(_chunk(rng, shape, min(rows - start, _CHUNK)))


def measure(path: Path) -> dict[str, float]:
    """Make a task of a CSV in a process of its own: its peak resident memory in MiB, before and
    after, and seconds.
    """
    return json.loads(_run("--read", str(path)).splitlines()[-1])


def _run(*arguments: str) -> str:
    """This module in a process of its own; a child's peak begins with its parent's, which has to
    stay small.
    """
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _chunk(rng: np.random.Generator, shape: str, rows: int) -> pa.Table:
    categories = 0 if shape == "numbers" else 10
    columns: dict[str, np.ndarray] = {}
    for i in range(COLUMNS - 1):
        if i < categories:
            columns[f"c{i}"] = rng.choice(_WORDS, rows)
        elif shape == "messy" and i < categories + 6:
            columns[f"m{i}"] = _messy(rng, i % 3, rows)
        else:
            numbers = np.round(rng.normal(size=rows), 6)
            columns[f"n{i}"] = _with_commas(numbers) if shape == "messy" else numbers
    columns[TARGET] = rng.choice(["no", "yes"], rows)
    return pa.table(columns)


def _messy(rng: np.random.Generator, what: int, rows: int) -> np.ndarray:
    if what == 0:
        moments = np.datetime64("2000-01-01T00:00") + rng.integers(0, 10**7, rows)
        return np.char.replace(moments.astype(str), "T", " ")
    if what == 1:
        return np.array(
            [
                f"R$ {x:,.2f}".translate(str.maketrans(",.", ".,"))
                for x in rng.uniform(1e3, 1e6, rows)
            ]
        )
    return np.array([" ".join(words) for words in rng.choice(_WORDS, (rows, 5))])


def _with_commas(numbers: np.ndarray) -> np.ndarray:
    return np.char.replace(numbers.astype(str), ".", ",")


def _read(path: Path) -> dict[str, float]:
    from marl_llm.tasks.task import Task  # measured

    before = _peak()
    start, cpu = time.perf_counter(), time.process_time()
    task = Task.from_csv(path, target=TARGET)
    took = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    found = {"columns": len(task.columns), "before_mib": before, "peak_mib": _peak(), **took}
    return {name: round(value, 1) for name, value in found.items()}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: list[str] | None = None) -> int:
    """Command line: measure each shape, or read one file."""
    parser = argparse.ArgumentParser(
        prog="python recipes/studies/large.py", description="Memory and time of large CSVs."
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--limit", type=float, default=4096, help="MiB that a process may take")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.write:
        write_large(options.write, options.shapes[0], options.rows)
        return 0
    if options.read:
        sys.stdout.write(f"{json.dumps(_read(options.read))}\n")
        return 0
    peaks = []
    with tempfile.TemporaryDirectory() as directory:
        for shape in options.shapes:
            path = Path(directory) / f"{shape}.csv"
            _run("--write", str(path), "--shapes", shape, "--rows", str(options.rows))
            found = measure(path) | {"file_mib": round(path.stat().st_size / 2**20, 1)}
            peaks.append(found["peak_mib"])
            sys.stdout.write(f"{shape}, {options.rows:,} rows: {json.dumps(found)}\n")
            path.unlink()
    return int(max(peaks) > options.limit)


if __name__ == "__main__":
    raise SystemExit(main())

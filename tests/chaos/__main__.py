"""`make chaos`: 50 kills at random moments over collector, server, sandbox, trainer and Ray worker.

    python -m tests.chaos [--kills 50] [--seed 0] [--mean-s 12] [--ray] [--out DIRECTORY]

A small run on the embedded model (warm start, collecting, training, by `marl-llm iterate`) is made
once undisturbed, and then under kills, each run resumed until it ends, until all kills are spent.
Every run must hold the rows of the undisturbed one, no episode lost or doubled; the adapters of the
warm start, which follow from scripted episodes alone, must be equal bit for bit. Half of the runs
play on Ray with --ray. Prints a table of kills and rows, exit code 1 where a run differs.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from marl_llm.workspace.run import RunDirectory
from tests.chaos.comparing import require_equal_rows, same_adapters
from tests.chaos.killing import Disturbed, Kill, run_under_kills

RECIPE = """
name: chaos
iterations: 1
tasks: {per_iteration: 3, first_seed: 61}
environment: {steps: 2, cv_folds: 2, resamples: 100}
prompts: {instructions: false, names: false, memory_tokens: 120}
rollout: {proposals: 3, implementations: 2, episodes_at_once: 2,
  data_scientist_tokens: 48, engineer_tokens: 96, executor: EXECUTOR, ray_address: local}
serving: {max_model_len: 1024}
warm_start: {episodes: 3, proposals: 3, epochs: 2, batch_rows: 4}
training: {data_scientist: {learning_rate: 0.0005}, ml_engineer: {learning_rate: 0.0005}}
evaluation: {tasks: 2}
"""


def command(folder: Path, name: str, executor: str) -> list[str]:
    """`marl-llm iterate` into a run of this name."""
    recipe = folder / f"{executor}.yaml"
    recipe.write_text(RECIPE.replace("EXECUTOR", executor))
    told = ["--recipe", str(recipe), "--run", str(folder / name)]
    return [sys.executable, "-m", "marl_llm.cli", "iterate", *told]


def compared(run: RunDirectory, undisturbed: RunDirectory) -> str:
    """What is equal, in words. AssertionError where rows differ."""
    warm = [one.warm_start / "trajectories" for one in (run, undisturbed)]
    rows = require_equal_rows(warm[0], warm[1], sampled=False)
    assert same_adapters(run, undisturbed, 0), "the adapters of the warm start differ"
    rows += require_equal_rows(run.trajectories(0), undisturbed.trajectories(0), sampled=True)
    trained = "equal" if same_adapters(run, undisturbed, 1) else "of other last bits"
    assert run.next_iteration() == undisturbed.next_iteration() == 1
    return f"{rows} rows equal, version 0 equal, version 1 {trained}"


def main(arguments: list[str] | None = None) -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mean-s", type=float, default=12.0, help="mean time between two kills")
    parser.add_argument("--ray", action="store_true", help="every other run plays on Ray")
    parser.add_argument("--out", type=Path, help="where the runs are kept")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder = chosen.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        return _run_all(folder, chosen)


def _run_all(folder: Path, chosen: argparse.Namespace) -> int:
    draw = random.Random(chosen.seed)
    began = time.monotonic()
    run_under_kills(
        command(folder, "undisturbed", "local"),
        folder / "undisturbed.log",
        kills=0,
        mean_s=1.0,
        draw=draw,
    )
    print(f"undisturbed: {time.monotonic() - began:.0f} s", flush=True)
    undisturbed, left, number, failed = RunDirectory(folder / "undisturbed"), chosen.kills, 0, 0
    total: Counter[str] = Counter()
    while left > 0 and failed < 3:
        name, executor = f"run{number}", "ray" if chosen.ray and number % 2 else "local"
        kills: list[Kill] = []
        try:
            kills = run_under_kills(
                command(folder, name, executor),
                folder / f"{name}.log",
                kills=left,
                mean_s=chosen.mean_s,
                draw=draw,
            )
            says = compared(RunDirectory(folder / name), undisturbed)
        except (AssertionError, Disturbed) as error:
            failed, says = failed + 1, f"DIFFERS: {error}"
        total.update(kill.kind for kill in kills)
        left, number = left - len(kills), number + 1
        counts = ", ".join(
            f"{count} {kind}" for kind, count in Counter(k.kind for k in kills).items()
        )
        print(f"{name} ({executor}): {len(kills)} kills ({counts}); {says}", flush=True)
    minutes = (time.monotonic() - began) / 60
    print(f"{number} runs in {minutes:.0f} minutes: {_counts(total.elements())}; {failed} differ")
    return 1 if failed else 0


def _counts(kinds: Iterable[str]) -> str:
    found = Counter(kinds)
    each = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))
    return f"{sum(found.values())} kills ({each})"


if __name__ == "__main__":
    sys.exit(main())

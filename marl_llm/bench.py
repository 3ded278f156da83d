"""`make bench`: speed as ratios, measured side by side in one run, never as single absolute times."""

from __future__ import annotations

from collections.abc import Iterator

from marl_llm.sandbox.bench import benchmark


def bench(rounds: int) -> Iterator[str]:
    """Lines of the table: evaluations/s of the sandbox, in-process and of a fresh interpreter, with ratios."""
    yield "5-fold cross-validation of StandardScaler + LogisticRegression on breast_cancer, one core"
    yield f"{'method':<20}  evaluations/s  ratio to in-process"
    for row in benchmark(rounds):
        yield f"{row['method']:<20}  {row['evaluations_per_s']:>13.2f}  {row['ratio_to_in_process']:>19.3f}"

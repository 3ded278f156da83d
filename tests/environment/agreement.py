"""The compliance checker held against the labelled set: every pair judged by the real environment,
in the sandbox.

`python -m tests.environment.agreement` prints the confusion matrix and every disagreement.
"""

from __future__ import annotations

import functools
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pandas as pd

from marl_llm.core.kind import Kind
from marl_llm.environment import EnvironmentConfig, Evaluator
from marl_llm.environment.compliance import Case, compliance
from marl_llm.proposals import generate_code
from marl_llm.sandbox import Sandbox
from marl_llm.tasks import Task
from tests.environment.compliance_set.pairs import Pair, frame, load_pairs, replay
from tests.fixtures import shared_sandbox, small_frame

ROWS = 480


@dataclass(frozen=True)
class Judged:
    """A pair and the compliance that the checker gave it; 0 for code that does not run."""

    pair: Pair
    compliance: float

    @property
    def agrees(self) -> bool:
        """True if the checker's word is the label's."""
        return (self.compliance == 1) == self.pair.complies


@functools.cache
def _task(kind: Kind, extended: bool) -> Task:
    table, _ = frame(kind, extended, ROWS)
    table["outcome"] = small_frame(kind, ROWS)["outcome"]
    kinds = {"x5": "date", "t6": "text"} if extended else {}
    if extended:
        table["x5"] = pd.to_datetime(table["x5"], unit="D")
    named = Task.from_frame(table, target="outcome", name=f"pairs-{kind}", kinds=kinds)
    assert [c.alias for c in named.columns] == [c for c in table.columns if c != "outcome"]
    return named


def judge(pair: Pair, evaluator: Evaluator) -> Judged:
    """Run one pair's code and judge it."""
    before, wanted = replay(pair)
    result = evaluator.evaluate(pair.code)
    if not result.ok:
        return Judged(pair, 0.0)
    reference, current = (
        evaluator.evaluate(generate_code(wanted)),
        evaluator.evaluate(generate_code(before)),
    )
    case = Case(
        pair.code,
        result,
        reference,
        current,
        before,
        wanted,
        lambda: evaluator.agree_elsewhere(pair.code, generate_code(wanted)),
    )
    return Judged(pair, compliance(case))


def judge_all(sandbox: Sandbox, pairs: tuple[Pair, ...]) -> list[Judged]:
    """Judge pairs, two at once, in their order."""
    config = EnvironmentConfig(cv_folds=2)
    keys = dict.fromkeys((p.kind, p.extended) for p in pairs)
    evaluators = {key: Evaluator(_task(*key), sandbox, config) for key in keys}
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda pair: judge(pair, evaluators[pair.kind, pair.extended]), pairs))


def matrix(judged: list[Judged]) -> dict[str, int]:
    """Counts of (label, checker's word), and of forged and of dormant pairs accepted."""
    return {
        "complies, accepted": sum(j.pair.complies and j.compliance == 1 for j in judged),
        "complies, refused": sum(j.pair.complies and j.compliance < 1 for j in judged),
        "violates, accepted": sum(not j.pair.complies and j.compliance == 1 for j in judged),
        "violates, refused": sum(not j.pair.complies and j.compliance < 1 for j in judged),
        "forged, accepted": sum(j.pair.forged and j.compliance == 1 for j in judged),
        "dormant, accepted": sum(j.pair.dormant and j.compliance == 1 for j in judged),
    }


def main() -> None:
    """Judge the whole set and say where the checker and the labels differ."""
    start = time.monotonic()
    judged = judge_all(shared_sandbox(), load_pairs())
    wrong = [j for j in judged if not j.agrees]
    lines = [f"{name}: {count}" for name, count in matrix(judged).items()]
    lines += [
        f"agreement {1 - len(wrong) / len(judged):.4f} of {len(judged)} in "
        f"{time.monotonic() - start:.0f} s"
    ]
    lines += [f"{j.pair.label} but {j.compliance:.2f}: {j.pair.id} ({j.pair.why})" for j in wrong]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""The compliance checker held against the labelled set: every pair judged by the real checker, what
it has to run in the real sandbox.

The checker gives 1 only where behaviour and reading agree, so honest code that it would refuse
whatever it predicts is not run again here: test_compliance_set.py runs it for its label. All other
code, and every forgery, is run on one fold, development to hold-out, with the check that its
predictions are consistent; equal code once.

`python -m tests.environment.agreement` prints the confusion matrix and every disagreement.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from marl_llm.core.kind import Kind
from marl_llm.core.predictions import Predictions
from marl_llm.environment import EnvironmentConfig, Evaluated, Evaluator
from marl_llm.environment.cache.keys import code_key
from marl_llm.environment.compliance import Case, compliance
from marl_llm.proposals import PipelineSpec, generate_code, prelude_for
from marl_llm.sandbox import Fold, Probe, Sandbox, Stage, Status
from marl_llm.tasks import Task
from tests.environment.compliance_set.pairs import Pair, frame, load_pairs, replay
from tests.fixtures import shared_sandbox, small_frame

ROWS = 480


@dataclass(frozen=True)
class Judged:
    """A pair and the compliance that the checker gave it; 0 for code that does not run. Of code
    that was not run, what it would get if it behaved as asked.
    """

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


class Bench:
    """One task on which codes are run, each once, on its hold-out and where the checker asks for it
    on rows that the code cannot expect.
    """

    def __init__(self, task: Task, sandbox: Sandbox) -> None:
        classes = len(task.classes) if task.kind.is_classification else None
        part = task.development
        self._fold = Fold.prepare(part.X, part.y, task.holdout.X, n_classes=classes, seed=0)
        self._sandbox = sandbox
        self._done: dict[str, Evaluated] = {}
        self.evaluator = Evaluator(task, sandbox, EnvironmentConfig(cv_folds=2))

    def run(self, codes: Iterable[str], *, describe: bool = False) -> None:
        """Run codes, two at once; with their descriptions, which a forgery may have forged."""
        new = {key: code for code in codes if (key := _key(code)) not in self._done}
        with ThreadPoolExecutor(2) as pool:
            ran = pool.map(functools.partial(self._run, describe), new.values())
            self._done |= zip(new, ran, strict=True)

    def __getitem__(self, code: str) -> Evaluated:
        return self._done[_key(code)]

    def _run(self, describe: bool, code: str) -> Evaluated:
        done = self._sandbox.evaluate(
            code, [self._fold], prelude=prelude_for(code), probe=Probe.every, describe=describe
        )
        return Evaluated(
            done.status,
            done.stage,
            done.error,
            holdout_predictions=done.predictions[0] if done.predictions else None,
            description=done.description,
        )


@functools.cache
def bench(kind: Kind, extended: bool) -> Bench:
    """The bench of a task, in the session's sandbox."""
    return Bench(_task(kind, extended), shared_sandbox())


def _key(code: str) -> str:
    return code_key(code) or code


def _predicting(value: float) -> Evaluated:
    return Evaluated(Status.ok, Stage.predicted, holdout_predictions=Predictions(np.array([value])))


def at_best(pair: Pair, before: PipelineSpec, wanted: PipelineSpec) -> float:
    """The compliance of code that predicts what was asked on any rows."""
    asked, other = _predicting(1.0), _predicting(0.0)
    return compliance(Case(pair.code, asked, asked, other, before, wanted, lambda: True))


def _judge(pair: Pair, bench: Bench, before: PipelineSpec, wanted: PipelineSpec) -> Judged:
    result, asked = bench[pair.code], generate_code(wanted)
    if not result.ok:
        return Judged(pair, 0.0)
    case = Case(
        pair.code,
        result,
        bench[asked],
        bench[generate_code(before)],
        before,
        wanted,
        lambda: bench.evaluator.agree_elsewhere(pair.code, asked),
    )
    return Judged(pair, compliance(case))


def run_all(pairs: Iterable[Pair]) -> None:
    """Run the codes of pairs on their benches, with what was asked for and what was before."""
    by_task: dict[tuple[Kind, bool], list[Pair]] = {}
    for pair in pairs:
        by_task.setdefault((pair.kind, pair.extended), []).append(pair)
    for task, mine in by_task.items():
        bench(*task).run((pair.code for pair in mine if pair.forged), describe=True)
        bench(*task).run(pair.code for pair in mine)
        bench(*task).run(generate_code(spec) for pair in mine for spec in replay(pair))


def judge_all(pairs: tuple[Pair, ...]) -> list[Judged]:
    """Judge pairs, in their order."""
    specs = {pair.id: replay(pair) for pair in pairs}
    read = {pair.id: Judged(pair, at_best(pair, *specs[pair.id])) for pair in pairs}
    to_run = [pair for pair in pairs if pair.forged or read[pair.id].compliance == 1]
    run_all(to_run)

    def judged(pair: Pair) -> Judged:
        return _judge(pair, bench(pair.kind, pair.extended), *specs[pair.id])

    with ThreadPoolExecutor(2) as pool:
        ran = zip(to_run, pool.map(judged, to_run), strict=True)
        return list((read | {pair.id: one for pair, one in ran}).values())


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
    judged = judge_all(load_pairs())
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

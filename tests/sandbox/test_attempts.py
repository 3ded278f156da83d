"""More than sixty small attempts in one child: none gets through, without isolation all do."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from marl_llm.sandbox import Fold, Limits, Sandbox, Status
from tests.sandbox.attempts import ATTEMPTS, all_in_one
from tests.sandbox.support import ESTIMATOR, accuracy, failing_with, noise


def through(sandbox: Sandbox, folder: Path, fold: Fold) -> set[str]:
    """Names of the attempts that got through."""
    secret = folder / "labels.csv"
    secret.write_text("id,label\n1,0\n")
    error = failing_with(sandbox, all_in_one(str(folder), str(secret)), fold).error
    bits = error.split("THROUGH ")[1][: len(ATTEMPTS)]
    assert len(bits.strip("01")) == 0 and len(bits) == len(ATTEMPTS)
    return {name for name, bit in zip(ATTEMPTS, bits, strict=True) if bit == "1"}


def test_no_attempt_gets_through(sandbox: Sandbox, tmp_path: Path, noise_folds: list[Fold]) -> None:
    assert through(sandbox, tmp_path, noise_folds[0]) == set()


def test_every_attempt_gets_through_without_isolation(
    open_sandbox: Sandbox, tmp_path: Path, noise_folds: list[Fold]
) -> None:
    tmp_path.chmod(0o777)
    assert set(ATTEMPTS) - through(open_sandbox, tmp_path, noise_folds[0]) == set()


SEARCH = """
class Search(Base):
    def fit(self, X, y):
        import gc
        frame, found = sys._getframe(), []
        while frame:
            found += [name for name in frame.f_locals if name in {names}]
            frame = frame.f_back
        sizes = {len(X) // 4}  # validation rows
        found += [len(o) for o in gc.get_objects()
                  if isinstance(o, np.ndarray) and o.ndim == 1 and len(o) in sizes
                  and o.dtype.kind in "iu"]
        raise Exception("FOUND %r" % found)
def build_pipeline():
    return Search()
"""


def test_labels_of_validation_rows_are_nowhere_in_the_process(
    sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    code = ESTIMATOR + SEARCH
    hidden = code.replace("{names}", "('y_valid', 'valid', 'fold', 'probe_rows')")
    assert "FOUND []" in failing_with(sandbox, hidden, noise_folds[0]).error
    given = code.replace("{names}", "('target',)")  # so the search does look through the frames
    assert "FOUND ['target']" in failing_with(sandbox, given, noise_folds[0]).error


def test_the_interpreter_cannot_be_started_anew(
    sandbox: Sandbox, open_sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    code = ESTIMATOR + "os.execv(sys.executable, [sys.executable, '-c', 'import os; os._exit(7)'])"
    assert "PermissionError" in failing_with(sandbox, code, noise_folds[0]).error
    assert "exit status 7" in failing_with(open_sandbox, code, noise_folds[0]).error


def test_a_message_of_any_length_and_endless_recursion_are_cut_short(
    sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    limits = Limits(wall_s=10.0)
    long = failing_with(sandbox, "raise Exception('A' * (1 << 28))", noise_folds[0], limits)
    assert long.status is Status.error and len(long.error) <= 300
    deep = "import sys\nsys.setrecursionlimit(10**9)\ndef r(): r()\nr()"
    ended = failing_with(sandbox, deep, noise_folds[0], limits).status
    assert ended in (Status.died, Status.memory, Status.error, Status.timeout)


def test_labels_that_were_shown_can_be_pasted_and_those_of_the_holdout_were_not_shown(
    sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    """No isolation helps against an agent that writes training labels into its code: hence rewards
    rest on the hold-out.
    """
    frame, labels = noise()
    table = {round(float(v), 9): int(label) for v, label in zip(frame["x0"], labels, strict=True)}
    code = f"""{ESTIMATOR}
class Pasted(Base):
    def predict_proba(self, X):
        return np.eye(2)[[{table}.get(round(float(v), 9), 0) for v in X["x0"]]]
def build_pipeline():
    return Pasted()
"""
    evaluation = sandbox.evaluate(code, noise_folds)
    assert accuracy(evaluation, labels) == 1.0
    other = frame + np.float64(1e-3)  # rows that were not shown
    with Fold.prepare(frame, labels, other, n_classes=2, seed=0) as fold:
        unseen = sandbox.evaluate(code, [fold]).predictions[0].labels
    assert (unseen == labels).mean() < 0.6

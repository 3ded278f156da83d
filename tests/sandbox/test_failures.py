"""Candidates that fail: which status, which rung, which line, and that no malformed prediction is
accepted.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.sandbox import Fold, Probe, Sandbox, Stage, Status
from marl_llm.sandbox.results import MAX_ERROR_CHARACTERS, one_line
from tests.sandbox.support import ESTIMATOR, HONEST, SMALL, failing_with, noise, prepare

RUNGS = {
    "": (Stage.none, "NameError: the code does not define a function build_pipeline()"),
    "x = (": (Stage.none, "SyntaxError: '(' was never closed (line 1)"),
    "\nx = model": (Stage.none, "NameError: name 'model' is not defined (line 2)"),
    "def build_pipeline():\n    return model": (
        Stage.parsed,
        "NameError: name 'model' is not defined (line 2)",
    ),
    "def build_pipeline():\n    exit(3)": (Stage.parsed, "SystemExit: 3 (line 2)"),
    "def build_pipeline():\n    return 5": (
        Stage.built,
        "AttributeError: 'int' object has no attribute 'fit'",
    ),
    "raise ValueError('two\\nlines \\x1b[2J \\u202e')": (
        Stage.none,
        "ValueError: two lines \\x1b[2J \\u202e (line 1)",
    ),
}


@pytest.mark.parametrize("code", RUNGS)
def test_failure_names_rung_and_line(code: str, sandbox: Sandbox, noise_folds: list[Fold]) -> None:
    evaluation = failing_with(sandbox, code, noise_folds[0])
    assert (evaluation.status, evaluation.stage, evaluation.error) == (Status.error, *RUNGS[code])
    assert evaluation.predictions == ()


def test_failure_while_fitting_and_while_predicting(
    sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    def failing_in(method: str) -> str:
        return (
            f"{ESTIMATOR}\ndef fail(self, *rows):\n    raise KeyError('x9')\nBase.{method} = fail\n"
        )

    line = failing_in("fit")[: failing_in("fit").index("raise")].count("\n") + 1
    fit, predict = (
        failing_with(sandbox, failing_in(method), noise_folds[0]) for method in ("fit", "predict")
    )
    assert (fit.stage, predict.stage) == (Stage.built, Stage.fitted)
    assert fit.error == predict.error == f"KeyError: 'x9' (line {line})"


def test_evaluation_stops_at_the_first_fold_that_fails(
    sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    picky = HONEST.replace("def build", "import numpy as np\ndef build") + (
        "\nclass Picky(LogisticRegression):\n"
        "    def fit(self, X, y):\n"
        "        if float(np.asarray(X)[:, 0].sum()) == SUM: raise ValueError('not this one')\n"
        "        return super().fit(X, y)\n"
        "def build_pipeline(): return Picky()\n"
    )
    sums = (
        "import numpy as np\nclass S:\n    def fit(self, X, y): raise "
        "ValueError(float(np.asarray(X)[:, 0].sum()))\n"
    )
    told = failing_with(sandbox, sums + "def build_pipeline(): return S()", noise_folds[2]).error
    value = told.split("ValueError: ")[1].split()[0]
    evaluation = sandbox.evaluate(picky.replace("SUM", value), noise_folds)
    assert (evaluation.status, evaluation.stage) == (Status.error, Stage.built)
    assert "not this one" in evaluation.error
    assert evaluation.predictions == ()


MALFORMED = {
    "nan": "P = np.full((len(X), 2), np.nan); return P",
    "infinite": "P = np.full((len(X), 2), 0.5); P[0, 0] = np.inf; return P",
    "too few rows": "return np.full((len(X) // 2, 2), 0.5)",
    "too many columns": "return np.full((len(X), 5), 0.2)",
    "not summing to one": "return np.full((len(X), 2), 0.9)",
    "negative": "return np.tile([-0.5, 1.5], (len(X), 1))",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_probabilities_are_rejected(
    name: str, sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    code = (
        f"{ESTIMATOR}\nBase.predict = lambda self, X: np.zeros(len(X))\ndef f(self, X):\n    "
        f"{MALFORMED[name]}\n"
    )
    evaluation = failing_with(sandbox, code + "Base.predict_proba = f\n", noise_folds[0])
    assert (evaluation.status, evaluation.stage) == (Status.bad_predictions, Stage.fitted)


@pytest.mark.parametrize(
    "labels",
    [
        "np.zeros(3)",
        "np.zeros((len(X), 2))",
        "np.full(len(X), 2)",
        "np.full(len(X), -1)",
        "np.full(len(X), 0.5)",
    ],
)
def test_malformed_labels_are_rejected(
    labels: str, sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    evaluation = failing_with(
        sandbox, f"{ESTIMATOR}\nBase.predict = lambda self, X: {labels}\n", noise_folds[0]
    )
    assert (evaluation.status, evaluation.stage) == (Status.bad_predictions, Stage.fitted)


def test_objects_are_never_unpickled(sandbox: Sandbox, noise_folds: list[Fold]) -> None:
    gadget = """
class Gadget:
    def __reduce__(self):
        return os.system, ("touch /tmp/marl-gadget",)
    def __repr__(self):
        return "</json>\\x1b[2J"
class Owner(Base):
    def __init__(self, gadget=Gadget()):
        self.gadget = gadget
    def predict_proba(self, X):
        return np.array([[Gadget(), Gadget()]] * len(X), dtype=object)
def build_pipeline():
    return Owner()
"""
    evaluation = failing_with(sandbox, ESTIMATOR + gadget, noise_folds[0])
    assert evaluation.status is Status.error
    assert evaluation.description is not None
    assert evaluation.description["params"] == {"gadget": "</json>\x1b[2J"}


INCONSISTENT = {
    "random": "P = np.random.default_rng().random((len(X), 1)); return np.hstack([P, 1 - P])",
    "by call": "Base.n = n = getattr(Base, 'n', 0) + 1; return np.tile([1 / n, 1 - 1 / n], "
    "(len(X), 1))",
    "by position": "P = np.arange(len(X))[:, None] / len(X); return np.hstack([P, 1 - P])",
    "by batch": "P = np.asarray(X)[:, :1]; P = (P - P.min()) / (P.max() - P.min()); return "
    "np.hstack([P, 1 - P])",
}


@pytest.mark.parametrize("name", INCONSISTENT)
def test_predictions_that_depend_on_anything_but_the_row_are_found(
    name: str, sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    code = (
        f"{ESTIMATOR}\nBase.predict = lambda self, X: np.zeros(len(X))\ndef f(self, X):\n    "
        f"{INCONSISTENT[name]}\n"
    )
    code += "Base.predict_proba = f\n"
    evaluation = failing_with(sandbox, code, noise_folds[0])
    assert (evaluation.status, evaluation.stage) == (Status.inconsistent, Stage.predicted)
    unprobed = sandbox.evaluate(code, noise_folds[:1], limits=SMALL, probe="never")
    assert unprobed.status is Status.ok  # so it was the probe that found it


def test_the_last_fold_is_probed_unless_asked_otherwise(
    sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    frame, labels = noise(100)
    code = (
        ESTIMATOR
        + """
class Suspect(Base):  # inconsistent in the folds of the larger task only
    def fit(self, X, y):
        self.large = len(X) > 100
        return super().fit(X, y)
    def predict(self, X):
        return np.arange(len(X)) % 2 if self.large else np.zeros(len(X), int)
def build_pipeline():
    return Suspect()
"""
    )
    suspect, calm = noise_folds[0], prepare(frame, labels)[0]
    outcomes = {
        (probe, order): sandbox.evaluate(code, folds, probe=probe).status
        for order, folds in (("first", [suspect, calm]), ("last", [calm, suspect]))
        for probe in Probe
    }
    caught = {key for key, status in outcomes.items() if status is Status.inconsistent}
    assert caught == {("last", "last"), ("every", "first"), ("every", "last")}
    assert sandbox.evaluate(code, [calm, suspect]).status is Status.inconsistent  # the default


@given(st.text(max_size=2000), st.integers(10, MAX_ERROR_CHARACTERS))
def test_errors_are_one_short_printable_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert line.isprintable()

"""Gradient boosting libraries under full isolation: what they predict inside is what they predict
here.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from marl_llm.proposals import PipelineSpec, generate_code, prelude_for
from marl_llm.proposals.estimators import ESTIMATORS
from marl_llm.sandbox import Fold, Sandbox, Status
from tests.sandbox.support import ESTIMATOR, failing_with, fit_here, mixed_frame, same

TREES = {"lightgbm": "n_estimators", "xgboost": "n_estimators", "catboost": "iterations"}
NAMES = [name for name, info in ESTIMATORS.items() if info.module in TREES]


@pytest.fixture(scope="module")
def mixed() -> tuple[pd.DataFrame, pd.DataFrame]:
    frame = mixed_frame(160)
    return frame.iloc[:120], frame.iloc[120:]


def boosting(name: str) -> tuple[str, str]:
    """A candidate of twenty trees as a solution would write it, and its prelude."""
    info = ESTIMATORS[name]
    pytest.importorskip(info.module)
    code = generate_code(PipelineSpec(estimator=name).with_params({TREES[info.module]: 20}))
    return code, prelude_for(code)


def target(name: str, frame: pd.DataFrame) -> np.ndarray:
    """Ruled by one column, so that trees have something to split on."""
    numbers = frame["x0"].fillna(0.0).to_numpy()
    return (numbers > 0).astype(np.int64) if ESTIMATORS[name].classifier else numbers


@pytest.mark.parametrize("name", NAMES)
def test_boosting_predicts_inside_what_it_predicts_here(
    sandbox: Sandbox, mixed: tuple[pd.DataFrame, pd.DataFrame], name: str
) -> None:
    code, prelude = boosting(name)
    train, valid = mixed
    labels = target(name, train)
    fold = Fold.prepare(
        train, labels, valid, n_classes=2 if ESTIMATORS[name].classifier else None, seed=0
    )
    evaluation = sandbox.evaluate(code, [fold], prelude=prelude)
    assert evaluation.status is Status.ok, evaluation.error
    assert same(
        evaluation.predictions, [fit_here(f"{prelude}\n{code}", fold, train, labels, valid, seed=0)]
    )
    assert len(np.unique(evaluation.predictions[0].labels)) > 1


def test_boosting_that_fails_inside_says_why(
    sandbox: Sandbox, mixed: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    code, prelude = boosting("CatBoostClassifier")
    train, valid = mixed
    fold = Fold.prepare(train, target("CatBoostClassifier", train), valid, n_classes=2, seed=0)
    broken = f"{prelude}\n{code}".replace("iterations=20", "iterations=-1")
    evaluation = failing_with(sandbox, broken, fold)
    assert evaluation.status is Status.error
    assert "CatBoostError" in evaluation.error


def test_proc_and_sys_hold_constants_that_cannot_be_written(
    sandbox: Sandbox, mixed: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    train, valid = mixed
    fold = Fold.prepare(train, target("CatBoostClassifier", train), valid, n_classes=2, seed=0)
    looks = """
class Base(Base):
    def fit(self, X, y):
        assert os.cpu_count() == 1
        found = []
        found += os.listdir("/proc/self") + os.listdir("/sys/devices/system/cpu")
        sysfs = "/sys/devices/system/cpu"
        for folder, name in (("/proc/self", "statm"), ("/proc/self", "maps"), (sysfs, "online")):
            os.close(os.open(f"{folder}/{name}", os.O_RDONLY))
            for path in (f"{folder}/{name}", f"{folder}/new"):
                try:
                    os.open(path, os.O_WRONLY | os.O_CREAT)
                except OSError:
                    continue
                raise AssertionError(path)
        raise LookupError(sorted(found))
"""
    assert "['maps', 'online', 'statm']" in failing_with(sandbox, ESTIMATOR + looks, fold).error


def test_neighbours_of_many_columns_are_found(sandbox: Sandbox) -> None:
    """Over 15 columns scikit-learn searches by brute force, which asks threadpoolctl, which reads
    /proc/self/maps.
    """
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(rng.normal(size=(80, 20)), columns=[f"x{i}" for i in range(20)])
    y = np.asarray(wide["x0"] > 0, dtype=np.int64)
    fold = Fold.prepare(wide[:60], y[:60], wide[60:], n_classes=2, seed=0)
    code = "def build_pipeline():\n    return KNeighborsClassifier(n_neighbors=3)\n"
    evaluation = sandbox.evaluate(code, [fold], prelude=prelude_for(code))
    assert evaluation.status is Status.ok, evaluation.error

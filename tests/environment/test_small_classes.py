"""Tasks with classes of 1 to 8 rows, from the folds to the answers of an analysis: everything runs
on them.
"""

from __future__ import annotations

import numpy as np
import pytest

from marl_llm.core.kind import Kind
from marl_llm.core.metrics.names import metrics_for
from marl_llm.environment import EnvironmentConfig, TeamEnv, describe_task
from marl_llm.environment.elsewhere import unexpected_folds
from marl_llm.environment.evaluator import Evaluator
from marl_llm.proposals import Analyze, InvalidAction, PipelineSpec, Tune, apply, generate_code
from marl_llm.sandbox import Sandbox
from marl_llm.tasks import Task
from tests.environment.analysed import COLUMN_QUERIES, MODEL_QUERIES
from tests.tasks.test_small_classes import small_classes

LOGISTIC = PipelineSpec(estimator="LogisticRegression")
SPECS = {
    "linear": LOGISTIC,
    "boosting": PipelineSpec(estimator="HistGradientBoostingClassifier"),
    "calibrated": LOGISTIC.model_copy(update={"calibration": "isotonic"}),
    "without probabilities": PipelineSpec(estimator="RidgeClassifier"),
    "stacked": PipelineSpec(
        estimator="Stacking", members=(LOGISTIC, PipelineSpec(estimator="GaussianNB"))
    ),
    "consecutive classes": PipelineSpec(estimator="XGBClassifier"),
}


def task_of(*sizes: int) -> Task:
    kind = Kind.binary if len(sizes) == 2 else Kind.multiclass
    frame = small_classes(list(sizes)).drop(columns="day")
    return Task.from_frame(frame, target="y", metrics=dict.fromkeys(metrics_for(kind), 1.0))


@pytest.mark.parametrize("sizes", [(80, 60, 5, 8, 3), (80, 8)], ids=str)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_kind_of_model_is_fitted_and_scored_by_every_metric(
    sandbox: Sandbox, spec: PipelineSpec, sizes: tuple[int, ...]
):
    if spec.estimator == "XGBClassifier":
        pytest.importorskip("xgboost")
    task = task_of(*sizes)
    evaluator = Evaluator(task, sandbox, EnvironmentConfig())
    done = evaluator.evaluate(generate_code(spec))
    assert done.complete, done.error
    assert done.cv is not None and done.holdout is not None and done.holdout_predictions is not None
    assert done.holdout_predictions.proba is not None
    assert done.holdout_predictions.proba.shape == (len(task.holdout), len(sizes))
    assert np.isfinite([*done.cv.skills.values(), *done.holdout.skills.values()]).all()
    test = evaluator.test_scores(spec)
    assert test is not None and set(test.skills) == set(task.metrics)
    evaluator.close()


@pytest.mark.parametrize("sizes", [(80, 60, 1), (80, 60, 2, 3), (80, 5), (80, 4)], ids=str)
def test_the_baseline_runs_on_the_smallest_classes_there_are(
    sandbox: Sandbox, sizes: tuple[int, ...]
):
    evaluator = Evaluator(task_of(*sizes), sandbox, EnvironmentConfig(cv_folds=5))
    done = evaluator.evaluate(generate_code(LOGISTIC))
    assert done.complete, done.error
    evaluator.close()


def test_every_analysis_answers(sandbox: Sandbox):
    env = TeamEnv(task_of(80, 60, 5, 8, 1), sandbox, EnvironmentConfig())
    state = env.reset()
    for query in (*COLUMN_QUERIES, *MODEL_QUERIES):
        asked = Analyze(query=query, columns=("x0", "x2"))  # type: ignore[arg-type]
        assert env.analyze(state, asked)
    env.close()


def test_calibration_of_a_class_that_cannot_be_divided_by_three_is_refused_when_proposed():
    action = Tune(params={"calibration": "isotonic"})
    with pytest.raises(
        InvalidAction, match="calibration needs 3 rows of each class, the smallest has 1"
    ):
        apply(action, LOGISTIC, describe_task(task_of(80, 60, 1)).context())
    assert (
        apply(action, LOGISTIC, describe_task(task_of(80, 60, 3)).context()).calibration
        == "isotonic"
    )


def test_unexpected_rows_hold_every_class():
    task = task_of(80, 60, 1, 3)
    for seed in range(5):
        for fold in unexpected_folds(task, 4, seed):
            rows = fold.train.layout.rows
            y = np.frombuffer(
                fold.train.content,
                "<i8",
                count=rows,
                offset=8 * rows * len(fold.train.layout.numeric),
            )
            assert (np.bincount(y, minlength=4) >= [3, 3, 1, 3]).all()
            fold.close()

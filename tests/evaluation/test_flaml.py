"""The arm `flaml`: what it is given, what comes back, what it may cost. Real FLAML on a small CSV,
seconds each.
"""

from __future__ import annotations

import importlib.util
import shutil
import threading
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml

from marl_llm.cli import main
from marl_llm.core.errors import UserError
from marl_llm.core.kind import Kind
from marl_llm.core.metrics.names import metrics_for
from marl_llm.evaluation import Question, evaluate_suite, flaml_arm
from marl_llm.evaluation.arms import left_out, make_arms
from marl_llm.evaluation.flaml_arm import FlamlFailed, FlamlProcesses
from marl_llm.evaluation.flaml_metrics import flaml_metric
from marl_llm.evaluation.flaml_worker import Job, aligned
from marl_llm.evaluation.play import budgets_of
from marl_llm.evaluation.report import Result
from marl_llm.evaluation.trials import suite_trials
from marl_llm.sandbox import Sandbox
from marl_llm.tasks import Task
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory

BUNDLED = Path(__file__).parents[2] / "data" / "bundled"
RECIPE = Recipe.model_validate(
    {"environment": {"steps": 2, "cv_folds": 2, "resamples": 200}}
).playing
needs_flaml = pytest.mark.skipif(
    importlib.util.find_spec("flaml") is None, reason="FLAML is not installed"
)


def iris() -> Task:
    return Task.from_csv(BUNDLED / "iris.csv", target="species")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("suite")
    shutil.copy(BUNDLED / "iris.csv", directory)
    (directory / "suite.yaml").write_text(
        yaml.safe_dump([{"csv": "iris.csv", "target": "species"}])
    )
    return directory


@needs_flaml
@pytest.mark.parametrize("kind", list(Kind))
def test_every_metric_has_a_nearest_one_that_flaml_knows(kind):
    from flaml.automl.ml import sklearn_metric_name_set

    assert {
        flaml_metric({name: 1.0}, kind) for name in metrics_for(kind)
    } <= sklearn_metric_name_set


def test_flaml_optimises_the_heaviest_metric_and_of_equal_ones_the_first():
    assert flaml_metric({"accuracy": 1.0, "neg_log_loss": 2.0}, Kind.multiclass) == "log_loss"
    assert flaml_metric({"f1_macro": 1.0, "neg_log_loss": 1.0}, Kind.multiclass) == "macro_f1"
    assert flaml_metric({"recall[no]": 1.0}, Kind.binary) == "macro_f1", (
        "f1 would be that of the other class"
    )
    assert flaml_metric({"roc_auc_ovr": 1.0}, Kind.binary) == "roc_auc"


def test_a_class_that_was_never_seen_gets_a_column_of_zeros():
    proba = aligned(np.array([[0.25, 0.25], [0.1, 0.9]]), np.array([0, 2]), 3)
    assert np.allclose(proba, [[0.5, 0.0, 0.5], [0.1, 0.0, 0.9]])


def test_flaml_gets_all_labelled_rows_and_of_the_test_part_only_the_features(
    monkeypatch: pytest.MonkeyPatch,
):
    seen: list[Job] = []

    def record(self: FlamlProcesses, job: Job, folder: Path):
        seen.append(job)
        raise FlamlFailed("only looking")

    monkeypatch.setattr(FlamlProcesses, "_run", record)
    task = iris()
    with pytest.raises(FlamlFailed):
        FlamlProcesses().predict(task, 2.0, 7)
    (job,) = seen
    assert len(job.X) == len(job.y) == len(task.development) + len(task.holdout)
    assert job.X_test.equals(task.test.X) and list(job.X.columns) == list(task.test.X.columns)
    arrays = [
        value for field in fields(job) if isinstance(value := getattr(job, field.name), np.ndarray)
    ]
    assert [len(array) for array in arrays] == [len(job.y)], (
        "an array besides the labels of the rows it may see"
    )


@needs_flaml
def test_predictions_are_aligned_with_the_task_and_the_budget_holds():
    task = iris()
    predictions, cost = FlamlProcesses().predict(task, 2.0, 7)
    assert predictions.proba is not None and predictions.proba.shape == (len(task.test), 3)
    assert np.allclose(predictions.proba.sum(axis=1), 1)
    assert np.mean(predictions.labels == task.test.y) > 0.8
    assert np.mean(predictions.proba.argmax(axis=1) == task.test.y) > 0.8
    assert 2.0 <= cost.cpu_s < 15, (
        "CatBoost alone goes on for a minute where its deadline is not kept"
    )


@needs_flaml
def test_a_search_that_does_not_end_is_given_up_and_one_that_fails_says_why(
    monkeypatch: pytest.MonkeyPatch,
):
    with monkeypatch.context() as patch:
        patch.setattr(flaml_arm, "wall_limit", lambda seconds: 0.5)
        began = time.monotonic()
        with pytest.raises(FlamlFailed, match="not done after 0 s"):
            FlamlProcesses().predict(iris(), 600.0, 0)
        assert time.monotonic() - began < 10
    monkeypatch.setattr(flaml_arm, "flaml_metric", lambda metrics, kind: "beauty")
    with pytest.raises(FlamlFailed, match="beauty"):
        FlamlProcesses().predict(iris(), 2.0, 0)


def test_stopping_ends_the_search_under_way():
    processes, said = FlamlProcesses(), []

    def search() -> None:
        try:
            processes.predict(iris(), 600.0, 0)
        except FlamlFailed as error:
            said.append(str(error))

    thread = threading.Thread(target=search, daemon=True)
    thread.start()
    while not processes._running:
        time.sleep(0.05)
    processes.stop()
    thread.join(timeout=20)
    assert said == ["it ended with code -9"]


@needs_flaml
def test_flaml_is_given_what_the_team_took_on_that_trial_and_is_not_run_twice(
    comparing: Sandbox, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def compare():
        run = RunDirectory(tmp_path)
        return evaluate_suite(
            run, RECIPE, Question(("flaml", "scripted")), suite=suite, out=tmp_path / "ev"
        )

    report = compare()
    by_arm = {r.arm: r for r in report.results}
    flaml, team = by_arm["flaml"], by_arm["scripted"]
    assert team.cpu_s is not None and flaml.budget_s == max(1.0, team.cpu_s)
    assert flaml.test is not None and flaml.raw and flaml.low is not None, (
        "scored and tested like every arm"
    )
    assert flaml.cpu_s is not None and flaml.cpu_s >= flaml.budget_s
    assert [arm.arm for arm in report.arms] == ["flaml", "scripted", "baseline"]
    monkeypatch.setattr(FlamlProcesses, "predict", lambda *_: pytest.fail("searched again"))
    assert compare().results == report.results


@needs_flaml
def test_another_budget_is_another_search(
    comparing: Sandbox, suite: Path, tmp_path: Path, monkeypatch
):
    given: list[float] = []

    def record(self: FlamlProcesses, task: Task, seconds: float, seed: int):
        given.append(seconds)
        raise FlamlFailed("only looking")

    monkeypatch.setattr(FlamlProcesses, "predict", record)
    for seconds in (2.0, 3.0, None):
        run, out = RunDirectory(tmp_path), tmp_path / "ev"
        report = evaluate_suite(
            run, RECIPE, Question(("flaml",), flaml_seconds=seconds), suite=suite, out=out
        )
    assert given == [2.0, 3.0, 60.0], "without a team it gets a minute"
    assert "only looking" in next(r.error for r in report.results if r.arm == "flaml")


def test_a_team_whose_cost_is_not_known_cannot_be_matched(suite: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("marl_llm.evaluation.arms.require_flaml", lambda: None)
    trials, _ = suite_trials(suite, 2, 0)
    flaml = make_arms(["scripted", "flaml"], RECIPE, RunDirectory(tmp_path), 0)[1]
    assert flaml.budget is not None and flaml.budget.like == "scripted"
    known = Result(
        arm="scripted", trial=trials[0].name, task="iris", repeat=0, kind="multiclass", cpu_s=7.5
    )
    assert budgets_of(flaml.budget, trials, [known]) == {trials[0].name: 7.5, trials[1].name: None}
    with pytest.raises(UserError, match="--flaml-seconds"):
        budgets_of(flaml.budget, trials, [known.model_copy(update={"cpu_s": None})])


def test_without_flaml_one_sentence_names_the_extra_before_anything_is_played(
    suite: Path, tmp_path: Path, monkeypatch, capsys
):
    RunDirectory(tmp_path / "run").root.mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("name: x\n")
    monkeypatch.setattr(flaml_arm.importlib.util, "find_spec", lambda name: None)
    command = ["evaluate", "--run", str(tmp_path / "run"), "--suite", str(suite), "--arms", "flaml"]
    assert main(command) == 2
    said = capsys.readouterr().err.strip()
    assert "marl_llm[automl]" in said and said.count("\n") == 0
    assert not (tmp_path / "run" / "evaluation").exists()


def test_a_budget_too_small_and_an_arm_that_is_not_there_to_be_held_against_are_refused(
    suite: Path, tmp_path: Path
):
    run, rest = RunDirectory(tmp_path), {"suite": suite, "out": tmp_path / "ev"}
    if importlib.util.find_spec("flaml"):
        with pytest.raises(UserError, match="at least 1 second"):
            evaluate_suite(run, RECIPE, Question(("flaml",), flaml_seconds=0.2), **rest)
    with pytest.raises(
        UserError, match="--against catboost: the comparison has no such arm; it has hgb, baseline"
    ):
        evaluate_suite(run, RECIPE, Question(("hgb",), against="catboost"), **rest)
    assert not (tmp_path / "ev").exists()


def test_a_fixed_arm_without_its_package_is_left_out_with_a_sentence(
    comparing: Sandbox, suite: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("marl_llm.evaluation.arms.missing_package", {"catboost": "catboost"}.get)
    lines: list[str] = []
    report = evaluate_suite(
        RunDirectory(tmp_path),
        RECIPE,
        Question(("catboost",)),
        suite=suite,
        out=tmp_path / "ev",
        on_line=lines.append,
    )
    assert [arm.arm for arm in report.arms] == ["baseline"]
    assert lines[0] == left_out(["catboost"])["catboost"] == report.settings["left_out"][0]
    assert "marl_llm[boosting]" in lines[0]

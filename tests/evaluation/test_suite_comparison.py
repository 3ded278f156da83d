"""Whole comparisons with the real sandbox on small CSVs: scripted team, gradient boosting,
baseline.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from marl_llm.core.errors import UserError
from marl_llm.environment import TeamEnv
from marl_llm.evaluation import (
    EvaluationReport,
    Question,
    evaluate_procedural,
    evaluate_suite,
    load_report,
)
from marl_llm.evaluation import play as play_module
from marl_llm.evaluation.report import Result
from marl_llm.evaluation.scoring import Bench, final_spec
from marl_llm.evaluation.trials import slug, suite_trials
from marl_llm.proposals import generate_code
from marl_llm.rollout.collect import Collector
from marl_llm.rollout.summary import read_summaries
from marl_llm.sandbox import Sandbox
from marl_llm.tasks import Task
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory

BUNDLED = Path(__file__).parents[2] / "data" / "bundled"
RECIPE = Recipe.model_validate(
    {"environment": {"steps": 2, "cv_folds": 2, "resamples": 200}}
).playing
OFFLINE = ("scripted", "hgb", "baseline")


def write_suite(directory: Path) -> Path:
    """Two usable CSVs, one with an awkward name, and one whose target has one class."""
    rng = np.random.default_rng(0)
    directory.mkdir(parents=True)
    x = rng.normal(size=(240, 3))
    frame = pd.DataFrame(x, columns=list("abc"))
    frame["word"] = rng.choice(["u", "v"], len(frame))
    frame["y"] = x[:, 0] * x[:, 1] + rng.normal(0, 0.1, len(frame))
    frame.to_csv(directory / "preços & cia.csv", index=False)
    frame.assign(y="same").to_csv(directory / "one_class.csv", index=False)
    shutil.copy(BUNDLED / "iris.csv", directory)
    entries = [
        {"csv": "preços & cia.csv", "target": "y", "kind": "regression"},
        {"csv": "one_class.csv", "target": "y"},
        {"csv": "iris.csv", "target": "species"},
    ]
    (directory / "suite.yaml").write_text(
        yaml.safe_dump(entries, allow_unicode=True), encoding="utf-8"
    )
    return directory


@pytest.fixture(scope="module")
def compared(
    comparing: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> tuple[EvaluationReport, Path, Path]:
    root = tmp_path_factory.mktemp("run")
    suite = write_suite(root / "suite")
    report = evaluate_suite(
        RunDirectory(root), RECIPE, Question(OFFLINE, 2), suite=suite, out=root / "ev"
    )
    return report, root, suite


def test_every_arm_has_a_test_score_and_raw_metrics_on_every_usable_csv(compared):
    report, _, _ = compared
    assert {(r.arm, r.task, r.repeat) for r in report.results if r.test is not None and r.raw} == {
        (arm, task, repeat)
        for arm in OFFLINE
        for task in ("preços & cia", "iris")
        for repeat in (0, 1)
    }
    assert {r.task: set(r.raw) for r in report.results}["preços & cia"] == {
        "r2",
        "neg_root_mean_squared_error",
    }


def test_a_csv_that_cannot_be_used_is_reported_by_name_and_loses_nothing_else(compared):
    report, _, _ = compared
    assert [p.task for p in report.problems] == ["one_class"]
    assert "y" in report.problems[0].error
    assert report.tasks == 2


def test_boosting_beats_the_linear_baseline_where_a_product_is_the_truth(compared):
    report, _, _ = compared
    boosted = [r for r in report.results if r.arm == "hgb" and r.task == "preços & cia"]
    assert all(r.improved and not r.worse for r in boosted)
    assert all(r.gain == 0 and r.low == r.high == 0 for r in report.results if r.arm == "baseline")


def test_only_teams_have_figures_of_play(compared):
    report, _, _ = compared
    assert {arm.arm for arm in report.arms if arm.team} == {"scripted"}
    scripted = next(arm for arm in report.arms if arm.arm == "scripted")
    assert scripted.team["compliance"].mean == 1
    assert scripted.team["failed_code"].mean == 0


def test_every_result_says_what_it_cost_and_the_summary_the_mean(compared):
    report, _, _ = compared
    assert all(r.cpu_s and r.wall_s and 0.01 < r.cpu_s < 60 for r in report.results)
    for arm in report.arms:
        costs = [r.cpu_s for r in report.results if r.arm == arm.arm]
        assert arm.cpu_s.mean == pytest.approx(np.mean(costs))
    by_arm = {arm.arm: arm.cpu_s.mean for arm in report.arms}
    assert by_arm["scripted"] > by_arm["baseline"], "an episode has the baseline's fits and more"


def test_a_fixed_arm_pays_for_its_folds_the_holdout_and_the_final_fit(
    comparing: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    evaluate, spent = Sandbox.evaluate, []

    def watched(self, *args, **kwargs):
        done = evaluate(self, *args, **kwargs)
        spent.append(done.cpu_seconds)
        return done

    monkeypatch.setattr(Sandbox, "evaluate", watched)
    report = evaluate_procedural(
        RunDirectory(tmp_path),
        RECIPE,
        Question(()),
        count=1,
        first_seed=900_000,
        out=tmp_path / "ev",
    )
    assert len(spent) == RECIPE.environment.cv_folds + 2
    assert report.results[0].cpu_s == pytest.approx(sum(spent), abs=1e-3)


def test_repetitions_split_the_csv_anew(compared):
    report, _, _ = compared
    trials = {r.trial for r in report.results if r.task == "iris"}
    assert len({name.split("-")[1] for name in trials}) == 2


def test_the_report_lies_beside_the_trajectories(compared):
    report, root, _ = compared
    assert load_report(root / "ev") == report
    assert len(list((root / "ev").glob("scripted-*/part-*.parquet"))) == 4


def test_started_again_it_plays_and_scores_nothing_twice(compared, monkeypatch: pytest.MonkeyPatch):
    report, root, suite = compared
    monkeypatch.setattr(play_module, "_team_results", lambda *_: pytest.fail("played again"))
    monkeypatch.setattr(play_module, "_fixed_result", lambda *_: pytest.fail("run again"))
    again = evaluate_suite(
        RunDirectory(root), RECIPE, Question(OFFLINE, 2), suite=suite, out=root / "ev"
    )
    assert again.results == report.results


def test_a_result_that_was_lost_is_made_again_from_its_episode(
    compared, monkeypatch: pytest.MonkeyPatch
):
    _, root, suite = compared
    lost = next((root / "ev").glob("scripted-*/results/iris-*-r1.json"))
    before = lost.read_text()
    lost.unlink()
    monkeypatch.setattr(Collector, "_one", lambda *_: pytest.fail("played again"))
    evaluate_suite(RunDirectory(root), RECIPE, Question(OFFLINE, 2), suite=suite, out=root / "ev")
    cost = {"cpu_s", "wall_s"}  # of the final fit, which is measured anew
    again, kept = (
        Result.model_validate_json(text).model_dump(exclude=cost)
        for text in (lost.read_text(), before)
    )
    assert again == kept


def test_other_settings_never_mix_with_kept_results(compared):
    _, root, suite = compared
    folders = {path.name for path in (root / "ev").iterdir()}
    environment = RECIPE.environment.model_copy(update={"steps": 1})
    longer = replace(RECIPE, environment=environment)
    evaluate_suite(
        RunDirectory(root), longer, Question(("baseline",)), suite=suite, out=root / "ev"
    )
    assert len({path.name for path in (root / "ev").iterdir()} - folders) == 1


def test_the_final_solution_is_kept_with_the_summary_exactly(compared, sandbox: Sandbox):
    _, root, suite = compared
    folder = next((root / "ev").glob("scripted-*"))
    summaries = read_summaries(folder)
    assert any(s.accepted for s in summaries), (
        "no scripted episode accepted a step: choose another seed"
    )
    loads = {trial.name: trial for trial in suite_trials(suite, 2, 0)[0]}
    for summary in summaries:
        task = loads[summary.episode].load()
        code = generate_code(final_spec(summary))
        env = TeamEnv(task, sandbox, RECIPE.environment, loads[summary.episode].seed(0))
        result = env.run(code)
        env.close()
        assert result.holdout is not None
        assert result.holdout.score == pytest.approx(summary.final, abs=1e-12)


def test_an_episode_that_cannot_be_played_leaves_an_error_and_the_others_their_scores(
    comparing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    played = Collector._one

    async def refuse_iris(self, plan, gate, progress):
        if plan.name.startswith("iris"):
            raise UserError("iris: no prompt fits into the model's context")
        await played(self, plan, gate, progress)

    monkeypatch.setattr(Collector, "_one", refuse_iris)
    suite = write_suite(tmp_path / "suite")
    report = evaluate_suite(
        RunDirectory(tmp_path), RECIPE, Question(("scripted",)), suite=suite, out=tmp_path / "ev"
    )
    by_task = {r.task: r for r in report.results if r.arm == "scripted"}
    assert "no prompt fits" in by_task["iris"].error
    assert by_task["preços & cia"].test is not None


def test_procedural_tasks_are_compared_too(comparing, tmp_path: Path):
    lines: list[str] = []
    run, out = RunDirectory(tmp_path), tmp_path / "ev"
    report = evaluate_procedural(
        run,
        RECIPE,
        Question(("hgb",)),
        count=2,
        first_seed=900_000,
        out=out,
        on_line=lines.append,
    )
    assert {r.task for r in report.results} == {"procedural-900000", "procedural-900001"}
    assert [arm.arm for arm in report.arms] == ["hgb", "baseline"]
    assert lines[0].startswith("baseline: 2 trials")


def test_a_misspelt_arm_and_an_adapter_that_is_not_there_are_said_before_anything_runs(
    comparing, tmp_path: Path
):
    run = RunDirectory(tmp_path)
    with pytest.raises(UserError, match="did you mean 'trained'"):
        evaluate_suite(run, RECIPE, Question(("traned",)), suite=BUNDLED, out=tmp_path)
    with pytest.raises(UserError, match="no adapters here"):
        evaluate_suite(run, RECIPE, Question(("trained",)), suite=BUNDLED, out=tmp_path)
    with pytest.raises(UserError, match="no directory"):
        evaluate_suite(run, RECIPE, Question(("hgb",)), suite=tmp_path / "none", out=tmp_path)


def test_awkward_names_become_file_names():
    assert slug("preços & cia") == "precos_cia"
    assert slug("日本") == "task"


def test_a_changed_csv_is_another_trial(tmp_path: Path):
    suite = write_suite(tmp_path / "suite")
    before = {trial.name for trial in suite_trials(suite, 1, 0)[0]}
    frame = pd.read_csv(suite / "iris.csv").iloc[:-10]
    frame.to_csv(suite / "iris.csv", index=False)
    assert len(before - {trial.name for trial in suite_trials(suite, 1, 0)[0]}) == 1
    assert Task.from_csv(suite / "iris.csv", target="species")


def test_an_interrupt_keeps_what_was_finished(
    comparing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    suite, run, out = write_suite(tmp_path / "suite"), RunDirectory(tmp_path), tmp_path / "ev"
    fixed = Bench.fixed

    def interrupted(self, arm, trial, task, code):
        if trial.task == "iris":
            raise KeyboardInterrupt
        return fixed(self, arm, trial, task, code)

    with monkeypatch.context() as patch:
        patch.setattr(Bench, "fixed", interrupted)
        with pytest.raises(KeyboardInterrupt):
            evaluate_suite(run, RECIPE, Question(("baseline",)), suite=suite, out=out)
    assert [path.name[:6] for path in out.glob("baseline-*/results/*.json")] == ["precos"]
    assert (
        len(evaluate_suite(run, RECIPE, Question(("baseline",)), suite=suite, out=out).results) == 2
    )

"""Arms that play as `solve` does, on small CSVs with the real sandbox, and the same without
agents.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from marl_llm.core.errors import UserError
from marl_llm.evaluation import EvaluationReport, Question, budgeted, evaluate_suite, plans
from marl_llm.evaluation import play as play_module
from marl_llm.evaluation.arms import make_arm
from marl_llm.evaluation.plans import BUDGETED, Plan
from marl_llm.evaluation.report import Result
from marl_llm.proposals import screened
from marl_llm.rollout.budget import Budget
from marl_llm.workspace import teams
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.teams import choose_team
from tests.lent_sandbox import lent_sandboxes, remembering_nothing
from tests.solve.conftest import AMPLE, QUICK

__all__ = ["remembering_nothing"]

SECONDS = Budget(4, "cpu")
ARMS = ("no_agents", "six_defaults", "solve@scripted")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small CSVs in which trees are better than lines."""
    directory, rng = tmp_path_factory.mktemp("suite"), np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(240, 4)).round(3), columns=list("abcd"))
    product = frame["a"] * frame["b"] + rng.normal(0, 0.1, len(frame))
    frame.assign(y=product).to_csv(directory / "number.csv", index=False)
    frame.assign(y=np.where(product > 0, "yes", "no")).to_csv(directory / "word.csv", index=False)
    entries = [
        {"csv": "number.csv", "target": "y", "kind": "regression"},
        {"csv": "word.csv", "target": "y"},
    ]
    (directory / "suite.yaml").write_text(yaml.safe_dump(entries))
    return directory


@pytest.fixture(scope="module")
def few_families():
    """Three families are enough to be claimed of, and quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screened, "_FAMILIES", screened._FAMILIES[:3])
        for module in (plans, budgeted):
            patch.setattr(module, "choose_team", lambda name: choose_team(name, QUICK))
        with lent_sandboxes():
            yield


@pytest.fixture(scope="module")
def played(
    few_families, suite: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[EvaluationReport, Path]:
    """All of them within a few seconds each, of processor time: the machine may be busy with other
    things.
    """
    out = tmp_path_factory.mktemp("ev")
    return compared(suite, out, ARMS, SECONDS), out


@pytest.fixture(scope="module")
def unhurried(
    few_families, suite: Path, tmp_path_factory: pytest.TempPathFactory
) -> EvaluationReport:
    """Without agents, ended by what there is to do and not by time."""
    return compared(suite, tmp_path_factory.mktemp("un"), ("no_agents", "six_defaults"), AMPLE)


def compared(suite: Path, out: Path, arms: tuple[str, ...], budget: Budget) -> EvaluationReport:
    question = Question(arms, play_budget=budget)
    return evaluate_suite(RunDirectory(out), QUICK.playing, question, suite=suite, out=out)


def of(report: EvaluationReport, arm: str) -> list[Result]:
    return [r for r in report.results if r.arm == arm]


def test_each_arm_delivers_a_model_for_each_csv_within_seconds(played):
    report, _ = played
    for arm in ARMS:
        assert [r.task for r in of(report, arm)] == ["number", "word"]
        assert all(
            r.test is not None and not r.error and r.cpu_s and r.wall_s for r in of(report, arm)
        )


def test_a_look_at_the_families_alone_is_better_than_the_baseline_where_trees_are(unhurried):
    results = of(unhurried, "no_agents") + of(unhurried, "six_defaults")
    assert all(r.gain is not None and r.gain > 0.1 for r in results)


def test_only_a_team_makes_proposals(played):
    report, _ = played
    assert all(
        r.team["steps"] == r.team["accepted"] == 0
        for r in of(report, "no_agents") + of(report, "six_defaults")
    )
    assert all(r.team["tokens"] == 0 for r in of(report, "solve@scripted"))


def test_started_again_nothing_is_played_twice_and_another_budget_is_another_arm(
    played, suite, monkeypatch
):
    report, out = played
    monkeypatch.setattr(play_module, "BudgetedArm", lambda *_: pytest.fail("played again"))
    assert compared(suite, out, ARMS, SECONDS).results == report.results
    first, other = (
        make_arm("no_agents", QUICK.playing, RunDirectory(out), 0, Budget(4, of))
        for of in ("cpu", "wall")
    )
    assert first.fingerprint != other.fingerprint


def test_equal_seeds_give_equal_results_without_agents(
    unhurried, remembering_nothing, suite: Path, tmp_path: Path
):
    again = compared(suite, tmp_path, ("no_agents",), AMPLE)
    first, second = (
        [(r.task, r.test, r.holdout, r.raw) for r in of(report, "no_agents")]
        for report in (unhurried, again)
    )
    assert first == second


def test_a_budget_that_is_spent_at_once_delivers_the_baseline(
    few_families, suite: Path, tmp_path, monkeypatch
):
    monkeypatch.setattr("marl_llm.rollout.budget.Clock.left", lambda self, reserve=0.0: -1.0)
    report = compared(suite, tmp_path, ("no_agents", "solve@scripted"), Budget(1))
    numbers = [r for r in report.results if r.task == "number" and r.arm != "baseline"]
    assert [(r.gain, r.team["steps"]) for r in numbers] == [(0.0, 0.0)] * 2


def test_every_budgeted_arm_says_who_plays_and_for_how_long(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(teams, "EMBEDDED_TEAM", tmp_path / "none")
    run, budget = RunDirectory(tmp_path / "run"), Budget(30, "cpu")
    run.prepare(choose_team("untrained").recipe)
    whats = {name: Plan.of(name, budget, run).what for name in BUDGETED}
    assert all(
        "30 s of processor time" in what for name, what in whats.items() if name != "six_defaults"
    )
    assert "team untrained" in whats["solve"] and "team scripted" in whats["solve@scripted"]
    assert str(run.root) in whats["solve@run"] and "no agents" in whats["no_agents"]


def test_arms_of_a_run_need_a_run(few_families, suite: Path, tmp_path: Path):
    with pytest.raises(UserError, match="not a run directory"):
        compared(suite, tmp_path, ("solve@run",), Budget(5))

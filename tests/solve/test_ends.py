"""However `solve` ends, what was found is delivered, and why it ended stands on the screen and in
report.json.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from marl_llm.core.errors import RunFailed
from marl_llm.environment.experience import ExperienceStore
from marl_llm.rollout.budget import Budget, Clock
from marl_llm.rollout.playing import Limits, Play
from marl_llm.solve import solve, solve_task
from marl_llm.solve.journal import Journal
from marl_llm.tasks import TaskFile
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.teams import choose_team
from tests.environment.known import FOREST, data_set
from tests.solve.conftest import CLIENTS, QUICK, TARGET, at_most

ENTRY = TaskFile(CLIENTS, TARGET, seed=0)


def on_disk(out: Path) -> dict:
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


def test_a_budget_that_the_baseline_has_used_up_delivers_it_and_says_so(tmp_path: Path):
    limits, lines = Limits(Budget(5)), []
    late = Clock(limits.budget, began=time.monotonic() - 3600)
    report = solve_task(
        ENTRY,
        team=choose_team("scripted", QUICK),
        limits=limits,
        out=tmp_path,
        clock=late,
        on_line=lines.append,
    )
    spent = "the budget of 5 s of wall time"
    assert report.status == "done" and report.steps == 0 and report.final["test"] is not None
    assert report.stopped == f"{spent} was used up before the first proposal"
    assert report.remark.endswith(f": {spent} left no time to evaluate anything else.")
    assert (
        on_disk(tmp_path)["stopped"] == report.stopped
        and on_disk(tmp_path)["remark"] == report.remark
    )
    assert report.remark in lines and any(
        line.startswith(f"Stopped after 0 proposals: {spent}") for line in lines
    )
    assert (
        report.seconds >= 3600
        and (tmp_path / "solution.py").is_file()
        and (tmp_path / "model.joblib").is_file()
    )


def test_data_on_which_every_family_runs_out_of_time_still_get_a_model(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(Budget, "fold_s", 0.01)
    report = solve_task(ENTRY, team=choose_team("scripted", QUICK), limits=at_most(1), out=tmp_path)
    assert report.status == "done" and report.final["test"] is not None
    assert (
        report.remark.startswith("The baseline is delivered")
        and "none ran on this data" in report.remark
    )
    assert [f["why"] for f in report.screened if f["score"] is None].count("out of time") >= 3


def test_a_team_that_breaks_down_is_named_as_the_reason_and_what_was_found_is_delivered(
    tmp_path: Path, monkeypatch
):
    def dead(self: Play, *arguments: object) -> None:
        raise RunFailed("the model server ended.")

    monkeypatch.setattr(Play, "run", dead)
    with pytest.raises(RunFailed):
        solve_task(ENTRY, team=choose_team("scripted", QUICK), limits=at_most(2), out=tmp_path)
    report = on_disk(tmp_path)
    assert (report["status"], report["stopped"]) == ("interrupted", "the model server ended.")
    assert report["gain"]["holdout"] > 0, "the families were evaluated by then"


def test_a_second_ctrl_c_loses_the_fitted_model_only(tmp_path: Path, monkeypatch):
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "step", interrupted)
    monkeypatch.setattr(solve, "fit_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        solve_task(ENTRY, team=choose_team("scripted", QUICK), limits=at_most(2), out=tmp_path)
    assert on_disk(tmp_path)["status"] == "interrupted" and on_disk(tmp_path)["screened"]
    assert (tmp_path / "solution.py").is_file() and not (tmp_path / "model.joblib").exists()


@pytest.mark.parametrize("moment", ["   0", "   1"], ids=["before the play", "in the play"])
def test_a_store_that_is_damaged_meanwhile_is_one_line_and_the_model_is_delivered(
    tmp_path: Path, moment: str
):
    store, lines = tmp_path / "experience.jsonl", []
    ExperienceStore(store).add(data_set("earlier", (FOREST, 0.2)))

    def damage(line: str) -> None:
        lines.append(line)
        if line.startswith(moment):
            store.unlink()
            store.write_text("not a store at all\nreally\n")

    recipe = Recipe.model_validate({"environment": QUICK.environment.model_dump()})
    out = tmp_path / "out"
    report = solve_task(
        ENTRY,
        team=choose_team("scripted", recipe),
        limits=at_most(4),
        out=out,
        experience=store,
        on_line=damage,
    )
    said = [line for line in lines if "going on without experience" in line]
    assert len(said) == 1 and f"{store} is no experience store" in said[0]
    assert report.status == "done" and (out / "model.joblib").is_file()
    assert store.read_text().startswith("not a store")

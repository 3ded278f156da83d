"""Promotion: a team that plays worse is not served; what was decided survives an interruption."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER, ROLES, TEAM
from marl_llm.pipeline import promotion
from marl_llm.pipeline.iterate import describe_refusals
from marl_llm.pipeline.promotion import Tried, best_version, choose, compare, promote_stage
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory

BOTH = list(ROLES)


def scores(*values: float) -> dict[tuple[str, int], float]:
    return {(f"t{i}", 0): value for i, value in enumerate(values)}


def test_a_loss_within_the_slack_is_not_worse_and_one_beyond_it_is():
    present = scores(0.5, 0.7)
    assert not compare([TEAM], scores(0.47, 0.71), present, slack=0.011).worse
    assert compare([TEAM], scores(0.47, 0.71), present, slack=0.009).worse
    assert not compare([TEAM], scores(0.9, 0.7), present, slack=0.0).worse


def test_scores_are_compared_on_the_tasks_that_both_teams_have():
    found = compare([TEAM], {("t0", 0): 0.6, ("t9", 0): 0.0}, scores(0.5), slack=0.0)
    assert (found.tasks, found.failed, found.worse) == (1, 0, False)
    assert found.difference == pytest.approx(0.1) and found.score == pytest.approx(0.6)


def test_a_team_that_fails_where_the_present_one_scored_is_worse():
    found = compare([TEAM], {("t0", 0): 0.6}, scores(0.5, 0.9), slack=0.0)
    assert (found.tasks, found.failed, found.worse) == (
        1,
        1,
        True,
    ) and found.difference == pytest.approx(0.1)


def test_a_loss_beyond_chance_is_worse_within_the_slack_too():
    before = scores(0.50, 0.60, 0.70, 0.80)
    beyond, noisy = scores(0.49, 0.59, 0.69, 0.79001), scores(0.40, 0.68, 0.68, 0.80)
    assert compare([TEAM], beyond, before, slack=0.02).worse
    found = compare([TEAM], noisy, before, slack=0.02)
    assert found.difference == pytest.approx(-0.01) and not found.worse


def test_a_team_without_a_single_score_is_worse():
    found = compare([TEAM], {}, scores(0.5), slack=1.0)
    assert found.worse and found.difference is None and found.score is None


@pytest.mark.parametrize(
    ("differences", "promoted", "teams"),
    [
        ({"both": 0.1}, BOTH, 1),
        ({"both": 0.0}, BOTH, 1),
        ({"both": -0.1, DATA_SCIENTIST: 0.1, ML_ENGINEER: 0.2}, [ML_ENGINEER], 3),
        ({"both": -0.1, DATA_SCIENTIST: 0.1, ML_ENGINEER: -0.2}, [DATA_SCIENTIST], 3),
        ({"both": -0.1, DATA_SCIENTIST: -0.1, ML_ENGINEER: -0.2}, [], 3),
    ],
)
def test_candidates_are_tried_together_and_only_then_alone(differences, promoted, teams):
    def try_team(candidates):
        by = differences["both" if len(candidates) == 2 else candidates[0]]
        return Tried(list(candidates), 0.5 + by, by, None, None, 4, 0, by < 0)

    chosen, tried = choose(BOTH, try_team)
    assert (chosen, len(tried)) == (promoted, teams)


def test_a_single_candidate_is_tried_once():
    worse = Tried([TEAM], 0.0, -0.5, None, None, 4, 0, True)
    assert choose([TEAM], lambda candidates: worse) == ([], [worse])


def adapter(directory: Path, weights: bytes) -> Path:
    directory.mkdir(parents=True)
    (directory / "adapter_config.json").write_text("{}")
    (directory / "adapter_model.safetensors").write_bytes(weights)
    return directory


def weights(directory: Path) -> bytes:
    return (directory / "adapter_model.safetensors").read_bytes()


@pytest.fixture
def opened(tmp_path, monkeypatch) -> SimpleNamespace:
    """A run whose candidates are trained, with made-up scores by candidates: only the new Engineer
    is any good.
    """
    run = RunDirectory(tmp_path / "run")
    for role in ROLES:
        adapter(run.adapter(role, 0), b"old " + role.encode())
        adapter(run.candidate(role, 0), b"new " + role.encode())
    made_up = {(): 0.5, tuple(ROLES): 0.4, (DATA_SCIENTIST,): 0.3, (ML_ENGINEER,): 0.6}
    played: list[tuple[str, ...]] = []

    def play(opened, k, candidates):
        played.append(tuple(candidates))
        return scores(made_up[tuple(candidates)])

    monkeypatch.setattr(promotion, "_scores", play)
    monkeypatch.setattr(promotion, "finish_iteration", lambda recipe, run, k, decision: None)
    recipe = Recipe.model_validate({"promotion": {"tasks": 1}})
    return SimpleNamespace(recipe=recipe, run=run, played=played)


def test_the_refused_adapter_is_kept_aside_and_the_next_version_is_the_old_one(opened):
    run = opened.run
    promote_stage(opened, 0)
    assert weights(run.adapter(ML_ENGINEER, 1)) == b"new ml_engineer"
    assert weights(run.adapter(DATA_SCIENTIST, 1)) == b"old data_scientist"
    assert weights(run.refused(DATA_SCIENTIST, 0)) == b"new data_scientist"
    assert not run.refused(ML_ENGINEER, 0).exists() and not any(
        run.candidate(r, 0).exists() for r in ROLES
    )
    decision = json.loads((run.iteration(0) / "promotion.json").read_text())
    assert decision["promoted"] == {DATA_SCIENTIST: False, ML_ENGINEER: True}
    assert [tried["difference"] for tried in decision["tried"]] == pytest.approx([-0.1, -0.2, 0.1])


@pytest.mark.parametrize("calls", range(4))
def test_an_interrupted_promotion_ends_as_an_uninterrupted_one_and_plays_nothing_twice(
    opened, monkeypatch, calls
):
    done = 0

    def interrupted(function):
        def call(*args):
            nonlocal done
            done += 1
            if done > calls:
                raise KeyboardInterrupt
            return function(*args)

        return call

    with monkeypatch.context() as patch:
        for name in ("publish_version", "copy_version", "finish_iteration"):
            patch.setattr(promotion, name, interrupted(getattr(promotion, name)))
        with pytest.raises(KeyboardInterrupt):
            promote_stage(opened, 0)
    played = list(opened.played)
    test_the_refused_adapter_is_kept_aside_and_the_next_version_is_the_old_one(opened)
    assert opened.played == played


def test_small_losses_do_not_add_up(opened, monkeypatch):
    run, by_version = opened.run, [0.5, 0.49, 0.48]
    opened.recipe = Recipe.model_validate({"promotion": {"tasks": 1, "slack": 0.015}})
    monkeypatch.setattr(
        promotion, "_scores", lambda _, k, candidates: scores(by_version[k + bool(candidates)])
    )
    promote_stage(opened, 0)
    assert weights(run.adapter(ML_ENGINEER, 1)) == b"new ml_engineer", (
        "a loss of 0.01 is within the slack"
    )
    for role in ROLES:
        adapter(run.candidate(role, 1), b"newer " + role.encode())
    promote_stage(opened, 1)
    decision = json.loads((run.iteration(1) / "promotion.json").read_text())
    assert decision["promoted"] == dict.fromkeys(ROLES, False), (
        "another 0.01 is not, as the first version was better"
    )
    assert decision["best"] == 0 and decision["tried"][0]["difference"] == pytest.approx(-0.02)


def test_the_best_version_scored_on_most_tasks_and_among_these_best():
    assert best_version([scores(0.5, 0.5), scores(0.6, 0.5), scores(0.4, 0.6)]) == 1
    assert best_version([scores(0.5, 0.5), scores(0.9)]) == 0
    assert best_version([scores(0.5), scores(0.5)]) == 1


def test_an_adapter_that_did_not_change_is_not_played_with(opened):
    for role in ROLES:
        (opened.run.candidate(role, 0) / "adapter_model.safetensors").write_bytes(
            b"old " + role.encode()
        )
    promote_stage(opened, 0)
    assert opened.played == [] and all(opened.run.adapter(role, 1).is_dir() for role in ROLES)


def test_an_iterations_line_names_what_was_refused():
    assert describe_refusals(None) == describe_refusals({"promoted": {TEAM: True}}) == ""
    assert DATA_SCIENTIST in describe_refusals(
        {"promoted": {DATA_SCIENTIST: False, ML_ENGINEER: True}}
    )
    assert ML_ENGINEER not in describe_refusals(
        {"promoted": {DATA_SCIENTIST: False, ML_ENGINEER: True}}
    )

"""One point of the learning curve with a real model server."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from marl_llm.core.roles import ROLES
from marl_llm.evaluation import Question, evaluate_suite, evaluate_versions
from marl_llm.rollout.executors.machines import ThisMachine
from marl_llm.rollout.planned import PlannedEpisode
from marl_llm.sandbox import Sandbox
from marl_llm.serving import ModelServer
from marl_llm.tasks.procedural import procedural_task
from marl_llm.workspace.open_run import OpenPlay, server_session
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory

BUNDLED = Path(__file__).parents[2] / "data" / "bundled"


@pytest.mark.vllm
def test_adapters_play_unseen_tasks_and_the_base_model_a_suite(
    comparing: Sandbox, tiny_server: ModelServer, tiny_base: Path, tmp_path: Path
):
    sections = {"environment": {"steps": 1, "cv_folds": 2, "resamples": 100, "repairs": 0}}
    prompts = {"instructions": False, "names": False, "memory_tokens": 100}
    recipe = Recipe.model_validate(
        {"model": {"path": str(tiny_base), "rank": 8}, "prompts": prompts, **sections}
    )
    run = RunDirectory(tmp_path / "run")
    run.prepare(recipe)
    plans = [
        PlannedEpisode(f"p{seed}", functools.partial(procedural_task, seed))
        for seed in (900_000, 900_001)
    ]
    with server_session(recipe.playing, run.root / "server.log", tiny_server.url) as session:
        opened = OpenPlay(recipe.playing, session, ThisMachine(comparing))
        v0 = evaluate_versions(opened, run, dict.fromkeys(ROLES, 0), plans, tmp_path / "v0")
    assert (v0["episodes"], v0["failed"]) == (2, 0)
    assert set(v0["reward"]) == set(v0["intervals"]["reward"]) == set(ROLES)
    assert v0["tokens_per_step"] > 0
    low, high = v0["intervals"]["tokens_per_step"]
    assert low <= v0["tokens_per_step"] <= high
    suite = tmp_path / "suite.yaml"
    suite.write_text(f"- {{csv: {BUNDLED / 'iris.csv'}, target: species}}\n")
    report = evaluate_suite(
        run,
        recipe.playing,
        Question(("untrained",)),
        suite=suite,
        servers=(tiny_server.url,),
        out=tmp_path / "ev",
    )
    assert [(r.arm, r.error) for r in report.results] == [("baseline", ""), ("untrained", "")]

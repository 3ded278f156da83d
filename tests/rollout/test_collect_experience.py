from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from marl_llm.agents.prompts import PromptConfig
from marl_llm.agents.style import PromptStyle
from marl_llm.core.kind import Kind
from marl_llm.core.roles import DATA_SCIENTIST
from marl_llm.environment.experience import ExperienceStore, table_key
from marl_llm.evaluation.arms import team_arm
from marl_llm.evaluation.play import Comparison, play_arm
from marl_llm.evaluation.trials import Trial
from marl_llm.proposals import screened
from marl_llm.rollout.collect import Collector
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.episode import Team
from marl_llm.rollout.executors import LocalExecutor
from marl_llm.rollout.executors.machines import ThisMachine
from marl_llm.rollout.planned import CollectSettings, PlannedEpisode
from marl_llm.rollout.policies import ScriptedPolicy
from marl_llm.rollout.progress import Progress
from marl_llm.rollout.session import ServerSession
from marl_llm.rollout.summary import read_summaries
from marl_llm.serving import ServerConfig
from marl_llm.tasks import Task
from marl_llm.trajectories import read_rows
from marl_llm.workspace.open_run import OpenPlay, seen_experience
from marl_llm.workspace.recipe import Recipe
from tests.environment.known import BAYES, FOREST, data_set
from tests.fixtures import CONFIG, small_frame, small_task
from tests.lent_sandbox import LentSandbox

SETTINGS = CollectSettings(
    "test",
    0,
    7,
    CONFIG.model_copy(update={"steps": 2}),
    PromptStyle(PromptConfig(instructions=False, experience_lines=3)),
    RolloutConfig(proposals=3, implementations=1, episodes_at_once=1),
)
NO_SERVER = ServerSession(Path("none"), 0, Path("none.log"), ServerConfig())
TEAM = Team(ScriptedPolicy(may_finish=False), ScriptedPolicy())
TASKS = [small_task(Kind.binary, 200), small_task(Kind.binary, 240)]
PLANS = [PlannedEpisode(f"e{i}", lambda task=task: task) for i, task in enumerate(TASKS)]


def collect(directory: Path, plans=PLANS, **changes) -> pd.DataFrame:
    collector = Collector(
        directory, LocalExecutor(TEAM, LentSandbox()), replace(SETTINGS, **changes)
    )
    asyncio.run(collector.collect(plans, Progress("test")))
    return read_rows(directory)


def prompts(rows: pd.DataFrame) -> list[str]:
    """First messages of the Data Scientist, by episode and turn."""
    chosen = rows[rows["role"] == DATA_SCIENTIST].sort_values(["episode", "turn", "call"])
    return [json.loads(messages)[0]["content"] for messages in chosen["messages"]]


def seen(prompt: str) -> list[str]:
    return [line for line in prompt.split("\n") if line.startswith("seen: ")]


def test_an_iteration_fills_the_store_with_what_it_visited_beside_the_line_too(tmp_path, sandbox):
    store = tmp_path / "experience.jsonl"
    rows = collect(tmp_path / "a", remember=store)
    known = ExperienceStore(store).read().data_sets
    assert {d.key for d in known} == {table_key(task) for task in TASKS}
    beside = rows[
        (rows["role"] == DATA_SCIENTIST)
        & ~rows["followed"]
        & rows["action"].str.startswith("propose")
    ]
    estimators = {f.text.split("(")[0] for d in known for f in d.findings}
    assert estimators & {action.split("(")[0] for action in beside["action"]}
    assert not any(seen(prompt) for prompt in prompts(rows))


def test_episodes_that_begin_from_a_family_are_measured_against_the_baseline(
    tmp_path, sandbox, monkeypatch
):
    monkeypatch.setattr(screened, "_FAMILIES", screened._FAMILIES[:4])
    store = tmp_path / "experience.jsonl"
    known: list[dict[str, tuple[float | None, ...]]] = []
    baselines: list[list[float]] = []
    for looked in (0.0, 1.0):
        directory = tmp_path / str(looked)
        collect(
            directory,
            remember=store,
            rollout=SETTINGS.rollout.model_copy(update={"looked": looked}),
        )
        known.append({d.key: d.meta for d in ExperienceStore(store).read().data_sets})
        baselines.append([one.baseline for one in read_summaries(directory)])
        store.unlink()
    assert known[0] == known[1] and sorted(baselines[0]) == pytest.approx(sorted(baselines[1]))


def test_episodes_see_others_but_never_themselves(tmp_path, sandbox):
    store = tmp_path / "experience.jsonl"
    collect(tmp_path / "a", remember=store)
    rows = collect(tmp_path / "b", seen=ExperienceStore(store).read())
    for episode, group in rows.groupby("episode"):
        assert all(1 <= len(seen(prompt)) <= 3 for prompt in prompts(group)), episode
    alone = collect(tmp_path / "c", PLANS[:1], seen=ExperienceStore(store).read())
    assert prompts(alone) == prompts(rows[rows["episode"] == "e0"])
    own = [d for d in ExperienceStore(store).read().data_sets if d.key == table_key(TASKS[0])]
    only = replace(ExperienceStore(store).read(), data_sets=tuple(own))
    other_split = Task.from_frame(small_frame(Kind.binary, 200), target="outcome", seed=5)
    again = collect(tmp_path / "d", [PlannedEpisode("again", lambda: other_split)], seen=only)
    assert not any(seen(prompt) for prompt in prompts(again))


def recipe_with(store: Path, lines: int = 3, steps: int = 1) -> Recipe:
    return Recipe.model_validate(
        {
            "environment": {
                "steps": steps,
                "cv_folds": 2,
                "resamples": 100,
                "experience": str(store),
            },
            "prompts": {"instructions": False, "experience_lines": lines},
        }
    )


def test_an_iteration_that_goes_on_shows_what_it_showed_before_it_was_killed(tmp_path, sandbox):
    store = tmp_path / "experience.jsonl"
    ExperienceStore(store).add(data_set("earlier", (FOREST, 0.2)))
    recipe, iteration = recipe_with(store), tmp_path / "iteration_0000"

    def stage(plans) -> pd.DataFrame:
        return collect(
            iteration / "trajectories",
            plans,
            seen=seen_experience(recipe.playing, iteration),
            remember=store,
        )

    stage(PLANS[:1])  # and here it is killed; others go on filling the store
    ExperienceStore(store).add(data_set("later", (BAYES, 0.9)))
    halves = prompts(stage(PLANS))
    assert all(seen(prompt) == [f"seen: +0.20 {FOREST}"] for prompt in halves)
    shutil.rmtree(iteration / "trajectories")
    assert prompts(stage(PLANS)) == halves
    fresh = seen_experience(recipe.playing, tmp_path / "iteration_0001")
    assert {"earlier", "later"} < {d.key for d in fresh.data_sets}


def test_the_lines_can_be_switched_off_by_recipe(tmp_path):
    store = tmp_path / "experience.jsonl"
    ExperienceStore(store).add(data_set("earlier", (FOREST, 0.2)))
    assert seen_experience(recipe_with(store, lines=0).playing, tmp_path / "a").data_sets == ()
    assert not (tmp_path / "a").exists()
    assert len(seen_experience(recipe_with(store).playing, tmp_path / "a").data_sets) == 1


def test_evaluation_reads_the_store_and_never_writes(tmp_path, sandbox):
    store = tmp_path / "experience.jsonl"
    ExperienceStore(store).add(data_set("earlier", (FOREST, 0.2)))
    before = store.read_bytes()
    opened = OpenPlay(recipe_with(store, steps=6).playing, NO_SERVER, ThisMachine(LentSandbox()))
    comparison = Comparison.of(opened, 0, tmp_path / "run" / "evaluation")
    trials = [Trial(f"t{i}", f"t{i}", 0, lambda: small_task(Kind.binary)) for i in range(2)]
    arm = team_arm("scripted", opened.sections, None, "", 0)
    results = play_arm(comparison, arm, trials, tmp_path / "out")
    assert all(result.test is not None for result in results) and store.read_bytes() == before
    rows = read_rows(tmp_path / "out")
    assert all(seen(prompt) for prompt in prompts(rows)) and (rows["verdict"] == "accepted").any()

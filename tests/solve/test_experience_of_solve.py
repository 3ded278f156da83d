"""What `solve` leaves for later CSVs in a store of the user's own, and what it is told of earlier
ones.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from marl_llm.cli import main
from marl_llm.core.errors import RunFailed, UserError
from marl_llm.environment.experience import STORE_FILE, ExperienceStore
from marl_llm.rollout import policies
from marl_llm.rollout.policies import ScriptedPolicy
from marl_llm.solve import solve, solve_task
from marl_llm.solve.experience import named_store, user_store
from marl_llm.tasks import TaskFile
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.teams import TeamChoice, choose_team
from tests.environment.known import FOREST, data_set
from tests.solve.conftest import CLIENTS, QUICK, TARGET, at_most

ENTRY = TaskFile(CLIENTS, TARGET, seed=0)
RECIPE = Recipe.model_validate(
    {
        "environment": QUICK.environment.model_dump(),
        "prompts": {"instructions": False, "experience_lines": 3},
    }
)


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The Data Scientist's first messages, as they are sent."""
    seen: list[str] = []
    reply = ScriptedPolicy.reply

    async def watched(self, ask):
        seen.extend([ask.messages[0]["content"]] if ask.role == "data_scientist" else [])
        return await reply(self, ask)

    monkeypatch.setattr(policies.ScriptedPolicy, "reply", watched)
    return seen


TEAM = choose_team("scripted", RECIPE)


def run(out: Path, store: Path | None, steps: int = 2, team: TeamChoice = TEAM):
    return solve_task(ENTRY, team=team, limits=at_most(steps), out=out, experience=store)


def test_a_solve_tells_its_agents_of_earlier_csvs_and_adds_its_own(tmp_path, asked):
    store = tmp_path / "experience.jsonl"
    ExperienceStore(store).add(data_set("earlier", (FOREST, 0.2)))
    run(tmp_path / "a", store, steps=4)
    assert len(asked) == 4 and all(f"seen: +0.20 {FOREST}\n" in prompt for prompt in asked)
    known = ExperienceStore(store).read().data_sets
    assert sorted(d.name for d in known) == [CLIENTS.stem, "set earlier"]
    asked.clear()
    run(tmp_path / "b", store)
    assert all(prompt.count("seen: ") == 1 for prompt in asked)


def test_a_team_brings_along_what_its_training_found(tmp_path, asked):
    store, brought = tmp_path / "experience.jsonl", tmp_path / "team" / STORE_FILE
    ExperienceStore(brought).add(data_set("trained on", (FOREST, 0.2)))
    team = replace(TEAM, run=RunDirectory(tmp_path / "team"))
    run(tmp_path / "a", store, team=team)
    assert asked and all(f"seen: +0.20 {FOREST}\n" in prompt for prompt in asked)
    assert "set trained on" not in [d.name for d in ExperienceStore(store).read().data_sets]
    asked.clear()
    run(tmp_path / "b", None, team=team)
    assert asked and not any("seen: " in prompt for prompt in asked)


def test_what_was_found_is_kept_when_the_team_breaks_down(tmp_path, monkeypatch):
    store = tmp_path / "experience.jsonl"
    step = solve.Journal.step

    def breaking(self, record):
        step(self, record)
        if len(self.visited) >= 4:
            raise RunFailed("the model server ended.")

    monkeypatch.setattr(solve.Journal, "step", breaking)
    with pytest.raises(RunFailed):
        run(tmp_path / "a", store, steps=6)
    assert len(ExperienceStore(store).read().data_sets) == 1


def test_without_a_store_nothing_is_shown_or_kept(tmp_path, asked, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    run(tmp_path / "a", None, steps=1)
    assert not any("seen: " in prompt for prompt in asked) and not user_store().exists()


def test_a_damaged_store_is_one_sentence_before_anything_starts(tmp_path, capsys):
    store = tmp_path / "experience.jsonl"
    store.write_text('{"store": "marl_llm experience", "version": 0}\n')
    with pytest.raises(UserError, match="is an experience store of version 0, this is 1"):
        run(tmp_path / "out", store)
    options = [
        str(CLIENTS),
        "--target",
        TARGET,
        "--team",
        "scripted",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(["solve", *options, "--experience", str(store)]) == 2
    said = capsys.readouterr().err
    assert (
        said.startswith(f"marl-llm: {store} is an experience store")
        and "or delete this one" in said
    )
    assert not (tmp_path / "out").exists()


def test_the_default_store_is_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert named_store(None) == tmp_path / "marl_llm" / "experience.jsonl"
    assert named_store("none") is None and named_store("a/b.jsonl") == Path("a/b.jsonl")
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    assert named_store(None) == Path.home() / ".local" / "share" / "marl_llm" / "experience.jsonl"

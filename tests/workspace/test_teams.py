"""Who plays: names, recipes, and the served teams on a real model server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from marl_llm.core.roles import ROLES
from marl_llm.serving import ModelServer
from marl_llm.solve import solve_task
from marl_llm.tasks import TaskFile
from marl_llm.tiny import corpus
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.teams import EMBEDDED, TINY_PROMPTS, choose_team
from tests.lent_sandbox import lent_sandboxes
from tests.solve.conftest import CLIENTS, QUICK, TARGET, at_most, five_families


@pytest.fixture
def lending() -> Iterator[None]:
    """Plays look at five families of models, in the session's sandbox."""
    with five_families(), lent_sandboxes():
        yield


def test_the_embedded_model_reads_the_prompts_it_was_trained_on():
    assert corpus.TINY_PROMPTS == TINY_PROMPTS


@pytest.mark.skipif(
    not (EMBEDDED / "config.json").is_file(), reason="the embedded model is not here"
)
def test_the_embedded_team_has_sensible_defaults():
    chosen = choose_team("untrained")
    assert (chosen.recipe.prompts, chosen.recipe.model.path) == (TINY_PROMPTS, str(EMBEDDED))
    assert chosen.served and not choose_team("scripted").served


@pytest.mark.vllm
def test_the_embedded_team_and_a_trained_run_play_through_a_model_server(
    lending: None, tiny_server: ModelServer, tiny_base: Path, tmp_path: Path
):
    values = {
        "name": "solve-test",
        "model": {"path": str(tiny_base), "rank": 8, "alpha": 16},
        "environment": QUICK.environment.model_dump(),
        "prompts": TINY_PROMPTS.model_dump(),
    }
    recipe = Recipe.model_validate(values)
    RunDirectory(tmp_path / "run").prepare(recipe)
    histories = []
    for team, name in (
        ("untrained", "first"),
        ("untrained", "again"),
        (str(tmp_path / "run"), "trained"),
    ):
        out = tmp_path / name
        chosen = recipe if team == "untrained" else None  # a run brings its own
        entry = TaskFile(CLIENTS, TARGET)
        report = solve_task(
            entry,
            team=choose_team(team, chosen),
            limits=at_most(2),
            out=out,
            servers=(tiny_server.url,),
        )
        lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
        assert 1 <= report.steps == len(lines) <= 2
        histories.append([line["proposal"] for line in lines])
        for role in ROLES:
            for kind in ("prompt", "completion"):
                counted = (line["tokens"][role][kind] for line in lines if "tokens" in line)
                assert report.tokens[role][kind] == sum(counted)
        assert report.tokens["data_scientist"]["completion"] > 0
        assert (out / "solution.py").is_file() and report.final["test"] is not None
    assert histories[0] == histories[1]  # the seed reaches a server that one attaches to

"""`marl-llm rollout --ray-address` with a real model server: episodes and evaluations in Ray's
workers, rows, adapters and journals here.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from marl_llm.cli import main
from marl_llm.core.roles import ROLES
from marl_llm.serving import ModelServer
from marl_llm.trajectories import finished_episodes, read_rows
from marl_llm.workspace.run import RunDirectory
from tests.pipeline.test_iterate import RECIPE

pytestmark = pytest.mark.vllm
pytest.importorskip("ray")


def test_a_served_team_plays_on_a_cluster(tiny_server: ModelServer, tmp_path: Path):
    recipe = tmp_path / "recipe.yaml"
    small = RECIPE.replace("proposals: 3, implementations: 2", "proposals: 2, implementations: 1")
    recipe.write_text(small.replace("name: small", "name: far").replace("{cache}", "null"))
    arguments = ["rollout", "--recipe", recipe, "--run", tmp_path / "run"]
    where = ["--server", tiny_server.url, "--server", tiny_server.url, "--ray-address", "local"]
    assert main(["--quiet", *map(str, [*arguments, *where])]) == 0
    run = RunDirectory(tmp_path / "run")
    rows = read_rows(run.trajectories(0))
    assert finished_episodes(run.trajectories(0)) == {"p20", "p21"}
    for role in ROLES:
        mine = rows[rows["role"] == role]
        assert set(mine["adapter"]) == {f"far-{role}-v0-{run.sha256(role, 0)[:8]}"}
        assert set(mine["adapter_sha256"]) == {run.sha256(role, 0)}
    assert (rows["completion_ids"].map(len) == rows["logprobs"].map(len)).all()
    assert (rows["completion_ids"].map(len) > 0).all()
    assert run.recipe().rollout.executor == "ray"
    assert main(["--quiet", *map(str, [*arguments, "--server", tiny_server.url])]) == 0  # here
    assert run.recipe().rollout.executor == "local"
    pd.testing.assert_frame_equal(read_rows(run.trajectories(0)), rows)

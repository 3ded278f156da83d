"""Opening a run: what is wrong shows before anything is played."""

from __future__ import annotations

from pathlib import Path

import pytest

from marl_llm.core.errors import UserError
from marl_llm.workspace.open_run import open_run

RECIPE = """
name: warm
sandbox: {slots: 1}
warm_start: {episodes: 500}
"""


def test_an_address_where_no_server_answers_is_refused_before_the_warm_start(tmp_path: Path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    run = tmp_path / "run"
    with (
        pytest.raises(UserError, match="No model server answers at http://127.0.0.1:9"),
        open_run(tmp_path / "recipe.yaml", run, "http://127.0.0.1:9"),
    ):
        pytest.fail("the run was opened")
    assert not (run / "warm_start" / "trajectories").exists()

"""The stage before iteration 0 on the embedded model: real sandbox, real trainer, no model
server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER, ROLES
from marl_llm.credit import read_credit
from marl_llm.pipeline import warm_start
from marl_llm.pipeline.warm_start import warm_start_stage
from marl_llm.proposals import parse_action
from marl_llm.rollout.executors.machines import open_machines
from marl_llm.serving.in_process.chat import ChatTokenizer
from marl_llm.training.adapters import adapter_sha256
from marl_llm.trajectories import read_rows
from marl_llm.workspace.recipe import Recipe, load_recipe
from marl_llm.workspace.run import RunDirectory
from tests.lent_sandbox import lent_sandboxes

EMBEDDED = Path("data/models/tiny")
RECIPE = """
name: warm
environment: {steps: 2, cv_folds: 2, resamples: 100}
prompts: {style: chat, engineer_answer: program}
sandbox: {slots: 2}
warm_start: {episodes: 2, proposals: 3, learning_rate: 0.002, warmup: 0, batch_rows: 4, epochs: 2}
"""


@pytest.fixture(scope="module")
def warmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Recipe, RunDirectory]]:
    """A run whose warm start is done and which has not begun otherwise."""
    folder = tmp_path_factory.mktemp("warm")
    (folder / "recipe.yaml").write_text(RECIPE)
    recipe, run = load_recipe(folder / "recipe.yaml"), RunDirectory(folder / "run")
    run.prepare(recipe)
    assert not run.adapters.exists()
    with lent_sandboxes(), open_machines(recipe.rollout, recipe.sandbox) as machines:
        warm_start_stage(recipe, run, machines)
    yield recipe, run


def test_version_0_of_both_adapters_is_trained_and_says_on_how_much(warmed):
    _, run = warmed
    figures = json.loads((run.warm_start / "metrics.json").read_text())
    for role in ROLES:
        assert run.version(role) == 0
        assert run.sha256(role, 0) != adapter_sha256(run.untrained[role])
        assert (
            figures[role]["rows"] > 4 and figures[role]["loss_last"] < figures[role]["loss_first"]
        )


def test_what_is_imitated_is_the_scripted_pair_in_the_models_own_tokens(warmed):
    _, run = warmed
    rows, tokenizer = read_rows(run.warm_start / "trajectories"), ChatTokenizer(EMBEDDED)
    assert set(rows["adapter"]) == {"scripted"} and (rows["problem"] == "").all()
    for row in rows.to_dict("records"):
        assert list(row["prompt_ids"]) == tokenizer.prompt_ids(json.loads(row["messages"]))
        assert (
            tokenizer.text(row["completion_ids"]) == row["reply"]
            and row["completion_ids"][-1] in tokenizer.ends
        )
    engineer = rows[rows["role"] == ML_ENGINEER]
    assert (engineer["compliance"] == 1).all() and engineer["reply"].str.startswith(
        "```python\ndef build_pi"
    ).all()
    for text in rows.loc[rows["role"] == DATA_SCIENTIST, "reply"]:
        parse_action(text)


def test_wishes_to_finish_are_played_for_the_engineer_and_few_are_imitated(warmed):
    recipe, run = warmed
    rows = read_rows(run.warm_start / "trajectories")
    kept = {
        role: read_credit(run.warm_start / "credit" / f"{role}.parquet")["kept"].to_numpy()
        for role in ROLES
    }
    finishes = {
        role: rows.loc[rows["role"] == role, "action"].str.startswith("finish").to_numpy()
        for role in ROLES
    }
    assert finishes[DATA_SCIENTIST].sum() >= 2 and finishes[ML_ENGINEER].any()
    imitated = finishes[DATA_SCIENTIST][kept[DATA_SCIENTIST]]
    assert imitated.mean() <= recipe.warm_start.finish and kept[ML_ENGINEER].all()
    assert kept[DATA_SCIENTIST][~finishes[DATA_SCIENTIST]].all()


def test_the_share_of_finishes_that_is_imitated_is_the_one_asked_for():
    actions = ["finish blend"] * 127 + ["tune C=1"] * 190
    rows = pd.DataFrame({"role": DATA_SCIENTIST, "action": actions})
    out = warm_start._left_out(rows, DATA_SCIENTIST, Recipe())
    assert (~out[:127]).sum() == 10 and not out[127:].any()  # 10 of 200 are 5%
    assert (out != warm_start._left_out(rows, DATA_SCIENTIST, Recipe(seed=1))).any()
    assert not warm_start._left_out(rows[:127], DATA_SCIENTIST, Recipe()).any()
    assert not warm_start._left_out(rows.assign(role=ML_ENGINEER), ML_ENGINEER, Recipe()).any()


def test_what_is_done_is_not_done_again(warmed, monkeypatch):
    recipe, run = warmed
    before = {role: run.sha256(role, 0) for role in ROLES}
    monkeypatch.setattr(warm_start, "run_trainer", lambda *_: pytest.fail("trained again"))
    with lent_sandboxes(), open_machines(recipe.rollout, recipe.sandbox) as machines:
        warm_start_stage(recipe, run, machines)
        warm_start_stage(
            recipe.model_copy(update={"warm_start": Recipe().warm_start}), run, machines
        )
    assert before == {role: run.sha256(role, 0) for role in ROLES}

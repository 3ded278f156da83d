"""What a run's cards say of its training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from marl_llm.core.errors import UserError
from marl_llm.core.roles import ROLES
from marl_llm.pipeline.publish import publish_run
from marl_llm.training.adapters import copy_version
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory


def test_a_role_that_had_nothing_to_learn_from_is_published_and_the_card_says_so(tmp_path: Path):
    run = RunDirectory(tmp_path / "run")
    run.prepare(Recipe())
    for role in ROLES:
        copy_version(run.adapter(role, 0), run.adapter(role, 1))
    figures = {"trained": True, "rows": 12, "tokens": 340, "steps": 3, "loss": [0.1]}
    training = {ROLES[0]: figures, ROLES[1]: {"trained": False, "rows": 0}}
    run.metrics(0).parent.mkdir(parents=True)
    run.metrics(0).write_text(json.dumps({"training": training, "collected": {}}))
    text = "\n".join(publish_run(run.root, repo_prefix="me/quiet", dry_run=True))
    assert "340" in text and "iterations that trained" in text.lower().replace("_", " ")
    assert str(tmp_path) not in text


def trained_run(root: Path) -> RunDirectory:
    run = RunDirectory(root)
    run.prepare(Recipe())
    for role in ROLES:
        copy_version(run.adapter(role, 0), run.adapter(role, 1))
    run.metrics(0).parent.mkdir(parents=True)
    return run


@pytest.mark.parametrize("text", ['{"training": {"data_sci', "{}", "[]", '{"training": {}}'])
def test_metrics_cut_short_are_one_sentence(tmp_path: Path, text: str):
    run = trained_run(tmp_path / "run")
    run.metrics(0).write_text(text)
    with pytest.raises(UserError, match=r"metrics\.json is damaged or no metrics of an iteration"):
        publish_run(run.root, repo_prefix="me/cut", dry_run=True)


def test_roles_of_different_versions_are_refused(tmp_path: Path):
    run = trained_run(tmp_path / "run")
    copy_version(run.adapter(ROLES[0], 1), run.adapter(ROLES[0], 2))
    with pytest.raises(UserError, match="data_scientist has version 2, ml_engineer has version 1"):
        publish_run(run.root, repo_prefix="me/half", dry_run=True)

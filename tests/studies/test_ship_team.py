"""The default team: the main arm's seed that gains most on procedural tasks, whatever it does on
the benchmark.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import ship_team as shipping
import yaml
from experiment_figures.material import Material, Part, Played
from ship_team import gains, ship

from marl_llm.core.errors import UserError
from marl_llm.core.roles import ROLES
from marl_llm.evaluation.report import Result
from marl_llm.pipeline.experiment.config import Experiment
from marl_llm.pipeline.experiment.layout import ExperimentDirectory
from marl_llm.workspace import teams
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.teams import choose_team

MAIN = Experiment.model_validate(
    {"base": {}, "arms": {"per_role": {"seeds": [0, 1]}, "other": {}}, "main": "per_role"}
)


def played(seed: int, *values: float | None) -> list[Played]:
    return [
        Played(
            seed,
            Result(
                arm="trained", trial=f"t{i}-r0", task=f"t{i}", repeat=0, kind="binary", gain=value
            ),
        )
        for i, value in enumerate(values)
    ]


def part(name: str, **found: list[Played]) -> Part:
    return Part(name, {(arm, 6): everything for arm, everything in found.items()}, {}, {}, {})


def material(*parts: Part) -> Material:
    return Material(MAIN, list(parts), [])


def a_run(root: Path, versions: int) -> RunDirectory:
    run = RunDirectory(root)
    for role in ROLES:
        for version in range(versions + 1):
            run.adapter(role, version).mkdir(parents=True)
            (run.adapter(role, version) / "weights").write_text(f"{role} {version}")
    settings = {
        "name": root.name,
        "environment": {"cv_folds": 2, "experience": "mine.jsonl"},
        "prompts": {"names": False},
    }
    (root / "recipe.yaml").write_text(yaml.safe_dump(settings))
    for k in range(versions):
        (root / f"iteration_{k:04d}").mkdir()
        (root / f"iteration_{k:04d}" / "experience.jsonl").write_text(f"after {k}")
    return run


def test_the_seed_is_chosen_on_procedural_tasks_and_by_the_main_arm_only():
    procedural = part(
        "procedural", per_role=played(0, 0.1, 0.3) + played(1, 0.2, None), other=played(2, 0.9)
    )
    found = gains(material(procedural, part("benchmark", per_role=played(0, 0.0) + played(1, 0.9))))
    assert found == {0: pytest.approx(0.2), 1: pytest.approx(0.2)}


def test_the_best_seeds_last_team_takes_the_place_of_the_one_before(tmp_path, monkeypatch):
    directory, out = ExperimentDirectory(tmp_path / "experiment"), tmp_path / "team"
    a_run(tmp_path / "experiment" / "runs" / "per_role" / "seed1", 3)
    known = material(part("procedural", per_role=played(0, 0.1) + played(1, 0.2)))
    monkeypatch.setattr(shipping, "read_material", lambda asked: known)
    out.mkdir()
    (out / "old").write_text("of the team before")
    assert ship(directory, out) == {0: 0.1, 1: 0.2}
    assert sorted(path.name for path in out.iterdir()) == [
        "adapters",
        "experience.jsonl",
        "recipe.yaml",
    ]
    assert (out / "experience.jsonl").read_text() == "after 2"
    assert [RunDirectory(out).version(role) for role in ROLES] == [3, 3]
    monkeypatch.setattr(teams, "EMBEDDED_TEAM", out)
    team = choose_team(None)
    assert team.name == "trained" and team.recipe.name == "seed1" and not team.recipe.prompts.names
    assert team.recipe.environment == Recipe().environment  # not the cheap one of training


def test_nothing_is_shipped_before_a_final_team_was_evaluated(tmp_path, monkeypatch):
    monkeypatch.setattr(
        shipping,
        "read_material",
        lambda asked: material(part("benchmark", per_role=played(0, 1.0))),
    )
    with pytest.raises(UserError, match="no final team of per_role"):
        ship(ExperimentDirectory(tmp_path), tmp_path / "team")
    assert not (tmp_path / "team").exists()

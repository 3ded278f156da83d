"""The embedded model plays in this process: no server, no torch, one model for many CSVs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from marl_llm.cli import main
from marl_llm.core.roles import DATA_SCIENTIST, ROLES
from marl_llm.serving import AdapterError, ModelServer, ServerDied
from marl_llm.serving.in_process import InProcessModel
from marl_llm.solve import solve_task
from marl_llm.tasks import TaskFile
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.teams import EMBEDDED, TINY_PROMPTS, choose_team
from tests.lent_sandbox import lent_sandboxes
from tests.solve.conftest import CLIENTS, QUICK, TARGET, at_most

pytestmark = pytest.mark.skipif(
    not (EMBEDDED / "config.json").is_file(), reason="the embedded model is not here"
)

VALUES = {
    "name": "alone",
    "model": {"path": str(EMBEDDED), "rank": 8, "alpha": 16},
    "environment": QUICK.environment.model_dump(),
    "prompts": TINY_PROMPTS.model_dump(),
}


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*arguments: object, **options: object) -> None:
        raise ServerDied("a server was started")

    monkeypatch.setattr(ModelServer, "start", started)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A run with its first adapters."""
    RunDirectory(tmp_path / "run").prepare(Recipe.model_validate(VALUES))
    return tmp_path / "run"


def proposals(out: Path) -> list[str]:
    return [
        json.loads(line)["proposal"] for line in (out / "history.jsonl").read_text().splitlines()
    ]


def test_the_embedded_team_plays_without_a_server_and_repeats_itself(tmp_path: Path) -> None:
    for out in ("first", "again"):
        entry, recipe = TaskFile(CLIENTS, TARGET), Recipe.model_validate(VALUES)
        with lent_sandboxes(remembering=out == "first"):
            report = solve_task(
                entry, team=choose_team("untrained", recipe), limits=at_most(2), out=tmp_path / out
            )
        assert report.status == "done" and report.tokens[DATA_SCIENTIST]["completion"] > 0
    assert proposals(tmp_path / "first") == proposals(tmp_path / "again") != []


def test_a_trained_run_plays_with_its_adapters_and_one_of_another_base_is_refused(
    trained: Path,
) -> None:
    entry = TaskFile(CLIENTS, TARGET)
    team = choose_team(str(trained))
    report = solve_task(entry, team=team, limits=at_most(6), out=trained / "solved")
    assert all(report.tokens[role]["prompt"] > 0 for role in ROLES)
    config = RunDirectory(trained).adapter(DATA_SCIENTIST, 0) / "adapter_config.json"
    config.write_text(config.read_text().replace('"tiny"', '"large"'))
    with pytest.raises(
        AdapterError, match="was made for the base model 'large', this one is 'tiny'"
    ):
        solve_task(entry, team=team, limits=at_most(1), out=trained / "refused")


def test_a_larger_model_or_a_limit_of_0_needs_a_server(tmp_path: Path) -> None:
    for limit in (0, 1_000_000):
        recipe = Recipe.model_validate(VALUES | {"serving": {"in_process_parameters": limit}})
        with pytest.raises(ServerDied, match="a server was started"):
            solve_task(
                TaskFile(CLIENTS, TARGET),
                team=choose_team("untrained", recipe),
                limits=at_most(1),
                out=tmp_path / "out",
            )


def test_one_model_serves_all_csvs_of_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []
    load = InProcessModel.__init__

    def counted(self: InProcessModel, directory: Path, *more: object) -> None:
        loaded.append(directory)
        load(self, directory, *more)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(InProcessModel, "__init__", counted)
    tasks = [{"csv": f"{name}.csv", "target": TARGET} for name in ("a", "b")]
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "suite.yaml").write_text(yaml.safe_dump(tasks))
    for task in tasks:
        (tmp_path / "suite" / task["csv"]).write_bytes(CLIENTS.read_bytes())
    arguments = [
        "solve",
        tmp_path / "suite",
        "--team",
        "untrained",
        "--steps",
        "1",
        "--out",
        tmp_path / "out",
    ]
    assert main([str(a) for a in arguments]) == 0
    assert len(loaded) == 1
    assert all((tmp_path / "out" / name / "solution.py").is_file() for name in ("a", "b"))


def test_nothing_slow_to_import_stands_before_the_first_step(tmp_path: Path) -> None:
    script = (
        "import sys; from marl_llm.cli import main; from marl_llm.proposals import screened; "
        f"screened._FAMILIES = screened._FAMILIES[:5]; code = main(['solve', {str(CLIENTS)!r}, "
        f"'--target', {TARGET!r}, '--steps', '1', '--out', {str(tmp_path)!r}]); print(code, "
        f"sorted({{'torch', 'transformers', 'peft', 'vllm'}} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"

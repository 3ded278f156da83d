"""A team of a base model in a directory goes to the Hub and comes back: published, loaded by name,
played.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from marl_llm.cli import main
from marl_llm.core.errors import UserError
from marl_llm.core.hub_names import TeamName
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER, ROLES
from marl_llm.serving import ModelServer
from marl_llm.training.adapters import copy_version
from marl_llm.workspace import published
from marl_llm.workspace.open_run import server_session
from marl_llm.workspace.published import published_run
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.teams import EMBEDDED, EMBEDDED_TEAM, choose_team
from tests.hub.loopback_hub import LoopbackHub, loopback_hub, use
from tests.lent_sandbox import lent_sandboxes
from tests.solve.conftest import CLIENTS, QUICK, TARGET, five_families
from tests.tiny_model import make_model

pytestmark = pytest.mark.skipif(
    not (EMBEDDED_TEAM / "recipe.yaml").is_file(), reason="the default team is not here"
)

ENTRY = "ada/team-data-scientist"
BASE_NAME = "ada/tiny-base"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with loopback_hub() as server:
        use(server, tmp_path / "cache", monkeypatch)
        yield server


@pytest.fixture(autouse=True)
def few_families() -> Iterator[None]:
    with five_families(), lent_sandboxes():
        yield


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base model in a directory that is not the embedded one."""
    return Path(shutil.copytree(EMBEDDED, tmp_path / "elsewhere" / "tiny"))


def made_run(root: Path, base: Path, **model: Any) -> RunDirectory:
    """The default team as a run of its own, on `base`."""
    run = RunDirectory(Path(shutil.copytree(EMBEDDED_TEAM, root)))
    recipe = yaml.safe_load((root / "recipe.yaml").read_text())
    recipe["model"] |= {"path": str(base)} | model
    recipe["environment"] |= QUICK.environment.model_dump()
    (root / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return run


@pytest.fixture
def run(tmp_path: Path, base: Path) -> RunDirectory:
    return made_run(tmp_path / "run", base, hub_name=BASE_NAME)


def publish(run: RunDirectory, hub: LoopbackHub) -> int:
    return main(["publish", str(run.root), "--repo-prefix", "ada/team", "--endpoint", hub.url])


def solve(team: str, out: Path, *more: str) -> int:
    store = out.with_suffix(".jsonl")
    given = [
        "--target",
        TARGET,
        "--steps",
        "2",
        "--budget",
        "10m",
        "--experience",
        str(store),
        "--out",
        str(out),
    ]
    return main(["solve", str(CLIENTS), "--team", team, *given, *more])


def played(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if "seconds" not in key} for line in lines]


def test_a_published_team_solves_as_its_run_does_token_for_token(
    run: RunDirectory,
    base: Path,
    hub: LoopbackHub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert publish(run, hub) == 0
    team = f"ada/team@{hub.heads[ENTRY]}"
    assert f"--team {team} " in capsys.readouterr().out
    assert solve(str(run.root), tmp_path / "run-solved") == 0
    assert solve("ada/team", tmp_path / "out", "--base", str(base)) == 0
    assert played(tmp_path / "out") == played(tmp_path / "run-solved") != []
    assert json.loads((tmp_path / "out" / "report.json").read_text())["team"] == team, (
        "the branch, as a commit"
    )
    assert choose_team(team, base=base) == choose_team("ada/team", base=base)
    assert BASE_NAME not in {path.strip("/") for path in hub.asked}, (
        "a base that is named is not looked for"
    )


def test_it_brings_what_its_run_asked_with_and_names_no_files_of_this_machine(
    run: RunDirectory, base: Path, hub: LoopbackHub
) -> None:
    values = yaml.safe_load((run.root / "recipe.yaml").read_text())
    values["environment"] |= {"cache": "evaluations.sqlite", "experience": "seen.jsonl"}
    values["sandbox"] |= {"level": "landlock", "wall_s": 7.0}
    values["serving"] |= {"extra_args": ["--trust-remote-code"], "threads": 2}
    (run.root / "recipe.yaml").write_text(yaml.safe_dump(values))
    publish(run, hub)
    choice, own = choose_team("ada/team", base=base), run.recipe()
    loaded = choice.recipe
    assert (loaded.prompts, loaded.rollout, loaded.rewards) == (
        own.prompts,
        own.rollout,
        own.rewards,
    )
    assert (loaded.serving.extra_args, loaded.serving.threads) == ((), 2)
    assert loaded.environment.analyses == own.environment.analyses
    assert (loaded.environment.cache, loaded.environment.experience) == (None, None)
    assert (loaded.sandbox.level, loaded.sandbox.wall_s) == ("bubblewrap", 7.0)
    assert (loaded.model.path, loaded.model.hub_name) == (str(base), BASE_NAME)
    assert (
        own.prompts.experience_lines and choice.experience == choose_team(str(run.root)).experience
    )
    assert choice.experience.data_sets


def test_every_published_file_names_the_hubs_name_of_the_base(
    run: RunDirectory, hub: LoopbackHub
) -> None:
    publish(run, hub)
    for role in ROLES:
        files = hub.repositories[f"ada/team-{role.replace('_', '-')}"]
        assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == BASE_NAME
        assert yaml.safe_load(files["recipe.yaml"])["model"]["path"] == BASE_NAME
        assert (
            f"vllm serve {BASE_NAME} --enable-lora --max-lora-rank 16 "
            in files["README.md"].decode()
        )
    assert "ada/team-base" not in hub.repositories


def test_a_base_without_a_public_name_is_refused_before_anything_is_sent(
    base: Path, hub: LoopbackHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made_run(tmp_path / "nameless", base)
    assert publish(run, hub) == 2
    assert (
        f"set model.hub_name in {run.root / 'recipe.yaml'} to its name" in capsys.readouterr().err
    )
    assert hub.received == []


def test_a_directory_that_is_gone_is_no_name_on_the_hub(
    hub: LoopbackHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made_run(tmp_path / "gone", Path("models/tiny"))
    assert publish(run, hub) == 2
    assert "a directory without a public name (models/tiny)" in capsys.readouterr().err


def test_another_base_model_is_refused(
    run: RunDirectory, hub: LoopbackHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(run, hub)
    other = make_model(tmp_path / "other" / "tiny")
    assert solve("ada/team", tmp_path / "out", "--base", str(other)) == 2
    assert (
        f"{other} is not the base model of ada/team@{hub.heads[ENTRY]}: that is {BASE_NAME}"
        in capsys.readouterr().err
    )
    recipe = Recipe.model_validate({"model": {"path": str(EMBEDDED), "hub_name": "ada/another"}})
    with pytest.raises(
        UserError, match=f"was trained on {BASE_NAME}, the recipe's base model is ada/another"
    ):
        choose_team("ada/team", recipe)


def test_a_base_that_is_nowhere_to_be_had_is_one_sentence(
    run: RunDirectory, hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(run, hub)
    monkeypatch.setattr(published, "EMBEDDED", tmp_path / "none")
    with pytest.raises(
        UserError,
        match=r"The base model of ada/team@.* Name a directory that holds it with --base\.",
    ):
        choose_team("ada/team")


def test_the_embedded_base_goes_along_and_is_taken_from_there_where_it_is_not_here(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made_run(tmp_path / "embedded", Path("data/models/tiny"))
    assert publish(run, hub) == 0
    assert choose_team("ada/team").recipe.model.path == str(EMBEDDED)
    assert not any("team-base" in path for path in hub.asked)
    monkeypatch.setattr(published, "EMBEDDED", tmp_path / "none")
    downloaded = Path(choose_team("ada/team").recipe.model.path)
    assert downloaded.is_relative_to(tmp_path / "cache")
    assert (downloaded / "model.safetensors").read_bytes() == (
        EMBEDDED / "model.safetensors"
    ).read_bytes()
    assert (
        yaml.safe_load(hub.repositories[ENTRY]["recipe.yaml"])["model"]["path"] == "ada/team-base"
    )


def test_a_shared_adapter_comes_back_as_one(base: Path, hub: LoopbackHub, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "shared")
    model = {"path": str(base), "hub_name": BASE_NAME, "adapters": "shared", "rank": 4}
    run.prepare(Recipe.model_validate({"model": model}))
    copy_version(
        run.adapter(DATA_SCIENTIST, 0), run.adapter(DATA_SCIENTIST, 0).with_name("team-v1")
    )
    assert publish(run, hub) == 0
    back = choose_team("ada/team", base=base).run
    assert back and back.trainees == ("team",)
    assert back.adapter(DATA_SCIENTIST, 1) == back.adapter(ML_ENGINEER, 1)


@pytest.mark.parametrize(
    ("team", "says"),
    [
        ("ada/tem", "has no repository ada/tem-data-scientist"),
        ("ada/team@v9", "has no such revision"),
        ("trianed", "did you mean 'trained'"),
    ],
)
def test_a_wrong_name_is_one_sentence_and_exit_code_2(
    run: RunDirectory,
    hub: LoopbackHub,
    tmp_path: Path,
    team: str,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish(run, hub)
    assert solve(team, tmp_path / "out") == 2
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_base_belongs_to_a_team_from_the_hub(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert solve("scripted", tmp_path / "out", "--base", str(EMBEDDED)) == 2
    assert "--base is the base model of a team from the Hub" in capsys.readouterr().err


def evaluated(tmp_path: Path, name: str, *who: str) -> list[dict[str, Any]]:
    suite = tmp_path / "suite"
    suite.mkdir(exist_ok=True)
    (suite / "suite.yaml").write_text(yaml.safe_dump([{"csv": str(CLIENTS), "target": TARGET}]))
    out = tmp_path / name
    assert (
        main(["evaluate", *who, "--suite", str(suite), "--arms", "trained", "--out", str(out)]) == 0
    )
    results = json.loads((out / "evaluation.json").read_text())["results"]
    assert [r["error"] for r in results] == [""] * len(results)
    return [
        {key: r[key] for key in ("arm", "test", "holdout")} | r["team"]
        for r in results
        if r["arm"] == "trained"
    ]


@pytest.mark.vllm
def test_evaluate_compares_a_published_team_as_it_does_its_run(
    tiny_server: ModelServer, base: Path, run: RunDirectory, hub: LoopbackHub, tmp_path: Path
) -> None:
    publish(run, hub)
    server = ["--server", tiny_server.url]
    own = evaluated(tmp_path, "own", "--run", str(run.root), *server)
    back = evaluated(tmp_path, "back", "--team", "ada/team", "--base", str(base), *server)
    assert own == back and own[0]["tokens"] > 0


@pytest.mark.vllm
def test_a_server_of_another_model_is_refused(
    tiny_server: ModelServer, base: Path, run: RunDirectory, hub: LoopbackHub, tmp_path: Path
) -> None:
    publish(run, hub)
    elsewhere = Path(shutil.copytree(base, tmp_path / "large"))
    recipe = published_run(TeamName("ada/team", None), elsewhere).recipe()
    with (
        server_session(recipe.playing, tmp_path / "server.log", tiny_server.url) as session,
        pytest.raises(UserError, match=f"serves .*tiny, the adapters were made for {BASE_NAME}"),
    ):
        session.ready()

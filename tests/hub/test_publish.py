"""Claims about publishing, against a loopback server with real HTTP."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard, constants
from safetensors.torch import save_file

from marl_llm.errors import RunFailed, UserError
from marl_llm.hub import CardInputs, PublishedRepo, publish_adapters
from marl_llm.roles import ROLES
from tests.hub.loopback_hub import TOKEN, LoopbackHub, loopback_hub

TABLE = "| arm | score |\n|---|---|\n| trained pair | 0.81 [0.78, 0.84] |"
CARD = CardInputs(
    base_model="Qwen/Qwen2.5-Coder-7B-Instruct",
    embedded=False,
    recipe="rollout:\n  episodes: 8\n",
    training={role: {"iterations": 4, "mean reward": 0.1234567} for role in ROLES},
    evaluation=TABLE,
)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with loopback_hub() as server:
        yield server


@pytest.fixture
def adapters(tmp_path: Path) -> dict[str, Path]:
    paths = {role: tmp_path / "runs" / "x" / role for role in ROLES}
    for seed, path in enumerate(paths.values()):
        path.mkdir(parents=True)
        torch.manual_seed(seed)
        save_file({"lora_A": torch.randn(8, 4000)}, path / "adapter_model.safetensors")
        config = {"r": 8, "peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "models" / "tiny")}
        (path / "adapter_config.json").write_text(json.dumps(config))
        (path / "README.md").write_text(f"made by PEFT in {path}")
        (path / "optimizer.pt").write_bytes(b"not for publication")
    return paths


def publish(adapters: dict[str, Path], hub: LoopbackHub, **changes: Any) -> list[PublishedRepo]:
    given: dict[str, Any] = {"repo_prefix": "ada/team", "card": CARD, "endpoint": hub.url, "token": TOKEN}
    return publish_adapters(adapters, **{**given, **changes})


def test_each_role_gets_a_repository_with_exactly_its_adapter_card_and_recipe(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    published = publish(adapters, hub)
    assert [repo.repo_id for repo in published] == ["ada/team-data-scientist", "ada/team-ml-engineer"]
    assert published[0].url == f"{hub.url}/ada/team-data-scientist"
    for repo in published:
        files = hub.repositories[repo.repo_id]
        assert set(files) == set(repo.files)
        assert set(files) == {"adapter_model.safetensors", "adapter_config.json", "README.md", "recipe.yaml"}
        assert files["adapter_model.safetensors"] == (adapters[repo.role] / "adapter_model.safetensors").read_bytes()
        assert files["README.md"].decode() == repo.card
        assert files["recipe.yaml"].decode() == CARD.recipe


def test_weights_go_through_lfs(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    before = constants.HF_HUB_DISABLE_XET
    publish(adapters, hub)
    assert before == constants.HF_HUB_DISABLE_XET
    weights = {(path / "adapter_model.safetensors").read_bytes() for path in adapters.values()}
    assert set(hub.blobs.values()) == weights


def test_no_local_path_is_in_any_byte_that_was_sent(
    adapters: dict[str, Path], hub: LoopbackHub, tmp_path: Path
) -> None:
    publish(adapters, hub)
    everything = b"".join([*hub.received, *(b for files in hub.repositories.values() for b in files.values())])
    for path in (tmp_path, Path.home(), Path.cwd()):
        assert str(path).encode() not in everything
    assert b"optimizer" not in everything and b"made by PEFT" not in everything


def test_the_configuration_names_the_public_base_model(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    publish(adapters, hub)
    config = json.loads(hub.repositories["ada/team-ml-engineer"]["adapter_config.json"])
    assert config == {"r": 8, "peft_type": "LORA", "base_model_name_or_path": "Qwen/Qwen2.5-Coder-7B-Instruct"}


def test_the_card_has_valid_metadata_the_table_and_how_to_load_it(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    card = ModelCard(publish(adapters, hub)[1].card)
    metadata = card.data.to_dict()
    assert metadata["base_model"] == "Qwen/Qwen2.5-Coder-7B-Instruct"
    assert (metadata["license"], metadata["library_name"]) == ("apache-2.0", "peft")
    assert TABLE in card.text and "| mean reward | 0.1235 |" in card.text
    assert "--lora-modules ml_engineer=ada/team-ml-engineer" in card.text and "PeftModel.from_pretrained" in card.text


def test_the_card_of_the_embedded_base_says_where_it_is_and_names_no_hub_model(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    embedded = dataclasses.replace(CARD, base_model="data/models/tiny", embedded=True, evaluation="")
    card = publish(adapters, hub, card=embedded)[0].card
    assert "base_model" not in yaml.safe_load(card.split("---")[1])
    assert "embedded in the marl_llm repository under `data/models/tiny`" in card
    assert "This run has not been evaluated." in card


def test_a_dry_run_sends_nothing(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    published = publish(adapters, hub, dry_run=True)
    assert published[0].files and published[0].card.startswith("---\n")
    assert hub.received == [] and hub.repositories == {}


def test_publishing_again_updates_the_repositories(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    publish(adapters, hub)
    publish(adapters, hub, card=dataclasses.replace(CARD, recipe="rollout:\n  episodes: 9\n"))
    assert hub.repositories["ada/team-ml-engineer"]["recipe.yaml"] == b"rollout:\n  episodes: 9\n"


def test_a_bad_token_is_one_clear_sentence(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    with pytest.raises(UserError, match="does not accept the access token: log in with `hf auth login`"):
        publish(adapters, hub, token="wrong")
    assert hub.repositories == {}


def test_another_users_name_is_one_clear_sentence(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    with pytest.raises(UserError, match="does not let this token write bob/team-data-scientist"):
        publish(adapters, hub, repo_prefix="bob/team")


def test_no_network_is_one_clear_sentence(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    with pytest.raises(UserError, match=r"http://127.0.0.1:1 cannot be reached .*check the network"):
        publish(adapters, hub, endpoint="http://127.0.0.1:1")


def test_offline_mode_is_one_clear_sentence(
    adapters: dict[str, Path], hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set: unset it"):
        publish(adapters, hub)


def test_an_upload_of_weights_that_fails_is_one_clear_sentence(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    hub.losing_blobs = True
    with pytest.raises(RunFailed, match="400 while ada/team-data-scientist was uploaded"):
        publish(adapters, hub)


def test_a_failing_hub_is_one_clear_sentence(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    hub.failing = True
    with pytest.raises(RunFailed, match=r"answered 500 while ada/team-data-scientist .*: try again later"):
        publish(adapters, hub)


@pytest.mark.parametrize("prefix", ["team", "ada/", "/team", "ada/te am", "ada/team/x", "ada/-team", ""])
def test_a_malformed_prefix_is_refused(adapters: dict[str, Path], hub: LoopbackHub, prefix: str) -> None:
    with pytest.raises(UserError, match=r"cannot begin a repository's name.*: give user/name"):
        publish(adapters, hub, repo_prefix=prefix)
    assert hub.received == []


def test_a_local_path_in_the_recipe_is_refused_before_anything_is_sent(
    adapters: dict[str, Path], hub: LoopbackHub, tmp_path: Path
) -> None:
    for local in (Path.cwd() / "data", adapters[ROLES[0]], tmp_path / "secret", Path("/home/ada/data.csv")):
        recipe = dataclasses.replace(CARD, recipe=f"tasks: {local}\n")
        with pytest.raises(UserError, match=r"recipe.yaml of the adapter .* would publish the local path /"):
            publish(adapters, hub, card=recipe, private_paths=[tmp_path / "secret"])
    assert hub.received == []


def test_a_local_path_in_the_metadata_of_the_weights_is_refused(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    path = adapters[ROLES[1]]
    save_file({"lora_A": torch.zeros(8)}, path / "adapter_model.safetensors", metadata={"from": str(path)})
    with pytest.raises(UserError, match=r"adapter_model\.safetensors of the adapter"):
        publish(adapters, hub)
    assert hub.received == []


@pytest.mark.parametrize("missing", ["adapter_model.safetensors", "adapter_config.json"])
def test_an_incomplete_adapter_is_named(adapters: dict[str, Path], hub: LoopbackHub, missing: str) -> None:
    (adapters[ROLES[1]] / missing).unlink()
    with pytest.raises(UserError, match=f"ml_engineer is no adapter .*{missing}"):
        publish(adapters, hub)
    assert hub.received == []

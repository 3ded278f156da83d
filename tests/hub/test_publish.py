"""Claims about publishing, against a loopback server with real HTTP."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi, ModelCard, constants
from safetensors.torch import save_file

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.core.roles import DATA_SCIENTIST, ROLES
from marl_llm.hub.upload import upload
from tests.hub.given import CARD, TABLE, publish
from tests.hub.loopback_hub import TOKEN, LoopbackHub


def test_each_role_gets_a_repository_with_its_adapter_card_and_recipe_and_one_the_manifest(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    published = publish(adapters, hub)
    assert [repo.repo_id for repo in published] == [
        "ada/team-data-scientist",
        "ada/team-ml-engineer",
    ]
    assert published[0].url == f"{hub.url}/ada/team-data-scientist"
    for repo in published:
        files = hub.repositories[repo.repo_id]
        assert set(files) == set(repo.files)
        manifest = {"team.json"} if repo.role == DATA_SCIENTIST else set()
        of_both = {"adapter_model.safetensors", "adapter_config.json", "README.md", "recipe.yaml"}
        assert set(files) == of_both | manifest
        assert (
            files["adapter_model.safetensors"]
            == (adapters[repo.role] / "adapter_model.safetensors").read_bytes()
        )
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
    everything = b"".join(
        [*hub.received, *(b for files in hub.repositories.values() for b in files.values())]
    )
    for path in (tmp_path, Path.home(), Path.cwd()):
        assert str(path).encode() not in everything
    assert b"optimizer" not in everything and b"made by PEFT" not in everything


def test_the_configuration_names_the_public_base_model(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    publish(adapters, hub)
    config = json.loads(hub.repositories["ada/team-ml-engineer"]["adapter_config.json"])
    assert config == {
        "r": 8,
        "peft_type": "LORA",
        "base_model_name_or_path": "Qwen/Qwen2.5-Coder-7B-Instruct",
    }


def test_the_card_has_valid_metadata_the_table_and_how_to_load_it(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    card = ModelCard(publish(adapters, hub)[1].card)
    metadata = card.data.to_dict()
    assert metadata["base_model"] == "Qwen/Qwen2.5-Coder-7B-Instruct"
    assert (metadata["license"], metadata["library_name"]) == ("apache-2.0", "peft")
    assert TABLE in card.text and "| mean reward | 0.1235 |" in card.text
    assert (
        "--lora-modules ml_engineer=ada/team-ml-engineer" in card.text
        and "PeftModel.from_pretrained" in card.text
    )


def test_the_manifest_has_every_checksum_and_pins_the_engineers_commit(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    published = {repo.role: repo for repo in publish(adapters, hub)}
    manifest = json.loads(hub.repositories["ada/team-data-scientist"]["team.json"])
    assert (
        manifest["engineer_commit"]
        == published["ml_engineer"].commit
        == hub.heads["ada/team-ml-engineer"]
    )
    for role, repo in published.items():
        told = {n: hashlib.sha256(c).hexdigest() for n, c in hub.repositories[repo.repo_id].items()}
        assert manifest[role]["sha256"] == {
            n: h for n, h in told.items() if n not in ("README.md", "team.json")
        }


def test_a_publication_that_breaks_off_leaves_the_team_before_whole(
    adapters: dict[str, Path], hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(adapters, hub)
    before = hub.heads["ada/team-data-scientist"]

    def only_the_engineer(api: HfApi, repo_id: str, *more: Any) -> str:
        if repo_id.endswith("data-scientist"):
            raise RunFailed("broken off")
        return upload(api, repo_id, *more)

    monkeypatch.setattr("marl_llm.hub.publish.upload", only_the_engineer)
    with pytest.raises(RunFailed, match="broken off"):
        publish(adapters, hub, card=dataclasses.replace(CARD, recipe="seed: 9\n"))
    assert hub.heads["ada/team-data-scientist"] == before
    pinned = json.loads(hub.repositories["ada/team-data-scientist"]["team.json"])["engineer_commit"]
    assert hub.heads["ada/team-ml-engineer"] != pinned in hub.commits["ada/team-ml-engineer"]


@pytest.mark.parametrize(("rank", "served"), [(1, 1), (4, 8), (8, 8), (12, 16), (33, 64)])
def test_the_cards_max_lora_rank_is_one_that_vllm_accepts(
    adapters: dict[str, Path], hub: LoopbackHub, rank: int, served: int
) -> None:
    for path in adapters.values():
        (path / "adapter_config.json").write_text(json.dumps({"r": rank, "peft_type": "LORA"}))
    assert f"--max-lora-rank {served} " in publish(adapters, hub, dry_run=True)[0].card
    if (installed := find_spec("vllm")) and installed.origin:  # read, for importing it takes 20 s
        config = (Path(installed.origin).parent / "config" / "lora.py").read_text()
        known = re.search(r"^MaxLoRARanks = Literal\[(.*)\]$", config, re.MULTILINE)
        assert known and str(served) in known[1].split(", ")


def test_a_run_that_was_not_evaluated_says_so(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    card = publish(adapters, hub, card=dataclasses.replace(CARD, evaluation=""), dry_run=True)[
        0
    ].card
    assert "This run has not been evaluated." in card


def test_a_dry_run_sends_nothing(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    published = publish(adapters, hub, dry_run=True)
    assert published[0].files and published[0].card.startswith("---\n")
    assert hub.received == [] and hub.repositories == {}


def test_publishing_again_updates_the_repositories(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    publish(adapters, hub)
    publish(adapters, hub, card=dataclasses.replace(CARD, recipe="rollout:\n  episodes: 9\n"))
    assert hub.repositories["ada/team-ml-engineer"]["recipe.yaml"] == b"rollout:\n  episodes: 9\n"


def test_a_bad_token_is_one_clear_sentence(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    with pytest.raises(
        UserError, match="does not accept the access token: log in with `hf auth login`"
    ):
        publish(adapters, hub, token="wrong")
    assert hub.repositories == {}


def test_another_users_name_is_one_clear_sentence(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    with pytest.raises(UserError, match="does not let this token write bob/team-ml-engineer"):
        publish(adapters, hub, repo_prefix="bob/team")


def test_no_network_is_one_clear_sentence(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    with pytest.raises(
        UserError, match=r"http://127.0.0.1:1 cannot be reached .*check the network"
    ):
        publish(adapters, hub, endpoint="http://127.0.0.1:1")


def test_offline_mode_is_one_clear_sentence(
    adapters: dict[str, Path], hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set: unset it"):
        publish(adapters, hub)


def test_an_upload_of_weights_that_fails_is_one_clear_sentence(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    hub.losing_blobs = True
    with pytest.raises(RunFailed, match="400 while ada/team-ml-engineer was uploaded"):
        publish(adapters, hub)


def test_a_failing_hub_is_one_clear_sentence(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    hub.failing = True
    with pytest.raises(
        RunFailed, match=r"answered 500 while ada/team-ml-engineer .*: try again later"
    ):
        publish(adapters, hub)


@pytest.mark.parametrize(
    "prefix", ["team", "ada/", "/team", "ada/te am", "ada/team/x", "ada/-team", ""]
)
def test_a_malformed_prefix_is_refused(
    adapters: dict[str, Path], hub: LoopbackHub, prefix: str
) -> None:
    with pytest.raises(UserError, match=r"cannot begin a repository's name.*: give user/name"):
        publish(adapters, hub, repo_prefix=prefix)
    assert hub.received == []


def test_a_local_path_in_the_recipe_is_refused_before_anything_is_sent(
    adapters: dict[str, Path], hub: LoopbackHub, tmp_path: Path
) -> None:
    for local in (
        Path.cwd() / "data",
        adapters[ROLES[0]],
        tmp_path / "secret",
        Path("/home/ada/data.csv"),
    ):
        recipe = dataclasses.replace(CARD, recipe=f"tasks: {local}\n")
        with pytest.raises(
            UserError, match=r"recipe.yaml of the adapter .* would publish the local path /"
        ):
            publish(adapters, hub, card=recipe, private_paths=[tmp_path / "secret"])
    assert hub.received == []


@pytest.mark.parametrize(
    "path",
    [
        "/mnt/lab/patients.csv",
        "~/plans/q3",
        "/srv/data/x",
        r"D:\bank\clients",
        r"\\nas\share\x.csv",
    ],
)
def test_any_absolute_path_is_refused_wherever_it_leads(
    adapters: dict[str, Path], hub: LoopbackHub, path: str
) -> None:
    recipe = dataclasses.replace(CARD, recipe=f"tasks: {{suite: '{path}'}}\n")
    with pytest.raises(UserError, match=r"recipe.yaml of the adapter .* would publish the local"):
        publish(adapters, hub, card=recipe)
    assert hub.received == []


@pytest.mark.parametrize(
    "words",
    [
        "https://huggingface.co/a/b/c",
        "data/models/tiny",
        "precision/recall, and/or",
        "1/2/3 a / b / c",
        "<b>x</b/c>",
        "../runs/x/y",
    ],
)
def test_what_only_looks_like_a_path_is_published(
    adapters: dict[str, Path], hub: LoopbackHub, words: str
) -> None:
    publish(adapters, hub, card=dataclasses.replace(CARD, recipe=f"# {words}\n"), dry_run=True)


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("hf_" + "aB3" * 10, "hf_aB3a"),
        ("sk-" + "x9_" * 10, "sk-x9_x"),
        ("ghp_" + "Ab1" * 12, "ghp_Ab1"),
        ("AKIAABCDEFGHIJKLMNOP", "AKIAABC"),
        ("-----BEGIN RSA PRIVATE KEY-----", "-----BE"),
        ("https://ada:geheim@host/v1", "https:/"),
        (TOKEN, "the access token that you publish with"),
    ],
)
def test_a_credential_is_refused_and_not_shown(
    adapters: dict[str, Path], hub: LoopbackHub, secret: str, shown: str
) -> None:
    config = adapters[ROLES[1]] / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "auto_mapping": secret}))
    with pytest.raises(UserError, match=r"adapter_config\.json of .* a credential") as raised:
        publish(adapters, hub)
    assert shown in str(raised.value) and secret not in str(raised.value)
    assert hub.received == []


@pytest.mark.parametrize("garbage", [b"", b"\x00" * 100, b"not weights", b"\xff" * 8 + b"{}"])
def test_weights_that_are_no_safetensors_are_refused(
    adapters: dict[str, Path], hub: LoopbackHub, garbage: bytes
) -> None:
    (adapters[ROLES[1]] / "adapter_model.safetensors").write_bytes(garbage)
    with pytest.raises(UserError, match=r"adapter_model\.safetensors is no safetensors file"):
        publish(adapters, hub)
    assert hub.received == []


@pytest.mark.parametrize(
    ("weights", "why"),
    [({}, "no weight in it"), ({"lora_A": torch.tensor([1.0, float("nan")])}, "lora_A is not fin")],
)
def test_weights_that_are_none_are_refused(
    adapters: dict[str, Path], hub: LoopbackHub, weights: dict[str, torch.Tensor], why: str
) -> None:
    save_file(weights, adapters[ROLES[0]] / "adapter_model.safetensors")
    with pytest.raises(UserError, match=why):
        publish(adapters, hub)


def test_a_hub_that_answers_nothing_is_one_clear_sentence(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    hub.saying_nothing = True
    with pytest.raises(UserError, match="does not answer as a Hub does .*: check the endpoint"):
        publish(adapters, hub)


def test_a_local_path_in_the_metadata_of_the_weights_is_refused(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    path = adapters[ROLES[1]]
    save_file(
        {"lora_A": torch.zeros(8)}, path / "adapter_model.safetensors", metadata={"from": str(path)}
    )
    with pytest.raises(UserError, match=r"adapter_model\.safetensors of the adapter"):
        publish(adapters, hub)
    assert hub.received == []


@pytest.mark.parametrize("missing", ["adapter_model.safetensors", "adapter_config.json"])
def test_an_incomplete_adapter_is_named(
    adapters: dict[str, Path], hub: LoopbackHub, missing: str
) -> None:
    (adapters[ROLES[1]] / missing).unlink()
    with pytest.raises(UserError, match=f"ml_engineer is no adapter .*{missing}"):
        publish(adapters, hub)
    assert hub.received == []

"""What may not be published is refused by name before anything is sent."""

from __future__ import annotations

import dataclasses
import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.core.roles import DATA_SCIENTIST
from marl_llm.hub.inspection import refuse_private
from tests.hub.given import CARD, publish
from tests.hub.loopback_hub import TOKEN, LoopbackHub

SECRETS = {
    "hf_" + "a" * 34: "an access token of the Hugging Face Hub",
    "ghp_" + "b" * 36: "an access token of GitHub",
    "sk-" + "c" * 40: "an API key",
    "AKIA" + "D" * 16: "an access key of AWS",
    "-----BEGIN RSA PRIVATE KEY-----": "a private key",
    "https://me:hunter2@host/x": "a password in an address",
    TOKEN: "the access token that you publish with",
}


@pytest.mark.parametrize(("secret", "kind"), SECRETS.items())
def test_a_token_in_a_configuration_is_refused_and_not_shown(
    adapters: dict[str, Path], hub: LoopbackHub, secret: str, kind: str
) -> None:
    config = adapters[DATA_SCIENTIST] / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"note": secret}))
    with pytest.raises(UserError, match=f"adapter_config.json of the adapter .* {kind}") as caught:
        publish(adapters, hub)
    assert secret not in str(caught.value) and not hub.received


@pytest.mark.parametrize("path", ["/mnt/lab/secret.csv", "/scratch/u1/run", "D:\\data\\x.csv"])
def test_a_path_outside_the_home_is_refused(
    adapters: dict[str, Path], hub: LoopbackHub, path: str
) -> None:
    card = dataclasses.replace(CARD, recipe=f"tasks:\n  suite: {path}\n")
    with pytest.raises(UserError, match="recipe.yaml of the adapter .* the local path"):
        publish(adapters, hub, card=card)
    assert not hub.received


def test_addresses_and_names_are_no_paths() -> None:
    text = b"https://huggingface.co/datasets/data/tmp and/or user/data/x ./data/x a/tmp/b </tmp/x>"
    refuse_private("it", {"README.md": text}, [Path("/work")], None)


@pytest.mark.parametrize("damage", ["garbage", "cut", "nan", "empty"])
def test_weights_that_are_none_are_refused_by_name(
    adapters: dict[str, Path], hub: LoopbackHub, damage: str
) -> None:
    weights = adapters[DATA_SCIENTIST] / "adapter_model.safetensors"
    if damage == "nan":
        save_file({"lora_A": torch.full((2, 2), torch.nan)}, weights)
    elif damage == "empty":
        save_file({}, weights)
    else:
        content = weights.read_bytes()
        weights.write_bytes(b"garbage" * 99 if damage == "garbage" else content[:-8])
    with pytest.raises(UserError, match="adapter_model.safetensors (holds no|cannot be)"):
        publish(adapters, hub)
    assert not hub.received


def test_a_hub_that_answers_nothing_is_one_sentence(
    adapters: dict[str, Path], hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub.RequestHandlerClass, "do_POST", _nothing)
    with pytest.raises(RunFailed, match="answered what no Hub answers|did not take") as caught:
        publish(adapters, hub)
    assert "\n" not in str(caught.value)


def _nothing(handler: BaseHTTPRequestHandler) -> None:
    handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    handler.send_response(200)
    handler.send_header("Content-Length", "2")
    handler.end_headers()
    handler.wfile.write(b"{}")

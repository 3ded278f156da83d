"""What the tests of the Hub share: adapters of a few kilobytes, what their cards say, and how they
are published.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from marl_llm.core.roles import ROLES
from marl_llm.hub import CardInputs, PublishedRepo, TeamInputs, publish_adapters
from tests.hub.loopback_hub import TOKEN, LoopbackHub

TABLE = "| arm | score |\n|---|---|\n| trained pair | 0.81 [0.78, 0.84] |"
CARD = CardInputs(
    base_model="Qwen/Qwen2.5-Coder-7B-Instruct",
    recipe="rollout:\n  episodes: 8\n",
    training={role: {"iterations": 4, "mean reward": 0.1234567} for role in ROLES},
    evaluation=TABLE,
)

MADE = TeamInputs(versions=dict.fromkeys(ROLES, 4))


def make_adapters(root: Path) -> dict[str, Path]:
    """Adapter directories by role, with what must not be published beside them."""
    paths = {role: root / "runs" / "x" / role for role in ROLES}
    for seed, path in enumerate(paths.values()):
        path.mkdir(parents=True)
        torch.manual_seed(seed)
        save_file({"lora_A": torch.randn(8, 4000)}, path / "adapter_model.safetensors")
        config = {
            "r": 8,
            "peft_type": "LORA",
            "base_model_name_or_path": str(root / "models" / "tiny"),
        }
        (path / "adapter_config.json").write_text(json.dumps(config))
        (path / "README.md").write_text(f"made by PEFT in {path}")
        (path / "optimizer.pt").write_bytes(b"not for publication")
    return paths


def publish(adapters: dict[str, Path], hub: LoopbackHub, **changes: Any) -> list[PublishedRepo]:
    given: dict[str, Any] = {
        "repo_prefix": "ada/team",
        "card": CARD,
        "team": MADE,
        "endpoint": hub.url,
        "token": TOKEN,
    }
    return publish_adapters(adapters, **{**given, **changes})

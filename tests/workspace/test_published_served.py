"""Both adapters of a base model in a directory, published, loaded back by name and served by the
real vLLM: the replies are the run's, token for token. A random model of Qwen2's architecture stands
for the real one of MARL_LLM_REAL_MODEL.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from transformers import Qwen2Config

from marl_llm.core.roles import ROLES
from marl_llm.pipeline.publish import publish_run
from marl_llm.rollout.session import RolePolicy
from marl_llm.serving import ChatClient
from marl_llm.training.adapters import copy_version
from marl_llm.workspace.open_run import policies, server_session
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory
from marl_llm.workspace.teams import choose_team
from tests.conftest import REAL_MODEL
from tests.hub.loopback_hub import loopback_hub, use
from tests.tiny_model import make_adapter, make_model

pytestmark = pytest.mark.vllm

CHATS = (
    [
        {"role": "system", "content": "role: data scientist"},
        {"role": "user", "content": "score 0.71 left 3"},
    ],
    [
        {"role": "system", "content": "role: ml engineer"},
        {"role": "user", "content": "proposal: tune max_depth=5"},
    ],
)
NEW_TOKENS = 24


def of_qwen2(directory: Path) -> Path:
    return make_model(directory, Qwen2Config)


def trained_run(root: Path, base: Path, name: str) -> RunDirectory:
    """A run whose version 1 has adapters that change what the base model says."""
    model = {"path": str(base), "hub_name": name, "rank": 8, "alpha": 16}
    recipe = Recipe.model_validate(
        {"name": "round-trip", "model": model, "serving": {"max_model_len": 512}}
    )
    run = RunDirectory(root)
    run.prepare(recipe)
    for seed, role in enumerate(ROLES):
        copy_version(make_adapter(base, root / "made" / role, seed), run.adapter(role, 1))
    return run


async def replies(client: ChatClient, roles: dict[str, RolePolicy]) -> dict[str, list[list[int]]]:
    """Token ids of greedy replies by role."""
    said = {}
    for role, policy in roles.items():
        if policy.directory:
            await client.load_adapter(policy.info.name, policy.directory)
        name = policy.info.name if policy.directory else client.base_name
        asked = [client.sample(name, chat, temperature=0, max_tokens=NEW_TOKENS) for chat in CHATS]
        said[role] = [(await one).completion_ids for one in asked]
    return said


@pytest.mark.parametrize("which", ["qwen2", pytest.param("real", marks=pytest.mark.real_model)])
def test_adapters_come_back_from_the_hub_with_the_same_replies(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Path(os.environ[REAL_MODEL]) if which == "real" else of_qwen2(tmp_path / "qwen2")
    run = trained_run(tmp_path / "run", base, "ada/base-of-the-team")
    with loopback_hub() as hub:
        use(hub, tmp_path / "cache", monkeypatch)
        publish_run(run.root, repo_prefix="ada/team", endpoint=hub.url)
        team = choose_team(f"ada/team@{hub.heads['ada/team-data-scientist']}", base=base)
    assert team.run and team.recipe.model.hub_name == "ada/base-of-the-team"
    versions = dict.fromkeys(ROLES, 1)
    own, back = (
        policies(run.recipe().name, run, versions),
        policies(team.recipe.name, team.run, versions),
    )

    async def ask(client: ChatClient) -> tuple[dict[str, list[list[int]]], ...]:
        async with client:
            return (await replies(client, own), await replies(client, back))

    with server_session(team.sections, tmp_path / "server.log") as session:
        said_own, said_back = asyncio.run(ask(session.client()))
    assert said_back == said_own
    assert said_own[ROLES[0]] != said_own[ROLES[1]], (
        "the adapters differ, so what is compared is theirs"
    )

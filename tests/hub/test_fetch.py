"""Claims about getting a team from the Hub, against a loopback server with real HTTP and the Hub's
own cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from marl_llm.core.errors import UserError
from marl_llm.core.hub_names import TeamName
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER, ROLES
from marl_llm.hub import FetchedTeam, fetch_team
from tests.hub.given import publish
from tests.hub.loopback_hub import LoopbackHub

ENTRY, ENGINEER = "ada/team-data-scientist", "ada/team-ml-engineer"
WEIGHTS = "adapter_model.safetensors"


def fetch(text: str) -> FetchedTeam:
    name = TeamName.parse(text)
    assert name is not None
    return fetch_team(name)


def tampered(hub: LoopbackHub, repo_id: str, **files: bytes | None) -> None:
    """Commit other files over the published ones; None deletes. Dots in names are written as
    `__`.
    """
    given = {name.replace("__", "."): content for name, content in files.items()}
    kept = {
        name: content for name, content in hub.repositories[repo_id].items() if name not in given
    }
    hub.commit(
        repo_id, kept | {name: content for name, content in given.items() if content is not None}
    )


def repinned(hub: LoopbackHub, role: str, **files: bytes | None) -> None:
    """Tamper with a role's files, and have the manifest say that this is right."""
    repo_id = ENTRY if role == DATA_SCIENTIST else ENGINEER
    tampered(hub, repo_id, **files)
    manifest = json.loads(hub.repositories[ENTRY]["team.json"])
    told = {n: hashlib.sha256(c).hexdigest() for n, c in hub.repositories[repo_id].items()}
    manifest[role]["sha256"] = {
        n: h for n, h in told.items() if n not in ("README.md", "team.json")
    }
    manifest["engineer_commit"] = hub.heads[ENGINEER]
    tampered(hub, ENTRY, team__json=json.dumps(manifest).encode())


def test_a_team_comes_back_byte_for_byte_and_names_its_commit(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    publish(adapters, hub)
    team = fetch("ada/team")
    assert team.name == f"ada/team@{hub.heads[ENTRY]}"
    for role in ROLES:
        assert (team.directories[role] / WEIGHTS).read_bytes() == (
            adapters[role] / WEIGHTS
        ).read_bytes()
    assert fetch(team.name) == team


def test_a_commit_names_both_adapters_whatever_is_published_later(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    publish(adapters, hub)
    first = hub.heads[ENTRY]
    hub.tags[ENTRY] = {"v1": first}
    before = {role: (path / WEIGHTS).read_bytes() for role, path in adapters.items()}
    swapped = dict(zip(ROLES, reversed(adapters.values()), strict=True))
    publish(swapped, hub)
    for revision in (first, "v1"):
        team = fetch(f"ada/team@{revision}")
        assert {
            role: (path / WEIGHTS).read_bytes() for role, path in team.directories.items()
        } == before
    latest = fetch("ada/team").directories
    assert (latest[ML_ENGINEER] / WEIGHTS).read_bytes() == before[DATA_SCIENTIST]


def test_only_what_the_manifest_may_name_is_downloaded(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    publish(adapters, hub)
    tampered(hub, ENTRY, adapter_model__bin=b"pickle", modeling__py=b"evil")
    fetch("ada/team")
    asked = {path.rsplit("/", 1)[1] for path in hub.asked}
    assert asked == {"team.json", WEIGHTS, "adapter_config.json", "recipe.yaml"}


@pytest.mark.parametrize("repo_id", [ENTRY, ENGINEER])
@pytest.mark.parametrize("name", [WEIGHTS, "adapter_config.json"])
def test_a_file_that_is_not_the_published_one_is_refused(
    adapters: dict[str, Path], hub: LoopbackHub, repo_id: str, name: str
) -> None:
    publish(adapters, hub)
    content = bytearray(hub.repositories[repo_id][name])
    content[-3] ^= 1
    for commit in hub.commits[repo_id].values():
        commit[name] = bytes(content)
    with pytest.raises(
        UserError, match=rf"{repo_id}@\w+: {name} is not what was published .SHA-256"
    ):
        fetch("ada/team")


def test_weights_that_changed_in_the_cache_are_refused(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    publish(adapters, hub)
    path = (fetch("ada/team").directories[ML_ENGINEER] / WEIGHTS).resolve()
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(
        UserError, match=rf"{WEIGHTS} is not what the Hub has .*: delete {path} and load it again"
    ):
        fetch("ada/team")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("role", ROLES)
def test_a_pickle_instead_of_safetensors_is_refused_and_not_even_downloaded(
    adapters: dict[str, Path], hub: LoopbackHub, role: str
) -> None:
    publish(adapters, hub)
    with_pickle = {"adapter_model__safetensors": None, "adapter_model__bin": pickle.dumps(Evil())}
    tampered(hub, ENTRY if role == DATA_SCIENTIST else ENGINEER, **with_pickle)
    if role == ML_ENGINEER:
        manifest = json.loads(hub.repositories[ENTRY]["team.json"])
        tampered(
            hub,
            ENTRY,
            team__json=json.dumps(manifest | {"engineer_commit": hub.heads[ENGINEER]}).encode(),
        )
    with pytest.raises(
        UserError,
        match=r"has no adapter_model.safetensors; weights in other formats .* are not read",
    ):
        fetch("ada/team")
    assert not any(path.endswith(".bin") for path in hub.asked)


@pytest.mark.parametrize("role", ROLES)
def test_a_pickle_in_the_manifest_is_refused(
    adapters: dict[str, Path], hub: LoopbackHub, role: str
) -> None:
    publish(adapters, hub)
    repinned(hub, role, adapter_model__bin=pickle.dumps(Evil()))
    with pytest.raises(
        UserError, match="its team.json is not one that this version of marl_llm reads"
    ):
        fetch("ada/team")


@pytest.mark.parametrize("role", ROLES)
def test_a_pickle_under_the_name_of_safetensors_is_refused(
    adapters: dict[str, Path], hub: LoopbackHub, role: str
) -> None:
    publish(adapters, hub)
    repinned(hub, role, adapter_model__safetensors=pickle.dumps(Evil()))
    with pytest.raises(UserError, match="its adapter_model.safetensors is no safetensors file"):
        fetch("ada/team")


def test_what_is_cached_is_used_without_a_network(
    adapters: dict[str, Path], hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(adapters, hub)
    team = fetch("ada/team")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.asked)
    assert fetch("ada/team") == fetch(team.name) == team
    assert len(hub.asked) == asked
    with pytest.raises(
        UserError,
        match=r"ada/other-.*: team.json is not in the Hub's cache .* HF_HUB_OFFLINE is set",
    ):
        fetch("ada/other")


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub tries again for 23 s."""
    without = SimpleNamespace(**vars(time) | {"sleep": lambda seconds: None})
    monkeypatch.setattr("huggingface_hub.utils._http.time", without)


@pytest.mark.usefixtures("no_pauses")
def test_no_network_is_one_sentence(hub: LoopbackHub) -> None:
    hub.shutdown()
    hub.server_close()
    with pytest.raises(
        UserError, match=r"team.json is not in the Hub's cache .* http.* cannot be reached"
    ):
        fetch("ada/team")


def test_each_thing_that_is_not_there_is_one_sentence(
    adapters: dict[str, Path], hub: LoopbackHub
) -> None:
    publish(adapters, hub)
    with pytest.raises(
        UserError,
        match="has no repository ada/tem-data-scientist, or it is private: check the name",
    ):
        fetch("ada/tem")
    with pytest.raises(
        UserError, match="ada/team-data-scientist@v7: the repository has no such revision"
    ):
        fetch("ada/team@v7")
    tampered(hub, ENTRY, team__json=None)
    with pytest.raises(
        UserError, match="has no team.json; a team is what `marl-llm publish` has put there"
    ):
        fetch("ada/team")
    hub.gated.add(ENTRY)
    with pytest.raises(UserError, match=rf"is gated: accept its terms at {hub.url}/{ENTRY}"):
        fetch("ada/team")


@pytest.mark.usefixtures("no_pauses")
def test_a_hub_that_fails_is_one_sentence(adapters: dict[str, Path], hub: LoopbackHub) -> None:
    publish(adapters, hub)
    hub.failing = True
    with pytest.raises(
        UserError, match="team.json is not in the Hub's cache .* answers with an error"
    ):
        fetch("ada/team")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("ada/team", ("ada/team", None)),
        ("ada/team@v1.0", ("ada/team", "v1.0")),
        ("ada/team@refs/pr/1", ("ada/team", "refs/pr/1")),
        ("trained", None),
        ("/ada/team", None),
        ("a/b/c", None),
        ("ada/team@", None),
        ("../team", None),
    ],
)
def test_what_is_a_name_on_the_hub(text: str, parsed: tuple[str, str | None] | None) -> None:
    assert TeamName.parse(text) == parsed

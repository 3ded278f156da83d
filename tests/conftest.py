"""Fixtures that tests of several packages share: one small base model, one adapter per role, one
real vLLM server.

The server takes half a minute to start, so there is one for the whole session, started by the first
test that asks for it. With xdist (`--dist loadgroup`) the files that use it are one group, run by
one worker; any other file is a group of its own, since a file's tests share fixtures. Tests marked
`vllm` come first, being the longest; those marked `kills_server` run after all others.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from marl_llm.core.roles import ROLES
from marl_llm.serving import ModelServer, ServerConfig
from marl_llm.serving.config import vllm_version

REAL_MODEL = "MARL_LLM_REAL_MODEL"
EMBEDDED = Path(__file__).parents[1] / "data" / "models" / "tiny"


def pytest_configure(config: pytest.Config) -> None:
    home = tempfile.TemporaryDirectory(prefix="data-home-")
    config.add_cleanup(home.cleanup)
    os.environ["XDG_DATA_HOME"] = home.name  # the user's own experience stays as it is
    config.addinivalue_line(
        "markers", "vllm: needs a real vLLM server; skipped where vLLM is not installed"
    )
    config.addinivalue_line(
        "markers", f"real_model: needs the directory of a real base model in {REAL_MODEL}"
    )
    config.addinivalue_line("markers", "kills_server: ends the shared server, so it runs last")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("vllm") and vllm_version() is None:
            item.add_marker(
                pytest.mark.skip(reason="vLLM is not installed (extra vllm, or `make install`)")
            )
        if item.get_closest_marker("real_model") and not os.environ.get(REAL_MODEL):
            item.add_marker(
                pytest.mark.skip(reason=f"{REAL_MODEL} names no directory of a real base model")
            )
    items.sort(
        key=lambda item: (
            bool(item.get_closest_marker("kills_server")),
            not item.get_closest_marker("vllm"),
        )
    )
    shared = {item.path for item in items if "tiny_server" in getattr(item, "fixturenames", ())}
    for item in items:
        file = str(item.path.relative_to(item.config.rootpath))
        item.add_marker(pytest.mark.xdist_group("tiny_server" if item.path in shared else file))


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of the embedded base model, or of a random one while there is none."""
    if (EMBEDDED / "config.json").is_file():
        return EMBEDDED
    from tests.tiny_model import make_model

    return make_model(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture(scope="session")
def tiny_adapters(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One random LoRA adapter of rank 8 per role, by role."""
    from tests.tiny_model import make_adapter

    directory = tmp_path_factory.mktemp("adapters")
    return {
        role: make_adapter(tiny_base, directory / role, seed) for seed, role in enumerate(ROLES)
    }


@pytest.fixture(scope="session")
def tiny_server(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """A real vLLM server with the small base model, context 1024, no adapters loaded yet."""
    config = ServerConfig(max_model_len=1024, max_lora_rank=16, start_timeout_s=180)
    with ModelServer.start(
        tiny_base, log_path=tmp_path_factory.mktemp("server") / "vllm.log", config=config
    ) as server:
        yield server

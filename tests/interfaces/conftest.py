from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

pytest.importorskip("pettingzoo", reason="PettingZoo is not installed (extra pettingzoo)")

from marl_llm.core.kind import Kind
from marl_llm.environment import EnvironmentConfig, TeamEnv
from marl_llm.interfaces import TeamAECEnv
from tests.fixtures import CONFIG, sandbox, shared_sandbox, small_task

__all__ = ["sandbox"]


@functools.cache
def _shared(kind: Kind, steps: int, analyses: int, corrections: int, cache: str) -> TeamEnv:
    chosen = {"steps": steps, "analyses": analyses, "corrections": corrections, "cache": cache}
    return TeamEnv(small_task(kind), shared_sandbox(), CONFIG.model_copy(update=chosen))


@pytest.fixture(scope="session")
def evaluations(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The evaluation cache of all environments that `make_env` makes."""
    return str(tmp_path_factory.mktemp("evaluations") / "cache.sqlite")


@pytest.fixture
def make_env(sandbox, evaluations: str) -> Callable[..., TeamAECEnv]:
    """Makes an environment on the small task of a kind; what was evaluated once is remembered. Not
    to be closed.
    """

    def make(
        kind: Kind = Kind.binary, steps: int = 3, analyses: int = 1, corrections: int = 0, **options
    ) -> TeamAECEnv:
        return TeamAECEnv(_shared(kind, steps, analyses, corrections, evaluations), **options)

    return make


@pytest.fixture
def make_fresh_env(sandbox) -> Callable[..., TeamAECEnv]:
    """Makes an environment of its own on the binary task, which may be closed."""

    def make(config: EnvironmentConfig = CONFIG, seed: int = 0) -> TeamAECEnv:
        return TeamAECEnv(TeamEnv(small_task(Kind.binary), shared_sandbox(), config, seed))

    return make

"""What playing needs around it: a model server that starts when it is first asked for, and policies made on it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from marl_llm.environment.memory import TokenCounter, rough_tokens
from marl_llm.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.episode import Team
from marl_llm.rollout.policies import ModelPolicy, PolicyInfo
from marl_llm.serving import ChatClient, ModelServer, ServerConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RolePolicy:
    """A policy to be served: the adapter's directory, or None for the base model; its name, version and hash."""

    directory: Path | None
    info: PolicyInfo


BASE_POLICY = RolePolicy(None, PolicyInfo("base"))
"""The base model without an adapter: the untrained agent."""


class ServerSession:
    """One model server over several stages; started on first use, or attached to; a context manager that ends it."""

    def __init__(self, model: Path, port: int, log_path: Path, config: ServerConfig, attach: str | None = None) -> None:
        self._model, self._port, self._log_path, self._config, self._attach = model, port, log_path, config, attach
        self._server: ModelServer | None = None

    def server(self) -> ModelServer:
        """The running server."""
        if self._server is None:
            if self._attach:
                self._server = ModelServer.attach(self._attach)
            else:
                logger.info("starting the model server (half a minute to two minutes; log: %s)", self._log_path)
                self._server = ModelServer.start(self._model, self._port, log_path=self._log_path, config=self._config)
        return self._server

    def stop(self) -> None:
        """End the server if it was started here; the next `server()` starts it again."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> ServerSession:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


async def make_team(client: ChatClient, roles: dict[str, RolePolicy], config: RolloutConfig) -> Team:
    """Load the adapters and return the pair that plays through the server."""
    tokens = {DATA_SCIENTIST: config.data_scientist_tokens, ML_ENGINEER: config.engineer_tokens}
    policies = {}
    for role, policy in roles.items():
        if policy.directory is not None:
            await client.load_adapter(policy.info.name, policy.directory)
        policies[role] = ModelPolicy(client, policy.info, temperature=config.temperature, max_tokens=tokens[role])
    return Team(policies[DATA_SCIENTIST], policies[ML_ENGINEER])


def token_counter(model: Path) -> TokenCounter:
    """Counts tokens as the model's own tokenizer does where it lies on disk; a rough upper estimate otherwise."""
    path = model / "tokenizer.json"
    if not path.is_file():
        return rough_tokens
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)

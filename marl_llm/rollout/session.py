"""What playing needs around it: a model, in a server or in this process, and policies made on
it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

from marl_llm.agents.prompts import PromptConfig
from marl_llm.agents.style import PromptStyle
from marl_llm.core.base_model import vocabulary_size
from marl_llm.core.errors import UserError
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.environment.memory import TokenCounter, rough_tokens
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.episode import Team
from marl_llm.rollout.policies import ModelPolicy, PolicyInfo
from marl_llm.serving import ChatClient, ModelServer, Sampler, ServerConfig
from marl_llm.serving.balanced import BalancedClient
from marl_llm.serving.in_process import InProcessClient, InProcessModel
from marl_llm.serving.in_process.chat import ChatTokenizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RolePolicy:
    """A policy to be served: the adapter's directory, or None for the base model; its name, version
    and hash.
    """

    directory: Path | None
    info: PolicyInfo

    def resolved(self) -> RolePolicy:
        """The same for a process with another working directory."""
        return replace(self, directory=self.directory.resolve() if self.directory else None)


BASE_POLICY = RolePolicy(None, PolicyInfo("base"))
"""The base model without an adapter: the untrained agent."""


class ModelSession(Protocol):
    """A model over several stages or CSVs; a context manager that ends what it started."""

    def ready(self) -> None:
        """Start or load the model now; otherwise the first client does."""
        ...

    def client(self) -> Sampler:
        """A client of the model, for one event loop."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class InProcessSession:
    """A small model in this process, loaded on first use. A `ModelSession`.

    Parameters
    ----------
    directory : Path
        Of the base model.
    name : str
        How the recipe calls it; adapters may know it by this name.
    max_model_len : int
        Context: prompt and completion together, tokens.
    """

    def __init__(self, directory: Path, name: str, max_model_len: int) -> None:
        self._directory, self._name, self._max_model_len = directory, name, max_model_len
        self._model: InProcessModel | None = None

    def ready(self) -> None:
        """Load the model."""
        self._loaded()

    def client(self) -> InProcessClient:
        """A client of the model."""
        return InProcessClient(self._loaded())

    def _loaded(self) -> InProcessModel:
        if self._model is None:
            self._model = InProcessModel(self._directory, self._max_model_len, self._name)
        return self._model

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._model is not None:
            self._model.close()
            self._model = None


class ServerSession:
    """One model server over several stages, started on first use, or those that are attached to; a
    context manager that ends it.

    A `ModelSession`. A server that has died is started again when it is next asked for. One that is
    attached to must serve the model `hub_name`, where this is given: under that name, or from a
    directory called as it or as `model`.

    Attributes
    ----------
    config : ServerConfig
        How it is started.
    request_timeout_s : float
        Least patience with one that does nothing, seconds.
    """

    def __init__(
        self,
        model: Path,
        port: int,
        log_path: Path,
        config: ServerConfig,
        attach: str | Sequence[str] = (),
        *,
        hub_name: str | None = None,
        request_timeout_s: float = 300.0,
    ) -> None:
        self._model, self._port, self._log_path = model, port, log_path
        self._attach = (attach,) if isinstance(attach, str) else tuple(dict.fromkeys(attach))
        self._hub_name = hub_name
        self.config, self.request_timeout_s = config, request_timeout_s
        self._servers: list[ModelServer] = []

    def server(self) -> ModelServer:
        """The running server, the first of several."""
        return self.servers()[0]

    def servers(self) -> list[ModelServer]:
        """The running servers: one that is started here, or all that are attached to."""
        if any(not server.alive() for server in self._servers):
            self.stop()
        if not self._servers and self._attach:
            self._servers = [self._attached(url) for url in self._attach]
        elif not self._servers:
            logger.info(
                "starting the model server (half a minute to two minutes; log: %s)",
                self._log_path,
            )
            self._servers = [
                ModelServer.start(
                    self._model, self._port, log_path=self._log_path, config=self.config
                )
            ]
        return self._servers

    def _attached(self, url: str) -> ModelServer:
        server = ModelServer.attach(url, max_num_seqs=self.config.max_num_seqs)
        served, wanted = Path(server.model).name, self._hub_name
        if wanted and served and served not in (Path(wanted).name, self._model.resolve().name):
            raise UserError(
                f"The model server at {server.address} serves {server.model}, the adapters were "
                f"made for {wanted}: start one with that model, or leave out --server."
            )
        return server

    def ready(self) -> None:
        """Start the server, or attach to it."""
        self.server()

    def client(self) -> ChatClient | BalancedClient:
        """A client of the running servers."""
        return client_of(self.servers(), self.request_timeout_s, self.vocabulary)

    @property
    def vocabulary(self) -> int | None:
        """Token ids of the model are smaller than this; None where it does not say."""
        return vocabulary_size(self._model)

    def stop(self) -> None:
        """End the server if it was started here; the next `server()` starts it again."""
        for server in self._servers:
            server.stop()
        self._servers = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def client_of(
    servers: Sequence[ModelServer], request_timeout_s: float, vocabulary: int | None = None
) -> ChatClient | BalancedClient:
    """A client of one server, or of several that serve the same model, whose token ids are smaller
    than `vocabulary`.
    """
    clients = [
        ChatClient(one, request_timeout_s=request_timeout_s, vocabulary=vocabulary)
        for one in servers
    ]
    return clients[0] if len(clients) == 1 else BalancedClient(clients)


@dataclass(frozen=True)
class ServedTeam:
    """Opens the pair that plays through model servers, in any process that reaches them.

    Attributes
    ----------
    urls : tuple of str
    max_num_seqs : int
        Sequences that each server decodes at once.
    request_timeout_s : float
    vocabulary : int or None
        Token ids of the model are smaller.
    roles : dict of str to RolePolicy
        Adapters lie where the servers find them.
    rollout : RolloutConfig
    """

    urls: tuple[str, ...]
    max_num_seqs: int
    request_timeout_s: float
    vocabulary: int | None
    roles: dict[str, RolePolicy]
    rollout: RolloutConfig

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Team]:
        """The pair, for the running event loop; of several servers one may be gone.

        Raises
        ------
        UserError
            None of the servers answers from this machine.
        """
        servers = self._answering()
        async with client_of(servers, self.request_timeout_s, self.vocabulary) as client:
            yield await make_team(client, self.roles, self.rollout)

    def _answering(self) -> list[ModelServer]:
        servers: list[ModelServer] = []
        for number, url in enumerate(self.urls, start=1):
            try:
                servers.append(ModelServer.attach(url, max_num_seqs=self.max_num_seqs))
            except UserError as error:
                if number == len(self.urls) and not servers:
                    raise
                logger.warning("%s", error)
        return servers


async def make_team(client: Sampler, roles: dict[str, RolePolicy], config: RolloutConfig) -> Team:
    """Load the adapters and return the pair that plays through the client."""
    policies = {}
    for role, policy in roles.items():
        if policy.directory is not None:
            await client.load_adapter(policy.info.name, policy.directory)
        most = config.most_tokens(role)
        policies[role] = ModelPolicy(
            client, policy.info, temperature=config.temperature, max_tokens=most
        )
    return Team(policies[DATA_SCIENTIST], policies[ML_ENGINEER])


def prompt_style(config: PromptConfig, model: Path) -> PromptStyle:
    """How prompts are written for the model in a directory: its tokens are counted, its chat
    template obeyed.

    Raises
    ------
    UserError
        The model has no readable chat template.
    """
    system_role = config.style == "compact" or ChatTokenizer(model).takes_system_role()
    return PromptStyle(config, token_counter(model), system_role)


def token_counter(model: Path) -> TokenCounter:
    """Counts tokens as the model's own tokenizer does where it lies on disk; a rough upper estimate
    otherwise.
    """
    path = model / "tokenizer.json"
    if not path.is_file():
        return rough_tokens
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)

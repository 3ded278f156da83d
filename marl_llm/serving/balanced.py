"""One client of several model servers that serve the same model: adapters are loaded into all, each
request goes to one.

Requests with one beginning go to one server, so that its prefix cache serves them, unless it is
much busier than another: rendezvous hashing (Thaler and Ravishankar, 1998) with bounded loads
(Mirrokni, Thorup and Zadimoghaddam, 2018). A server that is lost is left out; what it was asked is
asked of another one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import Self

from marl_llm.serving.client import ChatClient
from marl_llm.serving.completion import Completion
from marl_llm.serving.counters import Counters
from marl_llm.serving.errors import ServerBusy, ServerDied, ServerStalled

logger = logging.getLogger(__name__)

_BEGINNING = 2
"""Messages that make a beginning: the rules and the state, which a whole group shares."""
_SLACK = 0.25
"""How many more open requests than the least busy server one may have for its prefix cache's sake,
as a share of the sequences it decodes at once.
"""


class BalancedClient:
    """Samples from several servers. A `Sampler`; used within one event loop.

    Parameters
    ----------
    clients : sequence of ChatClient
        At least one; entered and closed with this one.
    """

    def __init__(self, clients: Sequence[ChatClient]) -> None:
        self._clients = list(clients)
        self._open = dict.fromkeys(map(id, clients), 0)
        self._stack = AsyncExitStack()

    @property
    def base_name(self) -> str:
        """Name of the model without an adapter."""
        return self._clients[0].base_name

    async def __aenter__(self) -> Self:
        for client in self._clients:
            await self._stack.enter_async_context(client)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def load_adapter(self, name: str, path: Path) -> None:
        """As `ChatClient.load_adapter`, in every server."""
        await asyncio.gather(*(client.load_adapter(name, path) for client in self._clients))

    async def sample(
        self,
        model: str,
        messages: Sequence[Mapping[str, str]],
        *,
        temperature: float = 1.0,
        max_tokens: int,
        seed: int | None = None,
    ) -> Completion:
        """As `ChatClient.sample`, which see; a lost server is an error when it was the last."""
        while True:
            client = self._chosen(model, messages)
            self._open[id(client)] += 1
            try:
                return await client.sample(
                    model, messages, temperature=temperature, max_tokens=max_tokens, seed=seed
                )
            except (ServerDied, ServerStalled, ServerBusy) as error:
                self._leave_out(client, error)
            finally:
                self._open[id(client)] -= 1

    async def counters(self) -> Counters | None:
        """The sums over the servers; None where one does not say."""
        found = await asyncio.gather(*(client.counters() for client in self._clients))
        known = [one for one in found if one is not None]
        if len(known) < len(found):
            return None
        return Counters(*(sum(values) for values in zip(*map(astuple, known), strict=True)))

    def _chosen(self, model: str, messages: Sequence[Mapping[str, str]]) -> ChatClient:
        beginning = json.dumps([model, *map(dict, messages[:_BEGINNING])])

        def rank(client: ChatClient) -> bytes:
            return hashlib.sha256(f"{client.server.url} {beginning}".encode()).digest()

        least = min(self._open[id(client)] for client in self._clients)
        return next(
            client
            for client in sorted(self._clients, key=rank)
            if self._open[id(client)] <= least + _SLACK * client.server.max_num_seqs
        )

    def _leave_out(
        self, client: ChatClient, error: ServerDied | ServerStalled | ServerBusy
    ) -> None:
        """Ask it nothing more. Raises the error if no other is left."""
        if client not in self._clients:  # another request found out first
            if self._clients:
                return
            raise error
        if len(self._clients) == 1:
            raise error
        self._clients.remove(client)
        logger.warning("%s The other servers go on (%d).", error, len(self._clients))

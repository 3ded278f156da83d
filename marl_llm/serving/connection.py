"""HTTP to one model server: a request is answered, tried again when its connection is lost, or
waited for as long as the server works.

Out come replies of any status; what they mean is the client's affair. A server that ended is a
`ServerDied`, one that is up and does nothing a `ServerStalled`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import httpx

from marl_llm.serving.counters import Counters, read_counters
from marl_llm.serving.patience import Patience
from marl_llm.serving.server import ModelServer

_BACK_OFF_S = (0.2, 0.5, 1.0, 2.0)
_LAST_BREATH_S = 3.0
_LOOK_EVERY_S = 5.0
"""Between looks at the server's counters; also where they are only shown."""
_LOOK_S = 5.0
"""Longest wait for the counters of a busy server."""


class Connection:
    """HTTP to one server, within one event loop.

    Parameters
    ----------
    server : ModelServer
        Its process is watched where it is ours.
    request_timeout_s : float
        Least patience with a server that does nothing, seconds.
    """

    def __init__(self, server: ModelServer, request_timeout_s: float) -> None:
        self.server = server
        self._patience = Patience(request_timeout_s)
        self._look_every_s = min(_LOOK_EVERY_S, request_timeout_s / 4)
        self._looking = asyncio.Lock()
        self._looked = -_LOOK_EVERY_S
        self._counters: Counters | None = None
        # No time-out of httpx: it cannot tell slow from stalled. trust_env: a proxy from the
        # environment must not stand between us and a server on this machine.
        self._http = httpx.AsyncClient(
            base_url=server.url,
            timeout=httpx.Timeout(None, connect=10.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close the connections; the server goes on."""
        await self._http.aclose()

    async def call(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, tokens: int = 0
    ) -> httpx.Response:
        """Send one request; a lost connection is tried again, with growing pauses, while the server
        lives.

        Parameters
        ----------
        method, path, body
            Of the request.
        tokens : int
            Most tokens it asks for.

        Raises
        ------
        ServerDied
            If the server has ended or cannot be reached any more.
        ServerStalled
            If it has done nothing for longer than our patience.
        """
        for pause_s in (*_BACK_OFF_S, None):
            try:
                return await self._answer(method, path, body, tokens)
            except httpx.TransportError as error:
                if pause_s is None or await self.dying(pause_s):
                    raise self.server.died(
                        "no longer answers" if self.server.alive() else "died"
                    ) from error
        raise AssertionError("unreachable")

    async def dying(self, wait_s: float = _LAST_BREATH_S) -> bool:
        """Wait up to `wait_s` for the server's process to end (connections break a moment earlier);
        True if it did.
        """
        deadline = time.monotonic() + wait_s
        while self.server.alive() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        return not self.server.alive()

    async def counters(self) -> Counters | None:
        """What the server has done so far, read again after a few seconds at the earliest; None
        where it does not say.

        A growing count of tokens is a sign of work.
        """
        async with self._looking:
            if time.monotonic() - self._looked >= self._look_every_s:
                before, self._counters = self._counters, await self._read_counters()
                self._looked = time.monotonic()
                if before and self._counters and self._counters.tokens > before.tokens:
                    self._patience.sign_of_work(self._looked)
        return self._counters

    async def _read_counters(self) -> Counters | None:
        """The counters, or those known before if the server is too busy to tell."""
        try:
            reply = await self._http.get("/metrics", timeout=_LOOK_S)
        except httpx.TransportError:
            return self._counters
        return read_counters(reply.text)

    async def _answer(
        self, method: str, path: str, body: Mapping[str, object] | None, tokens: int
    ) -> httpx.Response:
        request = asyncio.ensure_future(self._http.request(method, path, json=body))
        note_end = self._patience.given_up
        self._patience.asked(tokens, time.monotonic())
        try:
            while not (await asyncio.wait({request}, timeout=self._look_every_s))[0]:
                await self._check_work()
            if request.result().is_success:
                note_end = self._patience.answered
            return request.result()
        finally:
            request.cancel()
            note_end(tokens, time.monotonic())

    async def _check_work(self) -> None:
        self.server.check()
        await self.counters()
        patience, now = self._patience, time.monotonic()
        if patience.spent(now):
            raise self.server.stalled(patience.silent_s(now), patience.waiting, patience.least_s)

"""HTTP to one model server: a request is answered, sent again when its connection is lost or the
server is busy, or waited for as long as the server works.

Out come replies; what they mean is the client's affair. A server that ended is a `ServerDied`, one
that is up and does nothing a `ServerStalled`, one that only turns requests away a `ServerBusy`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace

import httpx

from marl_llm.serving.counters import Counters, read_counters
from marl_llm.serving.errors import BadReply, ServerBusy
from marl_llm.serving.exchange import PATIENCE_KEY, Reply, exchange
from marl_llm.serving.patience import Patience
from marl_llm.serving.replies import refusal_message
from marl_llm.serving.server import ModelServer

_BACK_OFF_S = (0.2, 0.5, 1.0, 2.0)
_LAST_BREATH_S = 3.0
_LOOK_EVERY_S = 5.0
"""Between looks at the server's counters; also where they are only shown."""
_LOOK_S = 5.0
"""Longest wait for the counters of a busy server."""
_BUSY = frozenset((429, 502, 503, 504))
"""What a server, or a proxy before it, says when it may take the request later."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
"""Between requests to a busy server, where it asks for none; doubled each time."""
_MIB = 2**20
_TOKEN_BYTES = 2048
"""Most bytes of an answer per token of the context: its id, text and log-probability take 100."""
_MOST_BYTES = 256 * _MIB


class Connection:
    """HTTP to one server, within one event loop.

    Parameters
    ----------
    server : ModelServer
        Its process is watched where it is ours.
    request_timeout_s : float
        Least patience with a server that does nothing, turns requests away, or has begun to
        answer, seconds.
    """

    def __init__(self, server: ModelServer, request_timeout_s: float) -> None:
        self.server = server
        self._most_bytes = min(_MIB + _TOKEN_BYTES * server.max_model_len, _MOST_BYTES)
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
    ) -> Reply:
        """Send one request; it is sent again, with growing pauses, when the connection is lost or
        the server is busy.

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
        ServerBusy
            If it has turned the request away for longer than that.
        BadReply
            If the answer is too long, or takes too long once it has begun.
        """
        pause_s, began, repeated = _FIRST_PAUSE_S, time.monotonic(), 0
        while True:
            reply, lost = await self._reach(method, path, body, tokens)
            repeated += lost
            if reply.status not in _BUSY:
                return replace(reply, repeated=repeated)
            waited_s = time.monotonic() - began
            if waited_s > self._patience.least_s:
                raise self._busy(reply, waited_s)
            if await self.dying(reply.retry_after_s or pause_s):
                raise self.server.died("died")
            pause_s, repeated = min(2 * pause_s, _LONGEST_PAUSE_S), repeated + 1

    def _busy(self, reply: Reply, waited_s: float) -> ServerBusy:
        return ServerBusy(
            f"The model server at {self.server.address} has turned a request away for "
            f"{waited_s:.0f} s (status {reply.status}: {refusal_message(reply.content)}): wait "
            f"until it is less busy, or raise {PATIENCE_KEY} ({self._patience.least_s:g}) in the "
            "recipe; what was finished is kept."
        )

    async def _reach(
        self, method: str, path: str, body: Mapping[str, object] | None, tokens: int
    ) -> tuple[Reply, int]:
        """The reply, and how often the connection was lost before: the request is sent a few times
        more while the server lives.
        """
        for lost, pause_s in enumerate((*_BACK_OFF_S, None)):
            try:
                return await self._answer(method, path, body, tokens), lost
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
        look = exchange(self._http, "GET", "/metrics", most_bytes=16 * _MIB, most_s=_LOOK_S)
        try:
            async with asyncio.timeout(_LOOK_S):
                return read_counters((await look).text)
        except (httpx.TransportError, BadReply, TimeoutError):
            return self._counters

    async def _answer(
        self, method: str, path: str, body: Mapping[str, object] | None, tokens: int
    ) -> Reply:
        most_bytes, most_s = self._most_bytes, self._patience.least_s
        request = asyncio.ensure_future(
            exchange(self._http, method, path, body, most_bytes=most_bytes, most_s=most_s)
        )
        note_end = self._patience.given_up
        self._patience.asked(tokens, time.monotonic())
        try:
            while not (await asyncio.wait({request}, timeout=self._look_every_s))[0]:
                await self._check_work()
            if request.result().status < 300:
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

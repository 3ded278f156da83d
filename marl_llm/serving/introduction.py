"""What a server says about itself when it is met: that it is healthy, and which base model it has.

In flow a URL, out the base model's names and context, or a `UserError`; how much is read, and how
long it is waited for, is bounded.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from marl_llm.core.errors import UserError
from marl_llm.serving.errors import BadReply
from marl_llm.serving.exchange import Reply, exchange
from marl_llm.serving.replies import parse_models

ANSWER_S = 60.0
"""Longest wait for a server's list of models: a busy one may take a while."""
_MOST_BYTES = 4 * 2**20
_TIMEOUT = httpx.Timeout(None, connect=10.0)


@dataclass(frozen=True)
class ServedBase:
    """The model without an adapter, under one of its names.

    Attributes
    ----------
    name : str
    max_model_len : int
        Context, tokens.
    root : str
        Where it was loaded from; "" where the server does not say.
    """

    name: str
    max_model_len: int
    root: str


def shown_address(url: str) -> str:
    """A URL as it may be shown: without name and password, which lie before an @, and without its
    query.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.rpartition("@")[2]
    host = parts.netloc.rpartition("@")[2]
    shown = f"{parts.scheme}://{host}{parts.path}" if host else url.partition("?")[0]
    return shown.rpartition("@")[2] if "@" in shown else shown


def healthy(http: httpx.Client, url: str) -> bool:
    """Tell whether a server of ours answers."""
    try:
        return http.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False


def served_bases(url: str) -> list[ServedBase]:
    """Return the base model's entries in the server's list, one per name; at least one.

    Raises
    ------
    UserError
        Nothing answers there, not within a minute, or what answers is no vLLM server.
    """
    not_vllm = UserError(
        f"What answers at {shown_address(url)} is not a vLLM server: give the address of one, e.g. "
        "http://127.0.0.1:8000."
    )
    try:
        if not httpx.URL(url).host:
            raise not_vllm
        # In a thread of its own: the caller may be within an event loop.
        with ThreadPoolExecutor(1) as pool:
            health, models = pool.submit(asyncio.run, _introduce(url)).result()
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise UserError(
            f"No model server answers at {shown_address(url)}: start one, or let this command "
            "start its own."
        ) from None
    except TimeoutError:
        raise UserError(
            f"What listens at {shown_address(url)} does not answer within {ANSWER_S:g} s: try "
            "again when it is less busy, or start it again."
        ) from None
    except (httpx.TransportError, httpx.InvalidURL, BadReply):
        raise not_vllm from None
    try:
        cards = parse_models(models.content)
    except BadReply:
        raise not_vllm from None
    bases = [
        ServedBase(card.id, card.max_model_len, card.root or "")
        for card in cards
        if not card.parent and card.max_model_len
    ]
    if health.status != 200 or not bases:
        raise not_vllm
    return bases


async def _introduce(url: str) -> tuple[Reply, Reply]:
    """Replies of `/health` and `/v1/models`."""
    async with (
        asyncio.timeout(ANSWER_S),
        httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, trust_env=False) as http,
    ):

        async def get(path: str) -> Reply:
            return await exchange(http, "GET", path, most_bytes=_MOST_BYTES, most_s=ANSWER_S)

        return await get("/health"), await get("/v1/models")

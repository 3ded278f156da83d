"""One HTTP exchange with a model server, bounded in bytes and in time: whatever the server sends,
at most `most_bytes` of it are held, and a body that has begun must end within `most_s`.

Bodies are asked for uncompressed and never decompressed, so a small one cannot become a large one.
What a reply means is the affair of `replies.py` and of the callers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from marl_llm.serving.errors import BadReply

_UNCOMPRESSED = {"Accept-Encoding": "identity"}
_LONGEST_PAUSE_S = 30.0
PATIENCE_KEY = "serving.request_timeout_s"
"""The recipe's key that raises every wait for a reply."""


@dataclass(frozen=True)
class Reply:
    """A reply of any status.

    Attributes
    ----------
    status : int
        Of HTTP.
    content : bytes
        The body as it was sent.
    retry_after_s : float or None
        Pause that the server asks for before the request is sent again, at most half a minute.
    repeated : int
        Times that the request was sent again before.
    """

    status: int
    content: bytes
    retry_after_s: float | None = None
    repeated: int = 0

    @property
    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 are replaced."""
        return self.content.decode("utf-8", "replace")


async def exchange(
    http: httpx.AsyncClient,
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    *,
    most_bytes: int,
    most_s: float,
) -> Reply:
    """Send one request and read its reply. How long the reply takes to begin is not limited here.

    Raises
    ------
    BadReply
        The body is longer than `most_bytes` or takes longer than `most_s` seconds.
    httpx.TransportError
        The connection failed.
    """
    async with http.stream(method, path, json=body, headers=_UNCOMPRESSED) as response:
        content = bytearray()
        try:
            async with asyncio.timeout(most_s):
                async for piece in response.aiter_raw():
                    content += piece
                    if len(content) > most_bytes:
                        raise BadReply(
                            f"The model server's answer to {path} is longer than "
                            f"{most_bytes / 2**20:.0f} MiB: it must be vLLM 0.22 or newer."
                        )
        except TimeoutError:
            raise BadReply(
                f"The model server began to answer {path} and was not done after {most_s:g} s: "
                f"raise {PATIENCE_KEY} in the recipe if its connection is that slow."
            ) from None
        return Reply(response.status_code, bytes(content), _pause(response.headers))


def _pause(headers: httpx.Headers) -> float | None:
    """What `Retry-After` asks for in seconds; dates are not read."""
    text = headers.get("retry-after", "").strip()
    return min(float(text), _LONGEST_PAUSE_S) if text.isascii() and text.isdecimal() else None

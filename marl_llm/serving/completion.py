"""What a model answers, and who can be asked: a server's client or a model in this process, which
look alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self


@dataclass(frozen=True)
class Completion:
    """One sampled completion.

    Attributes
    ----------
    text : str
        The decoded completion without special tokens.
    prompt_ids : list of int, length P
        Token ids of the rendered prompt.
    completion_ids : list of int, length T
        Token ids as sampled; a completion that ended by itself includes its end token.
    logprobs : list of float, length T
        Natural logarithm of each token's probability under the distribution it was sampled from
        (temperature included).
    finish_reason : str
        "stop" (ended by itself) or "length" (cut at max_tokens).
    latency_s : float
        Seconds from sending the request to the answer, waiting in the server included.
    repeated : int
        Times that the request was sent again: the connection was lost, the server was busy, or its
        answer unusable.
    """

    text: str
    prompt_ids: list[int]
    completion_ids: list[int]
    logprobs: list[float]
    finish_reason: str
    latency_s: float
    repeated: int = 0


class Sampler(Protocol):
    """Samples completions: `ChatClient` from a server, `InProcessClient` from a model in this
    process.
    """

    @property
    def base_name(self) -> str:
        """Name of the model without an adapter."""
        ...

    async def load_adapter(self, name: str, path: Path) -> None:
        """Make a LoRA adapter available as model `name`; idempotent."""
        ...

    async def sample(
        self,
        model: str,
        messages: Sequence[Mapping[str, str]],
        *,
        temperature: float = 1.0,
        max_tokens: int,
        seed: int | None = None,
    ) -> Completion:
        """Sample one completion; raises `PromptTooLong` where it does not fit into the context."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

"""Asynchronous client of a model server: chat messages in, sampled tokens with their
log-probabilities out.

It samples from the undistorted distribution (no top-p, top-k, penalties or masks, whatever the
model's own generation settings say), because the log-probabilities are the behaviour policy's in
training. Tokens come back as sampled and are never re-tokenised. However many are asked for, no
more requests are sent than the server decodes at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from marl_llm.serving.completion import Completion
from marl_llm.serving.connection import Connection
from marl_llm.serving.counters import Counters
from marl_llm.serving.errors import AdapterError, BadReply, PromptTooLong, RequestRefused
from marl_llm.serving.exchange import Reply
from marl_llm.serving.replies import parse_completion, parse_models, refusal_message
from marl_llm.serving.server import ModelServer

logger = logging.getLogger(__name__)

_UNDISTORTED = {
    "top_p": 1.0,
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""Said in every request: a model's generation_config.json would set them otherwise (Qwen2.5: a
repetition penalty).
"""
_PAUSES_S = (0.5, 2.0)
"""Before a request whose answer was unusable is sent again, and once more."""


class ChatClient:
    """Samples from one `ModelServer`; an async context manager, used within one event loop.

    Parameters
    ----------
    server : ModelServer
        Where to sample; its end is noticed and raised as `ServerDied`.
    request_timeout_s : float
        Least patience with a server that does nothing, seconds; one that works is waited for
        however slow it is.
    vocabulary : int, optional
        Token ids of the model are smaller than this; an answer with a larger one is unusable.
    """

    def __init__(
        self,
        server: ModelServer,
        *,
        request_timeout_s: float = 300.0,
        vocabulary: int | None = None,
    ) -> None:
        self.server = server
        self._vocabulary = vocabulary
        self._connection = Connection(server, request_timeout_s)
        # Further requests wait here, so that latency and patience are about the server's work.
        self._slots = asyncio.Semaphore(server.max_num_seqs)
        self._adapters: dict[str, Path] = {}
        self._loading = asyncio.Lock()

    @property
    def base_name(self) -> str:
        """Name of the model without an adapter."""
        return self.server.base_name

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; the server goes on."""
        await self._connection.aclose()

    async def load_adapter(self, name: str, path: Path) -> None:
        """Make the LoRA adapter in directory `path` (as the server sees it) available as model
        `name`; idempotent.

        Names and directories are versioned and never reused: vLLM's prefix cache is keyed by both,
        so new weights under an old name or path would silently be mixed with old state.

        Raises
        ------
        AdapterError
            If the server cannot load it, or (attached) has had other weights under this name.
        ValueError
            If this client has loaded another directory under this name.
        ServerDied
            If the server has ended.
        """
        path = path.resolve()
        async with self._loading:
            if self._adapters.get(name) == path:
                return
            if name in self._adapters:
                raise ValueError(
                    f"adapter name {name!r} is taken by {self._adapters[name]}, {path} needs "
                    "a name of its own"
                )
            await self._load(name, path)
            self._adapters[name] = path

    async def unload_adapter(self, name: str) -> None:
        """Forget an adapter, here and in the server; nothing happens if it is not loaded."""
        async with self._loading:
            self._adapters.pop(name, None)
            reply = await self._connection.call(
                "POST", "/v1/unload_lora_adapter", {"lora_name": name}
            )
            if reply.status not in (200, 404):
                message = refusal_message(reply.content)
                raise BadReply(f"The model server could not unload adapter {name!r}: {message}")

    async def sample(
        self,
        model: str,
        messages: Sequence[Mapping[str, str]],
        *,
        temperature: float = 1.0,
        max_tokens: int,
        seed: int | None = None,
    ) -> Completion:
        """Sample one completion.

        Parameters
        ----------
        model : str
            Name of a loaded adapter, or `server.base_name`.
        messages : sequence of {"role": ..., "content": ...}
            The chat; the server renders it with the model's template.
        temperature : float
            1 samples from the policy itself.
        max_tokens : int
            Most tokens of the completion.
        seed : int, optional
            Makes the sample repeatable on an otherwise equal server; not sent where `server.seeds`
            is False.

        Raises
        ------
        PromptTooLong
            If prompt and `max_tokens` do not fit into the context.
        ServerStalled
            If the server is up but has done nothing for too long.
        AdapterError
            If the server knows no such model and loading the adapter once more did not help.
        ServerDied
            If the server has ended or cannot be reached any more.
        ServerBusy
            If it has turned the request away for too long.
        BadReply
            If the request is refused, or three answers in a row hold no usable tokens.
        """
        body = _request(
            model, messages, temperature, max_tokens, seed if self.server.seeds else None
        )
        async with self._slots:
            return await self._usable(body, model, max_tokens)

    async def _usable(self, body: dict[str, object], model: str, max_tokens: int) -> Completion:
        """The first usable answer to a request, which is sent up to three times."""
        started, repeated = time.perf_counter(), 0
        for pause_s in (*_PAUSES_S, None):
            try:
                reply = await self._reply(body, model, max_tokens)
                completion = parse_completion(
                    reply.content,
                    time.perf_counter() - started,
                    max_tokens=max_tokens,
                    vocabulary=self._vocabulary,
                )
                return replace(completion, repeated=repeated + reply.repeated)
            except RequestRefused:
                raise
            except BadReply as error:
                if pause_s is None:
                    raise
                logger.warning("asking again: %s", error)
                repeated += 1
                await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")

    async def _reply(self, body: dict[str, object], model: str, max_tokens: int) -> Reply:
        """The reply with a completion; an adapter that the server has forgotten is loaded again."""
        reply = await self._complete(body, max_tokens)
        if reply.status == 404 and model in self._adapters:
            logger.warning("the model server has forgotten adapter %s; loading it once more", model)
            await self._load(model, self._adapters[model])
            reply = await self._complete(body, max_tokens)
        if reply.status != 200:
            raise await self._refusal(reply, model, max_tokens)
        return reply

    async def counters(self) -> Counters | None:
        """What the server has done so far; at most some seconds old, None where it does not say."""
        return await self._connection.counters()

    async def _complete(self, body: dict[str, object], tokens: int) -> Reply:
        return await self._connection.call("POST", "/v1/chat/completions", body, tokens=tokens)

    async def _load(self, name: str, path: Path) -> None:
        adapter = {"lora_name": name, "lora_path": str(path)}
        reply = await self._connection.call("POST", "/v1/load_lora_adapter", adapter)
        if reply.status == 200 or await self._serves(name, path):
            return
        if reply.status == 404 and '"detail"' in reply.text:
            raise AdapterError(
                f"The model server at {self.server.address} loads no adapters while it runs: start "
                "it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1."
            )
        if "already been loaded" in reply.text:
            raise AdapterError(
                f"The model server at {self.server.address} already has other weights under the "
                f"name {name!r}: restart it."
            )
        raise AdapterError(
            f"The model server could not load adapter {name!r} from {path}: "
            f"{refusal_message(reply.content)}"
        )

    async def _serves(self, name: str, path: Path) -> bool:
        """Tell whether the server (perhaps since an earlier run of ours) already serves `path` as
        `name`.
        """
        reply = await self._connection.call("GET", "/v1/models")
        return any(
            card.id == name and card.root == str(path) for card in parse_models(reply.content)
        )

    async def _refusal(self, reply: Reply, model: str, max_tokens: int) -> Exception:
        """Return the exception for an answer that is not a completion."""
        message = refusal_message(reply.content)
        if reply.status == 400 and "maximum context length" in message:
            return PromptTooLong(self.server.max_model_len, max_tokens)
        if reply.status == 404:
            return AdapterError(
                f"The model server at {self.server.address} serves no model {model!r}: load its "
                "adapter first."
            )
        if reply.status >= 500 and self.server.owned and await self._connection.dying():
            return self.server.died("died")
        refused = BadReply if reply.status >= 500 else RequestRefused
        return refused(f"The model server refused a request ({reply.status}): {message}")


def _request(
    model: str,
    messages: Sequence[Mapping[str, str]],
    temperature: float,
    max_tokens: int,
    seed: int | None,
) -> dict[str, object]:
    body: dict[str, object] = {
        "model": model,
        "messages": [dict(message) for message in messages],
        "temperature": temperature,
        "max_tokens": max_tokens,
        "logprobs": True,
        "top_logprobs": 0,
        "return_token_ids": True,
        **_UNDISTORTED,
    }
    return body if seed is None else body | {"seed": seed}

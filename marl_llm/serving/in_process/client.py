"""Asynchronous client of a model in this process; what `ChatClient` is to a server.

Asks wait for each other: one at a time, in one thread, so that a sample depends on nothing but its
prompt and its seed. A reply of the embedded model takes about 50 ms.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from marl_llm.serving.completion import Completion
from marl_llm.serving.errors import AdapterError, PromptTooLong
from marl_llm.serving.in_process.model import InProcessModel


class InProcessClient:
    """Samples from an `InProcessModel`; an async context manager, used within one event loop. A
    `Sampler`.
    """

    def __init__(self, model: InProcessModel) -> None:
        self._model = model

    @property
    def base_name(self) -> str:
        """Name of the model without an adapter."""
        return self._model.base_name

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to close: the model goes on."""

    async def load_adapter(self, name: str, path: Path) -> None:
        """Make the LoRA adapter in directory `path` available as model `name`; idempotent.

        Raises
        ------
        AdapterError
            It cannot be read, or was made for another base model.
        ValueError
            Another directory was loaded under this name.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._model.worker, self._model.load_adapter, name, path)

    async def sample(
        self,
        model: str,
        messages: Sequence[Mapping[str, str]],
        *,
        temperature: float = 1.0,
        max_tokens: int,
        seed: int | None = None,
    ) -> Completion:
        """Sample one completion; parameters as `ChatClient.sample` has them.

        Raises
        ------
        PromptTooLong
            Prompt and `max_tokens` do not fit into the context.
        AdapterError
            No adapter of this name was loaded.
        """
        if model not in self._model:
            raise AdapterError(
                f"No model {model!r} is loaded in this process: load its adapter first."
            )
        began, loop = time.perf_counter(), asyncio.get_running_loop()
        prompt_ids = self._model.chat.prompt_ids(messages)
        if len(prompt_ids) + max_tokens > self._model.max_model_len:
            raise PromptTooLong(self._model.max_model_len, max_tokens)
        sample = await loop.run_in_executor(
            self._model.worker, self._model.sample, model, prompt_ids, temperature, max_tokens, seed
        )
        text, latency_s = self._model.chat.text(sample.ids), time.perf_counter() - began
        return Completion(
            text, prompt_ids, sample.ids, sample.logprobs, sample.finish_reason, latency_s
        )

"""A model and its adapters in this process: prompt ids in, sampled ids and log-probabilities out.

Keys and values of the last prompts are kept, so that a prompt that begins as an earlier one did
costs its new tokens only. Nothing here is asynchronous; `client.py` is.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from marl_llm.core.errors import UserError
from marl_llm.serving.config import BASE_NAME
from marl_llm.serving.in_process.chat import ChatTokenizer
from marl_llm.serving.in_process.config import read_config
from marl_llm.serving.in_process.lora import merged
from marl_llm.serving.in_process.qwen3 import KVCache, Qwen3
from marl_llm.serving.in_process.sampling import draw
from marl_llm.serving.in_process.weights import Weights, model_files, read_weights

_KEPT_PROMPTS = 2
"""Per set of weights: untrained, both roles play with the same."""


@dataclass(frozen=True)
class Sample:
    """Sampled token ids, their log-probabilities, and "stop" or "length"."""

    ids: list[int]
    logprobs: list[float]
    finish_reason: str


@dataclass
class _Prompt:
    """A sequence whose keys and values are kept: `ids` are in `cache`."""

    cache: KVCache
    ids: list[int] = field(default_factory=list)

    def shared(self, ids: Sequence[int]) -> int:
        """Number of tokens at the beginning that are the same."""
        pairs = zip(self.ids, ids, strict=False)
        return next(
            (i for i, (mine, other) in enumerate(pairs) if mine != other),
            min(len(self.ids), len(ids)),
        )


class _Played:
    """One set of weights and the last prompts it has seen, the latest at the end."""

    def __init__(self, network: Qwen3, capacity: int) -> None:
        self.network, self._capacity = network, capacity
        self._prompts: list[_Prompt] = []

    def prompt_for(self, ids: Sequence[int]) -> _Prompt:
        """A kept prompt, cut to what it shares with `ids` but for the last token, which has to be
        computed anyway.
        """
        best = max(self._prompts, key=lambda prompt: prompt.shared(ids), default=None)
        if best is None or best.shared(ids) < len(ids) // 4:  # another kind of prompt
            full = len(self._prompts) == _KEPT_PROMPTS
            best = (
                self._prompts[0] if full else _Prompt(KVCache(self.network.config, self._capacity))
            )
        self._prompts = [prompt for prompt in self._prompts if prompt is not best] + [best]
        best.cache.length = min(best.shared(ids), len(ids) - 1)
        best.ids = list(ids[: best.cache.length])
        return best


class InProcessModel:
    """A loaded model; a context manager.

    Parameters
    ----------
    directory : Path
        Of the base model.
    max_model_len : int
        Context: prompt and completion together, tokens.
    name : str, optional
        Name that adapters may know the base model by, besides the directory's own (one on the Hub).

    Attributes
    ----------
    base_name : str
        Name of the model without an adapter.
    chat : ChatTokenizer
        Messages to token ids and back.
    worker : ThreadPoolExecutor
        The one thread that this model computes in.

    Raises
    ------
    UserError
        A file is missing or damaged, or the model cannot be computed here.
    """

    base_name = BASE_NAME

    def __init__(self, directory: Path, max_model_len: int, name: str = "") -> None:
        self._config = read_config(directory)
        if max_model_len > self._config.context:
            raise UserError(
                f"serving.max_model_len is {max_model_len}, {directory} has "
                f"{self._config.context} positions: lower it."
            )
        self.max_model_len = max_model_len
        self.chat = ChatTokenizer(directory)
        self._weights: Weights = {}
        for path in model_files(directory):
            self._weights |= read_weights(path)
        self._base_names = frozenset({directory.resolve().name, *filter(None, [Path(name).name])})
        self._played = {self.base_name: self._played_with(self._weights)}
        self._adapters: dict[str, Path] = {}
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="model")

    def __contains__(self, name: str) -> bool:
        return name in self._played

    def load_adapter(self, name: str, path: Path) -> None:
        """Merge the LoRA adapter in directory `path` into weights of their own, to be sampled as
        `name`; idempotent.

        Raises
        ------
        AdapterError
            It cannot be read or does not fit.
        ValueError
            Another directory was loaded under this name.
        """
        path = path.resolve()
        if self._adapters.get(name) == path:
            return
        if name in self._played:
            raise ValueError(f"adapter name {name!r} is taken, {path} needs a name of its own")
        self._played[name] = self._played_with(merged(self._weights, self._base_names, path))
        self._adapters[name] = path

    def sample(
        self, name: str, ids: Sequence[int], temperature: float, max_tokens: int, seed: int | None
    ) -> Sample:
        """Sample a completion of the prompt `ids`; both must fit into `max_model_len`.

        `seed` makes it repeatable; without one it is drawn afresh.
        """
        played, rng = self._played[name], np.random.default_rng(seed)
        prompt = played.prompt_for(ids)
        new, logprobs = list(ids[len(prompt.ids) :]), []
        sampled: list[int] = []
        while len(sampled) < max_tokens:
            logits = played.network.logits(new, prompt.cache)
            prompt.ids += new
            token, logprob = draw(logits, temperature, rng)
            sampled.append(token)
            logprobs.append(logprob)
            if token in self.chat.ends:
                return Sample(sampled, logprobs, "stop")
            new = [token]
        return Sample(sampled, logprobs, "length")

    def close(self) -> None:
        """End the worker; a completion it is at is still finished."""
        self.worker.shutdown(wait=False, cancel_futures=True)

    def _played_with(self, weights: Weights) -> _Played:
        return _Played(Qwen3(self._config, weights), self.max_model_len)

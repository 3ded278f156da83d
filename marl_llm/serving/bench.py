"""New tokens per second of a served model on a CPU, with our plugin and with vLLM's own LoRA code.

Two servers run side by side and take turns with the same work, so that a busy machine slows both:
`REQUESTS` random prompts at once, from the base, from two adapters, and from all three in one
batch. Rates are of the median round; the ratio is that of the servers' processor time, which other
work changes little. Without the plugin the last of these is answered wrongly as well; this looks at
speed alone.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from marl_llm.core.errors import UserError
from marl_llm.serving.client import ChatClient
from marl_llm.serving.config import BASE_NAME, Device, ServerConfig, installed_device
from marl_llm.serving.server import ModelServer

REQUESTS = 32
PROMPT_TOKENS, NEW_TOKENS = 128, 64
_ADAPTERS = ("first-v0", "second-v0")
SERVED = {
    "base": (BASE_NAME,),
    "two adapters": _ADAPTERS,
    "base and two adapters": (BASE_NAME, *_ADAPTERS),
}
"""Models that take turns in one batch."""
_IDS = (10, 400)
"""Prompts are drawn from these token ids, which every vocabulary has behind its special ones."""


@dataclass(frozen=True)
class ServingRate:
    """New tokens per second of one mix of requests, with our plugin and without it.

    Attributes
    ----------
    served : str
        Key of `SERVED`.
    with_plugin, without : float
        Tokens per second of the clock.
    ratio : float
        Processor time without the plugin by that with it, API and engine together: the median over
        rounds.
    """

    served: str
    with_plugin: float
    without: float
    ratio: float


MakeAdapter = Callable[[Path, int], Path]


@dataclass(frozen=True)
class Spent:
    """Seconds of the clock, and of the server's processors."""

    wall_s: float
    cpu_s: float


def serves_on_cpu() -> bool:
    """Whether there is anything to compare here: vLLM's CPU build."""
    try:
        return installed_device() is Device.cpu
    except UserError:
        return False


def benchmark(base_dir: Path, make_adapter: MakeAdapter, rounds: int) -> list[ServingRate]:
    """Serve `base_dir` on this CPU twice and time every mix, interleaved.

    Parameters
    ----------
    base_dir : Path
    make_adapter : callable
        Makes an adapter of the base in a directory, from a seed.
    rounds : int

    Raises
    ------
    UserError
        vLLM is not installed, or would not load our plugin.
    ServerDied
        A server did not start.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        work = Path(folder)
        adapters = {name: make_adapter(work / name, seed) for seed, name in enumerate(_ADAPTERS)}
        servers = [
            stack.enter_context(
                ModelServer.start(
                    base_dir, log_path=work / f"{name}.log", config=_config(), env=env
                )
            )
            for name, env in {"with": {}, "without": {"VLLM_PLUGINS": ""}}.items()
        ]
        for server in servers:
            asyncio.run(_load(server, adapters))
        took = {
            name: [_round(servers, models, seed) for seed in range(rounds)]
            for name, models in SERVED.items()
        }
    return [rate(name, rows) for name, rows in took.items()]


def _config() -> ServerConfig:
    return ServerConfig(max_model_len=1024, max_num_seqs=REQUESTS)


async def _load(server: ModelServer, adapters: dict[str, Path]) -> None:
    async with ChatClient(server) as client:
        for name, path in adapters.items():
            await client.load_adapter(name, path)


def _round(servers: Sequence[ModelServer], models: Sequence[str], seed: int) -> list[Spent]:
    """What each server spends; which of them begins changes from round to round."""
    turns = list(enumerate(servers))[:: -1 if seed % 2 else 1]
    took = {i: spent(server, models, seed) for i, server in turns}
    return [took[i] for i in range(len(servers))]


def spent(server: ModelServer, models: Sequence[str], seed: int) -> Spent:
    """Have all requests of one round answered; `models` take turns, prompts are new for every
    seed.
    """
    rng = np.random.default_rng(seed)
    prompts = rng.integers(*_IDS, (REQUESTS, PROMPT_TOKENS)).tolist()

    async def ask() -> Spent:
        async with httpx.AsyncClient(base_url=server.url, timeout=300.0, trust_env=False) as http:
            started, used = time.perf_counter(), server.cpu_seconds()
            bodies = (
                {
                    "model": models[i % len(models)],
                    "prompt": prompt,
                    "max_tokens": NEW_TOKENS,
                    "ignore_eos": True,
                }
                for i, prompt in enumerate(prompts)
            )
            replies = await asyncio.gather(
                *(http.post("/v1/completions", json=body) for body in bodies)
            )
            took = Spent(time.perf_counter() - started, server.cpu_seconds() - used)
        for reply in replies:
            reply.raise_for_status()
        return took

    return asyncio.run(ask())


def rate(name: str, took: Sequence[Sequence[Spent]]) -> ServingRate:
    """From what was spent with the plugin and without it, round by round."""
    tokens = REQUESTS * NEW_TOKENS
    ours, theirs = (
        tokens / statistics.median(one.wall_s for one in side) for side in zip(*took, strict=True)
    )
    return ServingRate(name, ours, theirs, statistics.median(b.cpu_s / a.cpu_s for a, b in took))

"""The comparison of served tokens: what a round asks for, and the rates. That the plugin is faster,
`marl-llm bench` shows: no test may depend on a quiet machine.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from marl_llm.serving import ChatClient, ModelServer
from marl_llm.serving.bench import NEW_TOKENS, REQUESTS, ServingRate, Spent, rate, spent


@pytest.mark.vllm
def test_a_round_makes_all_its_tokens_with_every_model_in_turn(
    tiny_server: ModelServer, tiny_adapters: dict[str, Path]
) -> None:
    async def load() -> None:
        async with ChatClient(tiny_server) as client:
            for role, path in tiny_adapters.items():
                await client.load_adapter(role, path)

    def made() -> float:
        lines = httpx.get(f"{tiny_server.url}/metrics", trust_env=False).text.splitlines()
        return sum(
            float(line.split()[-1])
            for line in lines
            if line.startswith("vllm:generation_tokens_total")
        )

    asyncio.run(load())
    before = made()
    took = spent(tiny_server, ("base", *tiny_adapters), seed=0)
    assert took.wall_s > 0 and took.cpu_s > 0
    assert made() - before == REQUESTS * NEW_TOKENS


def test_rates_and_ratio_are_those_of_the_median_round() -> None:
    tokens = REQUESTS * NEW_TOKENS
    rounds = [(1.0, 3.0), (2.0, 4.0), (9.0, 5.0)]
    found = rate("two", [(Spent(ours, 1.0), Spent(theirs, theirs)) for ours, theirs in rounds])
    assert found == ServingRate("two", tokens / 2, tokens / 4, 4.0)

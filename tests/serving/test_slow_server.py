"""A real server that is slow, stalled or asked for too much at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from marl_llm.serving import ChatClient, Completion, ModelServer, ServerStalled, client
from marl_llm.serving.counters import Counters

pytestmark = pytest.mark.vllm

CHAT = [{"role": "user", "content": "tune max_depth=5"}]


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Completions go on to their limit of tokens."""
    monkeypatch.setitem(client._UNDISTORTED, "ignore_eos", True)


def engines(server: ModelServer) -> list[int]:
    """Processes below the one that answers HTTP: they compute."""
    assert server._process is not None
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.parent.name)] = int(fields[1])
    api = next(pid for pid, parent in parents.items() if parent == server._process.pid)
    return [pid for pid, parent in parents.items() if parent == api]


@contextmanager
def stopped(server: ModelServer) -> Iterator[None]:
    """The server computes nothing, and answers HTTP."""
    pids = engines(server)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_request_that_takes_longer_than_the_least_patience_is_waited_for_while_tokens_come(
    tiny_server: ModelServer, endless: None
) -> None:
    async def use() -> list[Completion]:
        async with ChatClient(tiny_server, request_timeout_s=2) as asking:
            many = (asking.sample("base", CHAT, max_tokens=900, seed=seed) for seed in range(2))
            return await asyncio.gather(*many)

    slowest = max(asyncio.run(use()), key=lambda completion: completion.latency_s)
    assert slowest.latency_s > 2 and len(slowest.completion_ids) == 900


def test_a_server_that_is_up_and_does_nothing_is_reported_with_the_setting_for_it(
    tiny_server: ModelServer,
) -> None:
    async def use() -> Completion:
        async with ChatClient(tiny_server, request_timeout_s=2) as asking:
            with stopped(tiny_server), pytest.raises(ServerStalled) as caught:
                await asking.sample("base", CHAT, max_tokens=900)
            said = str(caught.value)
            assert "sampled nothing and answered none of 1 requests" in said
            assert (
                "raise serving.request_timeout_s (2) in the recipe" in said
                and str(tiny_server.log_path) in said
            )
            return await asking.sample("base", CHAT, max_tokens=4)

    assert asyncio.run(use()).completion_ids  # the same server goes on


def test_no_more_requests_are_sent_than_the_server_decodes_at_once(
    tiny_server: ModelServer, endless: None
) -> None:
    attached = ModelServer.attach(tiny_server.url, max_num_seqs=2)

    async def in_server(http: httpx.AsyncClient) -> float:
        page = (await http.get(f"{tiny_server.url}/metrics")).text.splitlines()
        names = ("vllm:num_requests_running{", "vllm:num_requests_waiting{")
        return sum(float(line.rsplit(" ", 1)[1]) for line in page if line.startswith(names))

    async def use() -> tuple[list[Completion], list[float]]:
        async with ChatClient(attached) as asking, httpx.AsyncClient(trust_env=False) as http:
            asks = (asking.sample("base", CHAT, max_tokens=60, seed=seed) for seed in range(16))
            answers, seen = asyncio.gather(*asks), []
            while not answers.done():
                seen.append(await in_server(http))
            return await answers, seen

    answers, seen = asyncio.run(use())
    assert len(answers) == 16 and 0 < max(seen) <= 2


def test_what_the_server_did_is_told_with_its_prefix_cache_hits(tiny_server: ModelServer) -> None:
    long = [{"role": "user", "content": "tune max_depth=5 " * 60}]

    async def told() -> Counters:
        async with ChatClient(tiny_server) as asking:
            counters = await asking.counters()
            assert counters is not None
            return counters

    async def use() -> tuple[Counters, Counters]:
        before = await told()
        async with ChatClient(tiny_server) as asking:
            for seed in range(4):
                await asking.sample("base", long, max_tokens=4, seed=seed)
        while (
            after := await told()
        ).answered < before.answered + 4:  # counted a moment after the answer
            await asyncio.sleep(0.1)
        return before, after

    before, after = asyncio.run(use())
    assert after.answered - before.answered == 4
    assert 0 < after.cache_hits - before.cache_hits < after.cache_queries - before.cache_queries

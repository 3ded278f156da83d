"""What happens when the shared server is killed: these tests end it, so they run after all
others.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from marl_llm.serving import ChatClient, Completion, ModelServer, ServerDied

pytestmark = [pytest.mark.vllm, pytest.mark.kills_server]


def processes(name: str) -> list[int]:
    """Live processes whose command line has `name` in it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and name in (entry / "cmdline").read_text(errors="replace"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def alive_in(group: int) -> list[int]:
    """Processes of a process group that are no zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                state, _, member_of = (
                    (entry / "stat").read_text(errors="replace").rsplit(")", 1)[1].split()[:3]
                )
                found += [int(entry.name)] if int(member_of) == group and state != "Z" else []
        except OSError:
            continue
    return found


def test_a_server_killed_in_the_middle_of_requests_is_reported_at_once_and_leaves_nothing(
    tiny_server: ModelServer,
) -> None:
    port = tiny_server.url.rsplit(":", 1)[1]
    group = os.getpgid(processes(port)[0])
    assert len(alive_in(group)) > 2
    chat = [{"role": "user", "content": "tune"}]

    async def use() -> tuple[list[Completion | BaseException], float]:
        async with ChatClient(tiny_server) as client:
            many = [
                client.sample("base", chat, temperature=2.0, max_tokens=1000, seed=seed)
                for seed in range(200)
            ]
            answers = asyncio.gather(*many, return_exceptions=True)
            await asyncio.sleep(0.3)
            api = next(
                pid
                for pid in processes(port)
                if b"guard.py" not in Path(f"/proc/{pid}/cmdline").read_bytes()
            )
            os.kill(api, signal.SIGKILL)
            killed = time.monotonic()
            return await answers, time.monotonic() - killed

    answers, seconds = asyncio.run(use())
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    assert errors and all(isinstance(error, ServerDied) for error in errors)
    assert "ended by SIGKILL" in str(errors[0]) and str(tiny_server.log_path) in str(errors[0])
    assert seconds < 8
    with pytest.raises(ServerDied):
        tiny_server.check()
    deadline = time.monotonic() + 10
    while (
        alive_in(group) and time.monotonic() < deadline
    ):  # a killed process takes a while to give its memory back
        time.sleep(0.05)
    assert not alive_in(group)  # the engine, which holds the memory, is gone too

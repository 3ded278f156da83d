from __future__ import annotations

import asyncio

import pytest

from marl_llm.rollout.tasks import Tasks


def test_an_error_comes_as_it_is_and_ends_the_others():
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("the sentence")

    async def block() -> None:
        async with Tasks() as tasks:
            tasks.start(waits())
            await tasks.start(fails())

    with pytest.raises(ValueError, match="^the sentence$"):
        asyncio.run(asyncio.wait_for(block(), 10))
    assert ended == ["cancelled"]


def test_results_are_those_of_the_coroutines():
    async def block() -> list[int]:
        async with Tasks() as tasks:
            return [await task for task in [tasks.start(asyncio.sleep(0, i)) for i in range(3)]]

    assert asyncio.run(block()) == [0, 1, 2]

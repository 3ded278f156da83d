"""What the progress lines of collecting tell."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from marl_llm.rollout.progress import Progress
from marl_llm.rollout.summary import EpisodeSummary
from marl_llm.serving.counters import Counters

SUMMARY = EpisodeSummary("e0", "t", 0.5, 0.6, 2, 1, False, 900, 9, 4)


def lines(
    caplog: pytest.LogCaptureFixture, *told: Counters | None, summary: EpisodeSummary = SUMMARY
) -> str:
    """The lines of a collection of one episode (`summary`), with what the server tells at its
    beginning and after it.
    """
    readings = iter(told)

    async def read() -> Counters | None:
        return next(readings)

    async def run() -> None:
        progress = Progress("collect 0", read if told else None)
        await progress.start(total=2, done=0)
        await progress.episode(summary)

    with caplog.at_level(logging.INFO):
        asyncio.run(run())
    return caplog.text


def test_a_line_tells_the_share_of_prompt_tokens_cached_since_the_collection_began(caplog):
    before, after = Counters(5000, 60, 10, 1000, 900), Counters(9000, 90, 20, 5000, 1900)
    assert "25% of prompt tokens cached, mean gain +0.100" in lines(caplog, before, after)


@pytest.mark.parametrize(
    "told", [(), (None, None), (None, Counters(1, 1, 1, 1, 1)), (Counters(1, 1, 1, 1, 1),) * 2]
)
def test_a_line_is_silent_about_the_cache_where_nothing_is_known(caplog, told):
    said = lines(caplog, *told)
    assert "1/2 episodes" in said and "cached" not in said


def test_a_line_tells_how_many_requests_the_server_made_us_send_again(caplog):
    assert "sent again" not in lines(caplog)
    repeated = replace(SUMMARY, repeated=3)
    assert "3 requests sent again, mean gain" in lines(caplog, summary=repeated)

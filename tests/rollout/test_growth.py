"""What many episodes cost grows with their number, not with its square, and not in memory."""

from __future__ import annotations

import asyncio
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from marl_llm.rollout.progress import Progress
from marl_llm.rollout.summary import EpisodeSummary, append_summary, read_summaries

ONE = EpisodeSummary("e", "task", 0.5, 0.625, 1, 1, False, 100, 4, 3, 1.0, 2.0)


def test_progress_keeps_no_episode() -> None:
    async def told(progress: Progress, episodes: range) -> None:
        for i in episodes:
            solution: dict[str, object] = {"columns": [f"{i}"] * 100}
            await progress.episode(replace(ONE, episode=f"e{i}", solution=solution))

    progress = Progress("collect")
    asyncio.run(progress.start(3000, 0))
    asyncio.run(told(progress, range(100)))
    tracemalloc.start()
    try:
        asyncio.run(told(progress, range(100, 2100)))
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 200_000
    assert progress.line().startswith("collect: 2100/3000 episodes, ")
    assert "mean gain +0.125" in progress.line()


def test_a_summary_is_appended_without_reading_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("read the whole file"))
    for i in range(3):
        append_summary(tmp_path, replace(ONE, episode=f"e{i}"))
    with (tmp_path / "episodes.jsonl").open("a") as file:
        file.write('{"episode": "cut')  # by a kill
    append_summary(tmp_path, replace(ONE, episode="e3"))
    assert [one.episode for one in read_summaries(tmp_path)] == ["e0", "e1", "e2", "e3"]

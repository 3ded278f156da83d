"""Tasks of one block: when it ends, by an error too, those still running are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Tasks:
    """An asynchronous context manager; unlike `asyncio.TaskGroup` it leaves errors as they are to
    whoever awaits the task.
    """

    def __init__(self) -> None:
        self._started: list[asyncio.Task[Any]] = []

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task, to be awaited within the block."""
        task = asyncio.create_task(coroutine)
        self._started.append(task)
        return task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._started:
            task.cancel()
        await asyncio.gather(*self._started, return_exceptions=True)

"""The evaluation cache: what a candidate predicted on a fold, so that nobody runs it there again.

Runs go in and come out unchanged: raw predictions, status, error, description, never scores, which
are computed anew with the task's metrics. How long it took, or that memory ran out, may be the
machine's fault: such ends are not kept.
"""

from __future__ import annotations

import logging
from pathlib import Path

from marl_llm.environment.cache.blob_store import BlobStore
from marl_llm.environment.cache.records import Unreadable, dump, load
from marl_llm.sandbox import Evaluation, Status

logger = logging.getLogger(__name__)

PASSING = frozenset({Status.timeout, Status.cpu_limit, Status.memory, Status.died})
"""Ends that a busy machine can cause: the same candidate gets another chance."""


class EvaluationCache:
    """Runs by key, shared between processes where it has a file; thread-safe.

    Parameters
    ----------
    path : Path or None
        SQLite file; None for memory.
    mib : int
        Its largest size, MiB.

    Raises
    ------
    UserError
        The path holds something else.
    """

    def __init__(self, path: Path | None, mib: int) -> None:
        self._store = BlobStore(path, mib << 20)

    def get(self, key: str) -> Evaluation | None:
        """The run of this key, None if it is not known."""
        content = self._store.get(key)
        if content is None:
            return None
        try:
            return load(content)
        except Unreadable as error:
            logger.warning(
                "An entry of the evaluation cache cannot be read (%s); it is run again.", error
            )
            return None

    def put(self, key: str, run: Evaluation) -> None:
        """Keep a run, unless its end may have been the machine's fault."""
        if run.status not in PASSING:
            self._store.put(key, dump(run))

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

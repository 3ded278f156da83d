"""The trusted end of one job: sends it and its rows to one child, reads frames under a deadline,
validates everything.

The child is hostile from the moment it has read its job. Hence: one kind of frame is expected at a
time, each with an upper bound on its length; descriptors that it sends are dropped by plain `recv`;
every wait ends at the deadline.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from marl_llm.core.predictions import Predictions
from marl_llm.sandbox.checks import Rejected, expected_bytes, parse_predictions, same_predictions
from marl_llm.sandbox.encode import Block
from marl_llm.sandbox.fold import Fold
from marl_llm.sandbox.inside import frames
from marl_llm.sandbox.results import MAX_ERROR_CHARACTERS, Stage, Status, one_line
from marl_llm.sandbox.snippets import SnippetJob, readable

_MAX_PARAMETERS = 400
_FAILURE_KINDS = {"memory": Status.memory, "bad_predictions": Status.bad_predictions}


@dataclass(frozen=True)
class Job:
    """What a child is to do: one candidate's text and how to run it."""

    code: str
    prelude: str
    seed: int
    describe: bool
    probe: bool

    def header(self, fold: Fold) -> bytes:
        """The JOB frame's payload."""
        content = {
            "code": self.code,
            "prelude": self.prelude,
            "seed": self.seed,
            "describe": self.describe,
        }
        return json.dumps(
            {**content, "classes": fold.n_classes, "layout": fold.train.layout._asdict()}
        ).encode()


class Failed(Exception):
    """The fold ends here."""

    def __init__(self, status: Status, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


class Vanished(Exception):
    """The child closed the connection; its wait status says why."""


@dataclass
class Conversation:
    """One exchange. `stage` and `description` hold what arrived so far, also after a failure."""

    sock: socket.socket
    deadline: float  # on time.monotonic
    stage: Stage = Stage.none
    description: dict[str, object] | None = field(default=None)

    def run(self, job: Job, fold: Fold) -> Predictions:
        """Drive the child through the fold.

        Returns
        -------
        Predictions
            In the fold's secret order.

        Raises
        ------
        Failed
            With the status of the failure.
        Vanished
            When the child is gone.
        """
        with _ends():
            self._send(frames.JOB, job.header(fold), fold.train)
            self._expect(frames.PARSED, 0, Stage.parsed)
            described = self._expect(frames.BUILT, frames.TEXT_BYTES, Stage.built)
            self.description = _description(described) if job.describe else None
            self._expect(frames.FITTED, 0, Stage.fitted)
            predictions = self._predict(fold.valid, fold.n_classes)
            if job.probe:
                self._compare(predictions, fold)
            return predictions

    def ask(self, job: SnippetJob, rows: Block) -> str:
        """Have the child run a snippet; returns its text. Raises as `run` does."""
        with _ends():
            self._send(frames.JOB, job.header(rows), rows)
            return readable(self._expect(frames.TEXT, job.most_bytes, self.stage), job.characters)

    def _compare(self, predictions: Predictions, fold: Fold) -> None:
        again = self._predict(fold.probe, fold.n_classes)
        rows = fold.probe_rows
        proba = None if predictions.proba is None else predictions.proba[rows]
        if not same_predictions(Predictions(predictions.labels[rows], proba), again):
            raise Failed(Status.inconsistent, "predict() depends on row order, batch or call count")

    def _predict(self, block: Block, n_classes: int | None) -> Predictions:
        rows = block.layout.rows
        self._send(frames.ROWS, json.dumps(block.layout._asdict()).encode(), block)
        content = self._expect(frames.PREDICTED, expected_bytes(rows, n_classes), self.stage)
        try:
            predictions = parse_predictions(content, rows, n_classes)
        except Rejected as reason:
            raise Failed(Status.bad_predictions, str(reason)) from None
        self.stage = Stage.predicted
        return predictions

    def _send(self, kind: bytes, payload: bytes, block: Block) -> None:
        descriptor = block.open()
        try:
            self.sock.settimeout(self._time_left())
            frames.send(self.sock, kind, payload, [descriptor])
        finally:
            os.close(descriptor)

    def _expect(self, kind: bytes, most: int, then: Stage) -> bytes:
        got, length = frames.HEADER.unpack(self._receive(frames.HEADER.size))
        if got == frames.FAILED and length <= frames.TEXT_BYTES:
            raise _reported_failure(self._receive(length))
        if got != kind or length > most:
            raise Failed(Status.protocol, f"unexpected frame {got!r} of {length} bytes")
        payload = self._receive(length)
        self.stage = then
        return payload

    def _receive(self, length: int) -> bytes:
        content = memoryview(bytearray(length))
        filled = 0
        while filled < length:
            self.sock.settimeout(self._time_left())
            received = self.sock.recv_into(content[filled:])
            if not received:
                raise EOFError
            filled += received
        return bytes(content)

    def _time_left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


@contextmanager
def _ends() -> Iterator[None]:
    """What the socket raises, as the reason why a conversation ends."""
    try:
        yield
    except TimeoutError:
        raise Failed(Status.timeout, "the time limit was reached") from None
    except (ConnectionError, EOFError):
        raise Vanished from None


def _reported_failure(payload: bytes) -> Failed:
    """A FAILED frame as a short line. Its author may be hostile, but can only choose how to
    fail.
    """
    content = _json(payload)
    status = _FAILURE_KINDS.get(str(content.get("kind")), Status.error)
    line = content.get("line")
    where = f" (line {line})" if isinstance(line, int) and 0 < line < 10**6 else ""
    what = f"{content.get('type', '')}: {content.get('message', '')}"
    return Failed(status, one_line(what, MAX_ERROR_CHARACTERS - len(where)) + where)


def _description(payload: bytes) -> dict[str, object]:
    content = _json(payload)
    described: dict[str, object] = {k: str(content[k]) for k in ("class", "error") if k in content}
    parameters = content.get("params")
    if isinstance(parameters, dict):
        described["params"] = {
            str(k): str(v) for k, v in list(parameters.items())[:_MAX_PARAMETERS]
        }
    return described


def _json(payload: bytes) -> dict[str, object]:
    try:
        content = json.loads(payload.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        content = None
    return (
        content
        if isinstance(content, dict)
        else {"type": "Unreadable", "message": "the report is not JSON"}
    )

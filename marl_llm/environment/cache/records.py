"""One run of a candidate as bytes and back: a JSON header, then the arrays. No pickle, and no
scores.

`dump` and `load` are inverse; `load` refuses everything that `dump` does not write.
"""

from __future__ import annotations

import json
import struct

import numpy as np

from marl_llm.core.predictions import Predictions
from marl_llm.sandbox import Evaluation, Stage, Status

_LENGTH = struct.Struct("<I")
_LABELS = {"<i8": np.int64, "<f8": np.float64}


class Unreadable(ValueError):
    """These bytes are no record."""


def dump(run: Evaluation) -> bytes:
    """Bytes of a run: status, stage, error, description, times, isolation and raw predictions."""
    arrays: list[bytes] = []
    shapes: list[dict[str, object]] = []
    for one in run.predictions:
        labels = np.ascontiguousarray(
            one.labels, dtype="<f8" if one.labels.dtype.kind == "f" else "<i8"
        )
        classes = None if one.proba is None else one.proba.shape[1]
        shapes.append({"rows": len(labels), "labels": labels.dtype.str, "classes": classes})
        arrays.append(labels.tobytes())
        if one.proba is not None:
            arrays.append(np.ascontiguousarray(one.proba, dtype="<f8").tobytes())
    header = {
        "status": str(run.status),
        "stage": str(run.stage),
        "error": run.error,
        "description": run.description,
        "seconds": run.seconds,
        "cpu_seconds": run.cpu_seconds,
        "isolation": run.isolation,
        "predictions": shapes,
    }
    text = json.dumps(header).encode()
    return b"".join([_LENGTH.pack(len(text)), text, *arrays])


def load(content: bytes) -> Evaluation:
    """The run behind the bytes.

    Raises
    ------
    Unreadable
        They are not what `dump` writes.
    """
    try:
        (length,) = _LENGTH.unpack_from(content)
        header = json.loads(content[_LENGTH.size : _LENGTH.size + length])
        rest = memoryview(content)[_LENGTH.size + length :]
        predictions = []
        for shape in header["predictions"]:
            one, rest = _take(rest, shape["rows"], shape["labels"], shape["classes"])
            predictions.append(one)
        if len(rest):
            raise Unreadable(f"{len(rest)} bytes too many")
        return Evaluation(
            Status(header["status"]),
            Stage(header["stage"]),
            tuple(predictions),
            header["error"],
            header["description"],
            header["seconds"],
            header["cpu_seconds"],
            header["isolation"],
        )
    except (struct.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unreadable(str(error)) from None


def _take(
    content: memoryview, rows: int, kind: str, classes: int | None
) -> tuple[Predictions, memoryview]:
    """The next predictions, and what follows them."""
    if rows < 1:
        raise Unreadable(f"{rows} rows")
    wide = _LABELS[kind]  # refuses every other kind
    labels = np.frombuffer(content, kind, count=rows).astype(wide)
    content = content[8 * rows :]
    if classes is None:
        return Predictions(labels), content
    proba = (
        np.frombuffer(content, "<f8", count=rows * classes)
        .astype(np.float64)
        .reshape(rows, classes)
    )
    return Predictions(labels, proba), content[8 * rows * classes :]

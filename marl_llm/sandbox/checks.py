"""Bytes from an untrusted child to `Predictions`, or a reason to reject them. Nothing is unpickled
or executed.
"""

from __future__ import annotations

import numpy as np

from marl_llm.core.predictions import Predictions

_SUM_TOLERANCE = 1e-5  # float32 probabilities of a hundred classes sum to 1 within this
_ROWS_PER_TIE = (
    100  # rounding breaks a tie the other way in one row at most, or in one of a hundred
)
_RELATIVE, _ABSOLUTE = 1e-5, 1e-6  # what another batch size may change in a matrix product


class Rejected(Exception):
    """The predictions break a rule; the message says which."""


def expected_bytes(rows: int, n_classes: int | None) -> int:
    """Length of well-formed predictions: 8 bytes a row, and 8 more for every class."""
    return 8 * rows * (1 + (n_classes or 0))


def parse_predictions(content: bytes, rows: int, n_classes: int | None) -> Predictions:
    """Read and validate predictions.

    Parameters
    ----------
    content : bytes
        Regression: float64, shape (rows,). Classification: int64, shape (rows,), then float64,
        shape (rows, n_classes).

    Raises
    ------
    Rejected
        When the length is wrong, a number is not finite, a label is out of range, or a row is not a
        distribution.
    """
    if len(content) != expected_bytes(rows, n_classes):
        raise Rejected(
            f"{len(content)} bytes of predictions, expected {expected_bytes(rows, n_classes)}"
        )
    if n_classes is None:
        return Predictions(_finite(np.frombuffer(content, "<f8").astype(np.float64)))
    labels = np.frombuffer(content, "<i8", count=rows).astype(np.int64)
    if labels.min() < 0 or labels.max() >= n_classes:
        raise Rejected(f"a predicted class is not in 0 to {n_classes - 1}")
    proba = _finite(
        np.frombuffer(content, "<f8", offset=8 * rows).astype(np.float64).reshape(rows, n_classes)
    )
    return Predictions(labels, _distributions(proba))


def same_predictions(first: Predictions, again: Predictions) -> bool:
    """Whether two predictions of the same rows agree, up to rounding and to classes that are
    equally likely.
    """
    if first.proba is None or again.proba is None:
        scale = max(1e-300, float(np.abs(first.labels).max()))
        return bool(np.allclose(again.labels, first.labels, rtol=_RELATIVE, atol=_ABSOLUTE * scale))
    if not np.allclose(again.proba, first.proba, rtol=_RELATIVE, atol=_ABSOLUTE):
        return False
    top = np.sort(first.proba, axis=1)[:, -2:]
    tied = top[:, -1] - top[:, 0] <= _RELATIVE
    changed = first.labels != again.labels
    return not (changed & ~tied).any() and int(changed.sum()) <= max(
        1, len(changed) // _ROWS_PER_TIE
    )


def _finite(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise Rejected("predictions contain NaN or infinity")
    return values


def _distributions(proba: np.ndarray) -> np.ndarray:
    if (proba < -_SUM_TOLERANCE).any() or (proba > 1 + _SUM_TOLERANCE).any():
        raise Rejected("predict_proba returned numbers outside 0 to 1")
    if (np.abs(proba.sum(axis=1) - 1) > _SUM_TOLERANCE).any():
        raise Rejected("rows of predict_proba do not sum to 1")
    return np.clip(proba, 0.0, 1.0)

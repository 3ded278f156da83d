"""Frames on their way into the sandbox, and predictions on their way out, without any process."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from marl_llm.core.predictions import Predictions
from marl_llm.sandbox import Fold
from marl_llm.sandbox.checks import Rejected, parse_predictions, same_predictions
from marl_llm.sandbox.encode import encode
from marl_llm.sandbox.inside import block
from tests.sandbox.support import mixed_frame

TEXTS = st.one_of(st.just(np.nan), st.text(max_size=8))
FLOATS = st.floats(width=64)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Frames of any mix of columns."""
    rows = draw(st.integers(1, 12))
    kinds = draw(st.lists(st.booleans(), min_size=1, max_size=5))
    columns = {}
    for i, numeric in enumerate(kinds):
        values = draw(st.lists(FLOATS if numeric else TEXTS, min_size=rows, max_size=rows))
        columns[f"x{i}"] = pd.Series(values, dtype=float if numeric else object)
    return pd.DataFrame(columns)


def round_trip(
    frame: pd.DataFrame, target: np.ndarray | None = None
) -> tuple[pd.DataFrame, np.ndarray | None]:
    encoded = encode(frame, target)
    return block.decode(encoded.open(), encoded.layout)


@given(frames())
def test_any_frame_arrives_as_it_was_sent(frame: pd.DataFrame) -> None:
    assert_frame_equal(round_trip(frame)[0], frame, check_exact=True)


@pytest.mark.parametrize(
    "target", [np.arange(120), np.linspace(0, 1, 120)], ids=["int64", "float64"]
)
def test_target_arrives_with_its_type(target: np.ndarray) -> None:
    frame, arrived = round_trip(mixed_frame(), target)
    assert_frame_equal(frame, mixed_frame())
    assert arrived is not None
    assert arrived.dtype == target.dtype
    assert np.array_equal(arrived, target)


def test_arrived_frame_can_be_changed_in_place() -> None:
    frame, target = round_trip(mixed_frame(), np.arange(120))
    frame.loc[0, "x0"] = 1.5
    assert target is not None
    target[0] = 3
    assert frame.loc[0, "x0"] == 1.5


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.Series([1, 2]), "dtype int64"),
        (pd.Series([True, False]), "dtype bool"),
        (pd.Series(["a", "b"], dtype="category"), "dtype category"),
        (pd.Series(["a", "b"], dtype="str"), "dtype str"),
        (pd.Series(["a", 3], dtype=object), "holds 3"),
    ],
)
def test_a_column_of_another_type_is_refused_by_name(column: pd.Series, message: str) -> None:
    with pytest.raises(ValueError, match=f"column x7 .*{message}"):
        encode(pd.DataFrame({"x7": column}))


@pytest.mark.parametrize(
    ("train", "labels", "valid", "message"),
    [
        (mixed_frame(10), np.zeros(9, int), mixed_frame(5), "10 rows"),
        (
            mixed_frame(10),
            np.zeros(10, int),
            mixed_frame(5)[["x1", "x0", "x2", "x3", "x4"]],
            "same columns",
        ),
        (mixed_frame(10), np.zeros(10, int), mixed_frame(5).iloc[:0], "at least one"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(
    train: pd.DataFrame, labels: np.ndarray, valid: pd.DataFrame, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Fold.prepare(train, labels, valid, n_classes=2, seed=0)


def test_blocks_hold_the_rows_in_the_secret_order_and_no_validation_label() -> None:
    train, valid = mixed_frame(40), mixed_frame(20, seed=1)
    labels = np.arange(40) % 2
    with Fold.prepare(train, labels, valid, n_classes=2, seed=3) as fold:
        rows, target = block.decode(fold.train.open(), fold.train.layout)
        assert_frame_equal(rows, train.iloc[fold.train_order].reset_index(drop=True))
        assert target is not None
        assert np.array_equal(target, labels[fold.train_order])
        for part, order in (
            (fold.valid, fold.valid_order),
            (fold.probe, fold.valid_order[fold.probe_rows]),
        ):
            rows, target = block.decode(part.open(), part.layout)
            assert_frame_equal(rows, valid.iloc[order].reset_index(drop=True))
            assert target is None
    with pytest.raises(ValueError, match="closed"):
        _ = fold.valid


@given(st.integers(2, 50), st.integers(0, 100))
def test_restored_predictions_are_in_the_callers_order(rows: int, seed: int) -> None:
    frame = pd.DataFrame({"x0": np.arange(float(rows))})
    fold = Fold.prepare(frame, np.zeros(rows), frame, n_classes=None, seed=seed)
    assert fold.restore(Predictions(fold.valid_order.astype(float))).labels.tolist() == list(
        range(rows)
    )


def encoded(labels: list[int], proba: list[list[float]]) -> bytes:
    return np.array(labels, "<i8").tobytes() + np.array(proba, "<f8").tobytes()


def test_well_formed_predictions_are_read_back() -> None:
    predictions = parse_predictions(encoded([1, 0], [[0.25, 0.75], [1.0, 0.0]]), 2, 2)
    assert predictions.labels.tolist() == [1, 0]
    assert predictions.proba is not None
    assert predictions.proba.tolist() == [[0.25, 0.75], [1.0, 0.0]]
    assert parse_predictions(np.array([1.5, -2.0]).tobytes(), 2, None).labels.tolist() == [
        1.5,
        -2.0,
    ]


@pytest.mark.parametrize(
    ("content", "classes", "message"),
    [
        (encoded([1, 0], [[0.5, 0.5]]), 2, "bytes"),
        (encoded([1, 0], [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]), 2, "bytes"),
        (encoded([2, 0], [[0.5, 0.5], [0.5, 0.5]]), 2, "0 to 1"),
        (encoded([-1, 0], [[0.5, 0.5], [0.5, 0.5]]), 2, "0 to 1"),
        (encoded([1, 0], [[0.5, 0.5], [0.5, float("nan")]]), 2, "NaN"),
        (encoded([1, 0], [[0.5, 0.5], [0.5, 0.6]]), 2, "sum to 1"),
        (encoded([1, 0], [[0.5, 0.5], [1.5, -0.5]]), 2, "outside"),
        (np.array([1.0, float("inf")]).tobytes(), None, "infinity"),
        (b"", None, "bytes"),
    ],
)
def test_malformed_bytes_are_rejected(content: bytes, classes: int | None, message: str) -> None:
    with pytest.raises(Rejected, match=message):
        parse_predictions(content, 2, classes)


@given(st.binary(max_size=64), st.integers(1, 3), st.one_of(st.none(), st.integers(2, 3)))
def test_any_bytes_are_read_or_rejected(content: bytes, rows: int, classes: int | None) -> None:
    try:
        predictions = parse_predictions(content, rows, classes)
    except Rejected:
        return
    assert len(predictions) == rows
    assert np.isfinite(predictions.labels).all()


def test_rounding_and_ties_are_no_inconsistency_but_a_changed_label_is() -> None:
    first = Predictions(np.array([0, 1]), np.array([[0.5, 0.5], [0.2, 0.8]]))
    rounded = Predictions(np.array([1, 1]), first.proba + np.array([[1e-9, -1e-9], [0, 0]]))
    assert same_predictions(first, rounded)
    assert not same_predictions(first, Predictions(np.array([0, 0]), first.proba))
    even = np.full((4, 2), 0.5)
    assert not same_predictions(
        Predictions(np.array([0, 0, 1, 1]), even), Predictions(np.array([1, 1, 0, 0]), even)
    )
    assert same_predictions(Predictions(np.array([1e6, 1e-9])), Predictions(np.array([1e6, 2e-9])))
    assert not same_predictions(
        Predictions(np.array([1.0, 2.0])), Predictions(np.array([1.0, 2.01]))
    )

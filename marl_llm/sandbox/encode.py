"""DataFrames to blocks of bytes in sealed memory files: the host's half of `inside/block.py`."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass

import numpy as np
import pandas as pd

from marl_llm.sandbox.inside.block import Layout

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@dataclass(frozen=True)
class Block:
    """Rows ready to be shipped: their layout and their bytes."""

    layout: Layout
    content: bytes

    def open(self) -> int:
        """A new sealed memory file with the content. The caller closes the descriptor.

        Every child gets a file of its own, so that its offset and locks are no channel between
        children.
        """
        descriptor = os.memfd_create("rows", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, max(1, len(self.content)))
            _write(descriptor, self.content)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def encode(frame: pd.DataFrame, target: np.ndarray | None = None) -> Block:
    """Encode rows in their present order.

    Parameters
    ----------
    frame : DataFrame
        float64 columns and dtype object columns of str with nan for missing. The index is dropped.
    target : ndarray, shape (n,), optional
        int64 or float64.

    Raises
    ------
    ValueError
        When a column is of another type.
    """
    names = [str(name) for name in frame.columns]
    numeric = [i for i, dtype in enumerate(frame.dtypes) if dtype == np.float64]
    text = [i for i, dtype in enumerate(frame.dtypes) if dtype == np.dtype("O")]
    _check_columns(frame, names, numeric, text)
    floats = np.ascontiguousarray(frame.iloc[:, numeric].to_numpy(np.float64).T, dtype="<f8")
    coded = [_codes(frame.iloc[:, i]) for i in text]
    categories = json.dumps([names for _, names in coded]).encode()
    labels = None if target is None else _target(target)
    layout = Layout(
        rows=len(frame),
        columns=names,
        numeric=[names[i] for i in numeric],
        text=[names[i] for i in text],
        target=None if labels is None else labels.dtype.str,
        categories_bytes=len(categories),
    )
    parts = [floats.tobytes(), b"" if labels is None else labels.tobytes()]
    parts += [codes.tobytes() for codes, _ in coded]
    return Block(layout, b"".join([*parts, categories]))


def _check_columns(
    frame: pd.DataFrame, names: list[str], numeric: list[int], text: list[int]
) -> None:
    if len(set(names)) < len(names):
        raise ValueError("column names must be unique")
    for i in set(range(len(names))) - {*numeric, *text}:
        raise ValueError(
            f"column {names[i]} has dtype {frame.dtypes.iloc[i]}; convert it to float64 or object"
        )


def _codes(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    codes, names = pd.factorize(column.to_numpy(dtype=object), use_na_sentinel=True)
    other = next((name for name in names if not isinstance(name, str)), None)
    if other is not None:
        raise ValueError(
            f"column {column.name} holds {other!r}; text columns hold str and nan only"
        )
    return codes.astype("<i4"), list(names)


def _target(target: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(
        target, dtype="<f8" if np.asarray(target).dtype.kind == "f" else "<i8"
    )


def _write(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]

"""A table as one block of bytes: the layout that host and child agree on, and the child's way back
to a DataFrame.

float64 columns | target, 8 bytes a row | int32 codes of text columns | JSON lists of categories

The host writes the block to a sealed memfd (marl_llm/sandbox/encode.py). The child maps it
privately: changing the frame in place is harmless and nobody else sees it.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
from typing import TYPE_CHECKING, NamedTuple

from .lockdown.libc import LIBC

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_mmap = LIBC.mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
_MAP_FAILED = ctypes.c_void_p(-1).value


class Layout(NamedTuple):
    """How to read a block."""

    rows: int
    columns: list[str]  # in the caller's order
    numeric: list[str]  # float64 columns, in the block's order
    text: list[str]  # dtype object columns, in the block's order
    target: str | None  # "<i8", "<f8" or None: no target
    categories_bytes: int

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Bytes of the four parts."""
        target = 8 * self.rows if self.target else 0
        return (
            8 * self.rows * len(self.numeric),
            target,
            4 * self.rows * len(self.text),
            self.categories_bytes,
        )


def decode(descriptor: int, layout: Layout) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Map a block, close its descriptor and rebuild the frame and, where there is one, the
    target.
    """
    import numpy as np

    memory = _map_private(descriptor, sum(layout.sizes))
    floats, target, codes, categories = _split(memory, layout)
    numbers = np.frombuffer(floats, "<f8").reshape(len(layout.numeric), layout.rows)
    labels = np.frombuffer(target, layout.target) if layout.target else None
    coded = np.frombuffer(codes, "<i4").reshape(len(layout.text), layout.rows)
    return _frame(layout, numbers, coded, json.loads(bytes(categories) or b"[]")), labels


def _map_private(descriptor: int, size: int) -> memoryview:
    # Not mmap.mmap: before Python 3.13 it keeps a duplicate of the descriptor, which untrusted code
    # could then use.
    length = max(1, size)
    address = _mmap(None, length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE, descriptor, 0)
    os.close(descriptor)
    if address in (None, _MAP_FAILED):
        raise MemoryError("the data do not fit into the memory limit")
    return memoryview((ctypes.c_char * length).from_address(address)).cast("B")[:size]


def _split(memory: memoryview, layout: Layout) -> list[memoryview]:
    parts, start = [], 0
    for size in layout.sizes:
        parts.append(memory[start : start + size])
        start += size
    return parts


def _frame(
    layout: Layout, numbers: np.ndarray, codes: np.ndarray, categories: list[list[str]]
) -> pd.DataFrame:
    import pandas as pd

    numeric = pd.DataFrame(numbers.T, columns=_index(layout.numeric), copy=False)
    if not layout.text:
        return numeric
    text = pd.DataFrame(
        _texts(codes, categories).T, columns=_index(layout.text), dtype=object, copy=False
    )
    return pd.concat([numeric, text], axis=1).reindex(columns=layout.columns)


def _texts(codes: np.ndarray, categories: list[list[str]]) -> np.ndarray:
    """Object array, shape (columns, rows): the category of each code, nan for -1."""
    import numpy as np

    texts = np.empty(codes.shape, dtype=object)
    for column, names in enumerate(categories):
        lookup = np.array([*names, np.nan], dtype=object)  # code -1 takes the last entry
        texts[column] = lookup[codes[column]]
    return texts


def _index(names: list[str]) -> list[str] | None:
    return names if names else None

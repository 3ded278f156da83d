"""Pandas snippets: what the sandbox is asked, and the text that comes back.

In: untrusted code and rows with their labels, which are put into a secret order. Out: a
`SnippetResult`, plain text that was bounded and stripped here, in the trusted process. The text is
a claim of untrusted code: it is shown to an agent and enters no computation.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from marl_llm.sandbox.encode import Block, encode
from marl_llm.sandbox.results import Status

TARGET = "target"
MAX_CHARACTERS = 2000
_BYTES_PER_CHARACTER = 4  # of UTF-8
_ADDRESS = re.compile(" at 0x[0-9a-f]+(?=>)")  # in the repr of an object, another one every time


@dataclass(frozen=True)
class SnippetResult:
    """The outcome of one snippet.

    Attributes
    ----------
    status : Status
        How it ended.
    text : str
        What it printed, then the value of its last expression: printable characters and newlines
        only. "" unless ok.
    error : str
        One short printable line, "" if ok.
    seconds : float
        Wall time, without waiting for a slot.
    """

    status: Status
    text: str
    error: str
    seconds: float


@dataclass(frozen=True)
class SnippetJob:
    """What a child is to do: a snippet, the seed of numpy and random, and the most characters of
    its answer.
    """

    code: str
    seed: int
    characters: int = MAX_CHARACTERS

    @property
    def most_bytes(self) -> int:
        """The longest answer."""
        return _BYTES_PER_CHARACTER * self.characters

    def header(self, rows: Block) -> bytes:
        """The JOB frame's payload."""
        content = {"snippet": self.code, "seed": self.seed, "characters": self.characters}
        return json.dumps({**content, "layout": rows.layout._asdict()}).encode()


def shuffled(frame: pd.DataFrame, labels: np.ndarray, seed: int) -> Block:
    """Rows and their labels, as column `target`, in a secret order.

    The order is drawn, as in `Fold`, from a key made of the seed and of all rows in their original
    order: it is the same in every run, and whoever could compute the key would already have to know
    the order.

    Parameters
    ----------
    frame : DataFrame, shape (n, d)
        float64 columns and dtype object columns of str with nan for missing. The index is dropped.
    labels : ndarray, shape (n,)
        Class names (str), or numbers.
    seed : int
        Part of the key.

    Raises
    ------
    ValueError
        Without rows, for unequal lengths, a column named `target`, or a column of another type.
    """
    if not len(frame) or len(labels) != len(frame):
        raise ValueError(
            f"a snippet needs rows and as many labels: {len(frame)} rows, {len(labels)} labels"
        )
    if TARGET in frame.columns:
        raise ValueError(
            f"a column is named {TARGET!r}, which is the name of the labels in a snippet"
        )
    dtype = np.float64 if np.asarray(labels).dtype.kind in "fiu" else object
    table = frame.assign(**{TARGET: pd.Series(np.asarray(labels), index=frame.index, dtype=dtype)})
    digest = hashlib.blake2b(f"snippet {seed}".encode(), digest_size=16)
    digest.update(encode(table).content)
    order = np.random.default_rng(int.from_bytes(digest.digest(), "little")).permutation(len(table))
    return encode(table.iloc[order])


def readable(payload: bytes, characters: int) -> str:
    """Text from an untrusted child: printable characters and newlines, no memory addresses, at most
    `characters`.
    """
    text = _ADDRESS.sub("", payload.decode("utf-8", "replace"))
    kept = (c if c.isprintable() or c == "\n" else " " if c.isspace() else "" for c in text)
    return "\n".join(line.rstrip() for line in "".join(kept).splitlines())[:characters].strip("\n")

"""Which rows are computed together: prompts and lengths go in, row numbers come out. Pure numpy.

Two questions, kept apart. Which rows make an optimizer step's batch is a matter of learning:
`step_batches` cuts the rows into batches of nearly equal size and keeps rows of one prompt, and of
one state's long prompts, together. How a batch is computed is a matter of speed and memory:
`pieces` lays rows whose prompts begin alike in one *sequence*, so that what they have in common is
computed once, and cuts the batch into rectangles of sequences of similar length under a budget of
cells. The gradient does not depend on the second.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_NOISE = 0.1
_FAMILY = 128
"""Tokens that different prompts must have in common to be kept in one batch: below, a better mixed
batch is worth more than what is saved.
"""
_KNEE = 1024
"""Tokens at which attention to all earlier ones costs a model as much as everything else. It
decides when one more completion behind a prompt is dearer than computing the prompt again; about
right for a tiny model, cautious for a large one.
"""

Piece = list[np.ndarray]
"""Sequences computed together; each is an array of the numbers of its rows."""


@dataclass(frozen=True)
class Sizes:
    """What computing n rows takes, and what their prompts have in common.

    Attributes
    ----------
    order : ndarray of int, shape (n,)
        Row numbers, in lexicographic order of the prompts' tokens.
    shared : ndarray of int, shape (n,)
        By row number: leading tokens that its prompt but for the last token has in common with that
        of the row before it in `order`; 0 for the first. As in any sorted list, rows that follow
        each other share at least what rows further apart do.
    prompt, completion : ndarray of int, shape (n,)
        Tokens, by row number.
    """

    order: np.ndarray
    shared: np.ndarray
    prompt: np.ndarray
    completion: np.ndarray

    @classmethod
    def of(cls, prompts: Sequence[np.ndarray], completions: Sequence[int]) -> Sizes:
        """Sizes of rows with these prompts (token ids) and numbers of completion tokens."""
        keys = [ids.astype(">u4").tobytes() for ids in prompts]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        shared = np.zeros(len(keys), np.int64)
        for before, row in itertools.pairwise(order):
            shared[row] = common_prefix(prompts[before][:-1], prompts[row][:-1])
        lengths = np.array([len(ids) for ids in prompts], np.int64)
        return cls(np.array(order, np.int64), shared, lengths, np.array(completions, np.int64))

    def __len__(self) -> int:
        return len(self.order)

    def added(self, row: int) -> int:
        """Cells that a row adds to a sequence that holds the row before it in `order`."""
        return int(self.prompt[row] - 1 - self.shared[row] + self.completion[row])

    def alone(self, row: int) -> int:
        """Cells of a row by itself."""
        return int(self.prompt[row] - 1 + self.completion[row])


def common_prefix(one: np.ndarray, other: np.ndarray) -> int:
    """Leading elements that two arrays have in common."""
    least = min(len(one), len(other))
    different = np.flatnonzero(one[:least] != other[:least])
    return int(different[0]) if len(different) else least


def step_batches(sizes: Sizes, batch_rows: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut n rows into ceil(n / batch_rows) batches of nearly equal size.

    Rows of one prompt, and of prompts with a long beginning in common, stay together unless they
    are more than a batch. Such groups are ordered by their tokens (times a random factor within
    10%), so that batches are of similar lengths yet differ between epochs; the batches come in
    random order, so that an epoch does not run from short to long.

    Parameters
    ----------
    sizes : Sizes
    batch_rows : int
        Rows per batch; a batch differs from it by about half a group.
    rng : Generator

    Returns
    -------
    list of ndarray of int
        Every row number once.
    """
    count = len(sizes)
    groups = [
        part for family in _families(sizes) for part in _evenly(_shuffled(family, rng), batch_rows)
    ]
    lengths = sizes.prompt + sizes.completion
    size = np.array([lengths[group].sum() for group in groups], float)
    groups = [
        groups[i]
        for i in np.argsort(size * rng.uniform(1 - _NOISE, 1 + _NOISE, len(groups)), kind="stable")
    ]
    ends = np.cumsum([len(group) for group in groups])
    batches = -(-count // batch_rows)
    cuts = [0]
    for number in range(
        1, batches
    ):  # the boundary between groups that lies nearest to an equal cut
        possible = ends[cuts[-1] : len(groups) - (batches - number)]
        cuts.append(cuts[-1] + 1 + int(np.abs(possible - number * count / batches).argmin()))
    cut = (
        [np.concatenate(groups[a:b]) for a, b in zip(cuts, [*cuts[1:], len(groups)], strict=True)]
        if count
        else []
    )
    return [cut[i] for i in rng.permutation(len(cut))]


def pieces(
    sizes: Sizes, budget: int | None = None, *, share: bool = True, at_least: int = 1
) -> list[Piece]:
    """Lay out one batch of n rows.

    Parameters
    ----------
    sizes : Sizes
    budget : int, optional
        Most cells (tokens and padding) of one piece; a single row may have more. Default: no limit.
    share : bool
        Rows share a sequence where that saves work; otherwise each row has its own.
    at_least : int
        Pieces wanted, one for each process; there may be fewer if there are fewer sequences.

    Returns
    -------
    list of Piece
        Every row number once; pieces and sequences run from long to short, rows of a sequence as in
        `sizes.order`.
    """
    sequences = _sequences(sizes, budget) if share else [np.array([row]) for row in sizes.order]
    width = [sequence_cells(part, sizes) for part in sequences]
    if at_least > 1:
        even = max(max(width, default=0), -(-sum(width) // at_least))
        budget = even if budget is None else min(budget, even)
    found: list[Piece] = []
    longest = 0
    for i in np.argsort(width, kind="stable")[::-1]:
        if not found or (budget is not None and (len(found[-1]) + 1) * longest > budget):
            found.append([])
            longest = width[i]
        found[-1].append(sequences[i])
    return found


def sequence_cells(rows: np.ndarray, sizes: Sizes) -> int:
    """Cells of one sequence, rows that follow each other in `sizes.order`: what is new of each
    prompt but for its last token, then that token and the completion but for its last, once per
    row.
    """
    return sizes.alone(rows[0]) + sum(sizes.added(row) for row in rows[1:])


def piece_cells(piece: Piece, sizes: Sizes) -> tuple[int, int]:
    """Cells of a piece: those of the sequences, and those of the rectangle that they are padded
    to.
    """
    width = [sequence_cells(rows, sizes) for rows in piece]
    return sum(width), len(width) * max(width, default=0)


def _families(sizes: Sizes) -> list[list[np.ndarray]]:
    """Prompts with much in common, each an array of the numbers of its rows."""
    families: list[list[list[int]]] = []
    before = -1
    for row in sizes.order.tolist():
        common, length = int(sizes.shared[row]), int(sizes.prompt[row])
        if before >= 0 and common >= max(length, int(sizes.prompt[before])) - 1:
            families[-1][-1].append(row)
        elif before >= 0 and common >= max(_FAMILY, length / 2):
            families[-1].append([row])
        else:
            families.append([[row]])
        before = row
    return [[np.array(rows) for rows in family] for family in families]


def _shuffled(family: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([rng.permutation(family[i]) for i in rng.permutation(len(family))])


def _evenly(group: np.ndarray, most: int) -> list[np.ndarray]:
    return np.array_split(group, -(-len(group) // most))


def _sequences(sizes: Sizes, budget: int | None) -> Piece:
    """The rows in as few sequences as is worth while and allowed."""
    found: list[list[int]] = []
    length = 0
    for row in sizes.order.tolist():
        alone, grown = sizes.alone(row), length + sizes.added(row)
        too_long = budget is not None and grown > budget
        if not found or too_long or _work(grown) - _work(length) >= _work(alone):
            found.append([])
            grown = alone
        found[-1].append(row)
        length = grown
    return [np.array(rows) for rows in found]


def _work(length: int) -> int:
    return length * (_KNEE + length)


class StepBatches:
    """The batches of one epoch after another, for a loader's `batch_sampler`; epochs differ, seeds
    repeat.
    """

    def __init__(self, sizes: Sizes, batch_rows: int, seed: int) -> None:
        self._sizes, self._batch_rows, self._seed, self._epoch = sizes, batch_rows, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration gives, from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self._sizes) / self._batch_rows)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self._seed, self._epoch])
        for batch in step_batches(self._sizes, self._batch_rows, rng):
            yield batch.tolist()

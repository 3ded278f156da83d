"""Which rows are computed together: prompts and lengths go in, row numbers come out. Pure numpy.

Two questions, kept apart. Which rows make an optimizer step's batch is a matter of learning: `step_batches` cuts the
rows into batches of nearly equal size and keeps rows of one prompt together. How a batch is computed is a matter of
speed and memory: `pieces` lays rows of one prompt behind that prompt in one *sequence*, so that the prompt is computed
once, and cuts the batch into rectangles of sequences of similar length under a budget of cells. The gradient does not
depend on the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

_NOISE = 0.1
_KNEE = 1024
"""Tokens at which attention to all earlier ones costs a model as much as everything else. It decides when one more
completion behind a prompt is dearer than computing the prompt again; about right for a tiny model, cautious for a
large one."""

Piece = list[np.ndarray]
"""Sequences computed together; each is an array of the numbers of its rows, which all have the same prompt."""


def same_prompt(prompts: Sequence[np.ndarray]) -> np.ndarray:
    """Number the prompts by content: int, shape (n,); equal numbers where the token ids are equal."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(ids.tobytes(), len(numbers)) for ids in prompts], np.int64)


def step_batches(prompt: np.ndarray, lengths: np.ndarray, batch_rows: int, rng: np.random.Generator) -> Piece:
    """Cut n rows into ceil(n / batch_rows) batches of nearly equal size.

    Groups of rows with one prompt stay together unless they are larger than a batch. They are ordered by their tokens
    (times a random factor within 10%), so that batches are of similar lengths yet differ between epochs; the batches
    come in random order, so that an epoch does not run from short to long.

    Parameters
    ----------
    prompt : ndarray of int, shape (n,)
        As from `same_prompt`.
    lengths : ndarray of int, shape (n,)
        Tokens of prompt and completion.
    batch_rows : int
        Rows a batch; a batch differs from it by about half a group.
    rng : Generator

    Returns
    -------
    list of ndarray of int
        Every row number once.
    """
    count = len(prompt)
    groups = [part for group in _groups(prompt) for part in _evenly(rng.permutation(group), batch_rows)]
    size = np.array([lengths[group].sum() for group in groups], float) * rng.uniform(
        1 - _NOISE, 1 + _NOISE, len(groups)
    )
    groups = [groups[i] for i in np.argsort(size, kind="stable")]
    ends = np.cumsum([len(group) for group in groups])
    batches = -(-count // batch_rows)
    cuts = [0]
    for number in range(1, batches):  # the boundary between groups that lies nearest to an equal cut
        possible = ends[cuts[-1] : len(groups) - (batches - number)]
        cuts.append(cuts[-1] + 1 + int(np.abs(possible - number * count / batches).argmin()))
    cut = [np.concatenate(groups[a:b]) for a, b in zip(cuts, [*cuts[1:], len(groups)], strict=True)] if count else []
    return [cut[i] for i in rng.permutation(len(cut))]


def pieces(
    prompt: np.ndarray,
    prompt_lengths: np.ndarray,
    completion_lengths: np.ndarray,
    budget: int | None = None,
    *,
    share: bool = True,
    at_least: int = 1,
) -> list[Piece]:
    """Lay out one batch of n rows.

    Parameters
    ----------
    prompt, prompt_lengths, completion_lengths : ndarray of int, shape (n,)
        Prompt number as from `same_prompt`, and tokens.
    budget : int, optional
        Most cells (tokens and padding) of one piece; a single row may have more. Default: no limit.
    share : bool
        Rows of one prompt share a sequence where that saves work; otherwise each row has its own.
    at_least : int
        Pieces wanted, one for each process; there may be fewer if there are fewer sequences.

    Returns
    -------
    list of Piece
        Every row number once; pieces and sequences run from long to short.
    """
    sequences = [
        np.array(part)
        for group in _groups(prompt)
        for part in (_sequences(group, prompt_lengths, completion_lengths, budget) if share else group[:, None])
    ]
    width = [sequence_cells(part, prompt_lengths, completion_lengths) for part in sequences]
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


def sequence_cells(rows: np.ndarray, prompt_lengths: np.ndarray, completion_lengths: np.ndarray) -> int:
    """Cells of one sequence: the prompt but for its last token, then that token and the completion but for its last,
    once per row."""
    return int(prompt_lengths[rows[0]] - 1 + completion_lengths[rows].sum())


def piece_cells(piece: Piece, prompt_lengths: np.ndarray, completion_lengths: np.ndarray) -> tuple[int, int]:
    """Cells of a piece: those of the sequences, and those of the rectangle that they are padded to."""
    width = [sequence_cells(rows, prompt_lengths, completion_lengths) for rows in piece]
    return sum(width), len(width) * max(width, default=0)


def _groups(prompt: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(prompt, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(prompt[order])) + 1) if len(prompt) else []


def _evenly(group: np.ndarray, most: int) -> list[np.ndarray]:
    return np.array_split(group, -(-len(group) // most))


def _sequences(
    group: np.ndarray, prompt_lengths: np.ndarray, completion_lengths: np.ndarray, budget: int | None
) -> list[list[int]]:
    """Rows of one prompt in as few sequences as is worth while and allowed."""
    shared = int(prompt_lengths[group[0]]) - 1
    found: list[list[int]] = []
    length = 0
    for row in group.tolist():
        own = int(completion_lengths[row])
        grown, alone = length + own, shared + own
        too_long = budget is not None and grown > budget
        if not found or too_long or _work(grown) - _work(length) > _work(alone):
            found.append([])
            grown = alone
        found[-1].append(row)
        length = grown
    return found


def _work(length: int) -> int:
    return length * (_KNEE + length)


class StepBatches:
    """The batches of one epoch after another, for a loader's `batch_sampler`; epochs differ, seeds repeat."""

    def __init__(self, prompt: np.ndarray, lengths: np.ndarray, batch_rows: int, seed: int) -> None:
        self._rows = prompt, lengths
        self._batch_rows, self._seed, self._epoch = batch_rows, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration gives, from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-len(self._rows[0]) // self._batch_rows)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self._seed, self._epoch])
        for batch in step_batches(*self._rows, self._batch_rows, rng):
            yield batch.tolist()

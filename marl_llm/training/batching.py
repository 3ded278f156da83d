"""Which rows share a batch: lengths go in, batches of row numbers come out. Pure numpy.

Prompts are padded on the left and completions on the right of one rectangle, so a batch costs rows x (longest prompt +
longest completion). Rows of similar lengths are put together, with some noise, so that batches differ between epochs,
and the batches are shuffled, so that an epoch does not run from short to long.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_NOISE = 0.1
_POOL = 4


def length_batches(
    prompt_lengths: np.ndarray, completion_lengths: np.ndarray, batch_rows: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Cut n rows into batches of similar lengths.

    Rows are ordered by prompt length (times a random factor within 10%), cut into pools of four batches, ordered by
    completion length within a pool, and cut into batches, which come in random order; only the last one may be shorter.

    Parameters
    ----------
    prompt_lengths, completion_lengths : ndarray of int, shape (n,)
        Tokens.
    batch_rows : int
    rng : Generator

    Returns
    -------
    list of ndarray of int
        Every row number once.
    """
    count = len(prompt_lengths)
    noisy = prompt_lengths * rng.uniform(1 - _NOISE, 1 + _NOISE, count)
    order = np.argsort(noisy, kind="stable")
    for start in range(0, count, pool := _POOL * batch_rows):
        part = order[start : start + pool]
        order[start : start + pool] = part[np.argsort(completion_lengths[part], kind="stable")]
    full = count - count % batch_rows
    batches = list(order[:full].reshape(-1, batch_rows))
    shuffled = [batches[i] for i in rng.permutation(len(batches))]
    return shuffled + ([order[full:]] if full < count else [])


def padding_share(prompt_lengths: np.ndarray, completion_lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    """Share of padding in [0, 1) among all cells of the batches' rectangles."""
    cells = sum(len(rows) * (prompt_lengths[rows].max() + completion_lengths[rows].max()) for rows in batches)
    real = sum((prompt_lengths[rows] + completion_lengths[rows]).sum() for rows in batches)
    return float(1 - real / cells) if cells else 0.0


class LengthSampler:
    """Row numbers of one epoch after another, to be cut into batches of `batch_rows` by the loader; epochs differ,
    seeds repeat."""

    def __init__(self, prompt_lengths: np.ndarray, completion_lengths: np.ndarray, batch_rows: int, seed: int) -> None:
        self._lengths = prompt_lengths, completion_lengths
        self._batch_rows, self._seed, self._epoch = batch_rows, seed, 0

    def __len__(self) -> int:
        return len(self._lengths[0])

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self._seed, self._epoch])
        self._epoch += 1
        for batch in length_batches(*self._lengths, self._batch_rows, rng):
            yield from batch.tolist()

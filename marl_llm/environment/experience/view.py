"""`Experience`: what was known of earlier data sets at one moment. Immutable, so that all who hold
it see the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from marl_llm.environment.card import TaskCard
from marl_llm.environment.experience.advice import advice
from marl_llm.environment.experience.data_set import DataSet, merged
from marl_llm.environment.experience.meta_features import META_FEATURES, distances, meta_features

NEIGHBOURS = 5
"""Data sets that are asked."""


@dataclass(frozen=True)
class Experience:
    """Earlier data sets, in the order of their keys."""

    data_sets: tuple[DataSet, ...] = ()

    @cached_property
    def _vectors(self) -> np.ndarray:
        return np.array([d.vector for d in self.data_sets]).reshape(-1, len(META_FEATURES))

    def similar(
        self, card: TaskCard, key: str, k: int = NEIGHBOURS, baseline: float | None = None
    ) -> list[tuple[DataSet, float]]:
        """The k nearest other data sets of the same kind of target with their distances, the
        nearest first.

        Parameters
        ----------
        card : TaskCard
        key : str
            `table_key` of the data set at hand, which is never among them.
        k : int
        baseline : float, optional
            Score of its baseline, if that is known.
        """
        found = distances(meta_features(card, baseline), self._vectors)
        near = sorted(
            (d, o.key, o) for o, d in zip(self.data_sets, found, strict=True) if _counts(o, d, key)
        )
        return [(other, float(distance)) for distance, _, other in near[:k]]

    def lines(
        self, card: TaskCard, key: str, most: int, baseline: float | None = None
    ) -> tuple[str, ...]:
        """What worked on the most similar data sets, at most `most` short lines; see `advice`.

        For example `+0.12 propose_model est = CatBoostClassifier(depth=4)`.
        """
        if most < 1:
            return ()
        near = [
            (other, float(np.exp(-distance)))
            for other, distance in self.similar(card, key, NEIGHBOURS, baseline)
        ]
        return advice(near, card, most)


def joined(*parts: Experience) -> Experience:
    """Several as one; accounts of the same data set are merged."""
    known: dict[str, DataSet] = {}
    for data_set in (one for part in parts for one in part.data_sets):
        known[data_set.key] = merged(known.get(data_set.key), data_set)
    return Experience(tuple(known[key] for key in sorted(known)))


NOTHING = Experience()
"""No experience."""


def _counts(other: DataSet, distance: float, key: str) -> bool:
    return other.key != key and bool(other.findings) and bool(np.isfinite(distance))

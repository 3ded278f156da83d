"""What is kept of one data set: who it is, its meta-features, and the best that was found on it.

Plain data and how two accounts of the same data set become one. No rows, no column names: a store
may be passed on without the data.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from marl_llm.core.kind import Kind
from marl_llm.environment.experience.meta_features import META_FEATURES

MOST_FINDINGS = 5
"""Kept of one data set, of models and of other changes each."""


class Finding(BaseModel):
    """A suggestion that helped.

    Attributes
    ----------
    text : str
        As an agent would write it: `propose_model est = CatBoostClassifier(depth=4)`. Features lack
        their columns (`engineer_features log; scale quantile`), which mean nothing elsewhere.
    gain : float
        Skill: of a model over the baseline, of another change over the solution it changed.
    score : float
        Hold-out score of the solution, skill.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    text: str = Field(max_length=400)
    gain: float
    score: float

    @property
    def is_model(self) -> bool:
        """True if it names an estimator."""
        return self.text.startswith("propose_model")


class DataSet(BaseModel):
    """One data set.

    Attributes
    ----------
    key : str
        Of its content: `table_key`.
    name : str
        For people; two data sets may share one.
    kind : Kind
    meta : tuple of float or None
        `meta_features`, None for NaN.
    findings : tuple of Finding
        The best ones, by gain.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    key: str = Field(min_length=1, max_length=64)
    name: str = Field(max_length=200)
    kind: Kind
    meta: tuple[float | None, ...]
    findings: tuple[Finding, ...] = ()

    @field_validator("meta")
    @classmethod
    def _whole(cls, value: tuple[float | None, ...]) -> tuple[float | None, ...]:
        if len(value) != len(META_FEATURES):
            raise ValueError(f"there are {len(META_FEATURES)} meta-features")
        return value

    @property
    def vector(self) -> np.ndarray:
        """The meta-features, shape (len(META_FEATURES),)."""
        return np.array([np.nan if v is None else v for v in self.meta])


def best_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The best distinct ones, models before other changes.

    Of two measurements of the same suggestion the lower counts: the best of many is the luckiest of
    them, too. That also makes the result independent of who comes first, and adding the same again
    changes nothing.
    """
    lowest: dict[str, Finding] = {}
    for found in findings:
        known = lowest.get(found.text)
        if known is None or (found.gain, found.score) < (known.gain, known.score):
            lowest[found.text] = found
    ranked = sorted(lowest.values(), key=lambda f: (-f.gain, f.text))
    models = [f for f in ranked if f.is_model]
    others = [f for f in ranked if not f.is_model]
    return (*models[:MOST_FINDINGS], *others[:MOST_FINDINGS])


def merged(known: DataSet | None, new: DataSet) -> DataSet:
    """Two accounts of the same data set as one; name and meta-features are those of the earlier."""
    first = known or new
    return first.model_copy(update={"findings": best_findings((*first.findings, *new.findings))})

"""Added features and reductions as parts of a solution; what they are stands in `ops/`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from marl_llm.proposals.ops import FEATURES, REDUCERS
from marl_llm.proposals.ops.feature import Feature, Order

if TYPE_CHECKING:
    FeatureName: TypeAlias = str
    ReducerName: TypeAlias = str
else:  # what pydantic checks and the schema lists
    FeatureName = Literal[tuple(FEATURES)]
    ReducerName = Literal[tuple(REDUCERS)]

_ALIAS = re.compile(r"[xt][0-9]+")


class Extra(BaseModel):
    """Features added beside the original columns, computed from some of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    op: FeatureName
    columns: tuple[str, ...]

    @model_validator(mode="after")
    def _enough(self) -> Extra:
        takes = self.record.takes
        enough = takes.least <= len(self.columns) <= takes.most
        if not enough or not all(map(_ALIAS.fullmatch, self.columns)):
            raise ValueError(f"{self.op} takes {takes.least} to {takes.most} aliases")
        return self

    @property
    def record(self) -> Feature:
        """What it is."""
        return FEATURES[self.op]

    @property
    def component(self) -> str:
        """Its name among the components of a solution."""
        return f"{self.op} {' '.join(self.columns)}"

    def without(self, dropped: Iterable[str]) -> Extra | None:
        """The same feature without some columns; None where it cannot be computed any more."""
        gone, takes = set(dropped), self.record.takes
        kept = tuple(c for c in self.columns if c not in gone)
        first_is_gone = takes.order is not Order.none and self.columns[0] in gone
        if len(kept) < takes.least or first_is_gone:
            return None
        return self.model_copy(update={"columns": kept})


class Reduction(BaseModel):
    """Fewer columns before the estimator; `amount` is e.g. a share of the variance."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    op: ReducerName
    amount: float = Field(gt=0, le=10_000, allow_inf_nan=False)

    @property
    def component(self) -> str:
        """Its value among the components of a solution."""
        return f"{self.op} {self.amount:g}"

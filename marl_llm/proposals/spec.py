"""`PipelineSpec`: the typed description of a solution, from which the estimator, its code and its components all
follow.

A spec is frozen and canonical: columns in alias order, parameters in catalogue order, so that two equal solutions
reached along different ways compare equal. It knows no data and no scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from marl_llm.kind import Kind
from marl_llm.proposals.estimators import ESTIMATORS, Param, ParamValue

ImputeStrategy = Literal["mean", "median"]
ScaleMethod = Literal["none", "standard", "quantile"]
EncodeMethod = Literal["ordinal", "one_hot"]
ExtraOp = Literal["log", "polynomial"]
MIN_COLUMNS: dict[ExtraOp, int] = {"log": 1, "polynomial": 2}
"""Fewest columns that an added feature needs."""


def alias_order(alias: str) -> tuple[int, str]:
    """Sort key that puts x2 before x10."""
    digits = alias[1:]
    return (int(digits) if digits.isdecimal() and len(digits) < 9 else 1 << 30, alias)


def sorted_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Distinct aliases in alias order."""
    return tuple(sorted(set(columns), key=alias_order))


class Extra(BaseModel):
    """Features added beside the original columns: the logarithm, or products up to degree two, of some numeric
    columns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    op: ExtraOp
    columns: tuple[str, ...]


class PipelineSpec(BaseModel):
    """A whole solution: preparation of the columns, then one estimator.

    Attributes
    ----------
    drop : tuple of str
        Aliases removed first.
    impute, scale, encode : str
        How numeric columns are filled and scaled, how categorical ones are encoded.
    extra : tuple of Extra
        Added features, in the order in which they were asked for.
    estimator : str
        scikit-learn class name, from the catalogue.
    params : tuple of (name, value)
        Only the parameters that were set, in catalogue order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    drop: tuple[str, ...] = ()
    impute: ImputeStrategy = "mean"
    scale: ScaleMethod = "standard"
    encode: EncodeMethod = "ordinal"
    extra: tuple[Extra, ...] = ()
    estimator: str
    params: tuple[tuple[str, ParamValue], ...] = ()

    def with_params(self, params: Mapping[str, ParamValue]) -> PipelineSpec:
        """The same solution with these parameters set besides the ones already set."""
        return self.model_copy(update={"params": ordered_params(self.estimator, {**dict(self.params), **params})})

    def with_drop(self, columns: Iterable[str]) -> PipelineSpec:
        """The same solution without some columns; added features lose them too."""
        dropped = sorted_columns((*self.drop, *columns))
        kept = (e.model_copy(update={"columns": tuple(c for c in e.columns if c not in dropped)}) for e in self.extra)
        extra = dict.fromkeys(e for e in kept if len(e.columns) >= MIN_COLUMNS[e.op])  # two may have become one
        return self.model_copy(update={"drop": dropped, "extra": tuple(extra)})

    def components(self) -> dict[str, object]:
        """The solution as named parts, for comparing one solution with another clause by clause."""
        parts: dict[str, object] = {f: getattr(self, f) for f in ("impute", "scale", "encode", "estimator")}
        parts["drop"] = frozenset(self.drop)
        for extra in self.extra:
            parts[f"{extra.op} {' '.join(extra.columns)}"] = True
        parts.update({f"param {name}": value for name, value in self.params})
        return parts


def ordered_params(estimator: str, params: Mapping[str, ParamValue]) -> tuple[tuple[str, ParamValue], ...]:
    """Parameters in catalogue order, those that the estimator does not know last."""
    info = ESTIMATORS[estimator]
    known = [p.name for p in info.params]
    names = sorted(params, key=lambda n: (known.index(n) if n in known else len(known), n))
    return tuple((name, _canonical_value(info.param(name), params[name])) for name in names)


def _canonical_value(param: Param | None, value: ParamValue) -> ParamValue:
    if param is None or param.low is None or param.integer or isinstance(value, bool | str) or value is None:
        return value
    return float(value) if abs(value) < 1e300 else value  # not yet checked; a longer integer does not fit a float


def baseline(kind: Kind) -> PipelineSpec:
    """The simple model every episode starts from: mean imputation, standard scaling, ordinal encoding, a linear
    model.
    """
    return PipelineSpec(estimator="LogisticRegression" if kind.is_classification else "Ridge")

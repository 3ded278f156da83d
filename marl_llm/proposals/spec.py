"""`PipelineSpec`: the typed description of a solution, from which the estimator, its code and its
components all follow.

A spec is frozen and canonical: columns in alias order, parameters in catalogue order, so that two
equal solutions reached along different ways compare equal. `normal` goes further and leaves out
what changes nothing (defaults that were spelled out, the order of added features). It knows no data
and no scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeGuard

from pydantic import BaseModel, ConfigDict, model_validator

from marl_llm.core.kind import Kind
from marl_llm.proposals.estimators import ESTIMATORS, Param, ParamValue
from marl_llm.proposals.features import Extra, Reduction
from marl_llm.proposals.ops import CHOICES, FEATURES
from marl_llm.proposals.ops.columns import sorted_columns
from marl_llm.proposals.ops.encode import EncodeMethod
from marl_llm.proposals.ops.impute import ImputeStrategy
from marl_llm.proposals.ops.scale import ScaleMethod

Calibration = Literal["sigmoid", "isotonic"]
ENSEMBLES = ("Voting", "Stacking")
"""Names of ensembles of earlier solutions; their classes follow from the kind of target."""
BLEND = "Blend"
"""Name of the ensemble that `finish` delivers: a weighted mean, with a rule for the label."""
MOST_WEIGHT = 100
MOST_POWER = 2.0
Member = frozenset[tuple[str, object]]
"""A member of an ensemble as a set of its parts, see `member_parts`."""


class PipelineSpec(BaseModel):
    """A whole solution: preparation of the columns, then one estimator; or an ensemble of such
    solutions.

    Attributes
    ----------
    drop : tuple of str
        Aliases removed first.
    impute, scale, encode : str
        How numeric columns are filled and scaled, how categorical ones are encoded.
    extra : tuple of Extra
        Added features, in the order in which they were asked for.
    reduce : Reduction or None
        Selection of columns, or principal components, before the estimator.
    estimator : str
        Class name, from the catalogue; of an ensemble "Voting" or "Stacking".
    params : tuple of (name, value)
        Only the parameters that were set, in catalogue order.
    calibration : str or None
        Method by which probabilities are calibrated.
    threshold : str or None
        Scorer that the decision threshold is tuned for; binary targets only.
    members : tuple of PipelineSpec
        The solutions of an ensemble; empty otherwise. Of an ensemble all other fields keep their
        defaults.
    weights : tuple of int
        Of a blend, one for each member; empty otherwise.
    power : float
        Of a blend of classifiers: the label is the class with the largest probability / prior **
        power.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    drop: tuple[str, ...] = ()
    impute: ImputeStrategy = "mean"
    scale: ScaleMethod = "standard"
    encode: EncodeMethod = "ordinal"
    extra: tuple[Extra, ...] = ()
    reduce: Reduction | None = None
    estimator: str
    params: tuple[tuple[str, ParamValue], ...] = ()
    calibration: Calibration | None = None
    threshold: str | None = None
    members: tuple[PipelineSpec, ...] = ()
    weights: tuple[int, ...] = ()
    power: float = 0.0

    @model_validator(mode="after")
    def _known(self) -> PipelineSpec:
        """What comes from outside (a file) is held against the catalogue: names become code."""
        if self.members:
            if self.estimator not in (*ENSEMBLES, BLEND) or any(
                member.members for member in self.members
            ):
                raise ValueError("an ensemble is Voting, Stacking or Blend of plain solutions")
            self._check_blend()
            return self
        if self.weights or self.power:
            raise ValueError("weights and power are a blend's")
        info = ESTIMATORS.get(self.estimator)
        if info is None:
            raise ValueError(f"{self.estimator!r:.60} is no estimator of the catalogue")
        for name, value in self.params:
            param = info.param(name)
            if param is None or param.problem(value):
                raise ValueError(f"{self.estimator} takes no {name!r:.40} of that value")
        return self

    def _check_blend(self) -> None:
        if self.estimator != BLEND and not self.weights and not self.power:
            return
        if self.estimator != BLEND or len(self.weights) != len(self.members):
            raise ValueError("a blend has a weight for each member")
        if not all(1 <= weight <= MOST_WEIGHT for weight in self.weights):
            raise ValueError(f"weights are whole numbers from 1 to {MOST_WEIGHT}")
        if not 0 <= self.power <= (MOST_POWER if self.classifier else 0):
            raise ValueError(f"power lies between 0 and {MOST_POWER:g}, and is for classes")

    @property
    def classifier(self) -> bool:
        """True if it predicts classes."""
        return self.members[0].classifier if self.members else ESTIMATORS[self.estimator].classifier

    def with_params(self, params: Mapping[str, ParamValue]) -> PipelineSpec:
        """The same solution with these parameters set besides the ones already set."""
        return self.model_copy(
            update={"params": ordered_params(self.estimator, {**dict(self.params), **params})}
        )

    def with_drop(self, columns: Iterable[str]) -> PipelineSpec:
        """The same solution without some columns; added features lose them too."""
        dropped = sorted_columns((*self.drop, *columns))
        kept = (extra.without(dropped) for extra in self.extra)
        extra = dict.fromkeys(e for e in kept if e is not None)  # two may have become one
        return self.model_copy(update={"drop": dropped, "extra": tuple(extra)})

    def normal(self) -> PipelineSpec:
        """The same solution without what changes nothing: parameters at their default, the order of
        added features and of an ensemble's members.
        """
        if self.members:
            weights = self.weights or (1,) * len(self.members)
            pairs = sorted(
                ((m.normal(), w) for m, w in zip(self.members, weights, strict=True)),
                key=lambda pair: (pair[0].model_dump_json(), pair[1]),
            )
            ordered = {"members": tuple(m for m, _ in pairs)}
            return self.model_copy(
                update=ordered | ({"weights": tuple(w for _, w in pairs)} if self.weights else {})
            )
        params = tuple(
            (name, value)
            for name, value in self.params
            if not _is_default(self.estimator, name, value)
        )
        extra = tuple(sorted(self.extra, key=lambda e: (e.op, e.columns)))
        return self.model_copy(update={"params": params, "extra": extra})

    def components(self) -> dict[str, object]:
        """The solution as named parts, for comparing one solution with another clause by clause."""
        if self.members:
            weights: tuple[int | None, ...] = self.weights or (None,) * len(self.members)
            members = frozenset(
                member_parts(m.components(), w) for m, w in zip(self.members, weights, strict=True)
            )
            power = {"power": self.power} if self.power else {}
            return {"estimator": self.estimator, "members": members, **power}
        parts: dict[str, object] = {choice.name: getattr(self, choice.name) for choice in CHOICES}
        parts["estimator"] = self.estimator
        parts["drop"] = frozenset(self.drop)
        for extra in self.extra:
            parts[extra.component] = True
        for name in ("reduce", "calibration", "threshold"):
            if (value := getattr(self, name)) is not None:
                parts[name] = value.component if isinstance(value, Reduction) else value
        parts.update({f"param {name}": value for name, value in self.params})
        return parts


def member_parts(components: Mapping[str, object], weight: object) -> Member:
    """A member of an ensemble as a set of its parts, with its weight in a blend."""
    return frozenset({**components, **({} if weight is None else {"weight": weight})}.items())


def members_of(parts: Mapping[str, object]) -> frozenset[Member] | None:
    """The members among the parts of an ensemble, as `member_parts` made them; None where the
    parts are of a plain solution.
    """
    members = parts.get("members")
    return members if _are_members(members) else None


def _are_members(value: object) -> TypeGuard[frozenset[Member]]:
    """True for a frozen set: under "members" stand only those that `member_parts` made."""
    return isinstance(value, frozenset)


def normal_components(parts: Mapping[str, object]) -> dict[str, object]:
    """Named parts without parameters at their default, and with features of single columns one by
    one, for comparing solutions however they were spelled.
    """
    if (members := members_of(parts)) is not None:
        return {
            **parts,
            "members": frozenset(frozenset(normal_components(dict(m)).items()) for m in members),
        }
    estimator, parts = str(parts.get("estimator")), _one_by_one(parts)
    if estimator not in ESTIMATORS:
        return parts
    fixed = dict(ESTIMATORS[estimator].fixed)

    def counts(name: str, value: object) -> bool:
        plain = name.removeprefix("param ")
        if plain == name or not isinstance(value, str | int | float | None):
            return True
        return not _is_default(estimator, plain, value) and fixed.get(plain, _NOTHING) != value

    return {name: value for name, value in parts.items() if counts(name, value)}


def _one_by_one(parts: Mapping[str, object]) -> dict[str, object]:
    split: dict[str, object] = {}
    for name, value in parts.items():
        op, *columns = name.split(" ")
        if op in FEATURES and FEATURES[op].columnwise and value is True:
            split.update({f"{op} {column}": True for column in columns})
        else:
            split[name] = value
    return split


_NOTHING = object()


def _is_default(estimator: str, name: str, value: ParamValue) -> bool:
    param = ESTIMATORS[estimator].param(name)
    return param is not None and type(value) is type(param.default) and value == param.default


def ordered_params(
    estimator: str, params: Mapping[str, ParamValue]
) -> tuple[tuple[str, ParamValue], ...]:
    """Parameters in catalogue order, those that the estimator does not know last."""
    info = ESTIMATORS[estimator]
    known = [p.name for p in info.params]
    names = sorted(params, key=lambda n: (known.index(n) if n in known else len(known), n))
    return tuple((name, canonical_value(info.param(name), params[name])) for name in names)


def canonical_value(param: Param | None, value: ParamValue) -> ParamValue:
    """A value as it is written: numbers of a continuous range as floats."""
    if (
        param is None
        or param.low is None
        or param.integer
        or isinstance(value, bool | str)
        or value is None
    ):
        return value
    return (
        float(value) if abs(value) < 1e300 else value
    )  # not yet checked; a longer integer does not fit a float


def baseline(kind: Kind) -> PipelineSpec:
    """The simple model every episode starts from: mean imputation, standard scaling, ordinal
    encoding, a linear model.
    """
    return PipelineSpec(estimator="LogisticRegression" if kind.is_classification else "Ridge")

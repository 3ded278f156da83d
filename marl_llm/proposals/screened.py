"""The families that `analyze models` screens: one plain solution each, at the defaults a person
would begin with.

Preparation is that of the baseline, with one-hot encoding where an estimator needs distances or
coefficients; texts and dates are read where there are some. Sizes of forests and boosting are the
usual ones; nothing is tuned to any data.
"""

from __future__ import annotations

from dataclasses import dataclass

from marl_llm.proposals.applying import fits
from marl_llm.proposals.context import Context
from marl_llm.proposals.estimators import ESTIMATORS, ParamValue
from marl_llm.proposals.features import Extra
from marl_llm.proposals.spec import PipelineSpec, baseline, ordered_params

_MOST_TEXTS = 3
_SMALL = 4000
"""Most development rows for what grows faster than the rows."""


@dataclass(frozen=True)
class _Family:
    classifier: str
    regressor: str
    params: tuple[tuple[str, ParamValue], ...] = ()
    distances: bool = False
    most_rows: int | None = None


_FAMILIES = (
    _Family("LogisticRegression", "Ridge"),
    _Family("LogisticRegression", "Ridge", distances=True),
    _Family("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"),
    _Family("ExtraTreesClassifier", "ExtraTreesRegressor", (("n_estimators", 200),)),
    _Family("LGBMClassifier", "LGBMRegressor", (("n_estimators", 200),)),
    _Family("CatBoostClassifier", "CatBoostRegressor", (("iterations", 400),)),
    _Family("GaussianNB", "HuberRegressor"),
    _Family("KNeighborsClassifier", "KNeighborsRegressor", distances=True),
    _Family("QuadraticDiscriminantAnalysis", "ElasticNet", distances=True),
    _Family("SVC", "SVR", distances=True, most_rows=_SMALL),
    _Family("MLPClassifier", "MLPRegressor", distances=True, most_rows=_SMALL),
)
SIX = 6
"""The first six are the usual defaults, on which a comparison without agents stands."""


def starting_spec(context: Context) -> PipelineSpec:
    """The baseline of these columns; it reads the words of texts only where there is nothing else
    to learn from.
    """
    start = baseline(context.kind)
    if any(column.kind != "text" for column in context.columns.values()):
        return start
    return start.model_copy(update={"extra": _read_columns(context)})


def screened_specs(context: Context, most: int | None = None) -> list[PipelineSpec]:
    """Distinct solutions that fit these columns and this kind of target, the usual ones first;
    `most`: of that list.
    """
    found = dict.fromkeys(
        spec
        for family in _FAMILIES[:most]
        if (spec := _solution(family, context)) is not None and fits(spec, context)
    )
    return list(found)


def _solution(family: _Family, context: Context) -> PipelineSpec | None:
    classifier = context.kind.is_classification
    name = family.classifier if classifier else family.regressor
    info = ESTIMATORS[name]
    if not info.available or (family.most_rows is not None and context.rows > family.most_rows):
        return None
    kinds = {column.kind for column in context.columns.values()}
    changes: dict[str, object] = {
        "estimator": name,
        "params": ordered_params(name, {k: v for k, v in family.params if info.param(k)}),
        "extra": _read_columns(context),
        "encode": "one_hot" if family.distances and "categorical" in kinds else "ordinal",
        "calibration": None if not classifier or info.proba else "sigmoid",
    }
    return baseline(context.kind).model_copy(update=changes)


def _read_columns(context: Context) -> tuple[Extra, ...]:
    """Words of the first texts, parts of the dates."""
    texts = [alias for alias, column in context.columns.items() if column.kind == "text"]
    dates = [alias for alias, column in context.columns.items() if column.kind == "date"]
    words = tuple(Extra(op="tfidf", columns=(alias,)) for alias in texts[:_MOST_TEXTS])
    return (*words, *((Extra(op="dates", columns=tuple(dates)),) if dates else ()))

"""Which metrics fit which target, and what a person reads when one does not."""

from __future__ import annotations

import pytest
from sklearn.metrics import get_scorer_names

from marl_llm.errors import UserError
from marl_llm.kind import Kind
from marl_llm.metrics import check_metrics, default_metrics, metrics_for


@pytest.mark.parametrize("kind", list(Kind))
def test_every_metric_is_a_scikit_learn_scorer(kind: Kind) -> None:
    assert set(metrics_for(kind)) <= set(get_scorer_names())


@pytest.mark.parametrize("kind", list(Kind))
def test_default_metrics_fit_their_kind(kind: Kind) -> None:
    assert check_metrics(default_metrics(kind), kind) == default_metrics(kind)


@pytest.mark.parametrize(
    ("name", "kind", "suggestion"),
    [
        ("f1_makro", Kind.binary, "f1_macro"),
        ("rmse", Kind.regression, "neg_root_mean_squared_error"),
        ("log_loss", Kind.multiclass, "neg_log_loss"),
        ("AUC", Kind.binary, "roc_auc"),
    ],
)
def test_unknown_metric_gets_the_nearest_name(name: str, kind: Kind, suggestion: str) -> None:
    with pytest.raises(UserError, match=f"'{name}': did you mean '{suggestion}'"):
        check_metrics({name: 1}, kind)


def test_unfit_metric_is_named_with_what_fits() -> None:
    with pytest.raises(
        UserError, match="'roc_auc' does not fit a multiclass target with 3 classes: choose from .*roc_auc_ovr"
    ):
        check_metrics({"roc_auc": 1}, Kind.multiclass, ["a", "b", "c"])
    with pytest.raises(UserError, match="'r2' does not fit a binary target"):
        check_metrics({"r2": 1}, Kind.binary)


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), "1", True, None])
def test_weight_must_be_a_positive_number(weight: object) -> None:
    with pytest.raises(UserError, match="weight of metric 'f1_macro'"):
        check_metrics({"f1_macro": weight}, Kind.binary)  # pyright: ignore[reportArgumentType]


def test_no_metric_at_all_is_refused() -> None:
    with pytest.raises(UserError, match="No metric is given"):
        check_metrics({}, Kind.binary)

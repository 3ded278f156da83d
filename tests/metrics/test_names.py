"""Which metrics fit which target, and what a person reads when one does not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import get_scorer_names

from marl_llm.core.errors import UserError
from marl_llm.core.kind import Kind
from marl_llm.core.metrics.names import check_metrics, default_metrics, metrics_for, split_class
from marl_llm.core.predictions import Predictions
from marl_llm.metrics import Reference, score_predictions
from marl_llm.tasks import Task


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
        ("rmsle", Kind.regression, "neg_root_mean_squared_log_error"),
        ("max_error", Kind.regression, "neg_max_error"),
        ("mae", Kind.regression, "neg_mean_absolute_error"),
        ("logloss", Kind.multiclass, "neg_log_loss"),
    ],
)
def test_unknown_metric_gets_the_nearest_name(name: str, kind: Kind, suggestion: str) -> None:
    with pytest.raises(UserError, match=f"'{name}': did you mean '{suggestion}'"):
        check_metrics({name: 1}, kind)


def test_unfit_metric_is_named_with_what_fits() -> None:
    with pytest.raises(
        UserError,
        match="'roc_auc' does not fit a multiclass target with 3 classes: choose from "
        ".*roc_auc_ovr",
    ):
        check_metrics({"roc_auc": 1}, Kind.multiclass, ["a", "b", "c"])
    with pytest.raises(UserError, match="'r2' does not fit a binary target"):
        check_metrics({"r2": 1}, Kind.binary)


def test_two_classes_have_no_top_k_accuracy_because_it_is_always_one() -> None:
    with pytest.raises(UserError, match="'top_k_accuracy' does not fit a binary target"):
        check_metrics({"top_k_accuracy": 1}, Kind.binary)


def test_metrics_of_one_class_keep_their_names() -> None:
    metrics = {"recall[setosa]": 2, "roc_auc[iris [wild]]": 1, "f1_macro": 1}
    assert check_metrics(metrics, Kind.multiclass, ["setosa", "iris [wild]", "x"]) == metrics
    assert split_class("roc_auc[iris [wild]]") == ("roc_auc", "iris [wild]")
    assert split_class("f1_macro") == ("f1_macro", None)


def test_an_unknown_class_is_answered_with_the_classes() -> None:
    with pytest.raises(
        UserError,
        match="'recall.sitosa.' names no class of the target: its classes are 'a', 'setosa'",
    ):
        check_metrics({"recall[sitosa]": 1}, Kind.binary, ["a", "setosa"])


@pytest.mark.parametrize(
    ("name", "advice"), [("auc[a]", r"did you mean 'roc_auc\[a\]'"), ("zzz[a]", "choose from f1, ")]
)
def test_a_metric_that_is_never_of_one_class_is_refused(name: str, advice: str) -> None:
    with pytest.raises(UserError, match=advice):
        check_metrics({name: 1}, Kind.binary, ["a", "b"])


def test_a_number_has_no_classes() -> None:
    with pytest.raises(UserError, match="'recall.a.' does not fit a regression target"):
        check_metrics({"recall[a]": 1}, Kind.regression)


@pytest.mark.parametrize(
    ("name", "refused", "accepted"),
    [
        ("neg_mean_squared_log_error", -1.0, -0.5),
        ("neg_root_mean_squared_log_error", -3.0, 0.0),
        ("neg_mean_poisson_deviance", -0.5, 0.0),
        ("neg_mean_gamma_deviance", 0.0, 0.5),
    ],
)
def test_a_target_outside_the_domain_of_a_metric_is_refused(
    name: str, refused: float, accepted: float
) -> None:
    assert check_metrics({name: 1}, Kind.regression, y=np.array([accepted, 3.0])) == {name: 1.0}
    with pytest.raises(
        UserError, match=f"'{name}' needs targets .* but the smallest is {refused:g}"
    ):
        check_metrics({name: 1}, Kind.regression, y=np.array([3.0, refused]))


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), "1", True, None])
def test_weight_must_be_a_positive_number(weight: object) -> None:
    with pytest.raises(UserError, match="weight of metric 'f1_macro'"):
        check_metrics({"f1_macro": weight}, Kind.binary)  # pyright: ignore[reportArgumentType]


def test_no_metric_at_all_is_refused() -> None:
    with pytest.raises(UserError, match="No metric is given"):
        check_metrics({}, Kind.binary)


def test_a_task_refuses_a_metric_that_its_targets_or_classes_do_not_fit() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"x": rng.normal(size=60), "y": rng.normal(size=60), "kind": np.repeat(["a", "b"], 30)}
    )
    with pytest.raises(UserError, match="'neg_mean_gamma_deviance' needs targets above 0"):
        Task.from_frame(frame, target="y", metrics={"neg_mean_gamma_deviance": 1})
    with pytest.raises(
        UserError, match="'recall.c.' names no class of the target: its classes are 'a', 'b'"
    ):
        Task.from_frame(frame, target="kind", metrics={"recall[c]": 1})
    task = Task.from_frame(frame, target="kind", metrics={"recall[a]": 1})
    reference = Reference.from_labels(task.development.y, task.kind, classes=task.classes)
    always_a = Predictions(np.zeros(len(task.holdout.y), dtype=np.int64))
    assert score_predictions(task.metrics, task.holdout.y, always_a, reference).raw == {
        "recall[a]": 1.0
    }

"""Which of FLAML's metrics stands for which of ours. FLAML optimises one metric, and knows about a
dozen.

The nearest one to the task's heaviest metric is taken (of equally heavy ones the first): the same
metric where FLAML has it; one that orders models alike otherwise (R2 and every squared error;
log-loss for all that judge probabilities; F1 of the same averaging for precision, recall and
Jaccard). A metric of a single class, `recall[setosa]`, is taken as the same metric over all
classes. A metric that is not listed here is taken as log-loss, or as the squared error.
"""

from __future__ import annotations

from collections.abc import Mapping

from marl_llm.core.kind import Kind
from marl_llm.core.metrics.names import split_class

_EQUAL: dict[str, str] = {
    "accuracy": "accuracy",
    "f1": "f1",
    "f1_macro": "macro_f1",
    "f1_micro": "micro_f1",
    "roc_auc": "roc_auc",
    "roc_auc_ovr": "roc_auc_ovr",
    "roc_auc_ovo": "roc_auc_ovo",
    "roc_auc_ovr_weighted": "roc_auc_ovr_weighted",
    "roc_auc_ovo_weighted": "roc_auc_ovo_weighted",
    "average_precision": "ap",
    "neg_log_loss": "log_loss",
    "d2_log_loss_score": "log_loss",
    "r2": "r2",
    "neg_root_mean_squared_error": "rmse",
    "neg_mean_squared_error": "mse",
    "neg_mean_absolute_error": "mae",
    "d2_absolute_error_score": "mae",
    "neg_mean_absolute_percentage_error": "mape",
}
_NEAREST: dict[str, str] = {
    **dict.fromkeys(("precision", "recall", "jaccard"), "f1"),
    **dict.fromkeys(("precision_micro", "recall_micro", "jaccard_micro"), "micro_f1"),
    **dict.fromkeys(
        ("precision_macro", "recall_macro", "jaccard_macro", "balanced_accuracy"), "macro_f1"
    ),
    # FLAML knows no F1 weighted by class size; micro F1 is accuracy, which weighs the same way.
    **dict.fromkeys(("f1_weighted", "precision_weighted", "jaccard_weighted"), "micro_f1"),
    "recall_weighted": "accuracy",  # the same number
    "matthews_corrcoef": "macro_f1",
    **dict.fromkeys(("positive_likelihood_ratio", "neg_negative_likelihood_ratio"), "roc_auc"),
    "top_k_accuracy": "log_loss",
    **dict.fromkeys(("neg_brier_score", "d2_brier_score"), "log_loss"),
    "explained_variance": "r2",
    "neg_median_absolute_error": "mae",
    "neg_max_error": "rmse",
    **dict.fromkeys(("neg_mean_squared_log_error", "neg_root_mean_squared_log_error"), "mape"),
    **dict.fromkeys(("neg_mean_poisson_deviance", "neg_mean_gamma_deviance"), "rmse"),
}
_WITH_MORE_CLASSES: dict[str, str] = {"f1": "macro_f1", "roc_auc": "roc_auc_ovr", "ap": "log_loss"}
"""What stands for FLAML's metrics that need two classes."""


def heaviest(metrics: Mapping[str, float]) -> str:
    """The metric with the largest weight, the first of several."""
    return max(metrics, key=lambda name: metrics[name])


def flaml_metric(metrics: Mapping[str, float], kind: Kind) -> str:
    """FLAML's name for the metric nearest to the heaviest one.

    Parameters
    ----------
    metrics : mapping of scorer name to weight
        Of a task of this kind.
    kind : Kind

    Returns
    -------
    str
        As `flaml.AutoML.fit(metric=...)` takes it.
    """
    name, of_class = split_class(heaviest(metrics))
    usual = "log_loss" if kind.is_classification else "rmse"
    found = {**_EQUAL, **_NEAREST}.get(name, usual)
    if kind is not Kind.binary:
        return _WITH_MORE_CLASSES.get(found, found)
    if (
        of_class is not None and found == "f1"
    ):  # FLAML's is that of class 1, which may not be the one meant
        return "macro_f1"
    return (
        "roc_auc" if found.startswith("roc_auc") else found
    )  # FLAML can compute the others with more classes only

"""Which family of models wins on which procedural task.

`python recipes/studies/procedural_families.py --tasks 60` fits six families per task on the
development part, scores them on the hold-out part with the task's own metrics, and prints how often
each one is best. The claim behind the generator: no family wins more than 60% of tasks.
scikit-learn is imported only when something is fitted.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from marl_llm.core.kind import Kind
from marl_llm.core.predictions import Predictions
from marl_llm.metrics import Reference, score_predictions
from marl_llm.tasks.procedural import procedural_task
from marl_llm.tasks.task import Task

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

FAMILIES: dict[bool, tuple[str, ...]] = {
    True: (
        "LogisticRegression",
        "GaussianNB",
        "KNeighbors",
        "RandomForest",
        "ExtraTrees",
        "HistGradientBoosting",
    ),
    False: (
        "Ridge",
        "ElasticNet",
        "KNeighbors",
        "RandomForest",
        "ExtraTrees",
        "HistGradientBoosting",
    ),
}
_TREES = frozenset({"RandomForest", "ExtraTrees", "HistGradientBoosting"})


@dataclass(frozen=True)
class Contest:
    """Hold-out scores of the six families on one task."""

    task: str
    kind: Kind
    n_rows: int
    scores: dict[str, float]

    @property
    def winner(self) -> str:
        """The family with the highest score."""
        return max(self.scores, key=self.scores.__getitem__)


def contest(task: Task, n_estimators: int = 50) -> Contest:
    """Fit each family on development, score it on hold-out.

    Ensembles have `n_estimators` trees; everything else is scikit-learn's default.
    """
    reference = Reference.from_labels(task.development.y, task.kind, classes=task.classes)
    scores = {
        family: score_predictions(
            task.metrics, task.holdout.y, _predict(family, task, n_estimators), reference
        ).score
        for family in FAMILIES[task.kind.is_classification]
    }
    rows = len(task.development) + len(task.holdout) + len(task.test)
    return Contest(task.name, task.kind, rows, scores)


def wins(contests: Iterable[Contest]) -> dict[str, float]:
    """Share of contests each family wins, most frequent first."""
    counts = Counter(contest.winner for contest in contests)
    total = sum(counts.values())
    return {family: count / total for family, count in counts.most_common()}


def share_without_trees(contests: Iterable[Contest]) -> float:
    """Share of contests that no tree ensemble wins."""
    return sum(share for family, share in wins(contests).items() if family not in _TREES)


def _predict(family: str, task: Task, n_estimators: int) -> Predictions:
    pipeline = _pipeline(family, task, n_estimators)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged is a fair loss
        pipeline.fit(task.development.X, task.development.y)
        labels = pipeline.predict(task.holdout.X)
        proba = pipeline.predict_proba(task.holdout.X) if task.kind.is_classification else None
    return Predictions(labels, proba)


def _pipeline(family: str, task: Task, n_estimators: int) -> Pipeline:
    """Mean imputation, standard scaling, one-hot encoding, then the family's estimator."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric = [column.alias for column in task.columns if column.kind == "numeric"]
    categorical = [column.alias for column in task.columns if column.kind == "categorical"]
    preparation = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numeric),
        (
            make_pipeline(
                SimpleImputer(strategy="most_frequent"),
                OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            ),
            categorical,
        ),
    )
    return make_pipeline(preparation, _estimator(family, task.kind.is_classification, n_estimators))


def _estimator(family: str, classification: bool, n_estimators: int) -> BaseEstimator:
    from sklearn import ensemble, linear_model, naive_bayes, neighbors

    if family in ("LogisticRegression", "Ridge", "ElasticNet"):
        return getattr(linear_model, family)()
    if family == "GaussianNB":
        return naive_bayes.GaussianNB()
    suffix = "Classifier" if classification else "Regressor"
    if family == "KNeighbors":
        return getattr(neighbors, family + suffix)()
    if family == "HistGradientBoosting":
        return getattr(ensemble, family + suffix)(max_iter=n_estimators, random_state=0)
    return getattr(ensemble, family + suffix)(n_estimators=n_estimators, random_state=0)


def table(contests: list[Contest]) -> str:
    """The result as text: wins and mean score of each family, for all tasks and per kind of
    target.
    """
    lines = [f"{'family':<22}{'wins':>6}{'share':>8}{'mean score':>12}   by kind"]
    for family, share in wins(contests).items():
        entered = [one.scores[family] for one in contests if family in one.scores]
        won = [one for one in contests if one.winner == family]
        by_kind = ", ".join(
            f"{kind} {sum(one.kind is kind for one in won)}"
            for kind in Kind
            if any(one.kind is kind for one in won)
        )
        lines.append(f"{family:<22}{len(won):>6}{share:>8.0%}{np.mean(entered):>12.3f}   {by_kind}")
    kinds = Counter(one.kind for one in contests)
    median_rows = int(np.median([one.n_rows for one in contests]))
    of_kind = ", ".join(f"{kind} {kinds[kind]}" for kind in Kind)
    lines.append(f"{len(contests)} tasks ({of_kind}), median {median_rows} rows")
    lines.append(f"no tree ensemble wins {share_without_trees(contests):.0%}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Command line: print the table."""
    parser = argparse.ArgumentParser(description="Which model family wins on procedural tasks.")
    parser.add_argument("--tasks", type=int, default=60, help="number of tasks")
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args(arguments)
    contests = [contest(procedural_task(options.first_seed + i)) for i in range(options.tasks)]
    sys.stdout.write(table(contests) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""No family of models is right for most procedural tasks."""

from __future__ import annotations

from procedural_families import Contest, contest, share_without_trees, table, wins

from marl_llm.core.kind import Kind
from marl_llm.tasks import procedural_task


def test_no_model_family_is_best_on_more_than_60_percent() -> None:
    contests = [contest(procedural_task(seed), n_estimators=25) for seed in range(1000, 1026)]
    shares = wins(contests)
    assert max(shares.values()) <= 0.6, table(contests)
    assert len(shares) >= 4, table(contests)
    assert 0.2 <= share_without_trees(contests) <= 0.6, table(contests)


def test_the_table_counts_wins() -> None:
    contests = [
        Contest("a", Kind.binary, 300, {"LogisticRegression": 0.6, "RandomForest": 0.5}),
        Contest("b", Kind.regression, 500, {"Ridge": 0.1, "RandomForest": 0.5}),
    ]
    assert wins(contests) == {"LogisticRegression": 0.5, "RandomForest": 0.5}
    assert share_without_trees(contests) == 0.5
    assert (
        "2 tasks (binary 1, multiclass 0, regression 1), median 400 rows\nno tree ensemble wins 50%"
        in table(contests)
    )

"""Fixed arms: the sizes people start with, and that they run as they are."""

from __future__ import annotations

import pytest

from marl_llm.core.kind import Kind
from marl_llm.evaluation.fixed import FIXED, fixed_spec, missing_package
from marl_llm.proposals import generate_code
from marl_llm.proposals.compiler import compile as compile_spec


@pytest.mark.parametrize(
    ("arm", "estimator", "size"),
    [
        ("catboost", "CatBoostClassifier", {"iterations": 400}),
        ("lightgbm", "LGBMClassifier", {"n_estimators": 200}),
        ("extra_trees", "ExtraTreesClassifier", {"n_estimators": 200}),
        ("hgb", "HistGradientBoostingClassifier", {}),
    ],
)
def test_defaults_have_the_sizes_that_were_compared(arm, estimator, size):
    spec = fixed_spec(arm, Kind.binary)
    assert (spec.estimator, dict(spec.params), spec.scale) == (estimator, size, "none")
    assert fixed_spec(arm, Kind.regression).estimator == estimator.replace(
        "Classifier", "Regressor"
    )


def test_one_hot_differs_from_the_baseline_by_its_encoding_alone():
    one_hot, baseline = (
        fixed_spec("linear_one_hot", Kind.regression),
        fixed_spec("baseline", Kind.regression),
    )
    assert (
        one_hot.encode == "one_hot"
        and one_hot.model_copy(update={"encode": baseline.encode}) == baseline
    )


@pytest.mark.parametrize("arm", FIXED)
@pytest.mark.parametrize("kind", list(Kind))
def test_every_fixed_arm_is_code_that_builds(arm, kind):
    if missing_package(arm):
        pytest.skip(f"{arm} is not installed")
    assert "build_pipeline" in generate_code(fixed_spec(arm, kind))
    assert compile_spec(fixed_spec(arm, kind)).fit

from __future__ import annotations

import inspect
from importlib import import_module

import pytest
from sklearn.utils import all_estimators

from marl_llm.core.kind import Kind
from marl_llm.proposals import (
    InvalidAction,
    PipelineSpec,
    apply,
    baseline,
    generate_code,
    parse_action,
)
from marl_llm.proposals import compile as compile_spec
from marl_llm.proposals.estimators import ESTIMATORS, estimators_for
from tests.fixtures import context
from tests.proposals.pipelines import cheap, executed, predicted

NOT_FOR_A_TABLE = {
    "CategoricalNB": "needs non-negative categories, breaks on new ones",
    "ComplementNB": "needs counts",
    "MultinomialNB": "needs counts",
    "RadiusNeighborsClassifier": "fails on rows without neighbours",
    "RadiusNeighborsRegressor": "gives NaN on rows without neighbours",
    "DummyClassifier": "learns nothing",
    "DummyRegressor": "learns nothing",
    "IsotonicRegression": "takes one column",
    "RANSACRegressor": "random subsets fail on encoded categories",
    "TheilSenRegressor": "too slow in many columns",
    "PassiveAggressiveClassifier": "deprecated by scikit-learn",
    "PassiveAggressiveRegressor": "deprecated by scikit-learn",
    "LabelPropagation": "semi-supervised",
    "LabelSpreading": "semi-supervised",
    "SelfTrainingClassifier": "semi-supervised",
}
WRAPPERS_OF_SEVERAL_TARGETS_OR_CLASSES = {
    "ClassifierChain",
    "MultiOutputClassifier",
    "MultiOutputRegressor",
    "OneVsOneClassifier",
    "OneVsRestClassifier",
    "OutputCodeClassifier",
    "RegressorChain",
    "TransformedTargetRegressor",
    "FixedThresholdClassifier",
    "CCA",
    "PLSCanonical",
    "MultiTaskElasticNet",
    "MultiTaskElasticNetCV",
    "MultiTaskLasso",
    "MultiTaskLassoCV",
}
SEARCHED_BY_TUNE_INSTEAD = {
    "ElasticNetCV",
    "LarsCV",
    "LassoCV",
    "LassoLarsCV",
    "LassoLarsIC",
    "LogisticRegressionCV",
    "OrthogonalMatchingPursuitCV",
    "RidgeCV",
    "RidgeClassifierCV",
    "Lars",
}
ACTIONS_OF_THEIR_OWN = {
    "CalibratedClassifierCV",
    "TunedThresholdClassifierCV",
    "VotingClassifier",
    "VotingRegressor",
    "StackingClassifier",
    "StackingRegressor",
}


def test_every_estimator_of_scikit_learn_is_in_the_catalogue_or_left_out_for_a_reason():
    reasons = {*NOT_FOR_A_TABLE, *WRAPPERS_OF_SEVERAL_TARGETS_OR_CLASSES, *SEARCHED_BY_TUNE_INSTEAD}
    there = {name for name, _ in (*all_estimators("classifier"), *all_estimators("regressor"))}
    assert there - reasons - ACTIONS_OF_THEIR_OWN == {
        name for name, info in ESTIMATORS.items() if info.module.startswith("sklearn.")
    }


@pytest.mark.parametrize(
    "name", [n for n, i in ESTIMATORS.items() if i.module.startswith("sklearn.")]
)
def test_parameters_and_their_defaults_are_scikit_learns(name):
    info = ESTIMATORS[name]
    signature = inspect.signature(getattr(import_module(info.module), name)).parameters
    for param in info.params:
        default = signature[param.name].default
        expected = default[0] if isinstance(default, tuple) else default
        assert param.default == expected, param.name
        assert all(param.problem(value) == "" for value in param.grid), param.name


@pytest.mark.parametrize("kind", [Kind.binary, Kind.multiclass, Kind.regression])
def test_every_estimator_of_the_catalogue_fits_and_predicts(kind):
    for info in estimators_for(kind):
        spec = cheap(PipelineSpec(estimator=info.name))
        predicted(compile_spec(spec), kind, positive=True)


@pytest.mark.parametrize("kind", [Kind.binary, Kind.regression])
def test_every_value_of_every_grid_can_be_built(kind):
    for info in estimators_for(kind):
        for param in info.params:
            for value in param.grid:
                executed(
                    generate_code(
                        PipelineSpec(estimator=info.name).with_params({param.name: value})
                    )
                )


def test_the_core_space_has_eight_families_for_each_kind_of_target():
    for kind in Kind:
        assert len({info.family for info in estimators_for(kind, core=True)}) == 8


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("propose_model est = GaussianProcessClassifier()", "too slow for 100000 rows"),
        ("propose_model est = SVC()", "too slow"),
    ],
)
def test_an_estimator_that_is_too_slow_for_the_rows_is_refused(reply, says):
    big = type(context(Kind.binary))(Kind.binary, context(Kind.binary).columns, 100_000)
    with pytest.raises(InvalidAction, match=says):
        apply(parse_action(reply), baseline(Kind.binary), big)


def test_a_regressor_of_positive_targets_is_refused_where_the_target_is_not():
    with pytest.raises(InvalidAction, match="positive target"):
        apply(
            parse_action("propose_model est = GammaRegressor()"),
            baseline(Kind.regression),
            context(Kind.regression),
        )

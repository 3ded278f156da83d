from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marl_llm.agents.scripted import random_action
from marl_llm.kind import Kind
from marl_llm.proposals import PRELUDE, PipelineSpec, apply, baseline, compile, generate_code
from marl_llm.proposals.estimators import ESTIMATORS, estimators_for
from tests.fixtures import context, small_card, small_task

SMALL = {"n_estimators": 10, "max_iter": 10}
CHANGES = ("tune", "engineer_features")


def walked(seed: int, kind: Kind, estimator: str) -> PipelineSpec:
    """Some valid changes away from a solution with this estimator, kept cheap to fit."""
    rng, card = random.Random(seed), small_card(kind)
    spec = baseline(kind).model_copy(update={"estimator": estimator, "params": ()})
    for _ in range(rng.randint(0, 6)):
        spec = apply(random_action(rng, card, spec, CHANGES), spec, context(kind))
    cheap = {p.name: SMALL[p.name] for p in ESTIMATORS[estimator].params if p.name in SMALL}
    return spec.with_params(cheap) if estimator != "LogisticRegression" else spec


def predicted(estimator, kind: Kind) -> tuple[np.ndarray, np.ndarray | None]:
    task = small_task(kind)
    train, test = slice(0, 90), slice(90, 140)
    np.random.seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(task.development.X.iloc[train], task.development.y[train])
        X = task.development.X.iloc[test]
        return estimator.predict(X), estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else None


def executed(code: str):
    names: dict = {}
    exec(PRELUDE + "\n" + code, names)
    return names["build_pipeline"]()


@pytest.mark.parametrize("kind", [Kind.multiclass, Kind.regression])
@given(seed=st.integers(0, 10**6), choice=st.integers(0, 5))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
def test_compiled_object_and_generated_code_predict_identically(kind, seed, choice):
    spec = walked(seed, kind, estimators_for(kind)[choice].name)
    labels, proba = predicted(compile(spec), kind)
    code_labels, code_proba = predicted(executed(generate_code(spec)), kind)
    np.testing.assert_array_equal(labels, code_labels)
    if proba is not None:
        np.testing.assert_array_equal(proba, code_proba)


@pytest.mark.parametrize("kind", [Kind.binary, Kind.regression])
def test_every_estimator_of_the_catalogue_fits_with_its_whole_grid(kind):
    for info in estimators_for(kind):
        for param in info.params:
            for value in param.grid:
                if param.name in SMALL and value != param.grid[0]:
                    continue
                assert param.problem(value) == ""
                cheap = {p.name: SMALL[p.name] for p in info.params if p.name in SMALL}
                executed(generate_code(PipelineSpec(estimator=info.name).with_params({**cheap, param.name: value})))
        predicted(compile(walked(1, kind, info.name)), kind)


def test_there_are_six_model_families_for_each_kind_of_target():
    for kind in Kind:
        assert len({info.family for info in estimators_for(kind)}) == 6

"""An evaluator under a budget: nothing new is begun when it is spent, nothing that is known is
lost, nothing blocks.
"""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from marl_llm.core.kind import Kind
from marl_llm.environment import EnvironmentConfig, Evaluator
from marl_llm.environment.cache.keys import code_key
from marl_llm.proposals import PipelineSpec, baseline, generate_code
from marl_llm.proposals.spec import BLEND
from marl_llm.sandbox import Sandbox, Status
from tests.fixtures import small_task

SPEC = baseline(Kind.binary)
CODE = generate_code(SPEC)
OTHER = SPEC.model_copy(update={"estimator": "GaussianNB", "params": ()})


@pytest.fixture
def evaluator(sandbox: Sandbox):
    made = Evaluator(small_task(Kind.binary), sandbox, EnvironmentConfig(cv_folds=2))
    yield made
    made.close()


def test_what_was_evaluated_before_is_still_known_when_the_budget_is_spent(evaluator: Evaluator):
    before = evaluator.evaluate(CODE).out_of_fold
    gc.collect()
    fits, evaluator.enough = evaluator.fits, lambda: True
    after = evaluator.evaluate(CODE)
    assert before is not None and after.complete and after.out_of_fold is not None
    assert np.array_equal(after.out_of_fold.labels, before.labels) and evaluator.fits == fits


def test_nothing_new_is_begun_when_the_budget_is_spent(evaluator: Evaluator):
    evaluator.enough = lambda: True
    result = evaluator.evaluate(CODE)
    assert (result.status, result.error) == (Status.timeout, "the budget is used up")
    assert evaluator.cross_validate(CODE) is None and evaluator.fits == 0


def test_a_budget_that_is_spent_midway_ends_the_evaluation_before_its_next_fold(
    evaluator: Evaluator,
):
    evaluator.enough = lambda: evaluator.fits >= 2
    assert evaluator.evaluate(CODE).status is Status.timeout and evaluator.fits == 2
    evaluator.enough = None
    assert evaluator.evaluate(CODE).complete and evaluator.fits == 3


def test_nobody_waits_for_equal_code_in_another_thread_when_the_budget_is_spent(
    evaluator: Evaluator,
):
    evaluator.enough = lambda: True
    with ThreadPoolExecutor(1) as pool, evaluator._turn(code_key(CODE) or ""):
        assert pool.submit(evaluator.evaluate, CODE).result(timeout=10).status is Status.timeout


def test_a_blend_is_known_when_its_members_are(evaluator: Evaluator):
    blend = PipelineSpec(estimator=BLEND, members=(SPEC, OTHER), weights=(1, 1))
    evaluator.evaluate(CODE)
    evaluator.enough = lambda: True
    assert evaluator.compose(blend).status is Status.timeout
    evaluator.enough = None
    evaluator.evaluate(generate_code(OTHER))
    evaluator.enough = lambda: True
    assert evaluator.compose(blend).complete


def test_bounded_fits_do_not_bound_the_test_of_what_is_delivered(evaluator: Evaluator):
    evaluator.bound_fits(1e-3)
    assert evaluator.evaluate(CODE).status is Status.timeout
    assert evaluator.test_scores(SPEC) is not None

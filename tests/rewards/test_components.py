"""The table of the design's section on rewards, claim by claim."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.rewards import RewardConfig, data_scientist_reward, engineer_reward, token_cost

CONFIG = RewardConfig()
STEP = RewardConfig(credit="step")
gains = st.floats(0, 2)


def scientist(config=CONFIG, **changed):
    told = {
        "proposed": True,
        "valid": True,
        "redundant": False,
        "implemented": True,
        "step_gain": 0.0,
        "reference_gain": 0.0,
    }
    return data_scientist_reward(config, **{**told, **changed})


def engineer(config=CONFIG, **changed):
    return engineer_reward(config, **{"rungs": 4, "ran": True, "compliance": 1.0, "step_gain": 0.0, **changed})


@given(st.integers(0, 4), gains)
def test_failing_is_never_better_than_carrying_out_a_bad_suggestion(rungs, gain):
    failed = engineer(ran=False, rungs=rungs, compliance=0.0, step_gain=gain).total
    assert failed < engineer().total
    assert failed < engineer(compliance=0.0).total


def test_code_that_got_further_is_penalised_less_but_far_less_so_than_a_gain():
    totals = [engineer(ran=False, rungs=rungs).total for rungs in range(5)]
    assert totals == sorted(totals) and totals[0] < totals[4] < 0
    assert 10 * (totals[1] - totals[0]) <= engineer(step_gain=0.05).total + 1e-9


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_engineer_loses_in_proportion_to_what_was_not_done_as_asked(a, b):
    low, high = sorted((a, b))
    assert engineer(compliance=low).total <= engineer(compliance=high).total
    assert engineer(compliance=a).compliance == pytest.approx(-CONFIG.compliance_penalty * (1 - a))


@given(gains)
def test_the_engineer_earns_the_gain_of_the_step(gain):
    assert engineer(step_gain=gain).total == pytest.approx(gain)


def test_finishing_earns_nothing_and_is_better_than_a_suggestion_without_gain():
    assert scientist(proposed=False).total == 0
    assert scientist(proposed=False).total > scientist(reference_gain=0.0).total
    assert scientist(proposed=False).total < scientist(reference_gain=0.01).total


@given(gains, st.booleans(), st.floats(0, 1) | st.none())
def test_reference_credit_does_not_depend_on_the_engineer(gain, implemented, step_gain):
    told = scientist(reference_gain=gain, implemented=implemented, step_gain=step_gain)
    assert told == scientist(reference_gain=gain)


@given(gains)
def test_under_step_credit_a_wrong_implementation_is_not_the_data_scientists_fault(gain):
    assert scientist(STEP, implemented=False, step_gain=None, reference_gain=gain).total == 0
    assert scientist(STEP, implemented=True, step_gain=0.0, reference_gain=gain).no_gain == -STEP.no_gain_penalty
    assert scientist(STEP, step_gain=0.3, reference_gain=gain).metric_delta == pytest.approx(0.3)


def test_an_unparsable_action_is_worse_than_a_redundant_one_and_that_worse_than_one_without_gain():
    invalid, redundant = scientist(valid=False).total, scientist(redundant=True, reference_gain=None).total
    assert invalid < redundant < scientist().total < 0


@given(st.integers(0, 10**5), st.integers(0, 10**4), st.integers(1, 5))
def test_token_costs_are_negative_and_linear_and_weigh_prompt_and_completion_apart(prompt, completion, times):
    cost = token_cost(CONFIG, prompt, completion)
    assert cost <= 0
    assert token_cost(CONFIG, times * prompt, times * completion) == pytest.approx(times * cost)
    assert token_cost(CONFIG, 0, 1) < token_cost(CONFIG, 1, 0) < 0


def test_a_weight_of_the_recipe_scales_its_component_alone():
    doubled = RewardConfig(no_gain_penalty=0.04)
    assert scientist(doubled).no_gain == 2 * scientist().no_gain
    assert scientist(doubled, reference_gain=0.2) == scientist(reference_gain=0.2)


def test_weights_under_which_failing_pays_better_than_disobeying_are_refused():
    with pytest.raises(ValueError, match="failing pays more"):
        RewardConfig(failure_penalty=0.05, compliance_penalty=0.1)

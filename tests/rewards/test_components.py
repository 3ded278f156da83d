"""The table of the design's section on rewards, claim by claim."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER, ROLES
from marl_llm.core.verdict import Verdict
from marl_llm.rewards import Outcome, RewardConfig
from tests.rewards.outcomes import (
    ANALYSED,
    DONE,
    FAILED,
    FINISHED,
    INVALID,
    REDUNDANT,
    REFUSED,
    SUGGESTED,
    changed,
)

CONFIG = RewardConfig()
STEP = RewardConfig(credit="step")
gains = st.floats(0, 2)


def parts(outcome: Outcome, config: RewardConfig = CONFIG) -> dict[str, float]:
    """The components that are not zero."""
    return {name: value for name, value in config.by_component(outcome).items() if value}


@pytest.mark.parametrize(
    ("outcome", "component", "value"),
    [
        (changed(SUGGESTED, new_reference_gain=0.3), "metric_delta", 0.3),
        (changed(FINISHED, new_reference_gain=0.2), "metric_delta", 0.2),
        (changed(DONE, step_gain=0.1), "metric_delta", 0.1),
        (SUGGESTED, "no_gain", -0.02),
        (changed(DONE, compliance=0.25), "compliance", -0.075),
        (FAILED, "failure", -0.15),
        (changed(FAILED, rungs=3), "failure", -0.135),
        (INVALID, "invalid", -0.1),
        (REDUNDANT, "redundant", -0.05),
        (changed(FINISHED, prompt_tokens=1000, completion_tokens=20), "token_cost", -0.004),
        (ANALYSED, "cpu_cost", -0.001),
        (REFUSED, "refusal", -0.1),
    ],
)
def test_each_component_gives_what_the_table_says_and_no_other_has_a_part_in_it(
    outcome: Outcome, component: str, value: float
) -> None:
    assert parts(outcome) == {component: pytest.approx(value)}


def test_every_component_has_a_name_of_its_own_and_says_whether_it_is_the_calls() -> None:
    per_call = {component.name: component.per_call for component in CONFIG.components()}
    assert len(per_call) == len(CONFIG.components()) == len(RewardConfig.__bases__)
    assert {name for name, own in per_call.items() if own} == {"token_cost", "cpu_cost", "refusal"}


facts = st.builds(
    Outcome,
    role=st.sampled_from(ROLES),
    verdict=st.sampled_from(Verdict),
    compliance=st.none() | st.floats(0, 1),
    step_gain=st.none() | gains,
    new_reference_gain=st.none() | gains,
    rungs=st.integers(0, 4),
)


@given(facts, st.booleans(), st.integers(0, 9999), st.floats(0, 99))
def test_what_a_turn_shares_does_not_depend_on_the_call(
    turn: Outcome, refused: bool, tokens: int, cpu: float
) -> None:
    call = changed(
        turn, refused=refused, prompt_tokens=tokens, completion_tokens=tokens, analysis_cpu_s=cpu
    )
    shared = [component for component in CONFIG.components() if not component.per_call]
    assert [component(call) for component in shared] == [component(turn) for component in shared]


@given(facts)
def test_no_component_of_one_role_looks_at_the_others_facts(turn: Outcome) -> None:
    others: dict[str, Any] = (
        {"compliance": 0.5, "rungs": 2}
        if turn.role == DATA_SCIENTIST
        else {"new_reference_gain": 1}
    )
    assert CONFIG(changed(turn, **others)) == CONFIG(turn)


@given(st.integers(0, 4), gains)
def test_failing_is_never_better_than_carrying_out_a_bad_suggestion(
    rungs: int, gain: float
) -> None:
    failed = CONFIG(changed(FAILED, rungs=rungs))
    assert failed < CONFIG(DONE)
    assert failed < CONFIG(changed(DONE, compliance=0.0))


def test_code_that_got_further_is_penalised_less_but_far_less_so_than_a_gain() -> None:
    totals = [CONFIG(changed(FAILED, rungs=rungs)) for rungs in range(5)]
    assert totals == sorted(totals) and totals[0] < totals[4] < 0
    assert 10 * (totals[1] - totals[0]) <= CONFIG(changed(DONE, step_gain=0.05)) + 1e-9


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_engineer_loses_in_proportion_to_what_was_not_done_as_asked(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert CONFIG(changed(DONE, compliance=low)) <= CONFIG(changed(DONE, compliance=high))
    lost = CONFIG.by_component(changed(DONE, compliance=a))["compliance"]
    assert lost == pytest.approx(-CONFIG.compliance_penalty * (1 - a))


@given(gains)
def test_the_engineer_earns_the_gain_of_the_step(gain: float) -> None:
    assert CONFIG(changed(DONE, step_gain=gain)) == pytest.approx(gain)


def test_finishing_earns_nothing_and_is_better_than_a_suggestion_without_gain() -> None:
    assert CONFIG(FINISHED) == CONFIG(changed(FINISHED, new_reference_gain=0.0)) == 0
    assert CONFIG(FINISHED) > CONFIG(SUGGESTED)
    assert CONFIG(FINISHED) < CONFIG(changed(SUGGESTED, new_reference_gain=0.01))


@given(gains, st.none() | st.floats(0, 1))
def test_reference_credit_does_not_depend_on_the_engineer(
    gain: float, step_gain: float | None
) -> None:
    suggested = changed(SUGGESTED, new_reference_gain=gain)
    assert CONFIG.by_component(changed(suggested, step_gain=step_gain)) == CONFIG.by_component(
        suggested
    )


@given(gains)
def test_under_step_credit_a_wrong_implementation_is_not_the_data_scientists_fault(
    gain: float,
) -> None:
    suggested = changed(SUGGESTED, new_reference_gain=gain, step_gain=None)
    assert STEP(suggested) == 0
    assert parts(changed(suggested, step_gain=0.0), STEP) == {"no_gain": -STEP.no_gain_penalty}
    assert parts(changed(suggested, step_gain=0.3), STEP) == {"metric_delta": pytest.approx(0.3)}


def test_unparsable_is_worse_than_redundant_and_that_worse_than_without_gain() -> None:
    assert CONFIG(INVALID) < CONFIG(REDUNDANT) < CONFIG(SUGGESTED) < 0


@given(st.integers(0, 10**5), st.integers(0, 10**4), st.integers(1, 5))
def test_token_costs_are_negative_and_linear_and_weigh_prompt_and_completion_apart(
    prompt: int, completion: int, times: int
) -> None:
    def cost(prompt: int, completion: int) -> float:
        call = changed(DONE, prompt_tokens=prompt, completion_tokens=completion)
        return CONFIG.by_component(call)["token_cost"]

    assert cost(prompt, completion) <= 0
    assert cost(times * prompt, times * completion) == pytest.approx(
        times * cost(prompt, completion)
    )
    assert cost(0, 1) < cost(1, 0) < 0


def test_a_weight_of_the_recipe_scales_its_component_alone() -> None:
    doubled, gained = RewardConfig(no_gain_penalty=0.04), changed(SUGGESTED, new_reference_gain=0.2)
    assert doubled(SUGGESTED) == 2 * CONFIG(SUGGESTED)
    assert doubled.by_component(gained) == CONFIG.by_component(gained)


def test_weights_under_which_failing_pays_better_than_disobeying_are_refused() -> None:
    with pytest.raises(ValueError, match="failing pays more"):
        RewardConfig(failure_penalty=0.05, compliance_penalty=0.1)


def test_the_keys_of_the_section_are_those_that_recipes_have_always_had() -> None:
    assert set(RewardConfig.model_fields) - {"extra"} == {
        "credit",
        "gain_weight",
        "no_gain_penalty",
        "invalid_penalty",
        "redundant_penalty",
        "compliance_penalty",
        "failure_penalty",
        "rung_bonus",
        "prompt_token_price",
        "completion_token_price",
        "cpu_second_price",
    }
    assert DONE.role == ML_ENGINEER

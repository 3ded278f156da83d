"""Claims about when a server counts as stalled, and about its counters: pure functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.serving.counters import Counters, read_counters
from marl_llm.serving.patience import Patience

PAGE = """# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
vllm:prompt_tokens_total{engine="0",model_name="base"} 800.0
vllm:prompt_tokens_total{engine="1",model_name="a {b}"} 56.0
vllm:prompt_tokens_by_source_total{engine="0",model_name="base",source="local"} 5.0
vllm:generation_tokens_total{engine="0",model_name="base"} 22.0
vllm:generation_tokens_created{engine="0",model_name="base"} 1.7957349183669233e+09
vllm:prefix_cache_queries_total{engine="0",model_name="base"} 856.0
vllm:prefix_cache_hits_total{engine="0",model_name="base"} 384.0
vllm:external_prefix_cache_hits_total{engine="0",model_name="base"} 9.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="base"} 3.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="base"} 1.0
"""


def asked(patience: Patience, tokens: int, count: int, now: float = 0.0) -> Patience:
    for _ in range(count):
        patience.asked(tokens, now)
    return patience


def test_before_anything_was_answered_the_least_patience_counts_from_the_request_on():
    patience = asked(Patience(300), 1000, 32, now=50)
    assert not patience.spent(350) and patience.spent(350.1)


def test_the_limit_is_twice_the_time_that_the_tokens_to_come_take_at_the_pace_so_far():
    patience = asked(Patience(30), 100, 4)
    for _ in range(4):
        patience.answered(100, 40)  # 10 tokens/s
    asked(patience, 1000, 32, now=1000)  # nobody waited in between: the pace is the same
    assert patience.limit_s == pytest.approx(2 * 32_000 / 10)
    for _ in range(31):
        patience.given_up(1000, 1000)
    assert patience.limit_s == pytest.approx(2 * 1000 / 10)


def test_a_refused_request_does_not_make_the_server_look_fast():
    patience = asked(Patience(1), 100, 2)
    patience.answered(100, 10)
    before = patience.limit_s
    patience.asked(10_000, 10)
    patience.given_up(10_000, 10)
    assert patience.limit_s == before == 2 * 100 / 10 * 1.0


def test_every_sign_of_work_begins_the_silence_anew_and_an_idle_server_is_never_stalled():
    patience = asked(Patience(10), 8, 2)
    patience.sign_of_work(9)
    assert not patience.spent(18) and patience.spent(19.5)
    patience.answered(8, 19)
    assert patience.silent_s(25) == 6
    patience.answered(8, 26)
    assert not patience.spent(10_000)


@given(
    st.lists(st.tuples(st.integers(1, 500), st.floats(0.01, 100)), max_size=20), st.floats(1, 500)
)
def test_the_least_patience_is_granted_whatever_the_pace_was(
    history: list[tuple[int, float]], least_s: float
):
    patience, now = Patience(least_s), 0.0
    for tokens, seconds in history:
        patience.asked(tokens, now)
        now += seconds
        patience.answered(tokens, now)
    patience.asked(64, now)
    assert patience.limit_s >= least_s and not patience.spent(now + 0.999 * least_s)


def test_counters_are_summed_over_engines_models_and_reasons():
    counters = read_counters(PAGE)
    assert counters == Counters(856, 22, 4, 856, 384) and counters.tokens == 878


@pytest.mark.parametrize("page", ["", "<html>not found</html>", "python_info 1.0\n"])
def test_a_page_without_token_counts_says_nothing(page: str):
    assert read_counters(page) is None

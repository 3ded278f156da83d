"""Texts as a space: every prompt is an element of it, whatever stands in a CSV."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from gymnasium.spaces import Text
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.agents.prompts import PromptConfig, Situation, data_scientist_prompt, engineer_prompt
from marl_llm.core.kind import Kind
from marl_llm.environment import Memory
from marl_llm.interfaces.spaces import ALPHABET, Observation, fit, text_space
from marl_llm.proposals import baseline, generate_code
from tests.fixtures import small_card, wide_card

SPACE, SHORT = text_space(), text_space(max_characters=64)
TEXTS = st.text(max_size=300)


@given(TEXTS, st.integers(64, 100))
def test_any_text_becomes_an_element_of_the_space(text, limit):
    space = text_space(max_characters=limit)
    assert space.contains(fit(text, space))


@given(TEXTS)
def test_what_is_an_element_already_stays_as_it_is(text):
    element = str(fit(text, SPACE))
    assert fit(element, SPACE) == element


@given(st.text(st.sampled_from(ALPHABET), max_size=300))
def test_texts_of_the_alphabet_are_left_alone(text):
    assert fit(text, SPACE) == text


@given(st.text(st.sampled_from("<|> ≮≯｜＜＞\u0338\u0300\u200bа"), max_size=12))
def test_marks_of_a_chat_template_are_never_made_of_other_characters(text):
    for mark in ("<|", "|>"):
        assert mark in text or mark not in fit(text, SPACE)


def test_foreign_letters_become_the_plain_letters_they_are_made_of():
    assert (
        fit("Größe café Łódź ăĕ ﬁ ① 温度 ≮\r\na\tb\rc", SPACE)
        == "Größe café ?ódz ae fi 1 ?? ?\na b\nc"
    )


def test_a_longer_alphabet_keeps_what_it_holds():
    cyrillic = text_space(ALPHABET + "абв")
    assert fit("баг ё", cyrillic) == "ба? ?"


@given(st.text(st.sampled_from("ab\n"), min_size=65, max_size=3000))
def test_a_cut_text_keeps_its_start_and_its_end_and_says_what_is_missing(text):
    cut = fit(text, SHORT)
    head, _, rest = cut.partition("\n[")
    number, _, tail = rest.partition(" characters left out]\n")
    assert len(cut) <= 64
    assert text.startswith(head) and text.endswith(tail) and min(len(head), len(tail)) >= 16
    assert len(head) + int(number) + len(tail) == len(text)


@pytest.mark.parametrize("kind", list(Kind))
def test_prompts_fit_as_they_are(kind):
    for card in (small_card(kind), wide_card(kind)):
        spec = baseline(kind)
        now = Situation(card, spec, generate_code(spec), 0.5, {"f1": 0.5}, Memory(), 3)
        for text in (
            data_scientist_prompt(now, PromptConfig()),
            engineer_prompt(now, "propose_model est = SVC(C=0.3)", PromptConfig()),
        ):
            assert fit(text, SPACE) == text


def test_an_observation_is_a_string_that_knows_the_dtype_of_the_space():
    seen = fit("hello", SPACE)
    assert isinstance(seen, str) and type(seen) is Observation
    assert seen.dtype == SPACE.dtype == np.dtype(str)
    assert pickle.loads(pickle.dumps(seen)) == seen


def test_the_alphabet_is_printable_latin_1_and_the_line_feed():
    assert set(ALPHABET) == {"\n"} | {c for c in map(chr, range(256)) if c.isprintable()}


def test_samples_follow_from_the_seed_alone_in_every_process():
    assert "".join(SPACE.character_list) == "".join(sorted(ALPHABET))
    draws = []
    for _ in range(2):
        space = text_space(max_characters=64)
        space.seed(3)
        draws.append(space.sample())
    assert draws[0] == draws[1] and isinstance(SPACE, Text)


def test_spaces_that_could_not_hold_a_prompt_are_refused():
    with pytest.raises(ValueError, match="alphabet lacks"):
        text_space("abc")
    with pytest.raises(ValueError, match="max_characters is 5"):
        text_space(max_characters=5)

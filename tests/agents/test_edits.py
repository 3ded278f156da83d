from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.agents.edits import EditError, apply_edits, line_edits, numbered
from marl_llm.agents.reply import MAX_CODE_CHARS, UnreadableReply, Written, read_code
from marl_llm.agents.scripted import NO_CHANGE, random_action
from marl_llm.core.forgiven import Forgiven
from marl_llm.core.kind import Kind
from marl_llm.proposals import apply, baseline, generate_code
from tests.fixtures import context, small_card

CODE = generate_code(baseline(Kind.regression))
LINES = CODE.split("\n")
EST = next(i for i, line in enumerate(LINES, 1) if "est =" in line)
CHANGES = ("propose_model", "tune", "engineer_features")


def walked_codes(seed: int, steps: int) -> list[str]:
    """Codes along a random walk of valid changes."""
    rng = random.Random(seed)
    kind = rng.choice(list(Kind))
    spec = baseline(kind)
    codes = [generate_code(spec)]
    for _ in range(steps):
        spec = apply(random_action(rng, small_card(kind), spec, CHANGES), spec, context(kind))
        codes.append(generate_code(spec))
    return codes


def test_edits_between_any_two_generated_codes_give_the_new_code_exactly():
    rng, pairs = random.Random(0), 0
    for seed in range(300):
        codes = walked_codes(seed, 12)
        for old, new in (rng.choices(codes, k=2) for _ in range(11)):
            assert apply_edits(old, line_edits(old, new)) == new
            pairs += 1
    assert pairs > 3000


def test_one_change_costs_one_short_edit():
    assert (
        line_edits(CODE, CODE.replace("Ridge()", "Ridge(alpha=0.3)"))
        == f"{EST} = est = Ridge(alpha=0.3)"
    )


def test_an_insertion_after_an_opening_bracket_is_indented_further():
    new = apply_edits(CODE, '4 + (LOG, ["x0"]),\n6 + (POLY, ["x0", "x1"]),')
    assert new.split("\n")[4] == '        (LOG, ["x0"]),'
    assert new.split("\n")[7] == '        (POLY, ["x0", "x1"]),'


def test_numbers_mean_lines_of_the_code_as_it_was_shown():
    assert numbered(CODE).split("\n")[EST - 1].startswith(f"{EST} ")
    assert apply_edits("a\nb\nc", "1 -\n2 = B\n0 + z") == "z\nB\nc"


@given(st.text(alphabet="0123456789 =+-x\n\r\t²٣\0(", max_size=40) | st.text(max_size=40))
def test_bad_edits_raise_an_edit_error_and_nothing_else(text):
    try:
        assert isinstance(apply_edits(CODE, text), str)
    except EditError as error:
        assert "\n" not in str(error) and len(str(error)) < 120


@pytest.mark.parametrize(
    "text", ["99 = x", "0 = x", "0 -", "1 = x\nand so on", "9" * 5000 + " = x", "-1 = x"]
)
def test_an_edit_of_no_line_is_refused(text):
    with pytest.raises(EditError):
        apply_edits(CODE, text)


WANTED = CODE.replace("Ridge()", "Ridge(alpha=0.3)")


@pytest.mark.parametrize(
    "reply",
    [
        f"{EST} = est = Ridge(alpha=0.3)",
        f"\n{EST} = est = Ridge(alpha=0.3)\n\n",
        f"Only the estimator changes:\n{EST} = est = Ridge(alpha=0.3)",
        f"```\n{EST} = est = Ridge(alpha=0.3)\n```",
        f"Here:\n```python\n{WANTED}\n```\nThat is all.",
        f"```py\n{WANTED}",
        WANTED,
        f"Certainly, from the proposal follows:\n\n{WANTED}",
    ],
)
def test_the_engineer_may_answer_with_edits_or_code_with_prose_before(reply):
    assert read_code(reply, CODE).code == WANTED


def test_the_edit_that_changes_nothing_is_no_code_of_its_own():
    assert read_code(NO_CHANGE, CODE) == Written(CODE)
    assert read_code("Nothing is to be done:\n" + NO_CHANGE, CODE) == Written(
        CODE, (Forgiven.prose,)
    )


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "I cannot do that.",
        "est = Ridge(alpha=0.3)",
        "99 = est = Ridge()",
        "```python\nprint(1)\n```",
        "def build_pipeline():\n" + "x" * MAX_CODE_CHARS,
        "9" * 5000 + " = x",
    ],
)
def test_other_replies_are_refused_with_one_sentence(reply):
    with pytest.raises(UnreadableReply) as caught:
        read_code(reply, CODE)
    assert len(str(caught.value)) < 120


@given(st.text(max_size=60))
def test_reading_a_reply_raises_nothing_but_unreadable_reply(text):
    with contextlib.suppress(UnreadableReply):
        assert isinstance(read_code(text, CODE).code, str)

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_llm.agents.scripted import random_action
from marl_llm.core.kind import Kind
from marl_llm.proposals import (
    Extra,
    InvalidAction,
    PipelineSpec,
    action_schema,
    apply,
    baseline,
    canonical,
    parse_action,
    resolve_columns,
)
from tests.fixtures import context, small_card

BINARY = context(Kind.binary)
LOGISTIC = baseline(Kind.binary)
VALID = (
    "propose_model est = RandomForestClassifier(n_estimators=50, max_depth=3)",
    'tune C=0.3, class_weight="balanced"',
    'engineer_features log ["x0"]; polynomial ["x0", "x1"]; scale quantile',
    'analyze target ["x0", "x3"]',
    "finish",
)
draws = st.builds(
    lambda seed, kind: random_action(random.Random(seed), small_card(kind), baseline(kind)),
    st.integers(0, 10**6),
    st.sampled_from(list(Kind)),
)


def carry_out(text: str, spec: PipelineSpec = LOGISTIC) -> PipelineSpec:
    return apply(resolve_columns(parse_action(text), BINARY), spec, BINARY)


@given(draws)
def test_canonical_text_reads_back_as_the_same_text(action):
    text = canonical(action)
    assert canonical(parse_action(text)) == text
    assert parse_action(text) == action


@given(draws)
def test_the_json_of_an_action_reads_as_the_same_action(action):
    assert parse_action(f"Here it is:\n```json\n{action.model_dump_json()}\n```") == action


def test_the_schema_lists_exactly_five_actions():
    mapping = action_schema()["discriminator"]["mapping"]
    assert set(mapping) == {"analyze", "propose_model", "tune", "engineer_features", "finish"}
    json.dumps(action_schema())


@pytest.mark.parametrize(
    "reply",
    [
        "tune C=0.3",
        "  tune est = LogisticRegression(C=0.3)",
        "I would finish later; first this.\n- tune C=0.3",
        "```\ntune C=0.3\n```",
        "`tune C=0.3`",
        "Answer: tune C=0.3 # less freedom",
        'So: {"action": "tune", "params": {"C": 0.3}}',
    ],
)
def test_a_proposal_is_found_behind_prose_and_in_fences(reply):
    assert canonical(parse_action(reply)) == "tune C=0.3"


def test_the_reason_behind_a_hash_is_kept_as_why():
    assert parse_action("tune C=0.3 # don't overfit").why == "don't overfit"


def test_columns_go_by_their_own_names_whatever_these_hold():
    action = parse_action('engineer_features drop ["Shape; #1"]; log ["Body Size"] # both')
    assert canonical(resolve_columns(action, BINARY)) == 'engineer_features drop ["x4"]; log ["x0"]'


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("propose_model est = Ridge()", "'Ridge' is no estimator for a binary target"),
        ("tune depth=3", "no parameter 'depth'"),
        ("tune C=1e9", "C lies between"),
        ("tune C=1" + "0" * 400, "C lies between"),
        ('tune C="high"', "C takes a number"),
        ("tune max_iter=3.5", "max_iter takes a whole number"),
        ('tune class_weight="even"', "class_weight takes one of balanced, None"),
        ('engineer_features log ["x3"]', "x3 is not numeric"),
        ('engineer_features polynomial ["x0"]', "polynomial needs at least 2 columns"),
        ('engineer_features drop ["x0", "x1", "x2", "x3", "x4"]', "no column would be left"),
        ('engineer_features drop ["x0"]; log ["x0"]', "x0 was dropped"),
        ('engineer_features drop ["x3", "x4"]; encode one_hot', "no categorical column"),
        ('engineer_features drop ["x0", "x1", "x2"]; scale none', "no numeric column to scale"),
        ('engineer_features log ["body size"]', "did you mean 'Body Size'?"),
        ("engineer_features", "ops"),
        ("engineer_features impute mode", "strategy"),
        ("engineer_features scale none; scale none; scale none; scale none", "at most 3"),
        ("engineer_features rotate x0", "no operation 'rotate'"),
        ("analyze", "query"),
        ("tune", "params"),
        ("tune C=", "cannot read"),
        ("let us see", "no action found"),
        ('{"action": "tune"}', "params"),
        ('{"action": "fly"}', "fly"),
    ],
)
def test_an_impossible_action_gives_one_short_sentence_that_says_why(reply, says):
    with pytest.raises(InvalidAction) as caught:
        carry_out(reply)
    message = str(caught.value)
    assert says in message
    assert len(message) < 300 and "\n" not in message and "pydantic" not in message


texts = st.one_of(
    st.text(max_size=80),
    st.builds(
        "{} {}".format,
        st.sampled_from(["tune", "analyze", "propose_model est =", "engineer_features", "{"]),
        st.text(),
    ),
    st.builds(
        lambda line, at, cut, put: line[:at] + put + line[at + cut :],
        st.sampled_from([*VALID, *(parse_action(v).model_dump_json() for v in VALID)]),
        st.integers(0, 60),
        st.integers(0, 5),
        st.text(alphabet="{}[]()\"'=;,#\\ \n\0\ud800é²x019.-+e*_", max_size=6),
    ),
)


@given(texts)
@settings(max_examples=1000)
def test_no_text_raises_anything_but_an_invalid_action(text):
    try:
        canonical(resolve_columns(parse_action(text), BINARY))
        carry_out(text) if not text.startswith(("finish", "analyze")) else None
    except InvalidAction as error:
        assert len(str(error)) < 400
    except AttributeError:  # `apply` takes proposals only
        assert type(parse_action(text)).__name__ in ("Finish", "Analyze")


@pytest.mark.parametrize(
    "text",
    [
        "tune C=" + "(" * 5000,
        "tune C=" + "-" * 5000 + "1",
        "tune C=" + "[" * 900 + "]" * 900,
        "tune C=" + "9" * 5000,
        "tune C=1e999",
        "tune C=" + "9" * 400,
        "propose_model est = LogisticRegression(C=" + "9" * 400 + ")",
        '{"action": "tune", "params": {"C": ' + "9" * 400 + "}}",
        '{"action": "tune", "params": {"C": NaN}}',
        '{"action": ' * 3000,
        '{"action": "tune", "params": ' + "[" * 900 + "]" * 900 + "}",
        "{" * 20000,
        'engineer_features log ["x²", "x' + "1" * 5000 + '"]',
        'engineer_features log ["\\ud800"]',
    ],
)
def test_deep_nesting_and_huge_numbers_are_only_invalid(text):
    with pytest.raises(InvalidAction):
        action = resolve_columns(parse_action(text), BINARY)
        canonical(action)
        apply(action, LOGISTIC, BINARY)


def test_equal_solutions_reached_two_ways_are_equal():
    one = carry_out(
        'engineer_features drop ["x2"]; log ["x1", "x0"]', carry_out("tune max_iter=300, C=1")
    )
    two = carry_out(
        'engineer_features log ["x0", "x1", "x2"]; drop ["x2"]', carry_out("tune max_iter=300")
    )
    assert one == carry_out("tune C=1.0", two)
    assert hash(one) == hash(carry_out("tune C=1.0", two))


def test_whole_and_broken_spelling_of_a_number_are_one_solution():
    assert repr(carry_out("tune C=1")) == repr(carry_out("tune C=1.0"))


def test_dropping_a_column_takes_it_out_of_added_features():
    spec = carry_out('engineer_features polynomial ["x0", "x1"]; log ["x1", "x2"]; drop ["x1"]')
    assert spec.extra == (Extra(op="log", columns=("x2",)),)
    assert spec.drop == ("x1",)


def test_two_added_features_that_a_drop_makes_equal_stand_once():
    spec = carry_out('engineer_features log ["x0", "x1"]; log ["x0"]; drop ["x1"]')
    assert spec.extra == (Extra(op="log", columns=("x0",)),)

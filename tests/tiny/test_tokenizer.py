from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from marl_llm.agents.edits import apply_edits
from marl_llm.agents.prompts import PromptConfig, Situation, data_scientist_prompt
from marl_llm.core.kind import Kind
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.environment import Memory
from marl_llm.proposals import (
    Analyze,
    Finish,
    apply,
    baseline,
    generate_code,
    parse_action,
    resolve_columns,
)
from marl_llm.tiny.corpus import TINY_PROMPTS, examples, worlds
from marl_llm.tiny.tokenizer import ALIASES, render, train_tokenizer
from tests.fixtures import wide_card

EMBEDDED = Path(__file__).parents[2] / "data" / "models" / "tiny"
CONTEXTS = (
    '["{0}"]',
    '["x1", "{0}"]',
    "drop={0}",
    "drop=x1,{0}",
    "log={0},x2",
    "\n{0} num t0.1",
    "{0} cat u5",
    '(LOG, ["{0}", "x3"]),',
    "analyze target {0}",
    "'{0}'",
    "{0}",
    " {0}",
    "7 = {0}",
    'kept +0.10 engineer_features log ["{0}"]',
)


@pytest.fixture(scope="module")
def pool():
    return worlds(8, 40)


@pytest.fixture(scope="module")
def corpus(pool):
    return list(islice(examples(1, pool, (DATA_SCIENTIST, ML_ENGINEER), 0.0, 1), 500))


@pytest.fixture(scope="module", params=["trained here", "committed"])
def tokenizer(request, corpus):
    """A tokenizer trained on a small corpus, and the one that lies beside the embedded model."""
    if request.param == "committed":
        if not (EMBEDDED / "tokenizer.json").is_file():
            pytest.skip("the embedded model is not made yet (make tiny-model)")
        return PreTrainedTokenizerFast.from_pretrained(str(EMBEDDED))
    return train_tokenizer((m["content"] for e in corpus for m in e.messages), 2048)


@pytest.mark.parametrize("around", CONTEXTS)
def test_every_alias_is_one_token_wherever_it_stands(tokenizer, around):
    for i in range(ALIASES):
        text = around.format(f"x{i}")
        tokens = [
            tokenizer.decode([t]) for t in tokenizer(text, add_special_tokens=False)["input_ids"]
        ]
        assert f"x{i}" in tokens, (text, tokens)


def test_a_keyword_and_its_equals_sign_are_one_token_wherever_they_stand(tokenizer):
    for text in (
        "tune max_depth=5",
        "est = RandomForestClassifier(n_estimators=50, max_depth=5)",
        "(max_depth=5)",
    ):
        tokens = [
            tokenizer.decode([t]) for t in tokenizer(text, add_special_tokens=False)["input_ids"]
        ]
        assert "max_depth=" in tokens


def test_corpus_texts_survive_tokenising(tokenizer, corpus):
    texts = [m["content"] for e in corpus for m in e.messages][:300]
    assert len(texts) == 300
    for text in [*texts, "Ünïcode ²\n\t  \x00 <b> 😀", "x", "", "   "]:
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_the_chat_template_is_what_render_writes(tokenizer, corpus):
    for example in corpus[:60]:
        for generation in (False, True):
            told = tokenizer.apply_chat_template(
                example.messages, tokenize=False, add_generation_prompt=generation
            )
            assert told == render(example.messages, generation=generation)


def test_chat_markup_is_one_token_each_and_the_end_of_a_turn_ends_generation(tokenizer):
    ids = tokenizer(
        render([{"role": "user", "content": "a"}], generation=True), add_special_tokens=False
    )["input_ids"]
    assert ids.count(tokenizer.convert_tokens_to_ids("<|im_start|>")) == 2
    assert tokenizer.eos_token == "<|im_end|>" and tokenizer.eos_token_id in ids


def test_the_compact_first_prompt_for_thirty_columns_stays_under_700_of_its_own_tokens(tokenizer):
    for kind in (Kind.multiclass, Kind.regression):
        card, spec = wide_card(kind), baseline(kind)
        now = Situation(
            card, spec, generate_code(spec), 0.5, dict.fromkeys(card.metrics, -0.12), Memory(), 6
        )
        ids = tokenizer(data_scientist_prompt(now, TINY_PROMPTS), add_special_tokens=False)[
            "input_ids"
        ]
        assert len(ids) < 700
    assert PromptConfig() != TINY_PROMPTS


def test_the_data_scientist_of_the_corpus_answers_validly(pool):
    found = set()
    for example in islice(examples(3, pool, (DATA_SCIENTIST,), 0.5, 3), 200):
        for reply in (example.messages[-1]["content"], *example.extra_answers):
            action = parse_action(reply)
            found.add(type(action))
            prompt = example.messages[0]["content"]
            contexts = [
                w.card.context()
                for w in pool
                if f"task: {w.card.kind} rows {w.card.rows}\n" in prompt
            ]
            assert contexts
            if not isinstance(action, Analyze | Finish):
                assert any(_feasible(action, context) for context in contexts)
    assert len(found) == 5


def _feasible(action, context) -> bool:
    try:
        action = resolve_columns(action, context)
        if (
            action.action != "tune"
        ):  # parameters of the moment's estimator, which the text alone does not tell
            apply(action, baseline(context.kind), context)
    except ValueError:
        return False
    return True


def code_shown(example) -> str:
    """The numbered lines of the Engineer's first prompt."""
    lines = example.messages[0]["content"].split("\nproposal:")[0].split("\n")
    return "\n".join(line.split(" ", 1)[1] for line in lines if re.match(r"\d+ ", line))


def test_without_errors_the_engineer_of_the_corpus_writes_the_wanted_code(pool):
    for example in islice(examples(4, pool, (ML_ENGINEER,), 0.0, 1), 200):
        code = code_shown(example)
        assert apply_edits(code, example.messages[-1]["content"]) == example.wanted


def test_with_errors_about_that_share_of_its_answers_is_wrong(pool):
    wrong = 0
    for example in islice(examples(5, pool, (ML_ENGINEER,), 0.3, 1), 400):
        code = code_shown(example)
        wrong += apply_edits(code, example.messages[-1]["content"]) != example.wanted
    assert 0.18 < wrong / 400 < 0.36


def test_the_same_seed_gives_the_same_corpus(pool, corpus):
    again = list(islice(examples(1, pool, (DATA_SCIENTIST, ML_ENGINEER), 0.0, 1), 20))
    assert again == corpus[:20]

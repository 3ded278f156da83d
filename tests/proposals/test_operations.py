"""What holds of every record of a feature operation, so that a new one needs no test but of its own
function.
"""

from __future__ import annotations

import ast
import inspect
import random

import numpy as np
import pytest

from marl_llm.agents.chat.engineer import engineer_chat
from marl_llm.agents.full_space import full_action
from marl_llm.agents.rules import ENGINEER_RULES, data_scientist_rules
from marl_llm.core.kind import Kind
from marl_llm.proposals import (
    PRELUDE,
    EngineerFeatures,
    action_schema,
    apply,
    baseline,
    canonical,
    compile,
    generate_code,
    parse_action,
)
from marl_llm.proposals.ops import CHOICES, FEATURES, KEEP_ALL, OPERATIONS, REDUCERS
from marl_llm.proposals.ops.preparation import argument, with_argument
from marl_llm.proposals.reading import read_components, read_spec
from marl_llm.proposals.spec import PipelineSpec
from marl_llm.proposals.synonyms import method_word, operation_word
from tests.proposals.pipelines import columns_of, executed, mixed_card, mixed_task, predicted

WORDS = [(choice.name, word) for choice in CHOICES for word in choice.words]
AMOUNTS = [(reducer.name, amount) for reducer in REDUCERS.values() for amount in reducer.grid]


def with_feature(name: str, kind: Kind) -> PipelineSpec:
    columns = ", ".join(f'"{alias}"' for alias in columns_of(FEATURES[name], kind))
    return after(f"{name} [{columns}]", kind)


def after(operation: str, kind: Kind) -> PipelineSpec:
    action = parse_action(f"engineer_features {operation}")
    assert canonical(action) == f"engineer_features {operation}"
    return apply(action, baseline(kind), mixed_card(kind).context())


def same(spec: PipelineSpec, kind: Kind) -> None:
    """The object and the code predict the same, and the code reads back as the solution."""
    for ours, theirs in zip(
        predicted(compile(spec), kind), predicted(executed(generate_code(spec)), kind), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert read_spec(generate_code(spec)) == spec


@pytest.mark.parametrize("kind", [Kind.binary, Kind.regression])
@pytest.mark.parametrize("name", FEATURES)
def test_an_added_feature_adds_columns_and_is_built_as_its_code_says(kind, name):
    spec = with_feature(name, kind)
    same(spec, kind)
    X, y = mixed_task(kind).development.X, mixed_task(kind).development.y
    before, added = (compile(s)[:-1].fit_transform(X, y).shape[1] for s in (baseline(kind), spec))
    assert added > before


@pytest.mark.parametrize("kind", [Kind.binary, Kind.regression])
@pytest.mark.parametrize(("name", "word"), [*WORDS, *AMOUNTS])
def test_a_method_or_reduction_is_built_as_its_code_says(kind, name, word):
    same(after(f"{name} {word}", kind), kind)


@pytest.mark.parametrize("name", FEATURES)
def test_code_without_the_feature_asked_for_lacks_a_component(name):
    asked = with_feature(name, Kind.binary)
    missing = set(asked.components()) - set(read_components(generate_code(baseline(Kind.binary))))
    assert missing == {asked.extra[0].component}


@pytest.mark.parametrize("name", FEATURES)
def test_prompts_schema_and_prelude_name_the_feature(name):
    feature = FEATURES[name]
    assert feature.constant in ENGINEER_RULES and f"\n{feature.constant} = " in PRELUDE
    assert (
        name in data_scientist_rules(Kind.binary)
        and feature.constant in inspect.getmodule(engineer_chat)._NAMES
    )
    described = action_schema()["$defs"]["AddFeatures"]
    assert name in described["properties"]["op"]["enum"]
    assert feature.meaning.split()[0] in described["description"]


def test_undirected_draws_reach_every_operation():
    rng, card = random.Random(0), mixed_card(Kind.binary)
    reduced = after("pca 0.9", Kind.binary)
    actions = [full_action(rng, card, reduced, ("engineer_features",)) for _ in range(600)]
    drawn = {
        op.op for action in actions if isinstance(action, EngineerFeatures) for op in action.ops
    }
    assert drawn == set(OPERATIONS)


def test_words_and_constants_mean_one_thing():
    synonyms = [word for record in OPERATIONS.values() for word in record.synonyms]
    assert len({*synonyms, *OPERATIONS}) == len(synonyms) + len(OPERATIONS)
    assert {operation_word(word) for word in synonyms} <= set(OPERATIONS)
    methods = [method for choice in CHOICES for method in choice.methods]
    spellings = [word for method in methods for word in method.synonyms]
    assert len(set(spellings)) == len(spellings)
    assert {method_word(word) for word in spellings} <= {method.word for method in methods}
    constants = [
        node.targets[0].id for node in ast.parse(PRELUDE).body if isinstance(node, ast.Assign)
    ]
    assert len(set(constants)) == len(constants)


def test_a_choice_lists_what_its_action_takes_and_starts_from_the_baseline():
    for choice in CHOICES:
        assert [argument(with_argument(choice, word)) for word in choice.words] == list(
            choice.words
        )
        schema = choice.action.model_json_schema()["properties"]
        (values,) = (field["enum"] for name, field in schema.items() if name != "op")
        assert values == list(choice.words)
        assert getattr(baseline(Kind.binary), choice.name) == choice.default


def test_a_reduction_is_undone_by_its_own_word():
    undo = parse_action(f"engineer_features {KEEP_ALL.name} {KEEP_ALL.word}")
    assert (
        apply(undo, after("pca 0.9", Kind.binary), mixed_card(Kind.binary).context()).reduce is None
    )

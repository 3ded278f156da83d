"""Claims about the schema: one definition, and every column explains itself."""

from __future__ import annotations

from dataclasses import fields

import yaml

from marl_llm.rewards import FACTS
from marl_llm.trajectories import SCHEMA, Row, data_card
from tests.trajectories.rows import make_row

CONTRACT = """run iteration task episode step role branch turn call group state followed
policy_version adapter adapter_sha256 sampling messages prompt_ids completion_ids logprobs
finish_reason action reply problem forgiven code verdict compliance metrics_before metrics_after
skill_gain reference_gain significant p_value step_gain new_reference_gain rungs refused
prompt_tokens completion_tokens latency_s evaluation_s analysis_cpu_s seed isolation created_at
schema_version"""


def test_schema_and_row_have_the_agreed_columns_in_one_order() -> None:
    assert (
        SCHEMA.names
        == [field.name for field in fields(Row)]
        == list(make_row().to_dict())
        == CONTRACT.split()
    )


def test_only_outcomes_that_may_not_exist_may_be_missing() -> None:
    nullable = {field.name for field in SCHEMA if field.nullable}
    assert nullable == {
        "followed",
        "compliance",
        "skill_gain",
        "reference_gain",
        "significant",
        "p_value",
        "step_gain",
        "new_reference_gain",
    }


def test_rows_hold_every_fact_that_rewards_are_computed_from_and_no_reward() -> None:
    assert set(FACTS) <= set(SCHEMA.names)
    assert not [name for name in SCHEMA.names if name.startswith("reward")]


def test_every_column_has_a_description_and_numbers_in_a_unit_say_it() -> None:
    for field in SCHEMA:
        assert field.metadata[b"description"].endswith(b".")
    units = {field.name: field.metadata[b"unit"].decode() for field in SCHEMA}
    assert (units["latency_s"], units["logprobs"], units["prompt_tokens"]) == ("s", "nat", "tokens")


def test_the_card_describes_every_column_and_is_a_dataset_page() -> None:
    manifest = {
        "episodes": 2,
        "rows": 5,
        "rows_per_role": {"ml_engineer": 5},
        "prompt_tokens": 7,
        "completion_tokens": 9,
        "packages": {"vllm": "1"},
    }
    card = data_card(manifest)
    for field in SCHEMA:
        assert f"| `{field.name}` | " in card and field.metadata[b"description"].decode() in card
    assert yaml.safe_load(card.split("---")[1])["configs"][0]["data_files"] == "part-*.parquet"
    assert "2 episodes, 5 model calls (ml_engineer 5)" in card

"""Rows for tests: one plain row, and a hypothesis strategy for any row."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import strategies as st

from marl_llm.trajectories import SCHEMA, Row


def make_row(**values: Any) -> Row:
    """A Data Scientist's row of episode "e1"; `values` replaces columns."""
    row = Row(
        run="demo",
        iteration=0,
        task="iris",
        episode="e1",
        step=0,
        role="data_scientist",
        branch="0.d0",
        turn=0,
        call=0,
        group="g",
        state="s",
        policy_version=0,
        adapter="data_scientist-v0",
        adapter_sha256="ab",
        sampling="{}",
        messages="[]",
        prompt_ids=[1, 2, 3],
        completion_ids=[4, 5],
        logprobs=[-0.5, -0.25],
        finish_reason="stop",
        prompt_tokens=3,
        completion_tokens=2,
        latency_s=0.5,
        seed=7,
        created_at="2026-01-01T00:00:00+00:00",
    )
    return dataclasses.replace(row, **values)


_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "bool": st.booleans(),
}


@st.composite
def any_row(draw: st.DrawFn, episode: str = "e1") -> Row:
    """Any row of one episode that fits the schema."""
    values: dict[str, Any] = {}
    for field in SCHEMA:
        if str(field.type).startswith("list"):
            continue
        value = _VALUES[str(field.type)]
        values[field.name] = draw(st.none() | value if field.nullable else value)
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    pairs = draw(st.lists(st.tuples(_VALUES["int32"], finite)))
    values["prompt_ids"] = draw(st.lists(_VALUES["int32"]))
    values["completion_ids"], values["logprobs"] = [i for i, _ in pairs], [p for _, p in pairs]
    return Row(**{**values, "episode": episode})

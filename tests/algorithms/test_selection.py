"""Which rows imitation and preferences learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from marl_llm.algorithms import SFT
from marl_llm.algorithms.dpo import preference_pairs
from marl_llm.algorithms.selection import check_fingerprints
from marl_llm.core.errors import UserError
from marl_llm.training.gate import IntegrityError

BEST, ALL = SFT(), SFT(selection="all")


def row(
    group: str, branch: str, advantage: float, *, call: int = 0, **changes: Any
) -> dict[str, Any]:
    """A row whose completion is unlike any other's; `prompt_ids` are the group's where `call`
    is 0."""
    prompt = [*group.encode(), call] if call == 0 else [*group.encode(), *branch.encode(), call]
    completion = [*group.encode(), *branch.encode(), call]
    made = {
        "episode": "e0",
        "branch": branch,
        "call": call,
        "role": "data_scientist",
        "group": group,
        "prompt_ids": np.array(prompt),
        "completion_ids": np.array(completion),
        "logprobs": np.zeros(len(completion), np.float32),
        "advantage": advantage,
        "kept": True,
        "adapter_sha256": "abc",
    }
    return made | changes


def names(rows: list[Any]) -> list[str]:
    return [r.name.split("branch ")[1] for r in rows]


def test_the_best_turn_of_each_group_is_imitated_with_all_its_calls() -> None:
    frame = pd.DataFrame(
        [
            row("a", "0.d0", 0.1),
            row("a", "0.d1", 0.9),
            row("a", "0.d2", 2.0),
            row("a", "0.d2", -1.0, call=1),  # the turn's mean is 0.5
            row("b", "1.d0", -0.2, call=1),
            row("b", "1.d0", 1.0),
            row("b", "1.d1", 0.3),
        ]
    )
    rows, dropped = BEST.rows(frame)
    assert names(rows) == ["0.d1, call 0", "1.d0, call 1", "1.d0, call 0"]
    assert dropped == {"not_kept": 0, "empty": 0, "not_best": 4}


def test_a_group_in_which_no_turn_beats_the_baseline_teaches_nothing() -> None:
    rows, dropped = BEST.rows(pd.DataFrame([row("a", "0.d0", -0.1), row("a", "0.d1", 0.0)]))
    assert rows == [] and dropped["not_best"] == 2


def test_rows_that_credit_left_out_are_not_chosen_among_but_imitated_where_all_are() -> None:
    frame = pd.DataFrame(
        [row("a", "0.d0", 0.1), row("a", "0.d1", 9.0, kept=False), row("a", "0.d2", -0.1)]
    )
    rows, dropped = BEST.rows(frame)
    assert names(rows) == ["0.d0, call 0"] and dropped == {"not_kept": 1, "empty": 0, "not_best": 1}
    rows, dropped = ALL.rows(frame)
    assert len(rows) == 3 and dropped == {"not_kept": 0, "empty": 0, "not_best": 0}


def test_groups_of_different_iterations_are_different_groups() -> None:
    rows = [row("a", "0.d0", 0.5, iteration=0), row("a", "0.d0", 0.7, iteration=1)]
    assert len(BEST.rows(pd.DataFrame(rows))[0]) == 2
    rows = [
        row("a", "0.d0", 0.5, iteration=0),
        row("a", "0.d1", 0.3, iteration=0),
        row("b", "0.d0", -0.7, iteration=1),
    ]
    assert names(BEST.rows(pd.DataFrame(rows))[0]) == ["0.d0, call 0"]


def test_a_pair_is_the_best_and_the_worst_turn_of_a_group_on_one_prompt_as_sampled() -> None:
    frame = pd.DataFrame(
        [
            row("a", "0.d0", 0.1),
            row("a", "0.d1", 0.9),
            row("a", "0.d2", -0.7, call=1),
            row("a", "0.d2", -0.5),
            row("b", "1.d0", 0.4),
            row("b", "1.d1", 0.4),
        ],
        index=range(10, 16),
    )
    (pair,), dropped = preference_pairs(frame)
    assert pair.prompt_ids.tolist() == [*b"a", 0]
    assert pair.chosen_ids.tolist() == [*b"a0.d1", 0] and pair.rejected_ids.tolist() == [
        *b"a0.d2",
        0,
    ]
    left_out = {
        "not_kept": 0,
        "empty": 0,
        "no_difference": 2,
        "same_completion": 0,
        "other_prompt": 0,
        "not_paired": 2,
    }
    assert dropped == left_out and sum(dropped.values()) + 2 == len(frame)


def test_pairs_that_say_nothing_are_counted_and_left_out() -> None:
    same = np.array([7, 8])
    frame = pd.DataFrame(
        [
            row("a", "0.d0", 1.0, completion_ids=same, logprobs=np.zeros(2)),
            row("a", "0.d1", -1.0, completion_ids=same, logprobs=np.zeros(2)),
            row("b", "1.d0", 1.0, prompt_ids=np.array([5])),
            row("b", "1.d1", -1.0),
            row("c", "2.d0", 1.0),
            row("c", "2.d1", -1.0, kept=False),
            row("c", "2.d2", -1.0, completion_ids=np.zeros(0, int), logprobs=np.zeros(0)),
        ]
    )
    pairs, dropped = preference_pairs(frame)
    assert pairs == []
    left_out = {
        "not_kept": 1,
        "empty": 1,
        "no_difference": 1,
        "same_completion": 2,
        "other_prompt": 2,
        "not_paired": 0,
    }
    assert dropped == left_out and sum(dropped.values()) == len(frame)


def test_a_refused_call_is_neither_imitated_nor_preferred_however_good_its_turn_became() -> None:
    refused, corrected = (
        row("a", "0.d0", 0.8, refused=True),
        row("a", "0.d0", 0.9, call=1, refused=False),
    )
    others = [row("a", "0.d1", 0.2, refused=False), row("a", "0.d2", -0.3, refused=False)]
    frame = pd.DataFrame([refused, corrected, *others])
    rows, dropped = BEST.rows(frame)
    assert names(rows) == ["0.d0, call 1"] and dropped == {"not_kept": 0, "empty": 0, "not_best": 3}
    (pair,), _ = preference_pairs(frame)
    assert pair.chosen_ids.tolist() == [*b"a0.d1", 0] and pair.rejected_ids.tolist() == [
        *b"a0.d2",
        0,
    ]
    assert preference_pairs(pd.DataFrame([refused, corrected, others[0]]))[0] == []
    worst = row("a", "0.d3", -0.9, refused=True)
    (pair,), _ = preference_pairs(pd.DataFrame([*others, worst]))
    assert pair.rejected_ids.tolist() == [*b"a0.d3", 0]


def test_without_groups_there_is_nothing_to_choose_from() -> None:
    frame = pd.DataFrame([row("a", "0.d0", 1.0)]).drop(columns="group")
    with pytest.raises(UserError, match="lack the column 'group'"):
        BEST.rows(frame)
    with pytest.raises(UserError, match="lack the column 'group'"):
        preference_pairs(frame)


def test_rows_of_another_adapter_alone_are_refused_and_a_mixture_is_counted() -> None:
    assert check_fingerprints(["abc", "", "xyz"], "abc") == {"same": 1, "other": 1, "unknown": 1}
    with pytest.raises(IntegrityError, match=r"all 2 rows were sampled by another adapter"):
        check_fingerprints(["xyz", "uvw"], "abc")

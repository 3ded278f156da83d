"""The table of a team's figures: what is made of it, and that an entry is all a new figure
needs.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER, ROLES
from marl_llm.evaluation.play import team_figures
from marl_llm.rollout.figures import FIGURES, View, nested, pick, shown
from marl_llm.rollout.metrics import team_metrics
from marl_llm.rollout.summary import EpisodeSummary
from tests.package_copy import PROJECT, insert, python_blocks, run_python, with_copied_room

SUMMARY = EpisodeSummary("e", "t", 0.5, 0.6, 2, 1, True, 60, 6, 3)


def two_turns() -> pd.DataFrame:
    """Two turns of each role; the Engineer's first needs a repair, its second fails."""
    calls = [
        ("b0", DATA_SCIENTIST, "accepted", 0.1, 0.4),
        ("b0", ML_ENGINEER, "accepted", 1.0, 0.2),
        ("b0", ML_ENGINEER, "accepted", 1.0, 0.4),
        ("b1", DATA_SCIENTIST, "redundant", None, -0.2),
        ("b1", ML_ENGINEER, "failed", None, -0.5),
    ]
    rows = pd.DataFrame(calls, columns=["branch", "role", "verdict", "compliance", "reward"])
    return rows.assign(episode="e", prompt_tokens=10, completion_tokens=2)


def test_figures_are_those_worked_out_by_hand():
    found = team_metrics(two_turns(), [SUMMARY])
    assert found["reward"] == {DATA_SCIENTIST: pytest.approx(0.1), ML_ENGINEER: pytest.approx(-0.1)}
    by_hand = {
        "gain": 0.1,
        "compliance": 0.5,
        "as_asked": 0.5,
        "failed_code": 0.5,
        "redundant_actions": 0.5,
        "suggestions_with_gain": 0.5,
        "invalid_actions": 0.0,
        "tokens_per_step": 30.0,
        "steps": 2.0,
        "accepted": 1.0,
        "finished_early": 1.0,
        "tokens": 60.0,
        "episodes": 1,
        "rows": 5,
        "repeated_requests": 0,
    }
    assert {key: found[key] for key in by_hand} == pytest.approx(by_hand)
    assert set(found) == {*by_hand, "reward"}


def test_a_role_that_never_spoke_has_no_figures():
    rows = two_turns()
    found = team_figures(rows.loc[rows["role"] == DATA_SCIENTIST], SUMMARY)
    of_engineer = {figure.name for figure in FIGURES if figure.turns_of == ML_ENGINEER}
    assert {name for name, value in found.items() if value is None} == of_engineer
    assert {"compliance", "failed_code", "as_asked", f"reward_{ML_ENGINEER}"} == of_engineer


def test_keys_and_labels_are_unique_and_every_view_shows_something():
    for what in ("key", "label", "name"):
        assert len({getattr(figure, what) for figure in FIGURES}) == len(FIGURES)
    assert all(shown(view) for view in View)
    assert {f"reward.{role}" for role in ROLES} <= {figure.key for figure in FIGURES}


def test_nested_figures_are_found_under_their_key():
    flat = {"reward.ml_engineer": 0.5, "reward.data_scientist": 0.1, "steps": 2.0}
    assert {key: pick(nested(flat), key) for key in flat} == flat


def test_a_new_figure_is_one_entry(tmp_path: Path):
    entry, use = python_blocks((PROJECT / "marl_llm" / "rollout" / "README.md").read_text())
    assert entry.count("\n") + use.count("\n") < 30
    room = with_copied_room(tmp_path, "rollout")
    insert(room / "figures.py", ")\n\nCOLUMNS:", f"{entry.rstrip()},\n")
    run_python(tmp_path, "-c", use)
    shows = """
from pathlib import Path
from marl_llm.evaluation.play import COLUMNS
from marl_llm.evaluation.render import _team_grid
from marl_llm.pipeline.iterate import render_curve
from marl_llm.workspace.run import RunDirectory
curve = render_curve(RunDirectory(Path("nothing")))
print("call" in COLUMNS, "repaired" in _team_grid([]).header, "repaired" in curve)
"""
    assert run_python(tmp_path, "-c", shows).split() == ["True", "True", "True"]

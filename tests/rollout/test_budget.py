"""Budgets as people write them, and the clock that counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.cli import main
from marl_llm.core.errors import UserError
from marl_llm.rollout.budget import Budget, Clock
from tests.solve.conftest import CLIENTS, TARGET


@pytest.mark.parametrize(
    ("text", "seconds", "of"),
    [
        ("60s", 60, "wall"),
        ("60", 60, "wall"),
        ("1.5m", 90, "wall"),
        ("2 H", 7200, "wall"),
        ("90s cpu", 90, "cpu"),
        ("5m CPU", 300, "cpu"),
        ("5m wall", 300, "wall"),
    ],
)
def test_a_budget_is_read_as_it_is_written(text: str, seconds: float, of: str):
    assert Budget.parse(text) == Budget(seconds, "cpu" if of == "cpu" else "wall")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "60 parsecs",
            r"--budget '60 parsecs': write a number with s, m or h, e\.g\. 60s, 5m, or '90s cpu'\.",
        ),
        ("60d", r"--budget '60d': write a number with s, m or h"),
        ("soon", r"--budget 'soon': write a number with"),
        ("", r"--budget '': write a number with"),
        ("-5s", r"--budget '-5s': write a number with"),
        ("1e3s", r"--budget '1e3s': write a number with"),
        ("0s", r"--budget '0s' leaves no time for a single fit: give at least 1s\."),
        ("0.01m", r"--budget '0\.01m' leaves no time for a single fit: give at least 1s\."),
    ],
)
def test_a_budget_that_makes_no_sense_is_one_sentence(text: str, sentence: str):
    with pytest.raises(UserError, match=f"^{sentence}"):
        Budget.parse(text)


@given(st.text(max_size=12))
def test_no_text_breaks_the_reader(text: str):
    try:
        assert Budget.parse(text).seconds >= 1
    except UserError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("command", ["solve", "evaluate"])
def test_the_command_line_refuses_it_before_anything_is_left(command: str, tmp_path: Path, capsys):
    options = (
        [str(CLIENTS), "--target", TARGET]
        if command == "solve"
        else ["--suite", str(CLIENTS.parent)]
    )
    assert (
        main([command, *options, "--out", str(tmp_path / "out"), "--budget", "3 fortnights"]) == 2
    )
    assert capsys.readouterr().err.startswith("marl-llm: --budget '3 fortnights': write a number")
    assert not (tmp_path / "out").exists()


def test_a_wall_budget_counts_wall_time_and_a_cpu_budget_what_all_processes_used():
    wall = Clock(Budget(60), began=100, wall=lambda: 130, cpu=lambda: 1e9)
    assert wall.left() == 30 and wall.left(reserve=40) == -10
    cpu = Clock(
        Budget(60, "cpu"), cpu_began=2, wall=lambda: 1e9, cpu=lambda: 12, fits_cpu_s=lambda: 15
    )
    assert cpu.cpu_s == 25 and cpu.left(5) == 30


def test_no_single_fit_takes_more_than_a_small_share_of_the_budget():
    assert [Budget(s).fold_s for s in (1, 30, 60, 100, 3600)] == [3, 3, 6, 10, 20]

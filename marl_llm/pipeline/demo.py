"""`make demo`: the main job, end to end, on the embedded model: play, collect, train, compare."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from marl_llm.evaluation import Question, evaluate_suite, report_text
from marl_llm.pipeline.iterate import iterate, render_curve
from marl_llm.rollout.budget import Budget
from marl_llm.rollout.playing import Limits
from marl_llm.rollout.progress import minutes
from marl_llm.solve import solve_task
from marl_llm.tasks import TaskFile
from marl_llm.workspace.open_run import open_run
from marl_llm.workspace.teams import UNTRAINED, choose_team

logger = logging.getLogger(__name__)

RECIPE = Path("recipes/tiny/demo.yaml")
SUITE = Path("data/real")
SHOWN = (SUITE / "seattle-weather.csv", "weather")


def demo(directory: Path, say: Callable[[str], None]) -> None:
    """Run the demonstration into `directory`; started again it goes on where it stopped.

    Parameters
    ----------
    directory : Path
        The run's directory.
    say : callable
        Told each line of the show.
    """
    began = time.monotonic()
    with open_run(RECIPE, directory) as opened:
        url = opened.session.server().url
        say(f"\n1. Two untrained agents improve a model for {SHOWN[0]}\n")
        _solve(UNTRAINED, directory / "solve-untrained", url, say)
        say(
            "\n2. They play procedural tasks, and each role's adapter is trained on its own "
            "credit\n"
        )
        iterate(opened)
        say(render_curve(opened.run))
        say(
            "\n3. Untrained and trained pair, scripted pair and baselines on real CSVs, test part\n"
        )
        out = directory / "evaluation" / SUITE.name
        question = Question(repeats=REPEATS)
        report = evaluate_suite(
            opened.run, opened.recipe.playing, question, suite=SUITE, servers=(url,), out=out
        )
        say(report_text(report))
        say(f"\n4. The trained agents on {SHOWN[0]}\n")
        _solve(str(directory), directory / "solve-trained", url, say)
    say(
        f"\nDone in {minutes(time.monotonic() - began)} (minutes:seconds). Adapters: "
        f"{directory / 'adapters'}."
    )
    say(
        f"Your own CSV: marl-llm solve your.csv --target COLUMN --team {directory} --out runs/solve"
    )


LIMITS = Limits(Budget(60.0), steps=12)
REPEATS = 2
"""Episodes per CSV and team in the comparison."""
LIMITS = Limits(Budget(60.0), steps=6)
"""Of what is shown of both teams."""


def _solve(team: str, out: Path, url: str, say: Callable[[str], None]) -> None:
    entry, choice = TaskFile(SHOWN[0], SHOWN[1]), choose_team(team)
    solve_task(entry, team=choice, limits=LIMITS, out=out, servers=(url,), on_line=say)

"""One CSV improved by the scripted team, once for all tests that look at what is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from marl_llm.proposals import screened
from marl_llm.rollout.budget import Budget
from marl_llm.rollout.playing import Limits
from marl_llm.solve import SolveReport, solve_task
from marl_llm.tasks import TaskFile
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.teams import choose_team
from tests.lent_sandbox import lent_sandboxes

CLIENTS = Path(__file__).parents[2] / "data" / "examples" / "clientes.csv"
TARGET = "Cancelou"
STEPS, SEED = 3, 0
QUICK = Recipe.model_validate(
    {"environment": {"cv_folds": 2, "resamples": 100, "screen_folds": 1, "blend_members": 3}}
)
ALL_FAMILIES = screened._FAMILIES
AMPLE = Budget(600)
"""So much that results do not depend on the machine."""


def at_most(steps: int) -> Limits:
    """Ended by the number of proposals, not by time."""
    return Limits(AMPLE, steps)


@dataclass(frozen=True)
class Solved:
    """A finished `solve`: its directory, its report, and the lines it showed."""

    out: Path
    report: SolveReport
    lines: list[str]


@contextmanager
def five_families() -> Iterator[None]:
    """Five are enough to be claimed of, and quick; of all of them there are tests in
    tests/environment.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screened, "_FAMILIES", ALL_FAMILIES[:5])
        yield


@pytest.fixture(scope="module", autouse=True)
def few_families() -> Iterator[None]:
    with five_families(), lent_sandboxes():
        yield


@pytest.fixture(scope="session")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Solved:
    out, lines = tmp_path_factory.mktemp("solve") / "out", []
    entry = TaskFile(CLIENTS, TARGET, seed=SEED)
    with five_families(), lent_sandboxes():
        report = solve_task(
            entry,
            team=choose_team("scripted", QUICK),
            limits=at_most(STEPS),
            out=out,
            on_line=lines.append,
        )
    return Solved(out, report, lines)

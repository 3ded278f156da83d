"""The sandbox that tests of plays are lent is the shared one, remembers what ended by itself, and
runs everything else.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest

from marl_llm.sandbox import Fold, Limits, Sandbox, Status, opened
from marl_llm.sandbox.config import SandboxSection
from marl_llm.sandbox.slot import Slot
from marl_llm.workspace.open_run import open_sandbox
from tests import lent_sandbox
from tests.fixtures import shared_sandbox
from tests.lent_sandbox import LentSandbox, lent_sandboxes
from tests.sandbox.support import HONEST, same

SLOW = "import time\n" + HONEST.replace("    return", "    time.sleep(5)\n    return")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Codes that were really run."""
    shared_sandbox()  # its self-test is not counted
    ran: list[str] = []
    run = Slot.run_fold

    def watched(self: Slot, job, *more):
        ran.append(job.code)
        return run(self, job, *more)

    monkeypatch.setattr(Slot, "run_fold", watched)
    monkeypatch.setattr(lent_sandbox, "_remembered", {})
    return ran


def test_what_ended_by_itself_is_run_once_on_the_same_folds(runs, noise_folds: list[Fold]):
    first = LentSandbox().evaluate(HONEST, noise_folds[:1])
    again = LentSandbox().evaluate(HONEST, noise_folds[:1])
    assert first.status is Status.ok and again is first and runs == [HONEST]
    LentSandbox().evaluate(HONEST, noise_folds[1:2])
    LentSandbox().evaluate(HONEST, noise_folds[:1], seed=1)
    LentSandbox().evaluate(HONEST, noise_folds[:1], describe=False)
    assert len(runs) == 4


def test_one_that_remembers_nothing_runs_everything(runs, noise_folds: list[Fold]):
    first = LentSandbox().evaluate(HONEST, noise_folds[:1])
    again = LentSandbox(remembers=False).evaluate(HONEST, noise_folds[:1])
    assert len(runs) == 2 and same(first.predictions, again.predictions)


def test_tighter_limits_hold_of_what_looser_ones_let_end_and_a_cut_is_not_remembered(
    runs, noise_folds: list[Fold]
):
    tight = replace(Limits(), wall_s=0.2)
    assert LentSandbox(tight).evaluate(SLOW, noise_folds[:1]).status is Status.timeout
    assert LentSandbox(tight).evaluate(SLOW, noise_folds[:1]).status is Status.timeout
    assert len(runs) == 2
    LentSandbox().evaluate(HONEST, noise_folds[:1])
    LentSandbox(tight).evaluate(HONEST, noise_folds[:1])
    assert len(runs) == 4, "20 s say nothing of 0.2 s"


def test_closing_it_ends_nothing_and_whoever_asks_for_more_slots_gets_ones_of_their_own(
    noise_folds: list[Fold], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lent_sandbox, "Sandbox", lambda *asked, **more: nullcontext(asked))
    with lent_sandboxes():
        with open_sandbox(SandboxSection(wall_s=7)) as lent:
            assert isinstance(lent, LentSandbox) and lent.limits.wall_s == 7
        three = SandboxSection(slots=3)
        with open_sandbox(three) as own:
            assert own == (3, "bubblewrap", three.limits)
    assert shared_sandbox().evaluate(HONEST, noise_folds[:1]).status is Status.ok
    assert opened.Sandbox is Sandbox

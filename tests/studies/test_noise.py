"""The rate of deliveries that are worse than the start: exact intervals, counts by kind, and a run
that resumes.
"""

from __future__ import annotations

import json
from pathlib import Path

import noise as module
import pytest
from noise import Share, main, worse_rates
from scipy.stats import beta

from marl_llm.evaluation import play as play_module
from marl_llm.evaluation.countdown import Countdown
from marl_llm.evaluation.report import Result
from marl_llm.proposals import screened
from marl_llm.tasks.procedural.noisy import KINDS


@pytest.mark.parametrize(("count", "of"), [(0, 25), (1, 200), (7, 25), (25, 25)])
def test_intervals_are_those_of_clopper_and_pearson(count: int, of: int):
    share = Share.exact(count, of)
    low = beta.ppf(0.025, count, of - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, of - count) if count < of else 1.0
    assert (share.low, share.high) == (pytest.approx(low), pytest.approx(high))


def test_of_no_tasks_there_is_no_interval():
    assert Share.exact(0, 0) == Share(0, 0, None, None) and str(Share.exact(0, 0)) == "none"


def result(arm: str, seed: int, gain: float | None, high: float | None = None) -> Result:
    return Result(
        arm=arm,
        trial=f"n{seed}",
        task=f"noisy-{seed}",
        repeat=0,
        kind="binary",
        gain=gain,
        low=-1.0,
        high=high,
    )


def test_worse_at_all_and_significantly_worse_are_counted_by_kind_of_task():
    many = len(KINDS)
    results = [
        result("baseline", 0, -9.0, -9.0),
        result("no_agents", 0, -0.1, -0.01),
        result("no_agents", many, -0.1, 0.2),
        result("no_agents", 1, 0.0, 0.0),
        result("no_agents", 1 + many, None),
    ]
    found = {rate.kind: rate for rate in worse_rates(results)}
    assert list(found) == ["all", KINDS[0], KINDS[1]] and {rate.arm for rate in found.values()} == {
        "no_agents"
    }
    counts = {
        k: (r.worse.count, r.significant.count, r.worse.of, r.failed) for k, r in found.items()
    }
    assert counts == {"all": (2, 1, 3, 1), KINDS[0]: (2, 1, 2, 0), KINDS[1]: (0, 0, 1, 1)}


def test_the_time_left_is_estimated_from_the_trials_of_this_session():
    times = iter([0.0, 30.0, 40.0, 40.0])
    countdown = Countdown("no_agents", total=10, kept=4, now=lambda: next(times))
    countdown.trial()
    countdown.trial()
    assert countdown.line() == "no_agents: 6/10 trials, 1:20 left"


def test_it_plays_reports_and_resumes(comparing, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(screened, "_FAMILIES", screened._FAMILIES[:2])
    arguments = ["--tasks", "2", "--first-seed", "4", "--budget", "4s", "--arms", "no_agents"]
    arguments += ["--out", str(tmp_path / "out"), "--json", str(tmp_path / "noise.json")]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    written = json.loads((tmp_path / "noise.json").read_text())
    assert [(rate["kind"], rate["worse"]["of"]) for rate in written["rates"]] == [
        ("all", 2),
        ("pareto", 1),
        ("lognormal", 1),
    ]
    assert written["budget"] == "4 s of wall time" and "significantly worse" in shown
    monkeypatch.setattr(play_module, "BudgetedArm", lambda *_: pytest.fail("played again"))
    assert main(arguments) == 0 and capsys.readouterr().out == shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tasks", "0"], "--tasks 0 leaves nothing to do"),
        (["--budget", "2 moons"], "--budget '2 moons': write a number"),
        (["--arms", "no_agent"], "Unknown arm 'no_agent': did you mean 'no_agents'?"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str], says: str, tmp_path: Path, caplog
):
    with caplog.at_level("ERROR", logger=module.__name__):
        assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert says in caplog.text and not (tmp_path / "out").exists()

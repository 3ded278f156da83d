"""The report of an experiment, from made-up results whose figures were worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from experiment_figures.figures import by_seed, figures
from experiment_figures.material import Part, Played, read_material
from experiment_figures.targets import targets
from experiment_figures.text import to_markdown
from experiment_report import main, write_report
from headroom_file import DECIDES, Headroom, HeadroomFile, Step

from marl_llm.core.atomic import write_json, write_text
from marl_llm.core.errors import UserError
from marl_llm.environment import EnvironmentConfig
from marl_llm.evaluation.report import EvaluationReport, Result
from marl_llm.pipeline.experiment.config import Experiment, dump_experiment
from marl_llm.pipeline.experiment.layout import ExperimentDirectory, Point

TASKS = [f"t{i}" for i in range(6)]
BASE = [0.5, 0.6, 0.4, 0.8, 0.5, 0.6]
UNTRAINED = [0.02, 0.00, 0.04, 0.00, 0.02, 0.04]  # gains over the baseline; sum 0.12
TRAINED = {
    0: [0.06, 0.02, 0.10, 0.00, 0.04, 0.08],
    1: [0.10, 0.02, 0.14, -0.02, 0.04, 0.12],
}  # sums 0.30, 0.40
BEST = [
    0.08,
    0.00,
    0.12,
    0.00,
    0.10,
    0.10,
]  # sum 0.40; task 1 has no significant step, task 3 only on the hold-out


def a_result(
    arm: str, i: int, gain: float, tokens: float = 1000.0, steps: float = 4.0, **team: float
) -> Result:
    figures_ = {
        "tokens": tokens,
        "steps": steps,
        "finished_early": float(steps < 4),
        "accepted": 1.0,
    }
    figures_ |= {"compliance": 0.97, "failed_code": 0.04, "as_asked": 0.9, "invalid_actions": 0.0}
    figures_ |= {"redundant_actions": 0.1, "suggestions_with_gain": 0.2, **team}
    return Result(
        arm=arm,
        trial=f"{TASKS[i]}-r0",
        task=TASKS[i],
        repeat=0,
        kind="binary",
        test=BASE[i] + gain,
        gain=gain,
        low=gain - 0.05,
        high=gain + 0.05,
        team={} if arm == "baseline" else figures_,
    )


def untrained() -> list[Played]:
    return [Played(None, a_result("untrained", i, gain)) for i, gain in enumerate(UNTRAINED)]


def trained(seed: int, **changes: float) -> list[Played]:
    steps = [4.0, 1.0, 3.0, 2.0, 4.0, 3.0]  # with headroom 4, 3, 4, 3 (and 2 on task 3), without 1
    return [
        Played(seed, a_result("trained@4", i, gain, 600.0, steps[i], **changes))
        for i, gain in enumerate(TRAINED[seed])
    ]


def a_room(i: int) -> Headroom:
    best = Step(
        action="tune C=3.0",
        family="tune",
        gain=0.1,
        p_value=0.01,
        significant=True,
        test_gain=BEST[i],
    )
    oracle = best.model_copy(update={"test_gain": BEST[i] + 0.02})
    found = {} if i == 1 else {"best": best, "low": BEST[i] - 0.05, "high": BEST[i] + 0.05}
    return Headroom(
        trial=f"{TASKS[i]}-r0",
        task=TASKS[i],
        repeat=0,
        kind="binary",
        rows=100,
        columns=3,
        baseline=BASE[i],
        proposals=100,
        failed=0,
        significant=5,
        oracle=oracle,
        **found,
    )


def a_part(*played: list[Played], rooms: bool = True) -> Part:
    everything = [one for group in played for one in group]
    teams = {("untrained", 0): untrained()} | ({("per_role", 4): everything} if everything else {})
    baseline = {f"{TASKS[i]}-r0": a_result("baseline", i, 0.0) for i in range(6)}
    found = [a_room(i) for i in range(6)] if rooms else []
    return Part("benchmark", teams, baseline, {room.trial: room for room in found}, {})


def test_gain_difference_and_ratios_are_those_worked_out_by_hand():
    part = a_part(trained(0))
    one = figures(part, part.final("per_role"))
    assert one.gain.mean == pytest.approx(0.30 / 6)
    assert one.over_untrained.mean == pytest.approx((0.30 - 0.12) / 6)
    assert one.relative_score.mean == pytest.approx(0.18 / (3.4 + 0.12))
    assert one.relative_gain.mean == pytest.approx(0.18 / 0.12)
    assert one.of_best.mean == pytest.approx(0.30 / 0.40)
    assert one.of_oracle.mean == pytest.approx(0.30 / 0.52)
    assert one.tokens_change.mean == pytest.approx(-0.4)
    assert one.improved.mean == pytest.approx(
        3 / 6
    )  # 0.06, 0.10 and 0.08 lie more than 0.05 above zero
    assert one.worse.mean == 0
    differences = [0.04, 0.02, 0.06, 0.0, 0.02, 0.04]
    half = 2.570582 * np.std(differences, ddof=1) / 6**0.5  # Student's t, 5 degrees of freedom
    assert one.over_untrained.low == pytest.approx(0.03 - half, abs=1e-6)


def test_seeds_are_repetitions_within_a_task_and_stand_by_themselves():
    part = a_part(trained(0), trained(1))
    both, seeds = figures(part, part.final("per_role")), by_seed(part, part.final("per_role"))
    assert both.gain.mean == pytest.approx(0.70 / 12)
    assert both.of_best.mean == pytest.approx(0.35 / 0.40)
    assert {seed: round(one.gain.mean or 0, 6) for seed, one in seeds.items()} == {
        0: 0.05,
        1: round(0.4 / 6, 6),
    }
    again = [Played(9, one.result) for one in trained(0)]
    same = figures(a_part(trained(0), again), [*trained(0), *again])
    assert same.gain.low == pytest.approx(
        seeds[0].gain.low
    )  # the same answers again tell nothing new
    assert same.over_untrained.low == pytest.approx(seeds[0].over_untrained.low)
    assert (same.gain.tasks, same.gain.trials) == (6, 12)


def test_a_trial_without_a_score_is_counted_and_not_averaged():
    lost = Played(
        0,
        a_result("trained@4", 0, 0.0).model_copy(update={"test": None, "gain": None, "low": None}),
    )
    one = figures(a_part(), [lost, *trained(0)[1:]])
    assert (one.trials, one.failed, one.gain.tasks) == (6, 1, 5)
    assert one.gain.mean == pytest.approx(0.24 / 5)


def test_without_a_search_nothing_is_said_of_the_best_step():
    part = a_part(trained(0), rooms=False)
    one = figures(part, part.final("per_role"))
    assert (one.of_best.mean, one.splits) == (None, {})
    assert targets(one)[-1].verdict == "not measured"


def test_steps_are_compared_between_tasks_with_something_to_gain_and_without():
    part = a_part(trained(0))
    split = figures(part, part.final("per_role")).splits
    assert split["headroom"].steps_with.mean == pytest.approx((4 + 3 + 2 + 4 + 3) / 5)
    assert split["headroom"].steps_without.mean == 1
    assert split["headroom"].steps_difference.mean == pytest.approx(1 - 16 / 5)
    assert split["headroom"].steps_difference.low is None  # a single task without: no interval
    assert split["confirmed"].steps_with.mean == pytest.approx(
        (4 + 3 + 4 + 3) / 4
    )  # task 3's best step fails the test
    assert split["confirmed"].finished_without.mean == 1


def verdicts(**changes: float) -> dict[str, tuple[str, float | None]]:
    part = a_part(trained(0, **changes))
    found = targets(figures(part, part.final("per_role")))
    return {one.name.split(",")[0]: (one.verdict, one.missed_by) for one in found}


def test_targets_are_met_or_missed_by_so_much():
    found = verdicts()
    assert found["test score above the untrained pair's"] == ("met", None)
    assert found["tokens of an episode"] == ("met", None)
    assert (
        found["steps without headroom minus steps with (a significant step exists)"][0]
        == "too few tasks"
    )
    assert found["failed code"] == found["compliance"] == ("met", None)
    assert verdicts(failed_code=0.08)["failed code"] == ("missed", pytest.approx(0.03))
    assert verdicts(compliance=0.9)["compliance"] == ("missed", pytest.approx(0.05))
    part = a_part(trained(0))
    to_score = targets(figures(part, part.final("per_role")))[1]
    assert (to_score.verdict, to_score.missed_by) == ("missed", pytest.approx(0.12 - 0.18 / 3.52))


def test_there_is_no_verdict_before_all_seeds_are_done():
    part = a_part(trained(0))
    found = targets(figures(part, part.final("per_role")), complete=False)
    assert {one.verdict for one in found} == {"unfinished"} and not any(
        one.missed_by for one in found
    )


def test_an_interval_that_touches_zero_is_no_gain():
    part = a_part([Played(0, one.result) for one in untrained()])
    one = targets(figures(part, part.final("per_role")))[0]
    assert (one.verdict, one.missed_by) == ("missed", 0.0)


def an_experiment(root: Path, *, headroom_seed: int = 0) -> ExperimentDirectory:
    """A finished experiment of two arms on a benchmark of six tasks."""
    directory = ExperimentDirectory(root)
    arms = {
        "per_role": {"seeds": [0, 1], "about": "an adapter each"},
        "swapped": {"of": "per_role", "seeds": [0]},
    }
    experiment = Experiment.model_validate(
        {"name": "made-up", "base": {"iterations": 4}, "arms": arms}
    )
    write_text(root / "experiment.yaml", dump_experiment(experiment))
    teams = {
        Point("benchmark", "untrained", None, 0): untrained(),
        Point("benchmark", "swapped", 0, 4): trained(0),
    }
    teams |= {
        Point("benchmark", "per_role", seed, version): trained(seed)
        for seed in (0, 1)
        for version in (2, 4)
    }
    settings = {
        "environment": EnvironmentConfig().model_dump(mode="json"),
        "isolation": "bubblewrap",
    }
    for point, played in teams.items():
        results = [a_result("baseline", i, 0.0) for i in range(6)] + [one.result for one in played]
        report = EvaluationReport(
            name="bench",
            level=0.95,
            repeats=1,
            seed=0,
            tasks=6,
            settings=settings,
            arms=[],
            differences=[],
            results=results,
            problems=[],
            created_at="2026-01-01T00:00:00+00:00",
        )
        write_json(directory.report(point), report.to_dict())
    decides = {key: settings["environment"][key] for key in DECIDES}
    found = HeadroomFile(
        settings={"seed": headroom_seed, "environment": decides},
        fingerprint="",
        trials=[a_room(i) for i in range(6)],
    )
    write_json(root / "headroom-benchmark.json", found.model_dump(mode="json"))
    promotion = {"promoted": {"data_scientist": True, "ml_engineer": False}}
    training = {"data_scientist": {"tokens": 3000, "critic": {"explained_variance_heldout": None}}}
    training["ml_engineer"] = {"tokens": 1000, "frozen": True}
    done = {"iteration": 0, "promotion": promotion, "collected": {"rows": 90}, "training": training}
    write_json(directory.run("per_role", 1).metrics(0), done)
    later = training | {
        "data_scientist": {"tokens": 1000, "critic": {"explained_variance_heldout": 0.25}}
    }
    write_json(
        directory.run("per_role", 1).metrics(1),
        {"iteration": 1, "collected": {"rows": 30}, "training": later},
    )
    seconds = {"iteration": (240, 360), "benchmark": (600,)}
    units = [
        {"job": "per_role.s1", "kind": kind, "seconds": s}
        for kind, all_s in seconds.items()
        for s in all_s
    ]
    write_text(root / "units.jsonl", "".join(json.dumps(unit) + "\n" for unit in units))
    return directory


def test_the_report_holds_every_arm_version_and_seed(tmp_path: Path):
    directory = an_experiment(tmp_path / "runs")
    files = write_report(directory.root, tmp_path / "out")
    assert [file.name for file in files] == [
        "made-up.json",
        "made-up.md",
        "made-up-curves.png",
        "made-up-arms.png",
        "made-up-headroom.png",
    ]
    assert all(file.read_bytes()[:4] == b"\x89PNG" for file in files[2:])
    part = json.loads(files[0].read_text())["parts"]["benchmark"]
    assert {arm: sorted(versions) for arm, versions in part["arms"].items()} == {
        "untrained": ["0"],
        "per_role": ["2", "4"],
        "swapped": ["4"],
    }
    last = part["arms"]["per_role"]["4"]
    assert last["all"]["gain"]["mean"] == pytest.approx(0.70 / 12)
    assert last["seeds"]["1"]["of_best"]["mean"] == pytest.approx(1.0)
    assert len(last["trials"]) == 12
    assert part["headroom"]["t3-r0"]["headroom"] is True
    assert part["headroom"]["t3-r0"]["confirmed"] is False


def test_the_tables_name_targets_tasks_and_adapters_that_stayed(tmp_path: Path):
    text = to_markdown(read_material(an_experiment(tmp_path)))
    assert str(tmp_path) not in text
    assert "| compliance | at least 95% | 97.0% [97.0%, 97.0%] | met |" in text
    assert "per_role, seed 1, iteration 0: ml_engineer stays as it was" in text
    assert "data_scientist stays" not in text
    assert "| t0 | 0.500 | +0.020 | +0.080▲ | +0.060▲ | +0.080 | +0.100 | 1 of 1 |" in text
    assert "| t1 | 0.600 | +0.000 | +0.020 | +0.020 | +0.000 | +0.020 | 0 of 1 |" in text


def test_each_runs_size_and_time_are_told_and_what_its_critic_foresaw(tmp_path: Path):
    material = read_material(an_experiment(tmp_path))
    text = to_markdown(material)
    assert "| per_role, seed 1 | 2 | 60 | 3000 | 5.0 | 10.0 | 0.33 |" in text
    assert "| per_role, seed 0 |" not in text, "nothing of it is finished"
    assert (
        "per_role, seed 1: the data_scientist's critic" in text
        and "before it learned from them: -, 0.25" in text
    )
    assert [run["iteration_s"] for run in material.runs] == [[], [240, 360]]


def test_a_search_with_another_seed_cannot_be_joined(tmp_path: Path):
    with pytest.raises(UserError, match="another seed"):
        read_material(an_experiment(tmp_path, headroom_seed=3))


def test_an_experiment_without_a_finished_point_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_text(
        tmp_path / "experiment.yaml",
        dump_experiment(Experiment.model_validate({"base": {}, "arms": {"per_role": {}}})),
    )
    assert main([str(tmp_path), str(tmp_path / "out")]) == 2
    with pytest.raises(UserError, match="nothing was evaluated yet"):
        read_material(ExperimentDirectory(tmp_path))

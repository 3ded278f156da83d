"""An experiment: what is compared, in which order it is run, and that it can be stopped and goes
on.

The queue is tested with processes that leave the files of a job without playing; the real worker
plays in none of these tests, since it starts a model server of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest
import yaml

from marl_llm.core import owner
from marl_llm.core.errors import RunFailed, UserError
from marl_llm.core.roles import ROLES, TEAM
from marl_llm.evaluation.arms import make_arm
from marl_llm.pipeline.experiment import runner
from marl_llm.pipeline.experiment.config import Experiment, dump_experiment, load_experiment, merged
from marl_llm.pipeline.experiment.jobs import ITERATION, Job, Unit, left, plan, startable, time_left
from marl_llm.pipeline.experiment.layout import PARTS, ExperimentDirectory, Point, untrained_point
from marl_llm.pipeline.experiment.points import check_benchmark, team_of
from marl_llm.pipeline.experiment.runner import Runner, durations, prepare, run_experiment
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory
from tests.dispositions import heeding_ctrl_c, ignoring_ctrl_c

SMALL = """
name: small
base: {iterations: 4, tasks: {first_seed: 100, per_iteration: 10}}
overrides: {rollout: {proposals: 3}}
evaluation: {tasks: 2}
arms:
  per_role: {seeds: [0, 1]}
  swapped: {of: per_role, seeds: [1], at: [4]}
  shared: {overrides: {model: {adapters: shared}, rollout: {proposals: 5}}}
"""


def written(folder: Path, text: str = SMALL) -> Path:
    path = folder / "experiment.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return load_experiment(written(tmp_path))


def test_overrides_replace_single_keys_and_leave_what_they_start_from_alone():
    base = {"a": {"b": 1, "c": [1]}, "d": 2}
    assert merged(base, {"a": {"b": 3}, "d": {"e": 4}}) == {"a": {"b": 3, "c": [1]}, "d": {"e": 4}}
    assert base == {"a": {"b": 1, "c": [1]}, "d": 2}


def test_an_arms_recipe_is_the_base_with_its_own_keys(experiment):
    shared = experiment.recipe("shared", 0)
    assert (shared.model.adapters, shared.rollout.proposals, shared.name) == (
        "shared",
        5,
        "small-shared-s0",
    )
    assert experiment.recipe("per_role", 0).rollout.proposals == 3


def test_another_seed_trains_on_other_tasks_and_all_arms_of_a_seed_on_the_same(experiment):
    first = [experiment.recipe("per_role", seed).tasks.first_seed for seed in (0, 1)]
    assert first == [100, 140] and experiment.recipe("per_role", 1).seed == 1
    assert experiment.recipe("shared", 0).tasks == experiment.recipe("per_role", 0).tasks


def test_a_swapped_arm_has_the_recipe_whose_adapters_it_plays_with(tmp_path):
    content = merged(
        yaml.safe_load(SMALL), {"arms": {"per_role": {"overrides": {"rollout": {"proposals": 7}}}}}
    )
    experiment = load_experiment(written(tmp_path, yaml.safe_dump(content)))
    assert experiment.recipe("swapped", 1) == experiment.recipe("per_role", 1)
    assert experiment.recipe("swapped", 1).rollout.proposals == 7


def test_evaluated_are_the_middle_and_the_end_unless_said_otherwise(experiment):
    assert experiment.versions("per_role") == (2, 4) and experiment.versions("swapped") == (4,)


def test_the_resolved_experiment_is_read_back_as_it_was(experiment, tmp_path):
    assert load_experiment(written(tmp_path, dump_experiment(experiment))) == experiment


def test_the_base_recipe_is_seen_from_the_experiments_file(experiment, tmp_path):
    (tmp_path / "base.yaml").write_text(
        "iterations: 4\ntasks: {first_seed: 100, per_iteration: 10}\n"
    )
    content = yaml.safe_load(SMALL) | {"base": "base.yaml"}
    assert load_experiment(written(tmp_path, yaml.safe_dump(content))).recipe(
        "shared", 0
    ) == experiment.recipe("shared", 0)


def test_the_experiment_of_the_repository_is_one():
    experiment = load_experiment(Path("recipes/tiny/experiment.yaml"))
    assert (
        experiment.recipe("per_role", 2).iterations >= 5
        and len(experiment.arms["per_role"].seeds) >= 3
    )
    assert experiment.evaluation.tasks >= 32
    assert {"per_role", "swapped", "shared", "procedural_only", "no_experience"} <= set(
        experiment.arms
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"armz": {}}, "unknown key 'armz'; did you mean 'arms'?"),
        (
            {"arms": {"per_role": {"seed": [1]}}},
            "unknown key 'arms.per_role.seed'; did you mean 'seeds'?",
        ),
        (
            {"arms": {"per_role": {"overrides": {"rolout": {}}}}},
            "arm 'per_role': unknown key 'rolout'",
        ),
        ({"arms": {"per_role": {"overrides": {"training": {"alone": 0}}}}}, "key 'training.alone'"),
        ({"arms": {"untrained": {}}}, "arms.untrained"),
        ({"arms": {"per-role": {}}}, "arms.per-role"),
        ({"arms": {"per_role": {"seeds": [1, 1]}}}, "arms.per_role.seeds"),
        ({"arms": {"swapped": {"of": "swapped"}}}, "arms.swapped.of"),
        ({"arms": {"swapped": {"seeds": [7]}}}, "only seeds of per_role"),
        ({"arms": {"per_role": {"at": [9]}}}, "no version is evaluated"),
        ({"main": "best"}, "there is no arm 'best'"),
        ({"base": "nowhere.yaml"}, "nowhere.yaml: there is no such recipe"),
        ({"evaluation": {"tasks": 0}}, "key 'evaluation.tasks'"),
    ],
)
def test_a_mistake_in_an_experiment_is_one_sentence_that_names_the_key(tmp_path, change, says):
    content = merged(yaml.safe_load(SMALL), change)
    with pytest.raises(UserError) as caught:
        load_experiment(written(tmp_path, yaml.safe_dump(content)))
    assert says in str(caught.value) and "\n" not in str(caught.value)


def short(units) -> list[str]:
    return [f"{unit.kind[0]}{unit.number}" for unit in units]


def test_the_plan_is_the_untrained_team_then_arm_by_arm_and_seed_by_seed(experiment):
    jobs = plan(experiment, PARTS)
    assert [job.name for job in jobs] == [
        "untrained",
        "per_role.s0",
        "per_role.s1",
        "swapped.s1",
        "shared.s0",
    ]
    assert jobs[0].units == (Unit("procedural", 0), Unit("benchmark", 0))
    assert [f"{unit.kind[0]}{unit.number}" for unit in jobs[1].units] == [
        "i0",
        "i1",
        "p2",
        "b2",
        "i2",
        "i3",
        "p4",
        "b4",
    ]
    assert jobs[3].needs == "per_role.s1" and jobs[3].units == (
        Unit("procedural", 4),
        Unit("benchmark", 4),
    )
    assert [job.name for job in plan(experiment, PARTS, ["shared"])] == ["untrained", "shared.s0"]


def test_a_job_does_not_start_before_the_one_it_needs():
    first, second = Job("b", 0, "a.s0", ()), Job("c", 0, None, ())
    assert startable([first, second], ["a.s0"]) is second
    assert startable([first, second], []) is first
    assert startable([first], ["a.s0"]) is None


def test_the_time_left_is_the_mean_of_each_kind_shared_by_the_runs_at_once():
    units = [Unit("iteration", 0), Unit("procedural", 2), Unit("benchmark", 2)]
    assert time_left(units, {}, 2) is None
    # an iteration of 15 s, an evaluation of 60 s, and one of a kind never timed: the mean of all,
    # 30 s
    assert time_left(units, {"iteration": [10.0, 20.0], "procedural": [60.0]}, 2) == pytest.approx(
        (15 + 60 + 30) / 2
    )


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")


def test_progress_and_points_are_read_off_the_files(experiment, tmp_path):
    directory = ExperimentDirectory(tmp_path)
    job = plan(experiment, PARTS)[1]
    assert left(directory, job) == list(job.units) and directory.points() == []
    touch(directory.run("per_role", 0).metrics(0))
    late, early = Point("procedural", "per_role", 0, 10), Point("procedural", "per_role", 0, 2)
    for point in (late, early, untrained_point("benchmark")):
        touch(directory.report(point))
    touch(tmp_path / "evaluation" / "procedural" / "something else" / "evaluation.json")
    assert directory.points() == [untrained_point("benchmark"), early, late]
    assert short(left(directory, job)) == ["i1", "b2", "i2", "i3", "p4", "b4"]


def test_a_points_team_is_named_as_evaluations_name_it(experiment):
    assert team_of(experiment, untrained_point("procedural")) == "untrained"
    assert team_of(experiment, Point("procedural", "per_role", 0, 2)) == "trained@2"
    assert team_of(experiment, Point("procedural", "swapped", 1, 4)) == "swapped@4"


def test_a_directory_takes_more_arms_and_seeds_but_no_other_experiment(experiment, tmp_path):
    directory = ExperimentDirectory(tmp_path / "out")
    prepare(directory, experiment)
    more = merged(
        yaml.safe_load(SMALL), {"at_once": 1, "arms": {"per_role": {"seeds": [0, 1, 2]}, "new": {}}}
    )
    prepare(directory, load_experiment(written(tmp_path, yaml.safe_dump(more))))
    assert "new" in directory.experiment().arms
    for change in (
        {"evaluation": {"tasks": 3}},
        {"base": {"iterations": 5}},
        {"arms": {"shared": {"overrides": {}}}},
    ):
        other = yaml.safe_load(SMALL) | change if "arms" not in change else yaml.safe_load(SMALL)
        if "arms" in change:
            other["arms"]["shared"] = {}
        with pytest.raises(UserError, match="holds another experiment"):
            prepare(directory, load_experiment(written(tmp_path, yaml.safe_dump(other))))


def test_another_benchmark_than_the_first_is_refused(tmp_path):
    directory = ExperimentDirectory(tmp_path)
    check_benchmark(directory, Path("data/real"))
    check_benchmark(directory, Path("data/real"))
    with pytest.raises(UserError, match="is not the benchmark"):
        check_benchmark(directory, Path("data/bundled"))


STAND_IN = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, OWNER)
from owner import stop_with_owner
out, name = Path(sys.argv[1]), sys.argv[2]
with (out / "order").open("a") as file:
    file.write(name + "\\n")
if name in FAILS:
    print(json.dumps({"event": "error", "message": "out of luck"}))
    sys.exit(1)
stop_with_owner()
try:
    for kind, number, file in JOBS[name]:
        path = out / file
        if not path.is_file():
            time.sleep(SLEEP)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
            unit = {"event": "unit", "kind": kind, "number": number, "seconds": 60}
            print(json.dumps(unit), flush=True)
except KeyboardInterrupt:
    (out / f"stopped-{name}").touch()
    sys.exit(130)
"""


def stand_in(folder: Path, *, sleep: float = 0.0, fails: tuple[str, ...] = ()) -> list[str]:
    """A worker that plays nothing: writes the files of its units."""
    jobs, directory = {}, ExperimentDirectory(Path())
    for job in plan(load_experiment(written(folder)), ("procedural",)):
        files = [
            directory.run(job.arm, job.seed or 0).metrics(unit.number)
            if unit.kind == ITERATION
            else directory.report(job.point(unit))
            for unit in job.units
        ]
        jobs[job.name] = [
            [u.kind, u.number, str(file)] for u, file in zip(job.units, files, strict=True)
        ]
    values = {
        "SLEEP": sleep,
        "FAILS": fails,
        "JOBS": jobs,
        "OWNER": str(Path(owner.__file__).parent),
    }
    text = "".join(f"{name} = {value!r}\n" for name, value in values.items()) + STAND_IN
    path = folder / "stand_in.py"
    path.write_text(text)
    return [sys.executable, str(path)]


def order(out: Path) -> list[str]:
    return (out / "order").read_text().split()


def test_all_jobs_are_run_once_and_a_second_time_none(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "WORKER", stand_in(tmp_path))
    lines: list[str] = []
    out = run_experiment(written(tmp_path), tmp_path / "out", lines.append)
    assert sorted(order(out.root)) == [
        "per_role.s0",
        "per_role.s1",
        "shared.s0",
        "swapped.s1",
        "untrained",
    ]
    assert order(out.root).index("swapped.s1") > order(out.root).index("per_role.s1")
    assert len(out.points()) == 1 + 2 * 2 + 1 + 2
    assert "20 of 20 units done" in "\n".join(lines) and any("about 0:0" in line for line in lines)
    assert durations(out) == {"procedural": [60] * 8, "iteration": [60] * 12}
    run_experiment(written(tmp_path), tmp_path / "out", lines.append)
    assert len(order(out.root)) == 5


def test_a_job_that_fails_stops_only_those_that_need_it(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "WORKER", stand_in(tmp_path, fails=("per_role.s1",)))
    with pytest.raises(RunFailed, match=r"per_role.s1: out of luck \(2 of 5 jobs failed"):
        run_experiment(written(tmp_path), tmp_path / "out", lambda line: None)
    assert sorted(order(tmp_path / "out")) == [
        "per_role.s0",
        "per_role.s1",
        "shared.s0",
        "untrained",
    ]
    monkeypatch.setattr(runner, "WORKER", stand_in(tmp_path))
    run_experiment(written(tmp_path), tmp_path / "out", lambda line: None)
    assert order(tmp_path / "out")[-2:] == ["per_role.s1", "swapped.s1"]


def test_an_arm_alone_leaves_the_others_for_later_and_an_unknown_one_is_refused(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(runner, "WORKER", stand_in(tmp_path))
    with pytest.raises(UserError, match="there is no arm 'sharde'"):
        run_experiment(written(tmp_path), tmp_path / "out", lambda line: None, arms=["sharde"])
    with pytest.raises(RunFailed, match="swapped.s1: it needs per_role.s1"):
        run_experiment(written(tmp_path), tmp_path / "out", lambda line: None, arms=["swapped"])
    run_experiment(written(tmp_path), tmp_path / "out", lambda line: None, arms=["shared"])
    assert order(tmp_path / "out") == ["untrained", "shared.s0"]


MAIN = """
import sys
from pathlib import Path
from marl_llm import cli
from marl_llm.core import owner
from marl_llm.pipeline.experiment import runner
runner.WORKER = WORKER_COMMAND
sys.exit(cli.main(sys.argv[1:]))
"""


def running_workers(script: Path) -> list[int]:
    """Processes that run the stand-in."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        found += [int(process.name)] if str(script).encode() in words else []
    return found


@pytest.mark.parametrize(
    ("blow", "before"),
    [
        (signal.SIGINT, heeding_ctrl_c),
        (signal.SIGKILL, heeding_ctrl_c),
        (signal.SIGTERM, ignoring_ctrl_c),
    ],
    ids=["ctrl-c", "killed", "background"],
)
def test_stopped_in_the_middle_it_leaves_no_process_and_goes_on_where_it_was(
    tmp_path, monkeypatch, blow, before
):
    worker = stand_in(tmp_path, sleep=0.3)
    main = tmp_path / "main.py"
    main.write_text(MAIN.replace("WORKER_COMMAND", repr(worker)))
    out = tmp_path / "out"
    command = [
        sys.executable,
        str(main),
        "experiment",
        "--recipe",
        str(written(tmp_path)),
        "--out",
        str(out),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=before
    )
    deadline = time.monotonic() + 60
    while not list(out.glob("runs/*/*/iteration_0000/metrics.json")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, blow)
    _, errors = process.communicate(timeout=30)
    while running_workers(Path(worker[1])):
        assert time.monotonic() < deadline, "a worker outlived its owner"
        time.sleep(0.05)
    if blow == signal.SIGINT:
        assert (
            process.returncode == 130
            and "goes on from there" in errors
            and "Traceback" not in errors
        )
    assert list(out.glob("stopped-*"))
    done = set(out.glob("runs/*/*/iteration_*/metrics.json"))
    written_then = {path: path.stat().st_mtime_ns for path in done}
    monkeypatch.setattr(runner, "WORKER", stand_in(tmp_path))
    run_experiment(tmp_path / "experiment.yaml", out, lambda line: None)
    assert {path: path.stat().st_mtime_ns for path in done} == written_then
    assert len(ExperimentDirectory(out).points()) == 8


def test_durations_skip_the_half_line_of_a_killed_process(tmp_path):
    whole = json.dumps({"kind": "iteration", "seconds": 2.0})
    (tmp_path / "units.jsonl").write_text(whole + "\n" + whole[:9])
    assert durations(ExperimentDirectory(tmp_path)) == {"iteration": [2.0]}


def test_a_queue_without_work_ends_at_once(experiment, tmp_path):
    directory = ExperimentDirectory(tmp_path)
    assert Runner(directory, [], None, 2, lambda line: None).run() == []


def run_with_adapters(root: Path, *trainees: str) -> RunDirectory:
    run = RunDirectory(root)
    for trainee in trainees:
        folder = run.adapters / f"{trainee}-v3"
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text("{}")
        (folder / "adapter_model.safetensors").write_text(trainee)
    return run


def test_swapped_roles_play_with_each_others_adapters(tmp_path):
    run = run_with_adapters(tmp_path, *ROLES)
    own = make_arm("trained@3", Recipe().playing, run, 0)
    arm = make_arm("swapped@3", Recipe().playing, run, 0)
    assert own.roles and arm.roles
    assert {role: policy.directory for role, policy in arm.roles.items()} == {
        ROLES[0]: run.adapters / f"{ROLES[1]}-v3",
        ROLES[1]: run.adapters / f"{ROLES[0]}-v3",
    }
    assert [arm.roles[role] for role in ROLES] == [own.roles[role] for role in reversed(ROLES)]
    assert arm.fingerprint != own.fingerprint and arm.folder.startswith("swapped-v3-")


def test_one_shared_adapter_cannot_be_swapped(tmp_path):
    run = run_with_adapters(tmp_path, TEAM)
    (run.adapters / f"{TEAM}-v3").rename(run.adapters / f"{TEAM}-v0")
    with pytest.raises(UserError, match="nothing to swap"):
        make_arm("swapped", Recipe().playing, run, 0)


def test_a_job_that_starts_while_all_are_stopped_does_not_disturb_it(experiment, tmp_path):
    queue = Runner(ExperimentDirectory(tmp_path), [], None, 2, lambda line: None)

    class Slow:
        """A process that takes its time to end, while another job's starts."""

        stdin = None

        def poll(self) -> None:
            return None

        def wait(self, seconds: float) -> None:
            queue._processes["late"] = queue._processes["early"]

    queue._processes["early"] = cast("subprocess.Popen[str]", Slow())
    queue._stop_all()
    assert set(queue._processes) == {"early", "late"}

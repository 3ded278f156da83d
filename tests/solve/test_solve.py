"""What `solve` leaves, and that an interruption loses nothing."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from marl_llm.cli import main
from marl_llm.core.errors import UserError
from marl_llm.proposals import PipelineSpec, generate_code
from marl_llm.solve import read_memory, solve_task
from marl_llm.solve.report import PARTS
from marl_llm.solve.solve import fit_model
from marl_llm.solve.whole import whole_table
from marl_llm.tasks import Task, TaskFile
from marl_llm.workspace.teams import choose_team
from tests.dispositions import heeding_ctrl_c, ignoring_ctrl_c
from tests.solve.conftest import CLIENTS, QUICK, SEED, STEPS, TARGET, Solved, at_most
from tests.tasks.test_small_classes import small_classes

BUNDLED = CLIENTS.parents[1] / "bundled"


def history(out: Path) -> list[dict]:
    return [
        json.loads(line)
        for line in (out / "history.jsonl").read_text(encoding="utf-8").splitlines()
    ]


def test_the_report_on_disk_is_the_report_returned(solved: Solved):
    assert json.loads((solved.out / "report.json").read_text()) == json.loads(
        json.dumps(solved.report.to_dict())
    )
    assert solved.report.status == "done"
    assert solved.report.isolation == "bubblewrap"


def test_steps_are_an_upper_bound_and_every_proposal_is_in_the_history_the_one_tried_beside_too(
    solved: Solved,
):
    assert [(line["step"], line["beside"]) for line in history(solved.out)] == [
        (1, False),
        (2, True),
        (3, False),
    ]
    assert solved.report.steps == STEPS and solved.report.stopped == "3 proposals were made"


def test_gains_are_differences_of_scores_on_every_part(solved: Solved):
    report = solved.report
    for part in PARTS:
        first, last = report.baseline[part], report.final[part]
        assert first is not None and last is not None
        assert set(first["raw"]) == set(report.metrics)
        assert report.gain[part] == pytest.approx(last["score"] - first["score"])


def test_the_history_tells_what_became_of_each_suggestion(solved: Solved):
    followed = [line for line in history(solved.out) if not line["beside"]]
    for line in followed:
        ran = line["after"]["holdout"] is not None
        assert (line["gain"] is not None) == (line["p_value"] is not None) == ran
        assert set(line["tokens"]) == {"data_scientist", "ml_engineer"}
        assert line["seconds"] > 0
    assert (
        len([line for line in followed if line["verdict"] == "accepted"]) == solved.report.accepted
    )


def test_each_step_is_shown_as_a_line_and_the_model_at_the_end(solved: Solved):
    steps = [line for line in solved.lines if line.lstrip()[:1].isdigit()]
    assert [int(line.split()[0]) for line in steps] == [0, 1, 2, 3]
    assert any("decimal comma" in line for line in solved.lines)
    assert any(
        line.startswith("Stopped after 3 proposals: 3 proposals were made. ")
        for line in solved.lines
    )
    assert any(line.strip().startswith("test (read once)") for line in solved.lines)


def test_the_model_file_predicts_as_the_spec_fitted_here(solved: Solved):
    task = Task.from_csv(CLIENTS, target=TARGET, seed=SEED)
    table = whole_table(task)
    content = joblib.load(solved.out / "model.joblib")
    reference = fit_model(PipelineSpec.model_validate(solved.report.spec), table, SEED)
    assert np.array_equal(content["model"].predict_proba(table.X), reference.predict_proba(table.X))
    assert content["classes"] == ["Não", "Sim"]
    assert [(c["alias"], c["name"]) for c in content["columns"]] == [
        (c.alias, c.name) for c in task.columns
    ]


def test_the_delivered_code_is_the_code_of_the_spec(solved: Solved):
    spec = PipelineSpec.model_validate(solved.report.spec)
    assert solved.report.code == generate_code(spec)
    tree = ast.parse((solved.out / "solution.py").read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in ast.parse(solved.report.code).body:
        assert isinstance(node, ast.FunctionDef)
        assert ast.dump(node) == ast.dump(functions[node.name])


def test_an_interruption_keeps_history_solution_and_model(solved: Solved, tmp_path: Path):
    def stop_at_two(line: str) -> None:
        if line.lstrip().startswith("2 "):
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        solve_task(
            TaskFile(CLIENTS, TARGET, seed=SEED),
            team=choose_team("scripted", QUICK),
            limits=at_most(STEPS),
            out=out,
            on_line=stop_at_two,
        )
    kept = [(line["proposal"], line["verdict"], line["gain"]) for line in history(out)]
    assert kept == [
        (line["proposal"], line["verdict"], line["gain"]) for line in history(solved.out)[:2]
    ]
    report = json.loads((out / "report.json").read_text())
    assert (
        report["status"] == "interrupted"
        and report["steps"] == 2
        and report["stopped"] == "interrupted"
        and report["final"]["test"] is None
    )
    assert (
        joblib.load(out / "model.joblib")["model"]
        .predict_proba(whole_table(Task.from_csv(CLIENTS, target=TARGET)).X)
        .any()
    )
    done = subprocess.run(
        [
            sys.executable,
            str(out / "solution.py"),
            str(CLIENTS),
            str(CLIENTS),
            str(tmp_path / "predicted.csv"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("moment", ["in the look", "in the play"])
def test_ctrl_c_ends_a_long_solve_at_once_and_delivers(tmp_path: Path, moment: str):
    """At once: without waiting for fits that run, in the process that ends as much as on the
    screen.
    """
    out = tmp_path / "out"
    families = "" if moment == "in the look" else "[:5]"  # the play then begins sooner
    program = (
        "from marl_llm.proposals import screened; "
        f"screened._FAMILIES = screened._FAMILIES{families}; "
        "from pathlib import Path; from marl_llm.solve import solve_task; from marl_llm.tasks "
        "import TaskFile; from marl_llm.rollout.playing import Limits; from "
        f"marl_llm.rollout.budget import Budget; task = TaskFile(Path({str(CLIENTS)!r}), "
        f"{TARGET!r}); from marl_llm.workspace.teams import choose_team; solve_task(task, "
        f"team=choose_team('scripted'), limits=Limits(Budget(600)), out=Path({str(out)!r}))"
    )
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=root,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeding_ctrl_c,
    )
    deadline = time.monotonic() + 90
    while not ((out / "history.jsonl").is_file() and (moment == "in the look" or history(out))):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert errors.strip().splitlines()[-1] == "KeyboardInterrupt"
    report = json.loads((out / "report.json").read_text())
    assert report["status"] == "interrupted" and report["steps"] == len(history(out))
    assert (report["steps"] > 0) == (moment == "in the play")
    assert (out / "solution.py").is_file() and (out / "model.joblib").is_file()


@pytest.mark.parametrize("moment", ["before there is a model", "in the play"])
def test_sigterm_delivers_what_there_is_or_says_that_there_is_nothing(tmp_path: Path, moment: str):
    out = tmp_path / "out"
    told = ["--target", TARGET, "--team", "scripted", "--budget", "10m", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "marl_llm.cli", "solve", str(CLIENTS), *told],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=ignoring_ctrl_c,
    )
    awaited = out / (".lock" if moment.startswith("before") else "history.jsonl")
    deadline = time.monotonic() + 180
    while not awaited.is_file():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    if moment.startswith("before"):
        with pytest.raises(UserError, match=rf"at work there \(process {process.pid}, .* solve, "):
            solve_task(TaskFile(CLIENTS, TARGET), team=choose_team("scripted"), out=out)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143 and "Traceback" not in errors
    last = errors.strip().splitlines()[-1]
    delivered = (out / "solution.py").is_file() and (out / "model.joblib").is_file()
    kept = "the best model so far" if delivered else "there was no model to deliver yet"
    assert last.startswith(f"marl-llm: stopped by SIGTERM; {kept}")
    assert delivered == (moment == "in the play")


def test_results_of_another_csv_are_not_overwritten(solved: Solved):
    before = (solved.out / "report.json").read_bytes()
    with pytest.raises(
        UserError,
        match="holds other files than results for .*wine.csv: name a new or empty directory",
    ):
        entry = TaskFile(BUNDLED / "wine.csv", "cultivar")
        solve_task(entry, team=choose_team("scripted"), out=solved.out)
    assert (solved.out / "report.json").read_bytes() == before


MEASURED = ("accepted", "no_gain")


def test_what_an_earlier_solve_tried_is_not_tried_again(solved: Solved, tmp_path: Path):
    memory = read_memory(solved.out)
    proposals = [line["proposal"] for line in history(solved.out)]
    families, tried = memory.entries[: -len(proposals)], memory.entries[-len(proposals) :]
    assert [entry.text for entry in tried] == proposals and families
    assert all(
        entry.text.startswith("propose_model") and entry.spec is not None for entry in families
    )
    out = tmp_path / "again"
    entry = TaskFile(CLIENTS, TARGET, seed=SEED)
    team = choose_team("scripted", QUICK)
    solve_task(entry, team=team, limits=at_most(STEPS), out=out, memory=memory)
    again = read_memory(out).entries[len(memory.entries) :]
    known = [
        one.spec.normal()
        for one in memory.entries
        if one.spec is not None and one.verdict in MEASURED
    ]
    measured = [
        one.spec.normal() for one in again if one.spec is not None and one.verdict in MEASURED
    ]
    assert not any(spec in known for spec in measured) and "redundant" in [
        one.verdict for one in again
    ]
    assert len(read_memory(out).entries) == len(families) + 2 * STEPS, "families are not told twice"


def test_a_file_that_is_no_memory_is_named(tmp_path: Path):
    (tmp_path / "memory.json").write_text('[{"text": 1}]')
    with pytest.raises(
        UserError, match=r"memory\.json is no memory of an earlier solve \(not a memory: 0\.text"
    ):
        read_memory(tmp_path)


@pytest.mark.parametrize("sizes", [[80, 60, 1, 2, 3, 5, 8], [80, 5]], ids=str)
def test_small_classes_are_learned_and_predicted_by_their_names(
    sizes: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    table, out = tmp_path / "t.csv", tmp_path / "out"
    small_classes(sizes).drop(columns="day").to_csv(table, index=False)
    arguments = [
        "solve",
        table,
        "--target",
        "y",
        "--team",
        "scripted",
        "--steps",
        "2",
        "--out",
        out,
    ]
    assert main([str(argument) for argument in arguments]) == 0
    said = "".join(capsys.readouterr())
    assert ("'c2' (1 row), 'c3' (2 rows), 'c4' (3 rows)" in said) == (len(sizes) > 2)
    predicted = tmp_path / "predicted.csv"
    subprocess.run(
        [sys.executable, str(out / "solution.py"), str(table), str(table), str(predicted)],
        check=True,
    )
    names = [f"c{i}" for i in range(len(sizes))]
    answer = pd.read_csv(predicted)
    assert list(answer.columns) == ["y", *(f"probability {name}" for name in names)] and set(
        answer["y"]
    ) <= set(names)

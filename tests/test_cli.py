"""The command line as a person meets it: exit codes, one sentence for each mistake, nothing
lost.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from marl_llm.cli import main
from marl_llm.core.errors import RunFailed
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory
from tests.lent_sandbox import lent_sandboxes
from tests.solve.conftest import five_families

BUNDLED = Path("data/bundled")
EXPERIMENT = Path("recipes/tiny/experiment.yaml")


@pytest.fixture(scope="module", autouse=True)
def quick_plays() -> Iterator[None]:
    """In the session's sandbox, with five families of models."""
    with five_families(), lent_sandboxes():
        yield


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(a) for a in ("--quiet", *arguments)])
    out = capsys.readouterr()
    return code, out.out, out.err


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one sentence a user's mistake gets, with exit code 2."""
    code, _, err = run(capsys, *arguments)
    assert code == 2
    lines = err.strip().splitlines()
    assert len(lines) == 1 and "Traceback" not in err
    return lines[0]


def solve(csv: object, target: str, out: Path, *more: object) -> list[object]:
    return ["solve", csv, "--target", target, "--team", "scripted", "--out", out, *more]


def test_a_missing_csv_is_named(capsys, tmp_path):
    assert "nowhere.csv" in refused(capsys, *solve(tmp_path / "nowhere.csv", "y", tmp_path / "out"))


def test_a_target_that_is_no_column_gets_the_nearest_name(capsys, tmp_path):
    assert "'cultivar'" in refused(
        capsys, *solve(BUNDLED / "wine.csv", "cultivr", tmp_path / "out")
    )


def test_a_feature_with_a_typo_gets_the_nearest_name(capsys, tmp_path):
    sentence = refused(
        capsys,
        *solve(BUNDLED / "wine.csv", "cultivar", tmp_path / "out", "--features", "alcohl,ash"),
    )
    assert "'alcohol'" in sentence


def test_a_metric_that_does_not_fit_the_target_is_refused(capsys, tmp_path):
    sentence = refused(
        capsys, *solve(BUNDLED / "wine.csv", "cultivar", tmp_path / "out", "--metric", "r2=1")
    )
    assert "r2" in sentence


@pytest.mark.parametrize(
    ("text", "word"), [("", "empty"), ("a,y\n" + "1,1\n2,1\n" * 30, "same value")]
)
def test_an_empty_csv_and_a_target_with_one_class_are_refused(capsys, tmp_path, text, word):
    (tmp_path / "bad.csv").write_text(text)
    assert word in refused(capsys, *solve(tmp_path / "bad.csv", "y", tmp_path / "out"))


def test_an_unknown_recipe_key_is_named_with_its_neighbour(capsys, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("rollout: {proposal: 4}\n")
    sentence = refused(capsys, "rollout", "--recipe", recipe, "--run", tmp_path / "run")
    assert "rollout.proposal" in sentence and "'proposals'" in sentence
    assert not (tmp_path / "run").exists()


def test_a_port_in_use_is_refused_before_anything_is_played(capsys, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        recipe.write_text(f"prompts: {{instructions: false}}\nserving: {{port: {port}}}\n")
        sentence = refused(capsys, "rollout", "--recipe", recipe, "--run", tmp_path / "run")
    assert str(port) in sentence


def test_training_without_trajectories_says_what_to_run_first(capsys, tmp_path):
    (tmp_path / "recipe.yaml").write_text("name: x\n")
    assert "marl-llm rollout" in refused(capsys, "train", "--run", tmp_path)


def test_a_run_is_not_trained_by_another_recipe(capsys, tmp_path, monkeypatch):
    run_directory, other = RunDirectory(tmp_path / "run"), tmp_path / "other.yaml"
    run_directory.prepare(Recipe())
    monkeypatch.setattr(RunDirectory, "collected", lambda *_: True)
    other.write_text("credit: {clip: 1.0}")
    sentence = refused(capsys, "train", "--run", run_directory.root, "--recipe", other)
    assert (
        "holds a run of another recipe" in sentence
        and not (run_directory.iteration(0) / "credit").exists()
    )


def test_a_run_records_the_kernels_it_was_begun_with(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    RunDirectory(tmp_path / "run").prepare(Recipe())
    about = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert about["kernels"]["chosen"]["OPENBLAS_CORETYPE"] == "Haswell"
    assert about["packages"]["blas"] == ", ".join(about["kernels"]["blas"]) != ""


def test_a_directory_that_is_no_run_is_refused(capsys, tmp_path):
    assert "recipe.yaml" in refused(capsys, "evaluate", "--run", tmp_path, "--suite", BUNDLED)
    assert "recipe.yaml" in refused(capsys, "publish", tmp_path, "--repo-prefix", "me/x")


@pytest.mark.parametrize(
    "command", [["iterate", "--run"], ["experiment", "--recipe", EXPERIMENT, "--out"]]
)
def test_a_file_where_a_directory_belongs_is_refused(capsys, tmp_path, command):
    (tmp_path / "notes.txt").write_text("mine")
    assert "notes.txt cannot be a directory" in refused(capsys, *command, tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (
            {"csv": "wine.csv", "target": "cultivr"},
            "wine.csv: The target 'cultivr' is not a column: did you mean 'cultivar'?",
        ),
        ({"csv": "wines.csv", "target": "cultivar"}, "there is no file"),
        ({"csv": "wine.csv", "target": "cultivar", "metrics": {"r2": 1}}, "r2"),
    ],
)
def test_a_benchmark_is_read_before_anything_is_trained(capsys, tmp_path, entry, says):
    shutil.copy(BUNDLED / "wine.csv", tmp_path)
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump([entry]))
    out = tmp_path / "out"
    assert says in refused(
        capsys, "experiment", "--recipe", EXPERIMENT, "--out", out, "--benchmark", tmp_path
    )
    assert not (out / "runs").exists() and not (out / "logs").exists()


def test_scoring_a_good_file_gives_json_and_exit_code_0(capsys, tmp_path):
    code = tmp_path / "good.py"
    code.write_text(
        "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import "
        "StandardScaler\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "def build_pipeline():\n    return make_pipeline(StandardScaler(), LogisticRegression())\n"
    )
    status, out, _ = run(
        capsys, "score", code, BUNDLED / "wine.csv", "--target", "cultivar", "--json"
    )
    result = json.loads(out)
    assert status == 0 and result["status"] == "ok" and result["isolation"].startswith("bubblewrap")
    assert result["metrics"]["holdout"]["raw"]["f1_macro"] > 0.9


def test_scoring_a_file_that_fails_gives_exit_code_1(capsys, tmp_path):
    code = tmp_path / "bad.py"
    code.write_text("def build_pipeline():\n    return nothing\n")
    status, out, _ = run(
        capsys, "score", code, BUNDLED / "wine.csv", "--target", "cultivar", "--json"
    )
    assert status == 1 and "NameError" in json.loads(out)["error"]


def test_a_failed_run_exits_with_1_and_an_interrupted_one_with_130(capsys, monkeypatch):
    def fails() -> None:
        raise RunFailed("the disk is full")

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("marl_llm.doctor.doctor", fails)
    assert run(capsys, "doctor")[0] == 1
    monkeypatch.setattr("marl_llm.doctor.doctor", interrupted)
    code, _, err = run(capsys, "doctor")
    assert code == 130 and "nothing was written" in err


def test_an_interrupted_solve_does_not_promise_to_resume(capsys, tmp_path, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("marl_llm.solve.solve_task", interrupted)
    code, _, err = run(capsys, *solve(BUNDLED / "wine.csv", "cultivar", tmp_path / "out"))
    assert code == 130 and "starts over" in err


def test_inspect_shows_what_is_detected_and_its_task_file_solves(capsys, tmp_path):
    table = tmp_path / "data.csv"
    table.write_bytes(Path("data/examples/clientes.csv").read_bytes())
    task = tmp_path / "task.yaml"
    code, out, _ = run(capsys, "inspect", str(table), "--target", "Cancelou", "--out", str(task))
    assert (
        code == 0 and "latin-1, semicolon separated, decimal comma" in out and "Satisfação" in out
    )
    found = json.loads(
        run(
            capsys,
            "solve",
            str(task),
            "--team",
            "scripted",
            "--steps",
            "1",
            "--out",
            str(tmp_path / "out"),
            "--json",
        )[1]
    )
    assert found["target"] == "Cancelou" and found["steps"] == 1 and found["status"] == "done"


def test_a_directory_of_tasks_is_solved_whole_and_a_broken_one_does_not_stop_the_others(
    capsys, tmp_path
):
    rows = "\n".join(f"{i % 7},{i % 2}" for i in range(80))
    (tmp_path / "good.csv").write_text("a,y\n" + rows)
    (tmp_path / "bad.csv").write_text("a,y\n1,2\n")
    (tmp_path / "suite.yaml").write_text(
        "- {csv: bad.csv, target: y}\n- {csv: good.csv, target: y}\n"
    )
    out = tmp_path / "out"
    code, shown, _ = run(
        capsys, "solve", str(tmp_path), "--team", "scripted", "--steps", "1", "--out", str(out)
    )
    assert code == 1 and "bad " in shown and "failed: Only 1 rows" in shown
    assert (out / "good" / "solution.py").is_file() and "in 1 of 2 tasks" in shown


@pytest.mark.parametrize("option", ["--target", "--group", "--memory", "--metric"])
def test_an_option_that_a_directory_of_tasks_would_ignore_is_refused(capsys, tmp_path, option):
    arguments = (
        "solve",
        BUNDLED,
        "--team",
        "scripted",
        "--out",
        tmp_path / "out",
        option,
        "f1_macro",
    )
    assert f"what {option} would" in refused(capsys, *arguments)


def test_a_task_file_needs_the_ending_by_which_it_is_known(capsys, tmp_path):
    assert ".yaml" in refused(
        capsys, "inspect", "data/examples/clientes.csv", "--target", "Cancelou", "--out", "task.txt"
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--group", "a", "--time", "a"), "group"),
        (("--positive", "9"), "positive"),
        (("--kind", "ranking"), "Unknown kind"),
        (("--time", "b"), "not a column"),
        (("--metric", "recall[7]"), "7"),
    ],
)
def test_options_that_do_not_fit_the_data_are_one_sentence_and_exit_code_2(
    capsys, tmp_path, options, says
):
    path = tmp_path / "data.csv"
    path.write_text("a,y\n" + "\n".join(f"{i % 7},{i % 2}" for i in range(80)))
    code, _, err = run(capsys, "inspect", str(path), "--target", "y", *options)
    assert code == 2 and says in err and len(err.strip().splitlines()) == 1


def test_evaluate_plays_procedural_tasks_where_no_suite_is_named(capsys, tmp_path):
    command = [
        "evaluate",
        "--tasks",
        "2",
        "--first-seed",
        "41",
        "--arms",
        "hgb",
        "--out",
        str(tmp_path),
        "--json",
    ]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["name"] == "procedural tasks 41 to 42" and report["tasks"] == 2
    assert {result["task"] for result in report["results"]} == {"procedural-41", "procedural-42"}
    assert "at least one task" in refused(capsys, "evaluate", "--tasks", "0", "--out", tmp_path)
    assert "--first-seed" in refused(
        capsys, "evaluate", "--suite", BUNDLED, "--first-seed", "3", "--out", tmp_path
    )


def test_without_a_run_the_default_arms_are_those_that_need_none(capsys, tmp_path):
    missing = tmp_path / "none"
    assert str(missing) in refused(
        capsys, "evaluate", "--suite", missing, "--out", tmp_path / "out"
    )


def test_a_process_of_its_own_says_its_one_sentence_and_nothing_on_its_way_out(tmp_path: Path):
    """Rollouts load what makes adapters, whose libraries have something to say at the end too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = [
        sys.executable,
        "-m",
        "marl_llm.cli",
        "--quiet",
        "rollout",
        "--recipe",
        "recipes/tiny/demo.yaml",
    ]
    done = subprocess.run(
        [*command, "--run", tmp_path / "run", "--server", url], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == f"marl-llm: No model server answers at {url}: start one, or let this command start "
        "its own.\n"
    )

"""Suites and the data sets that lie in the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from marl_llm.core.errors import UserError
from marl_llm.core.kind import Kind
from marl_llm.tasks import load_suite
from marl_llm.tasks.bundled import write_bundled
from marl_llm.tasks.examples import brazilian_number, write_examples

DATA = Path(__file__).parents[2] / "data"


def suite(directory: Path, text: str, name: str = "suite.yaml") -> Path:
    (directory / name).write_text(text)
    (directory / "t.csv").write_text(
        "a,b,y\n" + "".join(f"{i * 0.5},{i % 7},{'xz'[i % 2]}\n" for i in range(60))
    )
    return directory


def test_the_bundled_suite_loads_as_its_task_files_say() -> None:
    tasks = {file.name: file.load() for file in load_suite(DATA / "bundled", seed=4)}
    assert {name: (task.kind, len(task.columns)) for name, task in tasks.items()} == {
        "iris": (Kind.multiclass, 4),
        "wine": (Kind.multiclass, 13),
        "breast_cancer": (Kind.binary, 30),
        "diabetes": (Kind.regression, 10),
    }
    assert tasks["breast_cancer"].classes == ("benign", "malignant")
    assert all(task.seed == 4 for task in tasks.values())


def test_the_commands_write_the_committed_files_again(tmp_path: Path) -> None:
    write_bundled(tmp_path / "bundled")
    write_examples(tmp_path / "examples")
    for directory in ("bundled", "examples"):
        for path in sorted((tmp_path / directory).iterdir()):
            assert path.read_bytes() == (DATA / directory / path.name).read_bytes(), path.name


def test_digits_are_written_only_when_asked_for(tmp_path: Path) -> None:
    assert "digits" in {path.stem for path in write_bundled(tmp_path, include_large=True)}
    assert "digits" in {file.name for file in load_suite(tmp_path)}


def test_a_directory_of_task_files_is_a_suite_too(tmp_path: Path) -> None:
    suite(tmp_path, "csv: t.csv\ntarget: y\nignore: [b]\nmetrics: {f1: 2}\n", "one.yaml")
    (file,) = load_suite(tmp_path)
    task = file.load()
    assert (task.name, task.metrics, [column.name for column in task.columns]) == (
        "t",
        {"f1": 2.0},
        ["a"],
    )


def test_every_key_of_a_task_file_reaches_the_task(tmp_path: Path) -> None:
    lines = [
        "a;b;c;d;g;y",
        *(f"{i % 9},5;{i % 7};{i};x y;{i % 12};{'uv'[i % 2]}" for i in range(120)),
    ]
    (tmp_path / "t.csv").write_bytes("\n".join(lines).encode("utf-16-le"))
    text = """
        {csv: t.csv, target: y, kind: binary, positive: u, metrics: {f1: 1}, features: [b, a, c],
         ignore: [c],
         group: g, encoding: utf-16-le, delimiter: semicolon, decimal: ",", missing: [6, never],
         columns: {b: categorical}, seed: 5}
    """
    (tmp_path / "task.yaml").write_text(text)
    (task,) = (file.load() for file in load_suite(tmp_path, seed=2))
    assert [(column.name, column.kind) for column in task.columns] == [
        ("b", "categorical"),
        ("a", "numeric"),
    ]
    assert (task.classes, task.metrics, task.seed) == (("v", "u"), {"f1": 1.0}, 7)
    assert (task.split, task.split_column) == ("group", "g")
    assert task.dialect is not None
    assert (task.dialect.encoding, task.dialect.delimiter, task.dialect.missing) == (
        "utf-16-le",
        ";",
        ("6", "never"),
    )
    assert task.development.X["x0"].isna().any() and (task.development.X["x1"] % 1 == 0.5).all()
    (tmp_path / "task.yaml").write_text(text.replace("group: g", "time: c"))
    (by_time,) = (file.load() for file in load_suite(tmp_path))
    assert (by_time.split, by_time.split_column) == ("time", "c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "- {csv: t.csv, target: y, metric: {f1: 1}}",
            "task 1: unknown key 'metric': did you mean 'metrics'",
        ),
        ("- {csv: t.csv, target: y}\n- {csv: t.csv}", "task 2: the key 'target' is missing"),
        ("- {csv: nowhere.csv, target: y}", "there is no file"),
        ("- {csv: t.csv, target: y, metrics: [f1]}", "'metrics' must be a mapping"),
        ("- {csv: t.csv, target: y, ignore: a}", "'ignore' must be a list"),
        ("- {csv: t.csv, target: y, missing: never}", "'missing' must be a list of words"),
        (
            "- {csv: t.csv, target: y, missing: [no]}",
            "'missing' holds False where text is needed: write it in quotes",
        ),
        (
            "- {csv: t.csv, target: y, positive: yes}",
            "'positive' holds True where text is needed: write it in quotes",
        ),
        (
            "- {csv: t.csv, target: y, columns: [a]}",
            "'columns' must be a mapping of column name to kind",
        ),
        ("- {csv: t.csv, target: y, seed: one}", "'seed' must be a whole number"),
        ("- t.csv", "is not a mapping"),
        ("- {csv: [", "not valid YAML"),
        ("", "holds no tasks"),
    ],
)
def test_a_broken_suite_gives_one_clear_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_suite(suite(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no directory"):
        load_suite(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1.234,50"), (-0.25, "-0,25"), (1e6, "1.000.000,00"), (float("nan"), "")],
)
def test_brazilian_numbers(value: float, text: str) -> None:
    assert brazilian_number(value, 2) == text

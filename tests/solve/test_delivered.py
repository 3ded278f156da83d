"""The delivered file: it predicts new rows as the model in the run, says what is wrong with a file
in one sentence, and holds nothing that it does not use.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import delivered as study
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from marl_llm.proposals import Extra, PipelineSpec, generate_code
from marl_llm.proposals.estimators import ESTIMATORS, estimators_for
from marl_llm.proposals.ops import FEATURES
from marl_llm.solve import plain, solution
from marl_llm.solve.solution import solution_text
from marl_llm.solve.whole import WholeTable, whole_table
from marl_llm.tasks import Task

LINES = 60
LOGISTIC = PipelineSpec(estimator="LogisticRegression")
FOREST = PipelineSpec(estimator="RandomForestClassifier", params=(("n_estimators", 10),))
LONG = "def features("
"""Only the long program has it."""
EVERY = 11
"""Of the cases of the study one in so many is tried here: all of them take minutes."""


def clients(rows: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    age, income = rng.integers(18, 80, rows), np.round(rng.lognormal(8, 1, rows), 2)
    city = rng.choice(["Porto", "Lisbon", "Braga"], rows)
    churn = np.where(age / 80 + (city == "Porto") + rng.normal(0, 0.3, rows) > 0.9, "yes", "no")
    table = {"age": age, "income": income, "city": city, "plan": city[::-1], "churn": churn}
    return pd.DataFrame(table).assign(spend=np.round(income * age / 80, 3))


def program(
    directory: Path, spec: PipelineSpec, target: str = "churn", above: str = "", **options: Any
) -> Path:
    """The file delivered for `clients`, with lines above the header or without."""
    (directory / "clients.csv").write_text(above + clients().to_csv(index=False))
    ignored = ["spend" if target == "churn" else "churn"]
    task = Task.from_csv(directory / "clients.csv", target=target, ignore=ignored, **options)
    path = directory / "solution.py"
    path.write_text(solution_text(task, whole_table(task), spec, {}, 0), encoding="utf-8")
    return path


def names_of(path: Path) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "solution"}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)
    return space


def run(path: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(path), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=path.parent)


# ---- what it predicts ----


def test_programs_predict_new_rows_as_the_model_in_the_run(tmp_path: Path):
    cases = study.cases(study.tables(tmp_path), [0])
    column = [case for case in cases if case.name.startswith("multiclass-CatBoostClassifier")]
    cases = [*cases[::EVERY], *column[:1]]  # CatBoost predicts classes as a column
    wrong, unfit = study.differences(cases, tmp_path)
    assert not wrong
    assert len(unfit) <= 1


def test_the_study_has_every_estimator_with_every_operation_in_every_kind_of_target(
    tmp_path: Path,
):
    tables = study.tables(tmp_path)
    found: dict[tuple[object, str], set[str]] = {}
    for case in study.cases(tables, range(study.MIXES), blends=False):
        spec, used = case.spec, {f"scale {case.spec.scale}", f"encode {case.spec.encode}"}
        used |= {f"impute {spec.impute}", *(extra.op for extra in spec.extra)}
        used |= {spec.reduce.op} if spec.reduce else set()
        used |= {"drop"} if spec.drop else set()
        used |= {str(spec.calibration)} if spec.calibration else set()
        found.setdefault((case.trained.kind, spec.estimator), set()).update(used)
    kinds = {table.kind for table in tables}
    assert found.keys() == {(kind, info.name) for kind in kinds for info in estimators_for(kind)}
    operations = {*FEATURES, "select", "pca", "drop", "impute mean", "impute median"}
    operations |= {f"scale {word}" for word in study._SCALES}
    operations |= {f"encode {word}" for word in study._ENCODES}
    for (_, estimator), used in found.items():
        calibrated = {"sigmoid", "isotonic"} if ESTIMATORS[estimator].classifier else set()
        assert used == operations | calibrated, estimator


@pytest.mark.parametrize("estimator", ["LinearSVC", "Perceptron", "RidgeClassifier"])
@pytest.mark.parametrize("short", [True, False])
def test_a_classifier_without_probabilities_gives_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, estimator: str, short: bool
):
    monkeypatch.setattr(plain, "_MOST_BYTES", 10**9 if short else 0)
    path = program(tmp_path, PipelineSpec(estimator=estimator))
    assert (LONG in path.read_text()) is not short
    source = tmp_path / "clients.csv"
    done = run(path, source, source, tmp_path / "out.csv")
    assert (done.returncode, done.stderr) == (0, "")
    answers = pd.read_csv(tmp_path / "out.csv")
    assert list(answers) == ["churn"] and set(answers["churn"]) == {"yes", "no"}


# ---- how it reads ----


def test_a_plain_csv_gets_a_page_of_code(tmp_path: Path):
    for spec in (LOGISTIC, FOREST, PipelineSpec(estimator="GaussianNB", encode="one_hot")):
        text = program(tmp_path, spec).read_text()
        lines = text.splitlines()
        assert len(lines) <= LINES
        assert next(i for i, line in enumerate(lines) if "def build_pipeline" in line) < 25
    assert len(program(tmp_path, PipelineSpec(estimator="Ridge"), "spend").read_text()) < 4_000


def test_it_names_the_columns_of_the_csv_and_only_steps_that_have_some(tmp_path: Path):
    extra = (Extra(op="log", columns=("x1",)), Extra(op="ratio", columns=("x1", "x0")))
    text = program(tmp_path, LOGISTIC.model_copy(update={"extra": extra})).read_text()
    assert '(LOG, ["income"])' in text and '(RATIO, ["income", "age"])' in text
    assert "def signed_log" in text and "def difference" not in text
    clients()[["age", "income", "churn"]].to_csv(tmp_path / "numbers.csv", index=False)
    task = Task.from_csv(tmp_path / "numbers.csv", target="churn")
    text = solution_text(task, whole_table(task), LOGISTIC, {}, 0)
    assert "CAT" not in text and "Encoder" not in text and 'NUM = ["age", "income"]' in text


PIPELINES = {
    "logistic": LOGISTIC,
    "forest": FOREST,
    "no probabilities": PipelineSpec(estimator="LinearSVC"),
    "operations": PipelineSpec(
        estimator="SVC",
        encode="target",
        scale="quantile",
        drop=("x3",),
        extra=tuple(
            Extra(op=name, columns=("x0", "x1"))
            for name in FEATURES
            if name in ("log", "polynomial", "bin", "difference")
        ),
    ),
    "blend": PipelineSpec(estimator="Blend", weights=(2, 1), power=0.5, members=(LOGISTIC, FOREST)),
}


@pytest.mark.parametrize("spec", PIPELINES.values(), ids=PIPELINES)
@pytest.mark.parametrize("most_bytes", [10**9, 0], ids=["short", "long"])
def test_it_is_formatted_and_uses_all_that_it_imports_and_defines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: PipelineSpec, most_bytes: int
):
    monkeypatch.setattr(plain, "_MOST_BYTES", most_bytes)
    path = program(tmp_path, spec)
    options = ["--isolated", "--line-length", "100", str(path)]
    for command in (["format", "--diff"], ["check", "--select", "F,I,E4,E7,E9,UP,B"]):
        ruff = [sys.executable, "-m", "ruff", *command, *options]
        done = subprocess.run(ruff, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    tree = ast.parse(path.read_text(encoding="utf-8"))
    words = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    words += [a.name for node in tree.body if isinstance(node, ast.ImportFrom) for a in node.names]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            assert node.name in words, node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            assert words.count(node.targets[0].id) > 1, node.targets[0].id


def test_the_long_program_defines_the_code_of_the_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(plain, "_MOST_BYTES", 0)
    tree = ast.parse(program(tmp_path, PIPELINES["operations"]).read_text())
    (built,) = (n for n in tree.body if getattr(n, "name", "") == "build_pipeline")
    assert ast.dump(built) == ast.dump(ast.parse(generate_code(PIPELINES["operations"])).body[0])


# ---- which CSVs are plain, and what it reads of others ----

NOT_PLAIN = {
    "thousands": lambda f: f.assign(income=[f"{x:,.2f}" for x in f["income"]]),
    "money": lambda f: f.assign(income=[f"${x}" for x in f["income"]]),
    "dates": lambda f: f.assign(age=[f"2020-01-{x % 28 + 1:02}" for x in f["age"]]),
    "truth values": lambda f: f.assign(city=np.where(f["city"] == "Porto", "TRUE", "false")),
    "a word among numbers": lambda f: f.assign(age=["unknown", *f["age"][1:]]),
    "names with blanks twice": lambda f: f.rename(columns={"age": "age  in years"}),
    "names twice": lambda f: f.rename(columns={"income": "age"}),
    "classes 1.0 and 2.0": lambda f: f.assign(churn=(f["churn"] == "yes") + 1.0),
}


@pytest.mark.parametrize("change", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_what_is_not_plain_gets_the_long_program(tmp_path: Path, change: Any):
    frame = change(clients().drop(columns="spend"))
    frame.to_csv(tmp_path / "t.csv", index=False)
    task = Task.from_csv(tmp_path / "t.csv", target="churn")
    assert LONG in solution_text(task, whole_table(task), LOGISTIC, {}, 0)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """The names of the short and of the long program of one CSV."""
    directory = tmp_path_factory.mktemp("both")
    short = names_of(program(directory, LOGISTIC))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "_MOST_BYTES", 0)
        return short, names_of(program(directory, LOGISTIC))


CELLS = st.sampled_from(
    ["1", "2.5", "-3", "0.125", "1.250", "12.345", "1e3", "", "NA", " 7 ", "+4", ".5", "6."]
)
CITIES = st.sampled_from(["Porto", " new ", "", "?", "a;b"])


@given(
    st.lists(st.tuples(CELLS, CELLS, CITIES), min_size=1),
    st.sampled_from(",;\t|"),
    st.sampled_from(".,"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_other_dialects_are_read_like_the_long_program_does_or_refused(
    both: Any, tmp_path: Path, rows: list[Any], delimiter: str, mark: str, encoding: str
):
    short, long = both
    frame = pd.DataFrame(rows, columns=["income", "age", "city"]).assign(plan="é")
    meant = frame[["income", "age"]].map(str.strip).replace({"": "nan", "NA": "nan"}).astype(float)
    sure = mark == "." or frame[["income", "age"]].isin(["2.5", ".5", "6."]).any(axis=None)
    for name in ("income", "age"):
        frame[name] = frame[name].str.replace(".", mark)
    path, names = tmp_path / "new.csv", ["age", "income", "city", "plan"]
    frame.to_csv(path, sep=delimiter, encoding=encoding, index=False)
    try:
        found = short["read"](path, names)[names].reset_index(drop=True).set_axis(names, axis=1)
    except ValueError as error:
        assert not sure and "could not convert" in str(error)
        return
    again = long["features"](long["read"](str(path))).set_axis(names, axis=1)
    pd.testing.assert_frame_equal(found, again)
    if sure:
        pd.testing.assert_frame_equal(found[["income", "age"]], meant)


# ---- what it says ----

WRONG = {
    "no such file": (lambda path: None, ("new.csv: No such file",)),
    "a directory": (lambda path: path.mkdir(), ("new.csv: Is a directory",)),
    "empty": (lambda path: path.write_text(""), ("new.csv",)),
    "a column less": (
        lambda path: clients().drop(columns=["age", "plan"]).to_csv(path, index=False),
        ("new.csv", "age", "plan"),
    ),
    "another separator": (
        lambda path: clients().to_csv(path, sep="#", index=False),
        ("new.csv", "age"),
    ),
    "no rows": (
        lambda path: clients().head(0).to_csv(path, index=False),
        ("new.csv", "has no rows of data"),
    ),
    "no table": (lambda path: path.write_bytes(bytes(range(256)) * 40), ("new.csv",)),
    "too many fields": (
        lambda path: path.write_text(clients().to_csv(index=False) + "1,2,3,4,5,6,7,8\n"),
        ("new.csv",),
    ),
}


@pytest.mark.parametrize(("make", "words"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("form", ["short", "long", "irregular"])
def test_a_wrong_file_is_said_in_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    make: Any,
    words: tuple[str, ...],
    form: str,
):
    monkeypatch.setattr(plain, "_MOST_BYTES", 10**9 if form == "short" else 0)
    path = program(tmp_path, LOGISTIC, above="A report\n" if form == "irregular" else "")
    make(tmp_path / "new.csv")
    code, said = ended(
        path,
        monkeypatch,
        capsys,
        tmp_path / "clients.csv",
        tmp_path / "new.csv",
        tmp_path / "o.csv",
    )
    assert code == 2
    assert said.startswith("solution.py: ") and said.count("\n") == 1
    assert all(word in said for word in words), said


@pytest.mark.parametrize("short", [True, False])
def test_a_training_file_without_target_or_with_another_class_is_said_in_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    short: bool,
):
    monkeypatch.setattr(plain, "_MOST_BYTES", 10**9 if short else 0)
    path = program(tmp_path, LOGISTIC)
    for change, word in (
        (lambda f: f.drop(columns="churn"), "churn"),
        (lambda f: f.assign(churn=["maybe", *f["churn"][1:]]), "maybe"),
    ):
        change(clients()).to_csv(tmp_path / "train.csv", index=False)
        files = (tmp_path / "train.csv", tmp_path / "clients.csv", tmp_path / "o.csv")
        code, said = ended(path, monkeypatch, capsys, *files)
        assert code == 2 and word in said and said.count("\n") == 1


def test_a_file_in_a_directory_that_is_not_there_is_said_before_the_fit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(plain, "_MOST_BYTES", 0)
    path, source = program(tmp_path, LOGISTIC), tmp_path / "clients.csv"
    monkeypatch.setattr(LogisticRegression, "fit", lambda *_: pytest.fail("it was fitted"))
    code, said = ended(path, monkeypatch, capsys, source, source, tmp_path / "gone" / "o.csv")
    assert code == 2 and said.count("\n") == 1
    assert f"{tmp_path / 'gone'} is no directory" in said


def test_a_column_twice_is_said_by_the_short_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The long one takes the first."""
    path, new = program(tmp_path, LOGISTIC), tmp_path / "new.csv"
    clients().assign(again=1).rename(columns={"again": "age"}).to_csv(new, index=False)
    code, said = ended(path, monkeypatch, capsys, tmp_path / "clients.csv", new, tmp_path / "o")
    assert (code, said) == (2, f"solution.py: {new}: it has 2 columns age\n")


def test_too_few_files_are_answered_with_how_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    code, said = ended(program(tmp_path, LOGISTIC), monkeypatch, capsys, tmp_path / "clients.csv")
    assert code == 2 and said.count("\n") == 1
    assert "python solution.py TRAIN.csv NEW.csv PREDICTIONS.csv" in said


def test_it_is_a_program_of_its_own(tmp_path: Path):
    """In a process that has only the file."""
    path, source = program(tmp_path, LOGISTIC), tmp_path / "clients.csv"
    assert run(path, source, source, tmp_path / "out.csv").returncode == 0
    assert len(pd.read_csv(tmp_path / "out.csv")) == len(clients())
    done = run(path, source, tmp_path / "gone.csv", tmp_path / "out.csv")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def ended(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *files: Path,
) -> tuple[Any, str]:
    """Exit code and what was said, of the program run here."""
    monkeypatch.setattr(sys, "argv", [str(path), *map(str, files)])
    with pytest.raises(SystemExit) as caught:
        text = path.read_text(encoding="utf-8")
        exec(compile(text, str(path), "exec"), {"__name__": "__main__"})
    return caught.value.code, capsys.readouterr().err


def test_what_the_short_program_reads_is_what_the_model_was_fitted_on(tmp_path: Path):
    """The check that it is written behind, seen to fail."""
    clients().drop(columns="spend").to_csv(tmp_path / "t.csv", index=False)
    task = Task.from_csv(tmp_path / "t.csv", target="churn")
    table = whole_table(task)
    changed = table.X.copy()
    changed.loc[3, "x1"] = 0.0
    assert LONG not in solution_text(task, table, LOGISTIC, {}, 0)
    other = WholeTable(changed, table.y, table.readings, table.target)
    assert LONG in solution.solution_text(task, other, LOGISTIC, {}, 0)

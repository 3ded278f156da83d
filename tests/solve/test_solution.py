"""`solution.py`, run as a program where marl_llm cannot be imported, against the model fitted in
this process.
"""

from __future__ import annotations

import ast
import csv
import io
import random
import subprocess
import sys
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_llm.core.errors import UserError
from marl_llm.proposals import Extra, PipelineSpec
from marl_llm.proposals.spec import BLEND
from marl_llm.solve import standalone
from marl_llm.solve.solution import solution_text
from marl_llm.solve.solve import fit_model
from marl_llm.solve.whole import WholeTable, whole_table
from marl_llm.tasks import Task
from marl_llm.tasks.columns import read_column
from tests.solve.conftest import CLIENTS, TARGET
from tests.tasks.test_kinds import nasty_csv

WITHOUT_PACKAGE = """\
import runpy, sys
sys.modules["marl_llm"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SEED = 5


def write(path: Path, rows: list[list[object]], encoding: str, delimiter: str) -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def regression_csv(directory: Path) -> Path:
    """Byte order mark, grouped thousands, a column of the other decimal mark, booleans, a quoted
    newline, odd names.
    """
    rng = random.Random(1)
    rows: list[list[object]] = [["price", "size", "", "size", "city", "sold", "rate", "always"]]
    for i in range(90):
        size = rng.uniform(20, 3000)
        city = rng.choice(["Lisbon", "two\nlines", "n/a", " Porto ", "Braga"])
        grouped = f"{size:,.2f}" if i % 9 else "unknown"
        rate = f"{rng.uniform(0, 9):.3f}".replace(".", ",") if i % 8 else ""
        sold = "" if i == 40 else rng.choice(["TRUE", "FALSE"])
        price = "" if i == 7 else f"{3 * size + 40 * rng.random():.1f}"
        rows.append([price, grouped, rng.choice("abc"), rng.randint(1, 9), city, sold, rate, "x"])
    return write(directory / "houses.csv", rows, "utf-8-sig", ",")


def numbered_classes_csv(directory: Path) -> Path:
    """Classes that are numbers, in UTF-16 with tabs."""
    rng = random.Random(2)
    rows: list[list[object]] = [["grade", "a", "b", "kind"]]
    for i in range(90):
        rows.append(
            [
                i % 3 + 1,
                i % 3 + rng.random(),
                "" if i % 11 == 0 else rng.random(),
                rng.choice(["á", "ß", "ż"]),
            ]
        )
    return write(directory / "grades.csv", rows, "utf-16", "\t")


FOREST = PipelineSpec(
    estimator="ExtraTreesClassifier",
    params=(("n_estimators", 20),),
    encode="one_hot",
    scale="quantile",
    extra=(Extra(op="log", columns=("x0",)),),
)
FOREST_REGRESSOR = PipelineSpec(
    estimator="RandomForestRegressor",
    params=(("n_estimators", 20),),
    impute="median",
    drop=("x1",),
    extra=(Extra(op="polynomial", columns=("x0", "x2")),),
)


BLENDED = PipelineSpec(
    estimator=BLEND,
    weights=(3, 1, 2),
    power=0.75,
    members=(
        FOREST,
        PipelineSpec(estimator="LogisticRegression"),
        PipelineSpec(estimator="LGBMClassifier"),
    ),
)
BLENDED_REGRESSOR = PipelineSpec(
    estimator=BLEND,
    weights=(1, 4),
    members=(
        FOREST_REGRESSOR,
        PipelineSpec(estimator="CatBoostRegressor", params=(("iterations", 30),)),
    ),
)


@dataclass(frozen=True)
class Delivered:
    """A solution.py for one CSV, and the reference it is held against."""

    source: Path
    script: Path
    task: Task
    table: WholeTable
    model: Any

    def run(self, train: Path, new: Path, out: Path) -> subprocess.CompletedProcess[str]:
        """As people run it, in a process without marl_llm."""
        command = [
            sys.executable,
            "-I",
            "-c",
            WITHOUT_PACKAGE,
            str(self.script),
            str(train),
            str(new),
            str(out),
        ]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=self.script.parent
        )

    def names(self) -> dict[str, Any]:
        """As people import it; quicker than `run`."""
        space: dict[str, Any] = {"__name__": "solution"}
        exec(compile(self.script.read_text(encoding="utf-8"), str(self.script), "exec"), space)
        return space

    def expected(self) -> pd.DataFrame:
        """Predictions for the whole table, in this process."""
        predicted = self.model.predict(self.table.X)
        if not self.task.classes:
            return pd.DataFrame({self.task.target: predicted})
        shares = pd.DataFrame(self.model.predict_proba(self.table.X))
        named = shares.set_axis([f"probability {name}" for name in self.task.classes], axis=1)
        return pd.concat(
            [pd.Series([self.task.classes[i] for i in predicted], name=self.task.target), named],
            axis=1,
        )

    def text_frame(self) -> pd.DataFrame:
        """The CSV as text."""
        dialect = self.task.dialect
        assert dialect is not None
        return pd.read_csv(
            self.source,
            sep=dialect.delimiter,
            encoding=dialect.encoding,
            dtype=str,
            keep_default_na=False,
        )

    def read_predictions(self, path: Path) -> pd.DataFrame:
        dialect = self.task.dialect
        assert dialect is not None
        names = {} if not self.task.classes else {self.task.target: str}
        how = {
            "sep": dialect.delimiter,
            "decimal": dialect.decimal,
            "encoding": dialect.encoding,
            "dtype": names,
        }
        return pd.read_csv(path, float_precision="round_trip", **how)


def deliver(directory: Path, source: Path, target: str, spec: PipelineSpec) -> Delivered:
    task = Task.from_csv(source, target=target)
    table = whole_table(task)
    script = directory / "solution.py"
    script.write_text(solution_text(task, table, spec, {}, SEED), encoding="utf-8")
    return Delivered(source, script, task, table, fit_model(spec, table, SEED))


NASTY = PipelineSpec(
    estimator="ExtraTreesClassifier",
    params=(("n_estimators", 20),),
    extra=(
        Extra(op="tfidf", columns=("t2",)),
        Extra(op="dates", columns=("x1",)),
        Extra(op="missing", columns=("x5",)),
    ),
)

CASES = {
    "semicolons, decimal comma, latin-1": (lambda directory: CLIENTS, TARGET, FOREST),
    "regression, odd columns": (regression_csv, "price", FOREST_REGRESSOR),
    "classes that are numbers, UTF-16": (numbered_classes_csv, "grade", FOREST),
    "a blend with a decision rule": (lambda directory: CLIENTS, TARGET, BLENDED),
    "a blend of regressors": (regression_csv, "price", BLENDED_REGRESSOR),
    "a blend for three classes": (numbered_classes_csv, "grade", BLENDED),
}


@pytest.fixture(scope="module", params=list(CASES))
def delivered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Delivered:
    make, target, spec = CASES[request.param]
    directory = tmp_path_factory.mktemp("solution")
    return deliver(directory, make(directory), target, spec)


def test_it_predicts_exactly_as_the_model_fitted_here(delivered: Delivered, tmp_path: Path):
    train = delivered.source
    if delivered.task.target == "price":  # one row has no target: it is predicted, not learned from
        assert len(delivered.table.y) == len(delivered.text_frame()) - 1
    done = delivered.run(train, train, tmp_path / "out.csv")
    assert (done.returncode, done.stderr) == (0, "")
    answers = delivered.read_predictions(tmp_path / "out.csv")
    known = (delivered.text_frame()[delivered.task.target] != "").to_numpy()
    pd.testing.assert_frame_equal(
        answers[known].reset_index(drop=True), delivered.expected(), check_exact=True
    )


def test_a_blend_decides_by_weights_and_rule_of_its_members_fitted_alone(tmp_path: Path):
    """Against an independent computation: numpy on the members' own predictions."""
    table = deliver(tmp_path, CLIENTS, TARGET, BLENDED).table
    half = replace(table, X=table.X[::2], y=table.y[::2])
    blend, *members = (fit_model(spec, half, SEED) for spec in (BLENDED, *BLENDED.members))
    first, second, third = (member.predict_proba(table.X) for member in members)
    mean = (3 * first + second + 2 * third) / 6
    labels = np.argmax(mean / (np.bincount(half.y) / len(half.y)) ** 0.75, axis=1)
    assert np.allclose(blend.predict_proba(table.X), mean, rtol=0, atol=1e-12)
    assert np.array_equal(blend.predict(table.X), labels)
    assert not np.array_equal(labels, np.argmax(mean, axis=1)), "the rule decides some rows"


def test_a_blend_needs_no_package_but_those_of_its_members(tmp_path: Path):
    for spec, needs in (
        (BLENDED, {"lightgbm"}),
        (BLENDED_REGRESSOR, {"catboost"}),
        (FOREST, set()),
    ):
        source = regression_csv(tmp_path) if spec is BLENDED_REGRESSOR else CLIENTS
        target = "price" if spec is BLENDED_REGRESSOR else TARGET
        deliver(tmp_path, source, target, spec)
        tree = ast.parse((tmp_path / "solution.py").read_text(encoding="utf-8"))
        found = {
            a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names
        }
        found |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        packages = {name.split(".")[0] for name in found} - sys.stdlib_module_names
        assert packages == {"numpy", "pandas", "sklearn"} | needs


def test_a_few_rows_in_other_columns_order_without_target_are_predicted_alike(
    delivered: Delivered, tmp_path: Path
):
    dialect = delivered.task.dialect
    assert dialect is not None
    text = delivered.text_frame()
    if "size.1" in text:  # repeated names only mean the same in the file's own order
        text = text.rename(columns={"Unnamed: 2": "", "size.1": "size"})
        rows = text
    else:
        rows = text.drop(columns=delivered.task.target).iloc[:, ::-1]
    few = rows.iloc[[11, 3, 30]]
    few.to_csv(tmp_path / "new.csv", sep=dialect.delimiter, encoding=dialect.encoding, index=False)
    delivered.names()["main"](
        [str(delivered.source), str(tmp_path / "new.csv"), str(tmp_path / "out.csv")]
    )
    answers = delivered.read_predictions(tmp_path / "out.csv")
    positions = (
        [11, 3, 30] if delivered.task.target != "price" else [10, 3, 29]
    )  # row 7 has no target
    pd.testing.assert_frame_equal(
        answers, delivered.expected().iloc[positions].reset_index(drop=True)
    )


def test_dates_text_money_and_odd_names_are_learned_from_and_predicted_alike(tmp_path: Path):
    source = nasty_csv(tmp_path, no_date="")
    delivered = deliver(tmp_path, source, "y", NASTY)
    done = delivered.run(source, source, tmp_path / "out.csv")
    assert (done.returncode, done.stderr) == (0, "")
    pd.testing.assert_frame_equal(
        delivered.read_predictions(tmp_path / "out.csv"), delivered.expected()
    )


def test_every_column_kind_is_met_by_the_cases(tmp_path: Path):
    readings = whole_table(
        Task.from_csv(regression_csv(tmp_path), target="price")
    ).readings.values()
    assert {(r.name, r.decision.reading, *r.decision.parameters) for r in readings} >= {
        ("size", "number", "."),
        ("size_2", "number", "."),
        ("column_3", "text"),
        ("city", "text"),
        ("sold", "boolean"),
        ("rate", "number", ","),
    }


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    return deliver(tmp_path_factory.mktemp("clients"), CLIENTS, TARGET, FOREST)


def ending(delivered: Delivered, *paths: Path) -> str:
    """What it says when it gives up: one line on stderr, exit code 2."""
    said = io.StringIO()
    with redirect_stderr(said), pytest.raises(SystemExit) as caught:
        delivered.names()["main"]([str(path) for path in paths])
    assert caught.value.code == 2
    line = said.getvalue()
    assert line.startswith("solution.py: ") and line.count("\n") == 1
    return line.strip()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: f.drop(columns="Idade"), "columns are missing: Idade"),
        (lambda f: f.iloc[:0], "has no rows of data"),
    ],
)
def test_a_new_csv_that_does_not_fit_ends_with_one_sentence(
    clients: Delivered, tmp_path: Path, change, sentence: str
):
    change(clients.text_frame()).to_csv(
        tmp_path / "new.csv", sep=";", encoding="latin-1", index=False
    )
    assert sentence in ending(clients, CLIENTS, tmp_path / "new.csv", tmp_path / "out.csv")


def test_a_training_csv_with_an_unknown_class_ends_with_one_sentence(
    clients: Delivered, tmp_path: Path
):
    frame = clients.text_frame()
    frame.loc[3, TARGET] = "Talvez"
    frame.to_csv(tmp_path / "train.csv", sep=";", encoding="latin-1", index=False)
    said = ending(clients, tmp_path / "train.csv", CLIENTS, tmp_path / "out.csv")
    assert said == "solution.py: unknown classes in Cancelou: Talvez (known: Não, Sim)"


def test_it_can_be_imported_and_given_ordinary_frames(clients: Delivered):
    space = clients.names()
    frame = pd.read_csv(CLIENTS, sep=";", decimal=",", thousands=".", encoding="latin-1")
    answers = space["predict"](space["fit"](frame), frame)
    pd.testing.assert_frame_equal(answers, clients.expected())


def test_it_names_no_path_of_this_machine(clients: Delivered):
    assert str(CLIENTS.parent) not in clients.script.read_text(encoding="utf-8")


NUMBERS = st.sampled_from(
    [
        "1",
        "-2.5",
        "3,75",
        "1.234,5",
        "1,234.5",
        "12,345",
        "12.345",
        "1e3",
        "",
        "NA",
        "?",
        "inf",
        " 7 ",
        "0,5",
        "+.5",
        "R$ 1.234,50",
        "-US$5",
        "(3)",
        "12,5 %",
        "1 234",
        "1\u00a0234,5",
        "5 EUR",
        "1'000",
        "−4",
        "none",
        "1_0",
    ]
)
DATES = st.sampled_from(
    [
        "2020-04-03",
        "2020-4-3 10:20",
        "3/4/2020",
        "25/4/2020",
        "4/25/20",
        "3.4.2020",
        "2020-04-03T01:02:03.5+02:00",
        "3 abr 2020",
        "April 3, 2020 2:05 PM",
        "2020-04",
        "04/2020",
        "20200403",
        "2020-02-30",
        "",
        "NA",
        "0000-00-00",
        "x",
    ]
)
WORDS = st.text("abcé 1,.\u00a0", max_size=6) | st.sampled_from(
    ["true", "FALSE", "True", "NA", "sim", "a long text"]
)


@given(
    st.one_of(st.lists(cells, min_size=1, max_size=12) for cells in (NUMBERS, DATES, WORDS)),
    st.sampled_from([".", ","]),
    st.sampled_from([None, "numeric", "categorical", "date", "month-first date", "text"]),
)
@settings(deadline=None)
def test_a_column_is_read_again_as_the_loader_read_it(
    cells: list[str], decimal: str, kind: str | None
):
    raw = pd.Series(cells, name="c")
    try:
        typed = read_column(raw, decimal, kind)
    except UserError:
        return
    again = standalone._typed(raw, "c", typed.decision.reading, *typed.decision.parameters)
    pd.testing.assert_series_equal(again, typed.values, check_exact=True, check_names=False)

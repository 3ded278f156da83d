"""A delivered `solution.py` reads any CSV as its task did: dates, text, money, odd names, however
it is written.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.util import hash_pandas_object

from marl_llm.proposals import PRELUDE, PipelineSpec
from marl_llm.solve import plain, standalone
from marl_llm.solve.solution import solution_text
from marl_llm.solve.whole import whole_table
from marl_llm.tasks import Task
from marl_llm.tasks.columns import cells, dates, durations, quantities, readings
from tests.tasks.test_decisions import messy

SPEC = PipelineSpec(estimator="LogisticRegression")
ROWS = 40
NAMES = ["a", "a", "", "[b] <c>", "{d}: e", "ação", 'q"r', "x;y,z", "t0", "x1", " y "]


@pytest.fixture(autouse=True, scope="module")
def long_programs() -> Iterator[None]:
    """The short ones, of plain CSVs, are held against these in test_delivered.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "_MOST_BYTES", 0)
        yield


def money(rng: np.random.Generator, mark: str) -> str:
    text = f"{rng.uniform(-5000, 5000):,.2f}"
    return ("R$ " if rng.random() < 0.8 else "") + (
        text.translate(str.maketrans(",.", ".,")) if mark == "," else text
    )


def moment(rng: np.random.Generator, mark: str) -> str:
    day, month, year = rng.integers(1, 29), rng.integers(1, 13), rng.integers(1950, 2060)
    return f"{day:02}/{month:02}/{year}" + (
        f" {rng.integers(24)}:{rng.integers(60):02}" if rng.random() < 0.5 else ""
    )


def iso(rng: np.random.Generator, mark: str) -> str:
    year, month, day = rng.integers(1950, 2060), rng.integers(1, 13), rng.integers(1, 29)
    return f"{year}-{month:02}-{day:02}T10:00:00+0{rng.integers(4)}:00"


def review(rng: np.random.Generator, mark: str) -> str:
    return (
        f'the "{rng.choice(["red", "blue"])}" one,\nbought; {rng.integers(999)} times was '
        f"{rng.choice(['good', 'bad'])}"
    )


def number(rng: np.random.Generator, mark: str) -> str:
    return repr(float(rng.normal())).replace(".", mark)


def percent(rng: np.random.Generator, mark: str) -> str:
    return f"{rng.uniform(0, 100):.1f} %".replace(".", mark)


def grouped(rng: np.random.Generator, mark: str) -> str:
    return f"{rng.integers(10**7):,}".replace(",", "\u00a0")


def boolean(rng: np.random.Generator, mark: str) -> str:
    return str(rng.choice(["true", "FALSE"]))


def level(rng: np.random.Generator, mark: str) -> str:
    return str(rng.choice(["sim", " não", "1", "talvez, sim"]))


STYLES = (money, moment, iso, review, number, percent, grouped, boolean, level)


def quoted(cell: str, delimiter: str) -> str:
    return (
        '"' + cell.replace('"', '""') + '"' if any(c in cell for c in f'"\r\n{delimiter}') else cell
    )


@st.composite
def nasty_files(draw: st.DrawFn) -> bytes:
    """A CSV with a target `y` as its last column."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    delimiter, mark = draw(
        st.sampled_from([(";", ","), (",", "."), ("\t", ","), ("|", "."), (";", ".")])
    )
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16"]))
    styles = draw(st.lists(st.sampled_from(STYLES), min_size=1, max_size=6))
    gaps = draw(st.sampled_from(["", "NA", "?", " "]))
    header = [*(str(name) for name in rng.choice(NAMES, len(styles))), "target"]
    rows = [header]
    for i in range(ROWS):
        row = [gaps if rng.random() < 0.1 else style(rng, mark) for style in styles]
        rows.append([*row, "" if i == 11 else ["0,5" if mark == "," else "0.5", "2"][i % 2]])
    lines = [delimiter.join(quoted(cell, delimiter) for cell in row) for row in rows]
    first = [f"sep={delimiter}"] if draw(st.booleans()) else []
    return draw(st.sampled_from(["\n", "\r\n"])).join([*first, *lines, ""]).encode(encoding)


def delivered(task: Task) -> dict[str, Any]:
    """The names of the task's `solution.py`."""
    space: dict[str, Any] = {"__name__": "solution"}
    exec(solution_text(task, whole_table(task), SPEC, {}, 0), space)
    return space


@given(nasty_files())
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_features_are_those_of_the_task(tmp_path: Path, content: bytes):
    path = tmp_path / "nasty.csv"
    path.write_bytes(content)
    task = Task.from_csv(path, target="target")
    solution = delivered(task)
    frame = solution["read"](str(path))
    features = solution["features"](frame)[frame["target"] != ""].reset_index(drop=True)
    table = whole_table(task)
    pd.testing.assert_frame_equal(features, table.X, check_exact=True)
    parts = pd.concat([part.X for part in (task.development, task.holdout, task.test)])
    assert sorted(hash_pandas_object(parts, index=False)) == sorted(
        hash_pandas_object(table.X, index=False)
    )
    np.testing.assert_array_equal(solution["_target"](frame).dropna(), table.y)


def test_few_rows_are_read_like_many(tmp_path: Path):
    """An order of dates or a decimal mark is settled by the training file, not by the new one."""
    rows = [f"{i % 28 + 1}/{i % 12 + 1}/2020;1.{i:03};{'uv'[i % 2]}" for i in range(60)]
    (tmp_path / "train.csv").write_text("\n".join(["d;n;y", *rows]))
    (tmp_path / "new.csv").write_text("d;n\n3/4/2020;1.250\n")
    task = Task.from_csv(tmp_path / "train.csv", target="y", decimal=",")
    solution = delivered(task)
    assert solution["features"](
        solution["read"](str(tmp_path / "new.csv"))
    ).to_numpy().tolist() == [[18355.0, 1250.0]]


def test_new_rows_are_read_with_the_decisions_of_the_training_file(tmp_path: Path):
    """Units, signs, times, limits, NA as a continent and -999 as a gap; a bad cell is missing."""
    task = Task.from_csv(messy(tmp_path), target="y")
    new = [
        "code;weight;paid;start;area;lat;day;lead;continent;temp",
        "011;2 kg;1.000,00-;23:59;700;-23.5;3.4.2021;<1;NA;-999",
        "11;-9 g;-1,50;7;1.700;-23,5;2021-04-03;17;OC;-999.0",
        "x;9 lb;9 kg;25:61;1,7;1;x;>3;;7",
    ]
    (tmp_path / "new.csv").write_text("\n".join(new))
    solution = delivered(task)
    features = solution["features"](solution["read"](str(tmp_path / "new.csv")))
    read = features.set_axis([column.name for column in task.columns], axis=1)
    gap = np.nan
    expected = {
        "code": ["011", "11", "x"],
        "weight": [2000.0, -9.0, gap],
        "paid": [-1000.0, -1.5, gap],
        "start": [1439.0, gap, gap],
        "area": [700.0, 1700.0, 1.7],
        "lat": [-23.5, gap, 1.0],
        "day": [18720.0, 18720.0, gap],
        "lead": [1.0, 17.0, gap],
        "lead (limit)": ["<", "none", gap],
        "continent": ["NA", "OC", gap],
        "temp": [gap, gap, 7.0],
    }
    assert list(read.columns) == list(expected)
    for name, values in expected.items():
        assert pd.Series(values).equals(read[name].astype(pd.Series(values).dtype)), name


def test_frames_of_other_dtypes_are_taken_too(tmp_path: Path):
    rows = [f"2020-01-{i % 28 + 1:02} {i % 24}:00,{i % 7},{i % 5},{'uv'[i % 2]}" for i in range(60)]
    (tmp_path / "train.csv").write_text("\n".join(["d,n,c,y", *rows]))
    task = Task.from_csv(
        tmp_path / "train.csv", target="y", kinds={"c": "categorical"}, missing=["6"]
    )
    solution = delivered(task)
    frame = pd.read_csv(tmp_path / "train.csv", parse_dates=["d"])
    pd.testing.assert_frame_equal(solution["features"](frame), whole_table(task).X)
    with_gap = frame.assign(c=frame["c"].astype(float).where(frame.index != 3))
    assert solution["features"](with_gap)["x2"].fillna("missing").tolist()[2:5] == [
        "2",
        "missing",
        "4",
    ]


def test_a_named_encoding_is_that_of_the_solution(tmp_path: Path):
    rows = [f"{i % 7};{'uv'[i % 2]}" for i in range(60)]
    (tmp_path / "t.csv").write_bytes("\n".join(["n;y", *rows]).encode("utf-16-le"))
    task = Task.from_csv(tmp_path / "t.csv", target="y", encoding="utf-16-le", delimiter=";")
    solution = delivered(task)
    pd.testing.assert_frame_equal(
        solution["features"](solution["read"](str(tmp_path / "t.csv"))), whole_table(task).X
    )


def test_rows_without_a_time_are_no_sign_of_a_changed_file(tmp_path: Path):
    rows = [
        f"{'' if i == 5 else f'2020-01-{i % 28 + 1:02}'},{i * 0.5},{'uv'[i % 2]}" for i in range(60)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["d,n,y", *rows]))
    assert len(whole_table(Task.from_csv(tmp_path / "t.csv", target="y", time="d")).y) == 60


@pytest.mark.parametrize("module", [cells, dates, durations, quantities, readings, standalone])
def test_no_name_of_the_reading_part_hides_one_of_the_prelude(module: Any):
    def names(text: str) -> set[str]:
        body = ast.parse(text).body
        defined = {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        assigned = [node for node in body if isinstance(node, (ast.Assign, ast.AnnAssign))]
        return defined | {
            n.id
            for a in assigned
            for n in ast.walk(a)
            if isinstance(n, ast.Name) and "Store" in str(n.ctx)
        }

    assert not names(Path(module.__file__).read_text(encoding="utf-8")) & names(PRELUDE)


REGULAR_ROWS = [f"{i % 9},{i * 0.5},{'uv'[i % 2]}" for i in range(60)]
NUMBERS = f"{sum(i % 9 for i in range(60))},{sum(i * 0.5 for i in range(60))}"
IRREGULAR = {
    "notes above": ["Report", "made, by, Ann", "", "a,b,y", *REGULAR_ROWS],
    "units and total": ["a,b,y", "pcs,EUR,", *REGULAR_ROWS, f"{NUMBERS},Total", "Page 1 of 3,,"],
    "no header": REGULAR_ROWS,
    "row names": ["a,b,y", *(f"r{i},{row}" for i, row in enumerate(REGULAR_ROWS))],
    "separators at the end": ["a,b,y", *(row + "," for row in REGULAR_ROWS)],
    "blanks": [row.replace(",", "    ") for row in ["a,b,y", *REGULAR_ROWS]],
    "labels": [
        "a,b,y",
        *(row.replace("u", ["Up", "up", "UP"][i % 3]) for i, row in enumerate(REGULAR_ROWS)),
    ],
}


@pytest.mark.parametrize("name", IRREGULAR)
def test_rows_that_are_no_data_are_left_out_of_other_files_too(tmp_path: Path, name: str):
    lines = IRREGULAR[name]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    target = "column_3" if name == "no header" else "y"
    task = Task.from_csv(tmp_path / "train.csv", target=target)
    solution, table = delivered(task), whole_table(task)
    assert len(table.X) == 60
    frame = solution["read"](str(tmp_path / "train.csv"))
    pd.testing.assert_frame_equal(solution["features"](frame), table.X, check_exact=True)
    np.testing.assert_array_equal(solution["_target"](frame), table.y)
    few = [lines[i] for i in range(len(lines)) if not 20 < i < 50]
    new = ["One more note", *few] if name == "notes above" else few
    (tmp_path / "new.csv").write_text("\n".join(new))
    assert len(solution["read"](str(tmp_path / "new.csv"))) == 60 - 29

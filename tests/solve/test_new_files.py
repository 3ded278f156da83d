"""New files of a CSV without a header, and rows of new files that are left out, which is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from marl_llm.proposals import PipelineSpec
from marl_llm.solve import plain
from marl_llm.solve.solution import solution_text
from marl_llm.solve.whole import whole_table
from marl_llm.tasks import Task

SPEC = PipelineSpec(estimator="LogisticRegression")
ROWS = [f"{'uv'[i % 2]},{i % 9},{i * 0.5}" for i in range(60)]
"""The target comes first: without it, all other columns move."""


def written(path: Path, lines: list[str]) -> str:
    path.write_text("\n".join(lines))
    return str(path)


def program(directory: Path, lines: list[str], **options: Any) -> dict[str, Any]:
    """The names of the file delivered for these lines, which reads them as the task did."""
    path = written(directory / "train.csv", lines)
    task = Task.from_csv(path, target="y", **options)
    names: dict[str, Any] = {"__name__": "solution"}
    exec(solution_text(task, whole_table(task), SPEC, {}, 0), names)
    features = names["features"](names["read"](path))
    pd.testing.assert_frame_equal(features, whole_table(task).X, check_exact=True)
    return names


def headerless(directory: Path, above: tuple[str, ...] = (), **options: Any) -> dict[str, Any]:
    return program(directory, [*above, *ROWS], header=["y", "a", "b"], **options)


def cells(names: dict[str, Any], path: str) -> list[list[Any]]:
    return names["features"](names["read"](path)).to_numpy().tolist()


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("b,a", "2.5,1"),
        ("b,y,a", "2.5,u,1"),
        ("note,b,more,a", "7,2.5,7,1"),
        ("\nb, a", "2.5,1"),
        ("y,a,b", "u,1,2.5"),
    ],
)
def test_a_new_file_may_have_the_header_that_the_other_had_not(
    tmp_path: Path, header: str, row: str
):
    names = headerless(tmp_path)
    assert cells(names, written(tmp_path / "new.csv", [header, row])) == [[1, 2.5]]


def test_a_header_that_lacks_a_column_is_no_row(tmp_path: Path):
    rows = [f"{row},{i % 7}" for i, row in enumerate(ROWS)]
    names = program(tmp_path, rows, header=["y", "a", "b", "c"])
    path = written(tmp_path / "new.csv", ["a,c,y,d", "1,2,u,3"])
    with pytest.raises(ValueError, match=r"new\.csv: columns are missing: b "):
        names["read"](path)


def test_rows_without_target_are_those_of_the_other_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    names = headerless(tmp_path)
    path = written(tmp_path / "new.csv", ["1,2.5", "3,4.5"])
    assert cells(names, path) == [[1, 2.5], [3, 4.5]]
    assert "new.csv has 2 of 3 columns: y is taken as missing" in capsys.readouterr().err


@pytest.mark.parametrize(("row", "width"), [("1", 1), ("u,1,2,3", 4)])
def test_rows_of_another_width_are_refused(tmp_path: Path, row: str, width: int):
    names = headerless(tmp_path)
    path = written(tmp_path / "new.csv", [row, row])
    with pytest.raises(ValueError, match=rf"new\.csv.* {width} fields where 3 "):
        names["read"](path)


def test_lines_above_the_rows_of_a_file_without_a_header_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    headerless(tmp_path, above=("a,note,here", "2020"), skip=2)
    assert "train.csv: 2 left out as no data, on line 1, 2\n" in capsys.readouterr().err


@pytest.mark.parametrize("regular", [True, False])
@pytest.mark.parametrize("above", [[], ["sep=,"]])
def test_rows_that_are_left_out_are_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    regular: bool,
    above: list[str],
):
    monkeypatch.setattr(plain, "_MOST_BYTES", 0)
    total = f"Total,{sum(i % 9 for i in range(60))},{sum(i * 0.5 for i in range(60))}"
    names = program(tmp_path, ["y,a,b", *ROWS, *([] if regular else [total])])
    capsys.readouterr()
    last = ",," if regular else "Total,9,9"
    lines = [*above, "y,a,b", "u,1,2", ",,", "", '"u\nv",3,4', ",,", "u,5,6", last]
    path = written(tmp_path / "new.csv", lines)
    assert cells(names, path) == [[1, 2], [3, 4], [5, 6]]
    numbers = ", ".join(str(n + len(above)) for n in (3, 7, 9))
    said = f"new.csv: 3 left out as no data, on line {numbers}\n"
    assert said in capsys.readouterr().err

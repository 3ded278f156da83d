"""Each column's reading is a decision with a reason: shown, changeable in one line, obeyed by new
rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from marl_llm.cli import main
from marl_llm.core.errors import UserError
from marl_llm.tasks import Task, TaskFile, load_suite, procedural_frame
from marl_llm.tasks.columns import TypedColumn, read_as, read_column
from marl_llm.tasks.columns.marks import Marks
from marl_llm.tasks.columns.override import parse_override
from marl_llm.tasks.csv.reading import read_csv
from marl_llm.tasks.detected import detected, task_file
from marl_llm.tasks.selection import Reader
from marl_llm.tasks.understood import detected_record, understood

ROWS = 120
DATA = Path(__file__).parents[2] / "data"


def column(
    *cells: str, name: str = "c", line: str | None = None, marks: Marks | str = "."
) -> TypedColumn:
    return read_column(pd.Series(list(cells), name=name), marks, line)


@pytest.mark.parametrize(
    "cells",
    [
        ("03", "02", "20", "19"),
        ("0090", "1360", "0580"),
        ("008.45", "8.45", "38.11", "038.11"),
        ("7E2", "12E4", "120E3", "5E0"),
        ("1045", "12E4", "7731"),
        ("12345678901234567890", "12345678901234567891"),
        ("9007199254740993", "17"),
    ],
)
def test_digits_that_are_names_are_categories(cells: tuple[str, ...]):
    typed = column(*cells * 3)
    assert typed.kind == "categorical" and typed.values.tolist() == [*cells] * 3
    assert "digits that are names" in typed.decision.reason and "'numeric'" in str(typed.note)
    assert column(*cells, line="numeric").kind == "numeric"


def test_versions_are_names_and_prices_are_not():
    versions = ["3.8", "3.9", "3.10", "3.11"] * 6
    assert column(*versions).values.tolist() == versions
    assert column(*["1.5", "2.25", "3.50", "4.05"] * 6).kind == "numeric"
    assert column(*["3.5", "3.6", "3.7"] * 6).kind == "numeric"


@pytest.mark.parametrize(
    "cells",
    [
        ("0", "0.5", "10"),
        ("1e-05", "2.5e-05", "0.3"),
        ("1E+05", "2E+06"),
        ("1e3", "2e5"),
        ("1.2E3", "1.5E4"),
        ("4111111111111111", "5500000000000004"),
        ("100000000000000000000", "1"),
        ("-05", "-10"),
    ],
)
def test_ordinary_numbers_are_no_names(cells: tuple[str, ...]):
    typed = column(*cells * 3)
    assert (typed.kind, typed.note) == ("numeric", None)


def test_integers_beyond_float_of_a_frame_keep_all_their_digits():
    typed = read_column(pd.Series([9007199254740993, 9007199254740995] * 4))
    assert typed.values.tolist()[:2] == ["9007199254740993", "9007199254740995"]
    assert read_column(pd.Series([2**53, 1])).kind == "numeric"


COMMA, POINT, BOTH = (Marks(m[0], frozenset(m)) for m in (",", ".", ".,"))
AREAS = ("927", "1.642", "850", "1.679", "2.516")


@pytest.mark.parametrize(
    ("cells", "name", "marks", "values", "doubt"),
    [
        (AREAS, "area", BOTH, [927, 1642, 850, 1679, 2516], True),
        (AREAS, "area", COMMA, [927, 1642, 850, 1679, 2516], False),
        (AREAS, "area", Marks("."), [927, 1642, 850, 1679, 2516], True),
        (AREAS, "area", POINT, [927, 1.642, 850, 1.679, 2.516], False),
        (("1.053", "8.451", "7.452"), "area", BOTH, [1053, 8451, 7452], True),
        (("-23.389", "-23.456"), "latitude", COMMA, [-23.389, -23.456], True),
        (("-23.389", "-46.456"), "Geo_Lon", BOTH, [-23.389, -46.456], True),
        (("1.053", "8.451"), "umsatz", COMMA, [1053, 8451], False),
        (("1,053", "8,451"), "x", POINT, [1053, 8451], False),
        (("-23.53264", "1.642"), "x", COMMA, [-23.53264, 1.642], False),
        (("1.234.567", "1.642"), "x", POINT, [1234567, 1642], False),
    ],
)
def test_the_decimal_mark_is_that_of_the_column(
    cells: tuple[str, ...], name: str, marks: Marks, values: list[float], doubt: bool
):
    typed = column(*cells, name=name, marks=marks)
    assert typed.values.tolist() == values
    assert ("can be read in two ways" in str(typed.note)) == doubt
    again = column(*cells, name=name, marks=Marks(marks.decimal), line=typed.decision.line)
    if doubt:
        assert again.values.tolist() == values


def test_a_decimal_mark_that_people_name_is_obeyed():
    named = Marks(",", frozenset(), named=True)
    assert column("-23.389", "-23.456", name="lat", marks=named).values.tolist() == [-23389, -23456]
    assert column(*AREAS, line="numeric decimal point").values.tolist()[1] == 1.642


@pytest.mark.parametrize(
    "others", [("AS", "EU", "SA"), ("ZA", "BW", "DE"), ("EMEA", "APAC", "LATAM")]
)
def test_na_beside_other_places_is_a_place(others: tuple[str, ...]):
    cells = ("NA", *others) * 5
    typed = column(*cells)
    assert typed.values.tolist() == [*cells]
    assert typed.decision.line == "categorical keep NA"
    assert "'categorical missing NA'" in str(typed.note)
    assert column(*cells, line="categorical missing NA").values.isna().sum() == 5
    assert column(*cells, line="categorical").values.tolist() == [*cells]


def test_na_beside_states_or_other_words_is_missing():
    states = column(*("NA", "CA", "PA", "AL") * 5)
    assert states.values.isna().sum() == 5 and "'categorical keep NA'" in str(states.note)
    kept = column(*("NA", "CA", "PA", "AL") * 5, line="categorical keep NA")
    assert kept.values.isna().sum() == 0
    answers = column(*("NA", "yes", "no") * 5)
    assert answers.values.isna().sum() == 5 and answers.note is None


def test_sentinels_are_missing_and_said():
    typed = column(*("20.7", "-999.9", "12.8", "-9999", "5", "31.5") * 4)
    assert typed.values.isna().sum() == 8
    assert "'-9999' (4 cells), '-999.9' (4 cells)" in str(typed.note)
    line = "numeric keep -9999 keep -999.9"
    assert line in str(typed.note)
    assert column("20.7", "-999.9", "12.8", "-999.9", line=line).values.isna().sum() == 0
    large = column(*("1", "2", "9999", "3") * 4)
    assert large.values.isna().sum() == 0 and "'numeric missing 9999'" in str(large.note)
    assert column("1", "9999", "2", line="numeric missing 9999").values.isna().sum() == 1


@pytest.mark.parametrize(
    "cells",
    [
        ("-999.9", "-1200", "800", "-300", "-999.9"),  # repeated, but among its like
        ("-99", "5", "7"),  # alone
        ("999", "950", "10", "999"),
        ("-9", "5", "-9"),  # no usual word for missing
    ],
)
def test_numbers_among_their_like_are_no_sentinels(cells: tuple[str, ...]):
    typed = column(*cells)
    assert (typed.values.isna().sum(), typed.note) == (0, None)


@pytest.mark.parametrize(
    ("fill", "others"), [("1e+20", 300), ("9.96921e+36", 300), ("-1e+34", 40), ("-999.25", 150)]
)
def test_fill_values_of_grids_are_missing_and_said(fill: str, others: int):
    typed = column(*(f"{i}.5" for i in range(others)), fill, fill)
    assert typed.values.isna().sum() == 2 and "far from all other values" in str(typed.note)


@pytest.mark.parametrize(
    ("word", "others"),
    [("-9", ("1", "2", "5")), ("99", ("1", "3", "5")), ("-99", ("-40", "-3", "38"))],
)
def test_numbers_that_may_stand_for_missing_are_a_remark(word: str, others: tuple[str, ...]):
    typed = column(*others * 3, *[word] * 4)
    assert typed.values.notna().all() and f"'numeric missing {word}' reads it" in str(typed.note)


def test_numbers_that_are_all_dates_are_dates_and_it_is_said():
    days = pd.date_range("2021-01-01", periods=40, freq="9D")
    typed = column(*days.strftime("%Y%m%d"))
    assert (typed.kind, typed.decision.line) == ("date", "date")
    assert typed.values[1] - typed.values[0] == 9
    assert str(typed.note) == "numbers that are all dates, as 20210101; 'numeric' keeps them"
    assert read_as(pd.Series(["20210110"]), typed.decision)[0] == typed.values[1]
    assert column(*days.strftime("%Y%m%d"), "20211341").kind == "numeric"
    assert column("2021年4月3日", "2021年12月31日").kind == "date"


def test_dates_with_the_year_first_are_called_so():
    assert column("2021-04-03", "2020-01-05").decision.line == "date"
    assert column("2021-04-03", "2020-01-05").decision.reason == "dates, year first"
    assert column("03/04/2021", "25/12/2020").decision.line == "day-first date"


def test_versions_and_phone_numbers_are_names():
    assert column("3.9.18", "3.10.12", "2.1.10", name="os_version").kind == "categorical"
    typed = column("+4930123456", "+4930123457")
    assert typed.kind == "categorical" and "written like a phone number" in str(typed.note)


def test_days_of_excel_are_dates_by_their_name_and_a_remark_without():
    days = [str(44_000 + 7 * i) for i in range(60)]
    named = column(*days, name="Order Date")
    assert (named.kind, named.values[0]) == ("date", 44_000 - 25_569)
    assert "'numeric' keeps them" in str(named.note)
    other = column(*days, name="x")
    assert other.kind == "numeric" and "'excel date' reads them so" in str(other.note)
    assert column(*days, name="x", line="excel date").values.tolist() == named.values.tolist()
    assert column(*days, name="Order Date", line="numeric").values[0] == 44_000
    assert column("1", "2", "3", name="date").kind == "numeric"
    gaps = column(*days, "-9999", "-9999", name="Order Date")
    assert gaps.decision.line == "excel date missing -9999" and gaps.values.isna().sum() == 2
    again = column(*days, "-9999", "-9999", name="Order Date", line=gaps.decision.line)
    assert again.values.equals(gaps.values)


def test_days_of_excel_among_other_dates_are_dates_and_said():
    typed = column("2021-11-21", "44521", "44522", "2020-01-05")
    assert (typed.kind, typed.values.tolist()) == ("date", [18952, 18952, 18953, 18266])
    assert "day numbers of Excel, as '44521', read as dates" in str(typed.note)
    again = column("44521", "2020-01-05", line=typed.decision.line)
    assert again.values.tolist() == [18952, 18266]


def test_a_date_that_stands_for_missing_is_a_remark():
    typed = column("2021-11-21", "9999-12-31", "2020-01-05")
    assert "'9999-12-31' may stand for missing" in str(typed.note)
    line = "date missing 9999-12-31"
    assert line in str(typed.note)
    assert column("2021-11-21", "9999-12-31", line=line).values.isna().sum() == 1
    assert column("1900-01-01", "1905-05-05", "1950-01-01").note is None


def test_what_laboratories_write_for_nothing_is_missing_among_numbers_and_said():
    typed = column(*("0.5", "ND", "1.7", "<LOD", "2.2") * 4)
    assert typed.kind == "numeric" and typed.values.isna().sum() == 8
    assert "'ND', '<LOD' among its numbers read as missing" in str(typed.note)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("number", "choose numeric, categorical"),
        (
            "numeric on kg",
            "behind 'numeric' can stand decimal, clock, flags, in, minus, missing, keep",
        ),
        ("numeric decimal", "behind 'decimal' stands comma or point"),
        ("numeric decimal semicolon", "behind 'decimal' stands comma or point"),
        ("numeric in", "behind 'in' stands a word"),
        ("text in kg", "'in' does not go with 'text'"),
        ("ignore missing x", "'missing' does not go with 'ignore'"),
        ("categorical keep 'NA", "opens a quotation mark and does not close it"),
    ],
)
def test_a_line_that_says_nothing_is_one_clear_sentence(line: str, message: str):
    with pytest.raises(UserError, match=message):
        parse_override(line)


def messy(directory: Path, rows: int = ROWS) -> Path:
    """A file of every reading."""
    rng = np.random.default_rng(0)
    lines = ["code;weight;paid;start;area;lat;day;lead;continent;temp;y"]
    for i in range(rows):
        weight = f"{rng.integers(200, 900)} g" if i % 3 else f"{rng.uniform(1, 3):.2f} kg"
        paid = f"{rng.uniform(1000, 9000):,.2f}".translate(str.maketrans(",.", ".,"))
        start = f"{rng.integers(24):02}:{rng.integers(60):02}"
        area = f"{rng.integers(500, 3000):,}".replace(",", ".")
        lead = ("<5", "<1")[i % 2] if i % 4 == 0 else f"{rng.uniform(0.5, 20):.2f}"
        continent = ("NA", "AS", "EU", "SA")[rng.integers(4)]
        temp = "-999" if i % 9 == 0 else str(rng.integers(-5, 30))
        day = f"{rng.integers(1, 29)}.{rng.integers(1, 13)}.2021"
        lines.append(
            f"0{rng.integers(10, 30)};{weight};{paid}{'-' if i % 5 == 0 else ''};{start};{area};"
            f"-23.{rng.integers(100_000):05};{day};{lead};{continent};{temp};{'uv'[i % 2]}"
        )
    path = directory / "messy.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_the_table_as_it_was_read_stands_in_a_file(tmp_path: Path, capsys):
    source, table = messy(tmp_path), tmp_path / "read.csv"
    assert main(["inspect", str(source), "--target", "y", "--table", str(table)]) == 0
    raw = pd.read_csv(source, sep=";", dtype=str, keep_default_na=False)
    read = pd.read_csv(table, dtype={"code": str}, keep_default_na=False, na_values=[""])
    assert list(read.columns) == [
        *("code", "weight", "paid", "start", "area", "lat", "day"),
        *("lead", "lead (limit)", "continent", "temp", "y"),
    ]
    assert read["code"].tolist() == raw["code"].tolist()
    grams = [float(w[:-2]) if w.endswith(" g") else float(w[:-3]) * 1000 for w in raw["weight"]]
    assert read["weight"].tolist() == pytest.approx(grams)
    paid = raw["paid"].str.replace(".", "").str.replace(",", ".")
    signed = [-float(p[:-1]) if p.endswith("-") else float(p) for p in paid]
    assert read["paid"].tolist() == pytest.approx(signed)
    assert read["start"].tolist() == [int(s[:2]) * 60 + int(s[3:]) for s in raw["start"]]
    assert read["area"].tolist() == [int(a.replace(".", "")) for a in raw["area"]]
    assert read["lat"].tolist() == raw["lat"].astype(float).tolist()
    days = pd.to_datetime(raw["day"], format="%d.%m.%Y").dt.strftime("%Y-%m-%d")
    assert read["day"].tolist() == days.tolist()
    assert read["lead"].tolist() == raw["lead"].str.lstrip("<").astype(float).tolist()
    assert read["continent"].tolist() == raw["continent"].tolist()
    assert read["temp"].isna().tolist() == (raw["temp"] == "-999").tolist()
    assert "numbers such as '1." in capsys.readouterr().out


def test_the_table_is_not_written_over_the_file(tmp_path: Path, capsys):
    source = messy(tmp_path)
    assert main(["inspect", str(source), "--target", "y", "--table", str(source)]) == 2
    assert "is the CSV itself" in capsys.readouterr().err


def test_json_gives_each_columns_kind_reading_and_reason(tmp_path: Path, capsys):
    assert main(["inspect", str(messy(tmp_path)), "--target", "y", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    columns = {one["name"]: one for one in record["columns"]}
    assert columns["weight"]["reading"] == "quantity"
    assert columns["weight"]["parameters"] == [".", {"g": 1.0, "kg": 1000.0}]
    assert columns["weight"]["task_file"] == "numeric in g"
    assert columns["code"]["kind"] == "categorical" and "names" in columns["code"]["reason"]
    assert columns["start"]["reading"] == "duration"
    assert columns["lead (limit)"]["beside"] == "lead"
    assert columns["temp"]["missing_words"] == ["-999"]
    assert columns["continent"]["kept_words"] == ["NA"]
    assert columns["y"]["role"] == "target" and all(one["reason"] for one in columns.values())


def test_the_task_file_names_every_decision_and_loads_back(tmp_path: Path):
    source = messy(tmp_path)
    task = Task.from_csv(source, target="y")
    path = tmp_path / "task.yaml"
    path.write_text(task_file(task, source.name), encoding="utf-8")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert "lead (limit)" not in content["features"] and content["columns"]["lead"] == "numeric"
    loaded = load_suite(path)[0].load()
    assert (loaded.key, loaded.columns) == (task.key, task.columns)
    content["columns"] |= {"weight": "numeric in kg", "continent": "categorical missing NA"}
    content["columns"] |= {"temp": "numeric keep -999", "lead": "numeric flags no", "code": "text"}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    changed = load_suite(path)[0].load()
    values = understood(changed)
    assert values["weight"].max() < 5 and values["continent"].isna().any()
    assert values["temp"].min() == -999 and "lead (limit)" not in values
    record = detected_record(changed)["columns"]
    assert {one["name"]: one["kind"] for one in record}["code"] == "text"


def test_a_target_with_a_unit_or_a_suffix_is_a_number(tmp_path: Path):
    rng = np.random.default_rng(1)
    rows = [f"{x:.2f},{x * 3 + 1:.1f}K" for x in rng.uniform(1, 9, 80)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,y", *rows]), encoding="utf-8")
    task = TaskFile(csv=path, target="y").load()
    assert task.kind == "regression" and task.development.y.min() > 3_000
    assert any("'K' behind its numbers multiplied out" in note for note in task.notes)


def readings(frame: pd.DataFrame, decimal: str) -> dict[str, TypedColumn]:
    reader = Reader(Marks.of(frame, decimal, named=False))
    return {name: reader.read(frame.loc[:, name], name) for name in map(str, frame.columns)}


SOURCES: list[Callable[[Path], Path]] = [
    *(lambda _, path=path: path for path in sorted(DATA.glob("*/*.csv"))),
    *(lambda directory, seed=seed: _procedural(directory, seed) for seed in range(0, 40, 5)),
]


def _procedural(directory: Path, seed: int) -> Path:
    path = directory / "p.csv"
    procedural_frame(seed)[0].to_csv(path, index=False)
    return path


@pytest.mark.parametrize("source", SOURCES)
def test_ordinary_tables_give_no_cause_for_a_remark(source: Callable[[Path], Path], tmp_path: Path):
    table = read_csv(source(tmp_path))
    for name, typed in readings(table.frame, table.dialect.decimal).items():
        assert typed.note is None, (name, typed.note)
        assert typed.decision.reading in ("number", "text", "boolean", "date"), name
        assert typed.beside is None


def test_every_line_that_is_shown_can_be_written(tmp_path: Path):
    task = Task.from_csv(messy(tmp_path), target="y")
    shown = "\n".join(detected(task))
    assert "numeric in g" in shown and "categorical keep NA" in shown
    for found in task.detections:
        if found.source is None:
            parse_override(found.override)

"""CSV files as people have them come out as the numbers and words that were meant."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marl_llm.core.errors import UserError
from marl_llm.tasks.columns import read_column
from marl_llm.tasks.csv.reading import read_csv

_LETTERS = "abcdefghijklmnopqrstuvwxyzéãçüßÉ"
_SPECIAL = ",;|\t\n\"' "
words = st.text(_LETTERS + _SPECIAL, min_size=1, max_size=12).map(
    lambda text: "w" + text.strip() + "w"
)
numbers = st.decimals(-990, 9_990, places=2).map(float)  # -999 and the like may mean missing
rows = st.lists(
    st.tuples(numbers, st.integers(-500, 500), words, st.one_of(st.none(), numbers)),
    min_size=5,
    max_size=25,
)


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@given(
    rows,
    st.sampled_from(
        [(",", "."), (";", ","), (";", "."), ("\t", ","), ("\t", "."), ("|", "."), ("|", ",")]
    ),
    st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16"]),
)
@settings(
    max_examples=70, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_written_is_read_whatever_delimiter_decimal_and_encoding(
    tmp_path: Path, drawn: list, style: tuple[str, str], encoding: str
) -> None:
    delimiter, decimal = style
    frame = pd.DataFrame(drawn, columns=["preço", "anzahl", "texto", "gap"])
    frame["gap"] = frame["gap"].astype(float)
    frame.loc[0, "preço"] = 0.25  # one number that can only be read in one way
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False, sep=delimiter, decimal=decimal, encoding=encoding)
    table = read_csv(path)
    assert table.dialect.delimiter == delimiter
    assert table.dialect.decimal == decimal
    assert list(table.frame.columns) == list(frame.columns)
    for name in ("preço", "anzahl", "gap"):
        column = read_column(table.frame.loc[:, name], table.dialect.decimal).values
        np.testing.assert_array_equal(
            column.to_numpy(dtype=float), frame[name].to_numpy(dtype=float)
        )
    assert read_column(table.frame.loc[:, "texto"]).values.tolist() == frame["texto"].tolist()


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1.234,56", 1234.56),
        ("3,5", 3.5),
        ("1.234.567", 1234567.0),
        ("-0,5", -0.5),
        ("12", 12.0),
        ("1.000", 1000.0),
        ("1e3", 1000.0),
        ("0.125", 0.125),
    ],
)
def test_decimal_comma_with_thousands_points(cell: str, value: float) -> None:
    column = read_column(pd.Series([cell]), ",").values
    assert column.tolist() == [value]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1,234.56", 1234.56),
        ("1,234", 1234.0),
        ("3.5", 3.5),
        (".5", 0.5),
        ("+7", 7.0),
        ("3,5", 3.5),
    ],
)
def test_decimal_point_with_thousands_commas(cell: str, value: float) -> None:
    column = read_column(pd.Series([cell]), ".").values
    assert column.tolist() == [value]


def test_three_decimals_behind_a_comma_are_decimals_in_a_semicolon_file(tmp_path: Path) -> None:
    table = read_csv(written(tmp_path / "t.csv", "a;b\n1,234;x\n5,678;y\n"))
    assert read_column(table.frame.loc[:, "a"], table.dialect.decimal).values.tolist() == [
        1.234,
        5.678,
    ]


def test_windows_quotes_make_it_cp1252(tmp_path: Path) -> None:
    table = read_csv(written(tmp_path / "t.csv", "a,b\n“hi”,1\ncafé,2\n", "cp1252"))
    assert table.dialect.encoding == "cp1252"
    assert table.frame["a"].tolist() == ["“hi”", "café"]


def test_a_byte_order_mark_is_not_part_of_the_first_name(tmp_path: Path) -> None:
    table = read_csv(written(tmp_path / "t.csv", "id,b\n1,2\n", "utf-8-sig"))
    assert list(table.frame.columns) == ["id", "b"]
    assert table.dialect.note == "read as utf-8-sig, comma separated, decimal point"


def test_repeated_and_empty_names_become_unique_and_are_noted(tmp_path: Path) -> None:
    table = read_csv(written(tmp_path / "t.csv", "a, a,,b ,a_2\n1,2,3,4,5\n"))
    assert list(table.frame.columns) == ["a", "a_2", "column_3", "b", "a_2_2"]
    assert len(table.notes) == 4


def test_missing_values_in_all_their_spellings() -> None:
    column = read_column(pd.Series(["1", " ", "NA", "?", "", "n/a", "-", "none", "2"])).values
    assert column.dtype == np.float64
    assert [math.isnan(value) for value in column] == [False] + [True] * 7 + [False]
    words = read_column(pd.Series(["red", "?", "NA", "none", ""])).values
    assert words.dtype == object
    assert words.tolist() == ["red", np.nan, np.nan, "none", np.nan]


def test_a_word_among_many_numbers_is_missing_and_noted() -> None:
    typed = read_column(pd.Series([str(i) for i in range(99)] + ["broken"]))
    column, note = typed.values, typed.note
    assert column.dtype == np.float64 and column.isna().sum() == 1
    assert note == "'broken' among its numbers read as missing"
    assert read_column(pd.Series(["a"] * 10 + ["1"] * 90)).values.dtype == object


@pytest.mark.parametrize(
    "values",
    [
        [True, False, True],
        ["true", "FALSE", "true"],
        pd.array([True, False, True], dtype="boolean"),
    ],
)
def test_booleans_are_the_categories_true_and_false(values: list) -> None:
    assert read_column(pd.Series(values)).values.tolist() == ["True", "False", "True"]


def test_infinite_numbers_are_missing() -> None:
    assert read_column(pd.Series([1.0, np.inf, -np.inf])).values.isna().tolist() == [
        False,
        True,
        True,
    ]
    assert read_column(pd.Series(["1", "inf"])).values.isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("a,b\n", "header but no rows"),
        ("a,b\n1,2\n3,4,5\n", "line 3, has 3 fields where the header has 2"),
        ("a,b\n1,2,9\n3,4,9\n", "line 2, has 3 fields where the header has 2"),
        ('a,b\n1,"2\n3,4\n', "quotation mark that is never closed"),
        ("a,b\n1,\x002\n", "not a text file"),
    ],
)
def test_a_file_that_is_no_table_gives_one_sentence(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_csv(written(tmp_path / "t.csv", text))
    assert "\n" not in str(caught.value)


def test_missing_file_and_directory_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no file"):
        read_csv(tmp_path / "nowhere.csv")
    with pytest.raises(UserError, match="is a directory"):
        read_csv(tmp_path)


@pytest.mark.parametrize("text", ["a,b\r\n1,2\r\n", "a,b\r1,2\r", "\na,b\n\n1,2\n\n", "a,b\n1,2"])
def test_line_endings_and_blank_lines_do_not_matter(tmp_path: Path, text: str) -> None:
    assert read_csv(written(tmp_path / "t.csv", text)).frame.to_dict("list") == {
        "a": ["1"],
        "b": ["2"],
    }


def test_blanks_before_a_quoted_field_do_not_end_the_quotation(tmp_path: Path) -> None:
    table = read_csv(written(tmp_path / "t.csv", 'a, b, c\n1, "x, y", 2\n3, "z", 4\n'))
    assert table.frame.to_dict("list") == {"a": ["1", "3"], "b": ["x, y", "z"], "c": ["2", "4"]}
    table = read_csv(written(tmp_path / "t.csv", 'a, b\n1, "x"\n3, "z"\n'))
    assert table.frame.to_dict("list") == {"a": ["1", "3"], "b": ["x", "z"]}


def test_a_latin_word_with_marked_letters_in_a_row_is_no_other_script(tmp_path: Path) -> None:
    text = "a;b\n" + "1;w\n" * 6 + "2;wÉÉÉw\n"
    table = read_csv(written(tmp_path / "t.csv", text, "latin-1"))
    assert table.dialect.encoding == "latin-1" and table.frame["b"].iloc[-1] == "wÉÉÉw"

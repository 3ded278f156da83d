"""Files in other encodings, with Excel's first line, with broken lines; what is named overrides
what is found.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marl_llm.core.errors import UserError
from marl_llm.tasks.csv.dialect import Overrides
from marl_llm.tasks.csv.encoding import text_file
from marl_llm.tasks.csv.parsing import Layout, _parse_carefully, _parse_fast, parse
from marl_llm.tasks.csv.reading import Table, read_csv


def table(directory: Path, text: str, written: str = "utf-8", **overrides: str) -> Table:
    path = directory / "t.csv"
    path.write_bytes(text.encode(written))
    return read_csv(path, Overrides(**overrides))


RUSSIAN = "имя;город;оценка\n" + "Иван;Москва;отлично\nОльга;Казань;хорошо\n" * 20
GREEK = "όνομα;πόλη;τιμή\n" + "Γιώργος;Αθήνα;καλή\nΜαρία;Πάτρα;κακή\n" * 20
CHINESE = "姓名;城市;评价\n" + "王伟;北京;很好\n李娜;上海;一般\n" * 20


@pytest.mark.parametrize(
    ("text", "encoding"), [(RUSSIAN, "cp1251"), (GREEK, "cp1253"), (CHINESE, "gb18030")]
)
def test_other_scripts_are_recognised(tmp_path: Path, text: str, encoding: str):
    read = table(tmp_path, text, encoding)
    assert (read.dialect.encoding, read.dialect.delimiter) == (encoding, ";")
    assert list(read.frame.columns) == text.split("\n", maxsplit=1)[0].split(";")


def test_few_accents_among_numbers_are_latin_1(tmp_path: Path):
    text = "id;valor;cidade\n" + "".join(f"{i};{i * 1.5};São Paulo\n" for i in range(300))
    assert table(tmp_path, text, "latin-1").dialect.encoding == "latin-1"


def test_a_named_encoding_is_used_and_what_is_not_in_it_is_named_by_line(tmp_path: Path):
    polish = "imię;miasto\nŁukasz;Łódź\n"
    assert table(tmp_path, polish, "cp1250", encoding="cp1250").frame["miasto"].tolist() == ["Łódź"]
    with pytest.raises(UserError, match="line 2, is not ascii text: save the file as UTF-8"):
        table(tmp_path, "a,b\né,1\n", encoding="ascii")
    with pytest.raises(UserError, match="There is no encoding 'utf-9'"):
        table(tmp_path, "a,b\n1,2\n", encoding="utf-9")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("first", ["sep=|\n", '"sep=|"\r\n'])
def test_the_first_line_of_excel_names_the_delimiter_and_is_no_header(
    tmp_path: Path, encoding: str, first: str
):
    read = table(tmp_path, f"{first}a;b|c\né,1|2\n", encoding)
    assert read.dialect.delimiter == "|"
    assert read.frame.to_dict("list") == {"a;b": ["é,1"], "c": ["2"]}


@pytest.mark.parametrize(
    ("delimiter", "mark"), [("tab", "\t"), (":", ":"), ("pipe", "|"), (" ", " ")]
)
def test_a_named_delimiter_is_used(tmp_path: Path, delimiter: str, mark: str):
    read = table(tmp_path, f"a,1{mark}b\nx,1{mark}y\n", delimiter=delimiter)
    assert read.frame.to_dict("list") == {"a,1": ["x,1"], "b": ["y"]}
    assert read.dialect.delimiter == mark


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"delimiter": ";;"}, "The delimiter ';;' can't separate fields"),
        ({"delimiter": "a"}, "The delimiter 'a' can't separate fields"),
        ({"decimal": ";"}, "The decimal mark ';' is none: name '.' or ','"),
    ],
)
def test_an_override_that_makes_no_sense_is_refused(
    tmp_path: Path, overrides: dict[str, str], message: str
):
    with pytest.raises(UserError, match=message):
        table(tmp_path, "a,b\n1,2\n", **overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'a,b,c\n"x\ny",2,3\n4,5,6,7\n',
            r"line 4, has 4 fields where the header has 3 .* \(4,5,6,7\)\.$",
        ),
        ("a,b\n\n\n1,2,3\n", "line 4, has 3 fields"),
        ("sep=,\na,b\n1,2\n1,2,3\n", "line 4, has 3 fields"),
        (f"a,b\n1,2\n{'long ' * 40},2,3\n", r"line 3, has 3 fields .*\(long long .* \.\.\.\)\.$"),
        (
            'a,b,c\n1,2,3\n4,"5,6\n7,8,9\n',
            "lines 3 to 4, are read as one record of 2 fields where the header has 3",
        ),
        ('a,b\n1,2\n3,"4\n5,6\n', "line 3, has a quotation mark that is never closed"),
        (
            'a,b\n1,2\n3,"4' + "x" * 140_000 + "\n",
            "line 3, has a field of more than 131,072 characters",
        ),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, text: str, message: str):
    with pytest.raises(UserError, match=message) as caught:
        table(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_rows_that_end_early_are_filled_up_and_the_first_is_named(tmp_path: Path):
    read = table(tmp_path, 'a,b,c\n"1\n1",2,3\n4\n5,6\n')
    assert read.frame.to_dict("list") == {
        "a": ["1\n1", "4", "5"],
        "b": ["2", "", "6"],
        "c": ["3", "", ""],
    }
    assert (
        "2 lines, the first of them line 4, have fewer than 3 fields: the last ones are read "
        "as missing" in read.notes
    )


def test_rows_of_delimiters_only_are_no_rows_not_even_in_front_of_the_header(tmp_path: Path):
    assert table(tmp_path, ";;\na;b;c\n;;\n1;2;3\n").frame.to_dict("list") == {
        "a": ["1"],
        "b": ["2"],
        "c": ["3"],
    }


def written(cell: str, quote_all: bool) -> str:
    """A cell in quotation marks, where they are needed."""
    needed = quote_all or any(c in cell for c in ',;|"\t\r\n')
    return '"' + cell.replace('"', '""') + '"' if needed else cell


CELLS = st.text('ab1,;. "\n\r\té', max_size=5)


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=2, max_size=6)
    ),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16"]),
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_both_readers_agree_and_read_what_was_written(
    tmp_path: Path,
    rows: list[list[str]],
    delimiter: str,
    ending: str,
    quote_all: bool,
    encoding: str,
):
    path = tmp_path / "t.csv"
    lines = [delimiter.join(written(cell, quote_all) for cell in row) + ending for row in rows]
    path.write_bytes("".join(lines).encode(encoding))
    file, layout = text_file(path, encoding), Layout(delimiter, len(rows[0]), 0, header=False)
    stripped = [[cell.strip() for cell in row] for row in rows]
    expected = [row for row in stripped if any(row)]
    assert [list(row.values()) for row in parse(file, layout).table.to_pylist()] == expected
    fast = _parse_fast(file, layout)
    if fast is not None:
        of_fast = [[c.strip() for c in row] for row in zip(*map(list_of, fast), strict=True)]
        careful = _parse_carefully(file, layout).table
        assert [row for row in of_fast if any(row)] == [
            list(r.values()) for r in careful.to_pylist()
        ]


def list_of(column: pa.ChunkedArray) -> list[str]:
    return column.to_pylist()

"""Cells become the numbers, dates, categories and texts that people meant, whatever way they are
written.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_llm.core.errors import UserError
from marl_llm.tasks.columns import TypedColumn, read_column
from marl_llm.tasks.columns.cells import numbers_of
from marl_llm.tasks.columns.text_columns import Cells

REVIEWS = [
    f"the {colour} one was {how}"
    for colour in ("red", "blue", "old")
    for how in ("good", "bad", "late", "fine")
]


def column(
    *cells: str, decimal: str = ".", kind: str | None = None, missing: tuple[str, ...] = ()
) -> TypedColumn:
    return read_column(pd.Series(list(cells), name="c"), decimal, kind, missing)


@pytest.mark.parametrize(
    ("cell", "decimal", "value"),
    [
        ("R$ 1.234,50", ",", 1234.5),
        ("-R$ 0,50", ",", -0.5),
        ("R$ -0,50", ",", -0.5),
        ("US$1,234.50", ".", 1234.5),
        ("€ 5", ".", 5.0),
        ("5 €", ",", 5.0),
        ("1.500 EUR", ",", 1500.0),
        ("12,5 %", ",", 12.5),
        ("12.5%", ".", 12.5),
        ("(1,250)", ".", -1250.0),
        ("1 234 567,8", ",", 1234567.8),
        ("1\u00a0234", ".", 1234.0),
        ("1\u202f234,5", ",", 1234.5),
        ("1'234'567.5", ".", 1234567.5),
        ("1’234", ".", 1234.0),
        ("12,34,567.5", ".", 1234567.5),
        ("−7", ".", -7.0),
        ("1,5e3", ",", 1500.0),
    ],
)
def test_numbers_with_signs_and_groups(cell: str, decimal: str, value: float):
    typed = column(cell, "3", decimal=decimal)
    assert (typed.kind, typed.values.tolist()) == ("numeric", [value, 3.0])


@pytest.mark.parametrize(
    "cell",
    ["5 kg", "A-5", "1.2.3", "1-2", "12 34", "1,23,4", "EURO 5", "0x10", "1_0", "--5", "5 %%"],
)
def test_what_is_no_number_stays_text(cell: str):
    assert column(cell, cell).kind == "categorical"


def test_signs_around_numbers_are_noted():
    assert column("R$ 1", "5 %", "7").note == "'R$', '%' beside its numbers left out"
    assert column("1", "1,234").note is None


@given(st.lists(st.floats(-1e9, 1e9).map(lambda x: round(x, 3)), min_size=1, max_size=9), st.data())
def test_grouped_numbers_are_read_back_exactly(values: list[float], data: st.DataObject):
    group, mark = data.draw(
        st.sampled_from(
            [(",", "."), (".", ","), (" ", ","), ("\u00a0", ","), ("'", "."), ("", ",")]
        )
    )
    sign = data.draw(st.sampled_from(["{}", "R$ {}", "{} %", "{}€"]))
    cells = [
        sign.format(f"{value:,.3f}".replace(",", "G").replace(".", mark).replace("G", group))
        for value in values
    ]
    assert numbers_of(cells, mark).tolist() == values


@given(
    st.lists(
        st.text("0123456789.,eE+-infa_x", max_size=7) | st.floats().map(repr),
        min_size=1,
        max_size=5,
    )
)
@settings(deadline=None)
def test_the_quick_way_to_numbers_is_the_slow_one(texts: list[str]):
    cells = Cells.of(pd.Series(texts, dtype=object), frozenset({""}))
    for mark in ".,":
        quick = cells.as_plain_numbers(mark)
        if quick is not None:
            np.testing.assert_array_equal(quick, cells.spread(numbers_of(cells.distinct, mark)))


FORMATS = {
    "%Y-%m-%d": "day first",
    "%Y/%m/%d %H:%M": "day first",
    "%Y-%m-%dT%H:%M:%S": "day first",
    "%d/%m/%Y": "day first",
    "%d.%m.%Y %H:%M:%S": "day first",
    "%m/%d/%Y": "month first",
    "%m-%d-%Y %I:%M %p": "month first",
    "%d %b %Y": "day first",
    "%d-%b-%y": "day first",
    "%B %d, %Y": "day first",
}


@given(
    st.lists(st.datetimes(datetime(1970, 1, 1), datetime(2067, 12, 31)), min_size=1, max_size=8),
    st.data(),
)
def test_dates_are_read_as_pandas_reads_them_when_told_the_format(
    moments: list[datetime], data: st.DataObject
):
    style = data.draw(st.sampled_from(list(FORMATS)))
    moments = [*moments, datetime(2001, 12, 31)]  # a day that can be no month
    cells = [moment.strftime(style) for moment in moments]
    typed = column(*cells)
    expected = pd.to_datetime(pd.Series(cells), format=style)
    assert (typed.kind, typed.decision.parameters, typed.note) == ("date", (FORMATS[style],), None)
    days = (expected - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    np.testing.assert_allclose(typed.values, days, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2020-04-03T10:00:00Z", datetime(2020, 4, 3, 10)),
        ("2020-04-03 10:00+02:00", datetime(2020, 4, 3, 8)),
        ("2020-04-03 23:30:00.25 -0300", datetime(2020, 4, 4, 2, 30, 0, 250_000)),
        ("Fri, 03 Apr 2020 10:00:00 GMT", datetime(2020, 4, 3, 10)),
        ("3 de março de 2020", datetime(2020, 3, 3)),
        ("3. Dezember 2020", datetime(2020, 12, 3)),
        ("15 août 2020", datetime(2020, 8, 15)),
        ("1º de jan de 2021", datetime(2021, 1, 1)),
        ("2020-04", datetime(2020, 4, 1)),
        ("04/2020", datetime(2020, 4, 1)),
        ("Apr 2020", datetime(2020, 4, 1)),
        ("03APR2020", datetime(2020, 4, 3)),
        ("1/2/69", datetime(1969, 2, 1)),
        ("1/2/68", datetime(2068, 2, 1)),
    ],
)
def test_other_ways_to_write_a_date(cell: str, moment: datetime):
    typed = column(cell, "31/12/1999")
    assert typed.kind == "date"
    assert typed.values[0] == pytest.approx(
        (moment - datetime(1970, 1, 1)) / timedelta(days=1), abs=1e-9
    )


@pytest.mark.parametrize(
    "cell",
    [
        "2020-13-01",
        "30/02/2020",
        "2020-04-03 25:00",
        "10-12",
        "1.2.3",
        "март 2020",
        "Mayor 12, 2020",
    ],
)
def test_what_is_no_date_stays_text(cell: str):
    assert column(cell, cell).kind == "categorical"


def test_one_day_above_twelve_settles_the_order_of_the_whole_column():
    assert column("01/02/2020", "13/02/2020", decimal=".").values[0] == 18293.0
    assert column("01/02/2020", "02/13/2020", decimal=",").values[0] == 18263.0
    assert column("13/02/2020", "02/13/2020").kind == "categorical"


@pytest.mark.parametrize(
    ("cell", "decimal", "order"),
    [
        ("01/02/2020", ",", "day first"),
        ("01/02/2020", ".", "month first"),
        ("01.02.2020", ".", "day first"),
    ],
)
def test_dates_of_either_order_are_read_as_the_decimal_mark_suggests_with_a_note(
    cell: str, decimal: str, order: str
):
    typed = column(cell, decimal=decimal)
    assert typed.decision.parameters == (order,)
    assert typed.note == f"dates such as '{cell}' can be read in two ways: read {order}"


def test_eight_digits_are_a_date_only_if_somebody_says_so():
    assert column("20200403").kind == "numeric"
    assert column("20200403", kind="date").values.tolist() == [18355.0]


def test_the_zero_date_of_databases_and_little_else_among_dates_is_missing():
    assert np.isnan(column("0000-00-00", "2020-04-03").values[0])
    typed = column(*["2020-04-03"] * 40, "soon")
    assert typed.kind == "date" and typed.note == "'soon' among its dates read as missing"
    assert column("2020-04-03", "soon").kind == "categorical"


def test_datetimes_of_a_frame_are_days_too():
    zone = timezone(timedelta(hours=-3))
    for moments in (
        pd.Series(pd.to_datetime(["2020-04-03 12:00", None])),
        pd.Series([datetime(2020, 4, 3, 9, tzinfo=zone), None]),
        pd.Series(pd.array([datetime(2020, 4, 3, 12), None], dtype="timestamp[ns][pyarrow]")),
        pd.Series(["2020-04-03 12:00", None]),
    ):
        typed = read_column(moments)
        assert typed.kind == "date"
        np.testing.assert_array_equal(typed.values, [18355.5, np.nan])
    assert read_column(pd.Series([timedelta(hours=12)])).values.tolist() == [0.5]


def test_sentences_are_text_and_codes_names_and_levels_are_categories():
    assert column(*REVIEWS).kind == "text"
    assert column(*[f"K-{i}" for i in range(40)]).kind == "categorical"
    assert column(*[f"Peter{i}" for i in range(40)]).kind == "categorical"
    assert column(*(["very good indeed", "not so good"] * 30)).kind == "categorical"


def test_yes_and_no_stay_what_they_are():
    assert column("sim", "não", "sim").values.tolist() == ["sim", "não", "sim"]
    assert column("True", "false", "TRUE").values.tolist() == ["True", "False", "True"]


def test_equal_words_share_one_string():
    words = column(*["Lisboa", "Porto"] * 50).values
    assert len({id(word) for word in words}) == 2


@pytest.mark.parametrize(
    ("kind", "cells", "values", "note"),
    [
        (
            "numeric",
            ("1", "x", "y"),
            [1.0, np.nan, np.nan],
            "'x', 'y' among its numbers read as missing",
        ),
        ("categorical", ("1", "2.0", ""), ["1", "2.0", np.nan], None),
        ("text", ("1", "2"), ["1", "2"], None),
        ("day-first date", ("1/2/2020",), [18293.0], None),
        (
            "month-first date",
            ("1/2/2020", "25/1/2020"),
            [18263.0, np.nan],
            "'25/1/2020' among its dates read as missing",
        ),
    ],
)
def test_a_kind_that_is_named_is_obeyed(
    kind: str, cells: tuple[str, ...], values: list, note: str | None
):
    typed = column(*cells, kind=kind)
    order = kind.split(maxsplit=1)[0]
    assert typed.kind == order.replace("day-first", "date").replace("month-first", "date")
    assert pd.Series(values).equals(typed.values.astype(pd.Series(values).dtype))
    assert typed.note == note


@pytest.mark.parametrize(
    ("kind", "what"), [("numeric", "a number"), ("date", "a date"), ("day-first date", "a date")]
)
def test_a_kind_that_fits_no_value_is_refused(kind: str, what: str):
    with pytest.raises(UserError, match=f"No value is {what} .the first is 'x'"):
        column("x", "y", kind=kind)


def test_numbers_of_a_frame_can_be_categories_or_text():
    assert read_column(pd.Series([1.0, 2.0, np.nan]), kind="categorical").values.tolist() == [
        "1",
        "2",
        np.nan,
    ]
    assert read_column(pd.Series([1, 20200403]), kind="date").values.tolist()[1] == 18355.0


def test_further_words_can_mean_missing():
    assert column("1", "-999", "9", missing=("-999",)).values.isna().tolist() == [
        False,
        True,
        False,
    ]
    assert column("a", "keine", missing=("keine",)).values.isna().tolist() == [False, True]
    assert read_column(pd.Series([1.0, -999.0]), missing=("-999",)).values.isna().tolist() == [
        False,
        True,
    ]

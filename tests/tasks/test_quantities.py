"""Numbers with something beside them are numbers in one unit; what was decided is said, and can be
said otherwise in one line.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_llm.core.errors import UserError
from marl_llm.solve import standalone
from marl_llm.tasks.columns import TypedColumn, read_as, read_column
from marl_llm.tasks.columns.override import option, parse_override


def column(*cells: str, decimal: str = ".", line: str | None = None) -> TypedColumn:
    return read_column(pd.Series(list(cells), name="c"), decimal, line)


def numbers(*cells: str, decimal: str = ".", line: str | None = None) -> list[float]:
    typed = column(*cells, decimal=decimal, line=line)
    assert typed.kind == "numeric"
    return [round(value, 6) for value in typed.values]


@pytest.mark.parametrize(
    ("cells", "decimal", "values"),
    [
        (("23.4 kmpl", "18 kmpl", "20.57 kmpl"), ".", [23.4, 18, 20.57]),
        (("1248 CC", "796 CC"), ".", [1248, 796]),
        (("155,000 km", "68,000 km"), ".", [155000, 68000]),
        (("12,5 kg", "1.200,5 kg"), ",", [12.5, 1200.5]),
        (("5 212 km", "870 km"), ",", [5212, 870]),
        (("1.2 kg", "350 g", "2 kg", "5 mg"), ".", [1.2, 0.35, 2, 0.000005]),
        (("300 m", "2 km", "1.5 km"), ".", [0.3, 2, 1.5]),
        (("12 °C", "68 °F", "3 °C"), ".", [12, 20, 3]),
        (("6 ft 2 in", "5 ft 11 in"), ".", [74, 71]),
        (("5'11\"", "6'2\""), ".", [71, 74]),
        (("1h 20m", "45m", "2h 5m"), ".", [80, 45, 125]),
        (("1 Std. 20 Min.", "45 Min."), ".", [80, 45]),
        (("70 m²", "1076.39104 sq ft", "50 m²"), ".", [70, 100, 50]),
        (("9.60K", "2.1M", "101"), ".", [9600, 2.1e6, 101]),
        (("$1.2m", "$350k"), ".", [1.2e6, 350000]),
        (("2,5 Mio. €", "1,25 Mio. €"), ",", [2.5e6, 1.25e6]),
        (("1,2 mi", "800 mil", "3,4 bi"), ",", [1.2e6, 800000, 3.4e9]),
        (("1.2 mi", "3 mi"), ".", [1.2, 3]),
        (("5y 3m", "10y", "8y", "2y 6m"), ".", [5.25, 10, 8, 2.5]),
        (("3 años y 6 meses", "5 años", "1 año y 3 meses"), ".", [3.5, 5, 1.25]),
        (("1.50 h", "3600.25 s", "2.75 h"), ".", [1.5, 1.000069, 2.75]),
        (("₹2.50 Cr", "₹3.75 Cr", "₹100.00"), ".", [2.5e7, 3.75e7, 100]),
        (("70.5", "68.2", "81.0", "66.1", "155 lb", "71.0"), ".", [70.5, 68.2, 81, 66.1, 155, 71]),
        (("70.5", "81.0", "66.1", "100 lb", "70 kg"), ".", [70.5, 81, 66.1, 100, 154.323584]),
        (("–5", "3", "–1.5"), ".", [-5, 3, -1.5]),
        (("₹ 4.5 Lakh", "₹ 1.2 Cr"), ".", [450000, 1.2e7]),
        (("10,000+", "500+", "1,000+"), ".", [10000, 500, 1000]),
        (("1.234,56-", "500,00"), ",", [-1234.56, 500]),
        (("500,00 CR", "1.200,50 DR"), ",", [-500, 1200.5]),
        (("500,00 H", "1.200,50 S"), ",", [-500, 1200.5]),
        (("$(1,250.00)", "$80.50"), ".", [-1250, 80.5]),
        (("CHF 1'250.-", "CHF 80.50", "CHF 7.–"), ".", [1250, 80.5, 7]),
        (("50,- €", "49,99 €", "5,--"), ",", [50, 49.99, 5]),
        (("48.85° N", "33.9° S"), ".", [48.85, -33.9]),
        (("<0.5", "6.62", ">50"), ".", [0.5, 6.62, 50]),
        (("3.5 ±0.2", "4.1 ±0.3"), ".", [3.5, 4.1]),
        (("1,234[1]", "5,678", "910"), ".", [1234, 5678, 910]),
        (("4.5/5", "3/5", "2.5/5"), ".", [4.5, 3, 2.5]),
        (("4 out of 5", "3 out of 5", "2 out of 5"), ".", [4, 3, 2]),
        (("74 bhp @ 4000 rpm", "90 bhp @ 3500 rpm", "81.5 bhp @ 6000 rpm"), ".", [74, 90, 81.5]),
        (
            ("10 kgm at 17-27 rpm", "98.0665 Nm@ 2000", "49 Nm@ 2000rpm"),
            ".",
            [98.0665, 98.0665, 49],
        ),
        (("320 (42.1%)", "18 (2.4%)", "7 (0.9%)"), ".", [320, 18, 7]),
        (("6.78(9)", "6.81(12)", "7.02(8)"), ".", [6.78, 6.81, 7.02]),
        (("89+2", "73+1", "64+3"), ".", [89, 73, 64]),
        (("1.2 x 10^3", "4 × 10⁶", "5*10**-2"), ".", [1200, 4e6, 0.05]),
        (("1 1/2", "2", "3 3/4"), ".", [1.5, 2, 3.75]),
        (("1½", "2½", "3"), ".", [1.5, 2.5, 3]),
        (("5'11", "6'2"), ".", [71, 74]),
        (("5'23\"", "4'58\"", "6'05\""), ".", [5.383333, 4.966667, 6.083333]),
        (("48°51'24\"N", "33°52'12\"S"), ".", [48.856667, -33.87]),
        (("▲ 2.2%", "▼ 1.4%"), ".", [2.2, -1.4]),
        (("#12", "#7", "#31"), ".", [12, 7, 31]),
        (("$ (12.50)", "$ 80.00", "$ -"), ".", [-12.5, 80, 0]),
        (('="12.5"', '="7"', '="31"'), ".", [12.5, 7, 31]),
        (("10,2 тыс. руб.", "1,5 млн руб.", "3 млн руб."), ",", [10200, 1.5e6, 3e6]),
        (("15,3 万", "4200", "2,1 億"), ",", [153000, 4200, 2.1e8]),
        (("1.234,56 C", "80,00 D", "12,50 D"), ",", [1234.56, -80, -12.5]),
    ],
)
def test_what_stands_beside_numbers_is_understood(
    cells: tuple[str, ...], decimal: str, values: list[float]
):
    assert numbers(*cells, decimal=decimal) == values


@pytest.mark.parametrize(
    ("cells", "minutes"),
    [
        (("08:37", "18:05"), [517, 1085]),
        (("1:21:30", "0:05:15"), [81.5, 5.25]),
        (("2:05 PM", "12:10 AM"), [845, 10]),
        (("8h37", "12h05"), [517, 725]),
        (("8.30 Uhr", "9.05 Uhr"), [510, 545]),
        (("59:10", "1:02:30"), [59.166667, 62.5]),
        (("1:28.5", "0:59.25", "58.5"), [1.475, 0.9875, 0.975]),
        (("1 days 02:30:00", "0 days 00:10:00"), [1590, 10]),
        (("PT1H30M", "PT45M"), [90, 45]),
        (("-1:30", "2:00"), [-90, 120]),
    ],
)
def test_times_of_day_and_durations_are_minutes(cells: tuple[str, ...], minutes: list[float]):
    assert numbers(*cells) == minutes


@pytest.mark.parametrize(
    "cells",
    [
        ("12A", "7", "7B", "14", "33C"),
        ("12A", "14F", "3C"),
        ("A-5", "K-12", "B-7"),
        ("1st", "2nd", "3rd"),
        ("2WD", "4WD", "AWD"),
        ("XL", "2XL", "3XL"),
        ("10-20", "20-30", "30-40"),
        ("2-1", "0-0", "3-2"),
        ("2020 Q1", "2020 Q2", "2021 Q1", "2022 Q4", "2023 Q1", "2024 Q1"),
        ("15 May", "3 June", "8 May", "9 June"),
        ("3-", "3+", "2", "1-", "4"),
        ("9 A", "9 B", "10 A", "10 B"),
        ("#001", "#002", "#010"),
        ("<=50K", ">50K"),
        ("<30", ">30", "30"),
    ],
)
def test_codes_scores_ranges_and_grades_stay_text(cells: tuple[str, ...]):
    assert column(*cells).kind == "categorical"


def test_many_ranges_are_their_middle_and_few_are_categories_with_a_remark():
    few = column(*["18-24", "25-34", "35-44", "65+"] * 5)
    assert few.kind == "categorical"
    assert str(few.note) == "ranges, as '18-24', are categories: 'numeric' reads their middle"
    many = [f"{low}-{low + 5}" for low in range(30)]
    typed = column(*many)
    assert typed.values.tolist() == [low + 2.5 for low in range(30)]
    assert str(typed.note) == "ranges such as '0-5' read as their middle"
    again = read_as(pd.Series(["10-30", "4", "1-"]), typed.decision)
    assert again.tolist()[:2] == [20, 4] and np.isnan(again.iloc[2])
    some = column(*map(str, range(100, 140)), "150 - 160", "170 - 180", "200 - 210", "1 - 2")
    assert some.values.tolist()[-4:] == [155, 175, 205, 1.5]
    for cells in (["3-1", "0-0", "1-2"] * 10, [f"555-{i:04d}" for i in range(0, 9000, 100)]):
        assert column(*cells).kind == "categorical" and column(*cells).note is None


def test_which_of_two_words_means_minus_can_be_said():
    cells = ["1.234,56 C", "80,00 D", "12,50 D"]
    assert "'numeric minus C' reads 'C' so" in str(column(*cells, decimal=",").note)
    assert numbers(*cells, decimal=",", line="numeric minus C") == [-1234.56, 80, 12.5]
    assert numbers("5.00 CR", "7.00 DR", line="numeric minus DR") == [5, -7]


@pytest.mark.parametrize(
    "word", ["Not available", "#NV", "(null)", "k.A.", "..", "(D)", "pending", "нет данных"]
)
def test_a_word_for_missing_leaves_many_numbers_or_dates_what_they_are(word: str):
    cells = [f"{i}.5" for i in range(60)] + [word] * 20
    typed = column(*cells)
    assert typed.kind == "numeric" and typed.values.isna().sum() == 20
    days = pd.date_range("2020-01-01", periods=60).strftime("%d.%m.%Y")
    assert column(*days, *[word] * 20).kind == "date"
    few = column(*["1", "2", "3"] * 10, *["pending"] * 5)
    assert few.kind == "categorical" and few.values.notna().all()


def test_errors_of_excel_and_exported_nulls_are_missing_among_words_and_said():
    typed = column("red", "#NV", "blue", "(null)", "red", "\\N")
    assert typed.values.tolist()[::2] == ["red", "blue", "red"] and typed.values.isna().sum() == 3
    assert str(typed.note) == "'#NV', '(null)', '\\\\N' read as missing"
    assert read_as(pd.Series(["#NV", "red"]), typed.decision).isna().tolist() == [True, False]
    assert column("red", "#NV", line="categorical keep #NV").values.tolist() == ["red", "#NV"]


def test_units_that_cannot_be_converted_are_listed_and_become_a_column():
    typed = column(*["20.57 km/kg", "21.22 kmpl", "18.5 km/kg", "24 kmpl"] * 3)
    assert typed.values.tolist()[:4] == [20.57, 21.22, 18.5, 24]
    assert typed.beside is not None and typed.beside.values.name == "unit"
    assert typed.beside.values.tolist()[:2] == ["km/kg", "kmpl"]
    assert "cannot be converted into each other: 'km/kg' (6), 'kmpl' (6)" in str(typed.note)


def test_amounts_in_several_currencies_keep_theirs():
    typed = column(*["€ 5", "$ 7.50", "€ 12", "$ 3"] * 3)
    assert typed.beside is not None
    assert typed.beside.values.tolist()[:2] == ["€", "$"]
    assert "several currencies, not converted" in str(typed.note)


def test_limits_are_a_column_of_their_own_where_the_number_does_not_tell():
    apart = column(*["<0.5", "0.7", "3.1", "2.2"] * 5)
    assert apart.beside is None and "read as the limit itself" in str(apart.note)
    mixed = column(*["<5", "0.7", "3.1", "<1"] * 5)
    assert mixed.beside is not None
    assert mixed.beside.values.tolist()[:2] == ["<", "none"]
    assert column(*["<5", "0.7", "3.1", "<1"] * 5, line="numeric flags no").beside is None


def test_flags_of_statistical_offices_are_a_column_of_their_own():
    typed = column("12.3", "45.2 b", "10.1", "9.9 e", "7.4", "8.8", "5.1", "6.0*")
    assert typed.values.tolist() == [12.3, 45.2, 10.1, 9.9, 7.4, 8.8, 5.1, 6.0]
    assert typed.beside is not None and typed.beside.values.name == "flag"
    assert typed.beside.values.tolist()[:4] == ["none", "b", "none", "e"]


def test_few_other_words_among_quantities_are_missing_and_said():
    cells = ["19M", "8.7M", "25M", "3M", "700k"] * 4 + ["Varies with device"] * 3
    typed = column(*cells)
    assert typed.kind == "numeric" and np.isnan(typed.values.iloc[-1])
    assert "'Varies with device' among its numbers read as missing" in str(typed.note)
    assert column("12 kmpl", "14 kmpl", "15 kmpl", "red", "blue", "green").kind == "categorical"


def test_a_unit_can_be_named_in_one_line():
    assert numbers("1.2 kg", "350 g", "2 kg", line="numeric in g") == [1200, 350, 2000]
    assert numbers("1:30", "2:00", line="numeric in h") == [1.5, 2]
    assert column("8 h", "30 min", "7.5 h", "2 h").values.tolist() == [8, 0.5, 7.5, 2]
    assert numbers("3:45", "4:10", line="numeric in s clock m:s") == [225, 250]
    assert column("1.2 kg", "350 g", line="text").values.tolist() == ["1.2 kg", "350 g"]
    with pytest.raises(UserError, match=r"'km' is no unit that kg, g can be converted to"):
        column("1.2 kg", "350 g", line="numeric in km")
    with pytest.raises(UserError, match="no cell has a unit that can be converted to 'km'"):
        column("1.2", "350", line="numeric in km")


STYLES = [
    lambda x: f"{x:.2f} kg" if x < 50 else f"{x * 1000:.0f} g",
    lambda x: f"{x:.1f}K" if x < 70 else f"{x / 70:.2f}M",
    lambda x: f"{x:,.2f}" + ("-" if x < 40 else ""),
    lambda x: f"{x:,.2f} " + ("CR" if x < 40 else "DR"),
    lambda x: "<5" if x < 20 else f"{x:.1f}",
    lambda x: f"{int(x) // 10}:{int(x) % 60:02}:{int(x * 7) % 60:02}",
    lambda x: f"{int(x) // 10}h {int(x) % 60}m",
    lambda x: f"{x:.1f} kmpl" if x < 60 else f"{x:.1f} km/kg",
    lambda x: f"€ {x:.2f}" if x < 60 else f"$ {x:.2f}",
    lambda x: f"{x:.1f} °C" if x < 60 else f"{x:.1f} °F",
    lambda x: f"{x:.1f}" + (" e" if x < 10 else ""),
    lambda x: f"{int(x):04}",
    lambda x: f"{x:.1f}-{x + 5:.1f}",
    lambda x: f"{int(x)} {int(x) % 3 + 1}/4" if x < 60 else f"{int(x)}",
    lambda x: f"{x:.1f} bhp @ {int(x * 40)} rpm",
    lambda x: f"{int(x)}°{int(x * 7) % 60:02}'30\"" + ("S" if x < 50 else "N"),
    lambda x: f"{x:.1f} x 10^3" if x < 70 else f"{x:.1f}",
    lambda x: f"{int(x) // 10}:{int(x) % 60:02}.{int(x * 10) % 10}",
    lambda x: f'="{x:.1f}"',
    lambda x: f"{x:,.2f} " + ("C" if x < 40 else "D"),
    lambda x: f"{20200101 + int(x) % 28}",
    lambda x: "1e+20" if x < 20 else f"{x:.1f}",
    lambda x: f"{int(x) + 44_000}",
    lambda x: "-999.9" if x < 20 else f"{x:.1f}",
]


@given(
    st.sampled_from(STYLES),
    st.lists(st.integers(10, 990).map(lambda x: x / 10), min_size=30, max_size=60),
    st.sampled_from(["c", "Order date"]),
)
@settings(max_examples=60, deadline=None)
def test_decisions_read_other_rows_and_load_back_from_their_line(
    style, drawn: list[float], name: str
):
    cells = pd.Series([style(x) for x in drawn], name=name)
    typed = read_column(cells)
    if typed.kind == "numeric" and typed.decision.line:
        again = read_column(cells, ".", typed.decision.line)
        pd.testing.assert_series_equal(again.values, typed.values)
        assert again.decision.line == typed.decision.line
    few = pd.concat([cells.iloc[:5], pd.Series(["17 furlongs", "", "n.a."], name=name)])
    few = few.reset_index(drop=True)
    for one in (typed, typed.beside):
        if one is None:
            continue
        read = read_as(few, one.decision)
        assert read.iloc[:5].tolist() == pytest.approx(one.values.iloc[:5].tolist(), nan_ok=True)
        words = (set(standalone.MISSING_WORDS) | set(one.decision.missing)) - set(one.decision.keep)
        standalone.OWN_MISSING_WORDS["c"] = sorted(words)
        delivered = standalone._typed(few, "c", one.decision.reading, *one.decision.parameters)
        pd.testing.assert_series_equal(delivered, read, check_names=False, check_exact=True)
        if one.decision.kind == "numeric":
            assert read.iloc[5:].isna().all()


def test_a_million_quantities_are_read_by_their_different_values():
    cells = pa.array(["1.2 kg", "750 g", "7 kg"] * 300_000)
    typed = read_column(pd.Series(pd.array(cells, dtype=pd.ArrowDtype(pa.string()))))
    assert typed.values.iloc[:3].tolist() == [1.2, 0.75, 7.0] and len(typed.values) == 900_000


def test_a_sentinel_beside_units_is_missing_and_new_rows_are_read_so():
    cells = ("12 kg", "13.5 kg", "-999", "12.2 kg", "14 kg", "-999")
    typed = column(*cells)
    assert typed.values.isna().tolist() == [False, False, True, False, False, True]
    assert "keep -999" in (typed.note or "")
    again = read_as(pd.Series(["-999", "3 kg"]), typed.decision)
    assert again.isna().tolist() == [True, False] and again[1] == 3


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Order Date", "date"),
        ("Shipped At", "date"),
        ("data da venda", "date"),
        ("data_mb", "numeric"),
        ("Steps per Day", "numeric"),
        ("Revenue per day", "numeric"),
        ("price_tag", "numeric"),
        ("birth_weight", "numeric"),
        ("last_update", "numeric"),
    ],
)
def test_day_numbers_are_dates_only_under_a_name_for_dates(name: str, kind: str):
    cells = [str(20_000 + 37 * i) for i in range(60)]
    assert read_column(pd.Series(cells, name=name)).kind == kind


@pytest.mark.parametrize("word", ["n'a", 'n"a', "back\\slash", "two words", "", "plain"])
def test_an_option_is_read_back_as_it_was_written(word: str):
    assert parse_override(f"numeric{option('missing', word)}").missing == (word,)


def test_percent_signs_beside_shares_without_one_are_said():
    assert "kept as they stand, as 0.69" in str(column("18%", "0.69", "50%", "0.93").note)
    assert "kept as they stand" not in str(column("18%", "7%", "50%").note)

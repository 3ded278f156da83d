"""Whether a column of text holds numbers, and of what sort: plain ones, quantities, durations,
Excel's dates.

In: the cells, what is known of decimal marks, and what people said of the column. Out: a
`TypedColumn`, or None if it holds too much else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from marl_llm.core.errors import UserError
from marl_llm.tasks.columns.beside import Beside, no_unit, words_beside
from marl_llm.tasks.columns.cells import NUMBER, number_of, numbers_of
from marl_llm.tasks.columns.date_order import DAY_FIRST
from marl_llm.tasks.columns.decision import Decision, TypedColumn
from marl_llm.tasks.columns.durations import CLOCK, durations_of
from marl_llm.tasks.columns.excel import (
    are_days,
    compact_days,
    is_named_like_a_date,
    may_be_days,
)
from marl_llm.tasks.columns.junk import SAMPLE, is_junk, joined, junk_note, too_few
from marl_llm.tasks.columns.marks import Marks, column_mark, digits_of
from marl_llm.tasks.columns.missing import sentinels
from marl_llm.tasks.columns.names import DOUBTFUL, FEW, names_reason
from marl_llm.tasks.columns.override import Override, option
from marl_llm.tasks.columns.quantities import beside_of, quantities_of, scale_of, scanned
from marl_llm.tasks.columns.ranges import middle_of, ranges_among
from marl_llm.tasks.columns.readings import EXCEL_EPOCH, excel_dates_of
from marl_llm.tasks.columns.text_columns import Cells
from marl_llm.tasks.columns.units import meanings

_MARK_WORDS = {".": "point", ",": "comma"}
_MOST_OTHER = 0.25
_ODD_WORDS = 30
_LOOKED_AT = 20_000  # different cells in which the words beside numbers are looked for
_MINUTE = 60.0


@dataclass(frozen=True)
class Digits:
    """What to know of a column before its digits are read.

    Attributes
    ----------
    name : str
    marks : Marks
    override : Override
        What people said of it.
    """

    name: str
    marks: Marks
    override: Override


def numeric_column(cells: Cells, digits: Digits, forced: bool) -> TypedColumn | None:
    """The column as numbers or Excel's dates; None if it holds too much else, or names.

    `forced`: people named the kind, so what is no number is missing.
    """
    if digits.override.unit is None:
        plain = _plain(cells, digits) or _written(cells, digits, forced=False)
        if plain is not None and plain.note is not None:
            return _with_more(plain, cells, digits)
        if plain is not None or not forced:
            return plain
    written = quantity_column(cells, digits) or duration_column(cells, digits)
    if written is None and digits.override.unit is not None:
        raise no_unit(digits.override.unit)
    return written or _written(cells, digits, forced=True)


def _with_more(plain: TypedColumn, cells: Cells, digits: Digits) -> TypedColumn:
    """Numbers with something beside them where so more cells are read, or several currencies."""
    signs = _affixes(cells.distinct[:SAMPLE], plain.decision.parameters[0])
    several = len([sign for sign in signs if sign != "%"]) > 1
    all_read = plain.values.notna().sum() == len(cells)
    quantity = None if all_read and not several else quantity_column(cells, digits)
    if quantity is None:
        return plain
    more = quantity.values.notna().sum() > plain.values.notna().sum()
    return quantity if more or quantity.beside is not None else plain


def names_of(cells: Cells, digits: Digits) -> str | None:
    """Why the digits of a column are names, or None."""
    if cells.any_match(DOUBTFUL) or (
        cells.few_at_first(FEW) and cells.any_match(r"^[0-9]+\.[0-9]$")
    ):
        return names_reason(cells.distinct, cells.counts, digits.name)
    return None


def quantity_column(cells: Cells, digits: Digits) -> TypedColumn | None:
    """The column as numbers with something beside them, or None."""
    override = digits.override
    distinct, counts = cells.distinct, cells.counts
    if len(distinct) < (2 if override.kind is None else 1):
        return None
    mark, doubtful = column_mark(digits_of(distinct[:SAMPLE]), digits.marks, digits.name)
    mark = override.decimal or mark
    found = _beside(cells, mark, override)
    if found is None:
        return None
    beside, ranges = found
    written = (mark, dict(beside.scales), *([True] if ranges else []))
    numbers = quantities_of(distinct, *written)
    unread = np.flatnonzero(np.isnan(numbers))
    most = _MOST_OTHER if beside.known else None
    if not np.isfinite(numbers).any():
        return None
    if override.kind is None and not is_junk(distinct, counts, unread, most):
        return None
    line = "numeric" + _mark_option(mark, digits, override.decimal is not None or bool(doubtful))
    line += option("in", beside.unit) if beside.unit else ""
    line += "" if override.flags else " flags no"
    line += "" if override.minus is None else option("minus", override.minus)
    notes = [
        beside.note,
        _doubt(doubtful, mark, "numeric"),
        junk_note([distinct[i] for i in unread], "numbers"),
    ]
    decision = Decision("numeric", "quantity", written, beside.note or "numbers", line)
    column = TypedColumn(cells.spread(numbers), decision, joined(notes), cells.example)
    return replace(column, beside=_of_its_own(cells, beside, written)) if beside.shown else column


def _beside(cells: Cells, mark: str, override: Override) -> tuple[Beside, bool] | None:
    """What stands beside the numbers of a column, and whether the middle of ranges is read; None
    where there is neither.
    """
    distinct, named = cells.distinct, override.kind is not None
    example, amounts = ranges_among(distinct[:SAMPLE], mark)
    ranges = bool(example) and (amounts or named)
    if example and not ranges:
        return None
    written = [middle_of(cell, mark) for cell in distinct] if ranges else distinct
    if not named and _is_other_text(written[:SAMPLE], mark):
        return None
    some = slice(None, None, 1 + len(distinct) // _LOOKED_AT)
    says = (override.unit, override.flags, override.minus, named)
    beside = words_beside(written[some], cells.counts[some], mark, *says)
    if not ranges:
        return None if beside is None else (beside, False)
    note = f"ranges such as '{example}' read as their middle"
    beside = beside or Beside({})
    return replace(beside, note=joined([beside.note, note]) or ""), True


def ranges_note(cells: Cells, marks: Marks) -> str | None:
    """What to say of categories that are ranges of numbers, or None."""
    if not cells.few_at_first(SAMPLE):
        return None
    example, _ = ranges_among(cells.distinct[:SAMPLE], marks.decimal)
    return (
        f"ranges, as '{example}', are categories: 'numeric' reads their middle" if example else None
    )


def _is_other_text(sample: Sequence[str], mark: str) -> bool:
    """Whether most of the first different cells hold no number with few words beside it."""
    unread = sum(not scanned(cell, mark)[1] for cell in sample)
    return unread > max(_ODD_WORDS, 2 * _MOST_OTHER * len(sample))


def duration_column(cells: Cells, digits: Digits) -> TypedColumn | None:
    """The column as durations or times of day in minutes, or None."""
    override, distinct, counts = digits.override, cells.distinct, cells.counts
    if not distinct or too_few(distinct, [durations_of(distinct[:SAMPLE], "h:m", _MINUTE)]):
        return None
    clock, doubt = _clock(distinct)
    clock = override.clock or clock
    seconds = durations_of(distinct, clock, 1.0)
    if not np.isfinite(seconds).any():
        return None
    unit = override.unit or "min"
    scale = meanings(unit).get("time")
    if scale is None:
        raise UserError(f"'{unit}' is no unit of time: choose s, min, h or d.")
    durations = durations_of(distinct, clock, scale_of(scale)[0])
    unread = np.flatnonzero(np.isnan(durations))
    if override.kind is None and not is_junk(distinct, counts, unread, _MOST_OTHER):
        return None
    reason = f"times read in {unit}"
    remark = f"{reason}, two numbers as {clock}" if doubt else reason
    line = f"numeric in {unit}" + (f" clock {clock}" if doubt or override.clock else "")
    decision = Decision("numeric", "duration", (clock, scale_of(scale)[0]), reason, line)
    note = joined([remark, junk_note([distinct[i] for i in unread], "times")])
    return TypedColumn(cells.spread(durations), decision, note, cells.example)


def excel_column(cells: Cells, digits: Digits) -> TypedColumn:
    """The column as dates that Excel counts, because people said so.

    Raises
    ------
    UserError
        If no cell is a number.
    """
    mark = digits.override.decimal or digits.marks.decimal
    days = excel_dates_of(cells.distinct, mark)
    if not np.isfinite(days).any():
        raise UserError(
            f"No value is a number (the first is '{cells.example}'): choose another kind."
        )
    unread = [cells.distinct[i] for i in np.flatnonzero(np.isnan(days))]
    decision = Decision("date", "excel date", (mark,), "named by you", "excel date")
    return TypedColumn(cells.spread(days), decision, junk_note(unread, "dates"), cells.example)


def with_doubts(column: TypedColumn, name: str, override: Override) -> TypedColumn:
    """Numbers without those that stand for missing, and as dates where they count days; with
    remarks.
    """
    numbers = column.values.to_numpy(dtype=np.float64)
    named = numbers_of(override.missing, ".")
    if np.isfinite(named).any():
        numbers = np.where(np.isin(numbers, named), np.nan, numbers)
    certain, doubtful = sentinels(numbers)
    kept = set(numbers_of(override.keep, "."))
    certain, doubtful = ([x for x in found if x not in kept] for found in (certain, doubtful))
    notes = [column.note]
    decision = column.decision
    if certain:
        listed = ", ".join(f"'{_short(x)}' ({int((numbers == x).sum())} cells)" for x in certain)
        notes.append(
            f"{listed} far from all other values read as missing; "
            f"'{decision.line}{''.join(option('keep', _short(x)) for x in certain)}' keeps them"
        )
        numbers = np.where(np.isin(numbers, certain), np.nan, numbers)
        words = tuple(map(_short, certain))
        decision = replace(
            decision,
            missing=words,
            line=decision.line + "".join(option("missing", word) for word in words),
        )
    for doubt in doubtful:
        word, below = _short(doubt), doubt == np.nanmin(numbers)
        notes.append(
            f"{word} stands {'below' if below else 'far above'} all other values: "
            f"'{decision.line}{option('missing', word)}' reads it as missing"
        )
    values = pd.Series(numbers, index=column.values.index)
    plain = override.kind is None and decision.reading == "number"
    if plain and is_named_like_a_date(name) and are_days(numbers):
        decision = replace(
            decision,
            kind="date",
            reading="excel date",
            line="excel date" + "".join(option("missing", word) for word in decision.missing),
            reason="numbers in the range of Excel's days, under a name for dates",
        )
        notes.append("numbers read as dates that Excel counts; 'numeric' keeps them")
        return replace(column, values=values - EXCEL_EPOCH, decision=decision, note=joined(notes))
    days = compact_days(numbers) if plain and column.example.isdecimal() else None
    if days is not None:
        missing = "".join(option("missing", word) for word in decision.missing)
        reason = "numbers that are all dates"
        decision = replace(
            decision,
            kind="date",
            reading="date",
            parameters=(DAY_FIRST,),
            line=f"date{missing}",
            reason=reason,
        )
        notes.append(f"{reason}, as {column.example}; 'numeric' keeps them")
        values = pd.Series(days, index=column.values.index)
    elif plain and may_be_days(numbers):
        notes.append("numbers that may be dates as Excel counts them: 'excel date' reads them so")
    return replace(column, values=values, decision=decision, note=joined(notes))


def _plain(cells: Cells, digits: Digits) -> TypedColumn | None:
    """Numbers without signs or groups of thousands, read all at once."""
    mark = digits.override.decimal or digits.marks.decimal
    numbers = cells.as_plain_numbers(mark)
    if numbers is None or (digits.override.decimal is None and _leaves_a_choice(cells, digits)):
        return None
    line = "numeric" + _mark_option(mark, digits, False)
    return TypedColumn(
        pd.Series(numbers),
        Decision("numeric", "number", (mark,), "every cell is a number", line),
        None,
        cells.example,
    )


def _leaves_a_choice(cells: Cells, digits: Digits) -> bool:
    if digits.marks.named or not cells.any_match(r"^[+-]?[0-9]{1,3}[.,][0-9]{3}$"):
        return False
    return not cells.any_match(r"[.,](?:[0-9]{0,2}|[0-9]{4,})$|[eE]|^[+-]?(?:0|[0-9]{4,})?[.,]")


def _written(cells: Cells, digits: Digits, forced: bool) -> TypedColumn | None:
    """Numbers as people write them, cell by cell."""
    distinct, counts = cells.distinct, cells.counts
    marks = (digits.marks.decimal, digits.marks.other)
    if not forced and too_few(distinct, [numbers_of(distinct[:SAMPLE], mark) for mark in marks]):
        return None
    named = digits.override.decimal
    mark, doubtful = named or marks[0], None
    numbers = numbers_of(distinct, mark)
    if named is None:
        other = numbers_of(distinct, marks[1])
        more = np.isfinite(other).sum() - np.isfinite(numbers).sum()
        if more > 0:
            numbers, mark = other, marks[1]
        elif more == 0 and not np.array_equal(numbers, other, equal_nan=True):
            chosen, doubtful = column_mark(digits_of(distinct), digits.marks, digits.name)
            numbers, mark = (numbers, mark) if chosen == mark else (other, marks[1])
    unread = np.flatnonzero(np.isnan(numbers))
    if not np.isfinite(numbers).any() or not (forced or is_junk(distinct, counts, unread)):
        return None
    reason = "every cell is a number" if not len(unread) else "nearly every cell is a number"
    notes = [
        _affix_note(distinct, mark),
        _doubt(doubtful, mark, "numeric"),
        junk_note([distinct[i] for i in unread], "numbers"),
    ]
    line = "numeric" + _mark_option(mark, digits, named is not None or doubtful is not None)
    decision = Decision("numeric", "number", (mark,), reason, line)
    return TypedColumn(cells.spread(numbers), decision, joined(notes), cells.example)


def _mark_option(mark: str, digits: Digits, needed: bool) -> str:
    return f" decimal {_MARK_WORDS[mark]}" if needed or mark != digits.marks.decimal else ""


def _doubt(example: str | None, mark: str, line: str) -> str | None:
    """What to say of numbers that can be read under both marks."""
    if example is None:
        return None
    other = "," if mark == "." else "."
    values = [f"{numbers_of([example], m)[0]:g}" for m in (mark, other)]
    return (
        f"numbers such as '{example}' can be read in two ways: read as {values[0]}; "
        f"'{line} decimal {_MARK_WORDS[other]}' reads {values[1]}"
    )


def _affixes(distinct: Sequence[str], mark: str) -> list[str]:
    """Currency and percent signs beside numbers."""
    found = (NUMBER[mark].fullmatch(cell) for cell in distinct)
    signs = dict.fromkeys(match["before"] or match["after"] for match in found if match)
    return [sign for sign in signs if sign]


def _affix_note(distinct: Sequence[str], mark: str) -> str | None:
    listed = ", ".join(f"'{sign}'" for sign in _affixes(distinct, mark))
    if not listed:
        return None
    bare = [abs(number_of(cell, mark)) for cell in distinct if "%" not in cell]
    shares = [number for number in bare if 0 < number < 1]
    note = f"{listed} beside its numbers left out"
    if "%" in listed and shares:
        note += f", and numbers without it kept as they stand, as {min(shares):g}"
    return note


def _of_its_own(cells: Cells, beside: Beside, written: tuple[Any, ...]) -> TypedColumn:
    """The words that say something as a column of categories."""
    parameters: tuple[Any, ...] = (*written[:2], beside.shown, *written[2:])
    values = cells.spread(beside_of(cells.distinct, *parameters))
    reason = f"the {beside.label} beside each number"
    decision = Decision("categorical", "beside", parameters, reason, "")
    return TypedColumn(values.rename(beside.label), decision, None, cells.example)


def _clock(distinct: Sequence[str]) -> tuple[str, bool]:
    """What two numbers with a colon stand for, and whether that is in doubt."""
    found = [match for cell in distinct if (match := CLOCK.fullmatch(cell))]
    if any(match["tenths"] for match in found):
        return "m:s", False
    two = [match for match in found if match["three"] is None and not match["half"]]
    if not two:
        return "h:m", False
    highest = max(int(match["one"]) for match in two)
    beyond = highest > 24
    padded = any(len(match["one"]) == 2 and match["one"][0] == "0" for match in found)
    if len(two) < len(found):
        return ("h:m" if padded and not beyond else "m:s"), True
    return ("m:s" if beyond and highest < _MINUTE else "h:m"), beyond


def _short(number: float) -> str:
    return f"{number:.10g}"

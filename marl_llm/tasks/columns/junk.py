"""How much of a column may be something else than what it holds, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from marl_llm.tasks.columns.date_order import NO_DATES

NO_NUMBERS = frozenset(
    {"-", "--", ".", "none", "None", "NONE", "na", "n.a.", "missing", "unknown"}
    | {
        sign + word
        for sign in ("", "+", "-")
        for word in ("inf", "Inf", "INF", "infinity", "Infinity", "∞")
    }
)
NON_DETECTS = frozenset(
    {"ND", "nd", "N.D.", "n.d.", "BDL", "bdl", "<LOD", "<LOQ", "< LOD", "< LOQ", "LOD", "LOQ"}
    | {"trace", "Trace", "tr", "not detected", "Not detected", "n.n.", "<NWG"}
)
"""What laboratories write where they found nothing: missing among numbers, and said."""
SAMPLE = 1_000
_JUNK_SHARE, _JUNK_VALUES = (
    0.05,
    3,
)  # a column with this little text among its numbers is a column of numbers


def too_few(distinct: Sequence[str], readings: Sequence[np.ndarray]) -> bool:
    """Whether so many of the first different values are unread that no share of the rest could make
    up for it.
    """
    allowed = _JUNK_VALUES + len(NO_NUMBERS | NO_DATES | NON_DETECTS)
    return (
        bool(len(distinct)) and min(int(np.isnan(reading).sum()) for reading in readings) > allowed
    )


def is_junk(
    distinct: Sequence[str], counts: np.ndarray, unread: np.ndarray, share: float | None = None
) -> bool:
    """Whether what could not be read is so little, or so usual a word, that it counts as missing.

    `share` of the cells may be few different other words, by default a twentieth.
    """
    usual = NO_NUMBERS | NO_DATES | NON_DETECTS
    odd = [i for i in unread if distinct[i] not in usual]
    most = _JUNK_SHARE if share is None else share
    return not odd or (len(odd) <= _JUNK_VALUES and counts[odd].sum() <= most * counts.sum())


def junk_note(unread: Sequence[str], what: str) -> str | None:
    """What was read as missing, or None."""
    odd = [cell for cell in unread if cell not in NO_NUMBERS and cell not in NO_DATES]
    if not odd:
        return None
    rest = f" and {len(odd) - _JUNK_VALUES} more" if len(odd) > _JUNK_VALUES else ""
    return (
        f"{', '.join(repr(cell) for cell in odd[:_JUNK_VALUES])}{rest} among its {what} read as "
        "missing"
    )


def joined(notes: Iterable[str | None]) -> str | None:
    """One note of several; None if there is none."""
    return "; ".join(note for note in notes if note) or None

"""Labels of a target that differ in case or white space only: `Yes`, `yes`, `YES `.

In: the text of a target and what the user says of it. Out: the same text with one spelling each,
where they are taken as one class, and a note that says so and how to change it.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from marl_llm.core.errors import UserError

MERGED, EXACT = "merged", "exact"
_SAFE = 3  # letters: `CO` and `Co`, `A` and `a` may be two things
_SHOWN = 4


@dataclass(frozen=True, eq=False)
class Labels:
    """A target with one spelling for each class.

    Attributes
    ----------
    values : Series
        Object of str; numbers as they came.
    merged : bool
        Whether spellings were merged.
    note : str or None
    """

    values: pd.Series
    merged: bool = False
    note: str | None = None


def fold(label: str) -> str:
    """What is the same in all spellings of a label."""
    return " ".join(label.split()).casefold()


def one_spelling(values: pd.Series, says: str | None = None) -> Labels:
    """Merge labels that differ in case or white space only into the most frequent spelling.

    Without a word of the user this is done if one of them has three characters or more; else they
    stay apart, with a note.

    Raises
    ------
    UserError
        If `says` is neither "merged" nor "exact".
    """
    if says not in (None, MERGED, EXACT):
        raise UserError(f"'labels' can't be '{says}': choose {MERGED} or {EXACT}.")
    if values.dtype != object or says == EXACT:
        return Labels(values)
    counts = values.value_counts()
    spellings: dict[str, list[str]] = {}
    for label in sorted(counts.index, key=lambda label: (-counts[label], label)):
        spellings.setdefault(fold(label), []).append(label)
    several = {key: labels for key, labels in spellings.items() if len(labels) > 1}
    if not several:
        return Labels(values)
    listed = [" and ".join(f"'{label}'" for label in labels) for labels in several.values()]
    shown = "; ".join(listed[:_SHOWN]) + (
        f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    )
    differ = f"labels differ in case or blanks only ({shown})"
    if says is None and max(map(len, several)) < _SAFE:
        note = f"{differ} and stay apart: labels: {MERGED} in the task file takes them as one"
        return Labels(values, note=note)
    note = f"{differ} and are taken as one: labels: {EXACT} in the task file keeps them apart"
    one = values.map(lambda label: spellings[fold(label)][0])
    return Labels(one.astype(object), True, note)

"""What screening reports: one sentence for people, and the same for programs.

In: the columns and words of a finding. Out: a `Trap` whose sentence has at most 160 characters,
however long the names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MAX_MESSAGE = 160
_MAX_NAME = 24


class TrapKind(StrEnum):
    """What may make a score better than it will be on new rows, or a part of the rows useless."""

    target_copy = "target_copy"
    determines_target = "determines_target"
    missingness = "missingness"
    row_order = "row_order"
    indicators = "indicators"
    formula = "formula"
    duplicate_columns = "duplicate_columns"
    duplicate_rows = "duplicate_rows"
    time_order = "time_order"
    small_class = "small_class"
    absent_class = "absent_class"
    missing_target = "missing_target"


OF_ALL_TARGETS = frozenset({TrapKind.duplicate_rows, TrapKind.small_class, TrapKind.absent_class})
"""Findings that count targets of hold-out and test rows as well: for the user, not for the agents.
"""


@dataclass(frozen=True)
class Trap:
    """One finding.

    Attributes
    ----------
    kind : TrapKind
    columns : tuple of str
        Names in the CSV of the columns it is about; () where it is about rows or classes.
    message : str
        What, where, what to do; at most 160 characters.
    """

    kind: TrapKind
    columns: tuple[str, ...]
    message: str


def make_trap(kind: TrapKind, columns: Sequence[str], sentence: str, target: str = "") -> Trap:
    """Fill in a sentence: `{columns}` are the names, as many as fit; `{target}` is the target's
    name.
    """
    target = quoted(target)
    room = MAX_MESSAGE - len(sentence.format(columns="", target=target))
    return Trap(kind, tuple(columns), sentence.format(columns=listed(columns, room), target=target))


def listed(names: Sequence[str], room: int) -> str:
    """Quoted names, shortened to 24 characters, as many as fit into `room` characters, and how many
    more there are.
    """
    text = quoted(names[0]) if names else ""
    for shown in range(2, len(names) + 1):
        longer = ", ".join(quoted(name) for name in names[:shown])
        rest = f" and {len(names) - shown} more" if shown < len(names) else ""
        if len(longer) + len(rest) > room:
            return f"{text} and {len(names) - shown + 1} more"
        text = longer
    return text


def quoted(name: str) -> str:
    """A name in quotes, in one line, at most 24 characters."""
    line = " ".join(name.split())
    return f"'{line}'" if len(line) <= _MAX_NAME else f"'{line[: _MAX_NAME - 2]}..'"

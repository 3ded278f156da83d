"""Line numbers as people read them, and names as they are compared."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_MOST = 6


def listed_lines(lines: Iterable[int], most: int = _MOST) -> str:
    """For example "line 3", "lines 1 to 3" or "lines 2, 3, 7 to 9 and 12 more"."""
    runs: list[list[int]] = []
    for line in sorted(lines):
        if runs and line == runs[-1][1] + 1:
            runs[-1][1] = line
        else:
            runs.append([line, line])
    shown = [
        text
        for first, last in runs[:most]
        for text in (
            [f"{first}"]
            if first == last
            else [f"{first} and {last}"]
            if last == first + 1 and len(runs) == 1
            else [f"{first} to {last}"]
        )
    ]
    rest = sum(last - first + 1 for first, last in runs[most:])
    parts = [*shown, f"{rest} more"] if rest else shown
    text = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"line {text}" if len(runs) == 1 and runs[0][0] == runs[0][1] else f"lines {text}"


def clean_name(name: object) -> str:
    """A column name as it is compared: stripped, white space single, NFC."""
    return " ".join(unicodedata.normalize("NFC", str(name)).split())

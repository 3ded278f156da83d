"""YAML that a person wrote, read within bounds: size, depth, and the number of values once aliases
are written out. What is beyond them, or no YAML, is a `ValueError` in one line.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

MOST_BYTES = 4 * 2**20
MOST_VALUES = 500_000
MOST_DEPTH = 64
MOST_DIGITS = 100
_NUMBER = re.compile(r"[-+]?[0-9_]+")
_REASON = 160
_EVENTS = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Looks at the file first: the parser in C where there is one."""


def read_yaml(path: Path) -> object:
    """The content of a YAML file.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is no YAML in UTF-8, or too large, too deep, or of too many values.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES // 2**20} MiB")
    try:
        text = content.decode("utf-8")
        _check_bounds(text)
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(" ".join(str(error).split())[:_REASON]) from None


def _check_bounds(text: str) -> None:
    """Walk over the events; an alias counts as many values as what it stands for."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and values before it
    values = 0
    for event in yaml.parse(text, Loader=_EVENTS):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in {anchor for anchor, _ in open_nodes}:
                raise ValueError(f"line {line}: *{event.anchor} stands for what it lies in itself")
            values += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            sizes |= {event.anchor: 1} if event.anchor else {}
            if event.implicit[0] and len(event.value) > MOST_DIGITS and _is_number(event.value):
                raise ValueError(f"line {line} has a number of {len(event.value)} digits")
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, values))
            values += 1
            if len(open_nodes) > MOST_DEPTH:
                raise ValueError(f"line {line} is nested more than {MOST_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            sizes |= {anchor: values - before} if anchor else {}
        if values > MOST_VALUES:
            raise ValueError(
                f"line {line}: more than {MOST_VALUES:,} values with what its aliases stand for"
            )


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None

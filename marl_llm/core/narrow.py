"""What an object is, told to the type checker: after `isinstance(value, dict)` the items are of a
type that is not known; after these they are objects.
"""

from __future__ import annotations

from typing import TypeGuard


def is_dict(value: object) -> TypeGuard[dict[object, object]]:
    """True for a dictionary."""
    return isinstance(value, dict)


def is_record(value: object) -> TypeGuard[dict[str, object]]:
    """True for a dictionary whose keys are all strings."""
    return is_dict(value) and all(isinstance(key, str) for key in value)


def is_list(value: object) -> TypeGuard[list[object]]:
    """True for a list."""
    return isinstance(value, list)


def is_tuple(value: object) -> TypeGuard[tuple[object, ...]]:
    """True for a tuple."""
    return isinstance(value, tuple)


def is_frozenset(value: object) -> TypeGuard[frozenset[object]]:
    """True for a frozen set."""
    return isinstance(value, frozenset)

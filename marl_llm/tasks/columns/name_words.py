"""The words of a column's name: `customerID` and `customer_id` hold "customer" and "id"."""

from __future__ import annotations

import re


def name_words(name: str) -> list[str]:
    """Small letters, in their order."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return [word for word in re.split(r"[\W_\d]+", spaced.casefold()) if word]

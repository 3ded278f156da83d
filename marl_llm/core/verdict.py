"""What a step's suggestion came to, in one word: the environment says it, rows keep it, rewards
read it.
"""

from enum import StrEnum


class Verdict(StrEnum):
    """What became of a suggestion."""

    accepted = "accepted"
    no_gain = "no_gain"
    not_as_asked = "not_as_asked"
    failed = "failed"
    invalid = "invalid"
    redundant = "redundant"
    finished = "finished"

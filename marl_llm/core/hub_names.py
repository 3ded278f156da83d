"""Names on the Hugging Face Hub, as people write them. Nothing is looked up."""

from __future__ import annotations

import re
from typing import NamedTuple

HUB_NAME = r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$"
"""user/name, as the Hub takes it."""
_TEAM = re.compile(rf"({HUB_NAME[1:-1]})(?:@([\w.-][\w./-]*))?", re.ASCII)


class TeamName(NamedTuple):
    """A team on the Hub: "user/name", or "user/name@revision" with a commit, a tag or a branch."""

    prefix: str
    revision: str | None

    @classmethod
    def parse(cls, text: str) -> TeamName | None:
        """The name; None if `text` is none.

        >>> TeamName.parse("ada/team@v2")
        TeamName(prefix='ada/team', revision='v2')
        >>> TeamName.parse("./runs/demo") is None
        True
        """
        found = _TEAM.fullmatch(text)
        return cls(found[1], found[2]) if found else None

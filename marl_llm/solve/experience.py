"""A person's own experience: what `solve` found on earlier CSVs, in a file of the user's data
directory.

It holds names of data sets, their meta-features and suggestions; no rows and no column names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from marl_llm.core.errors import UserError
from marl_llm.environment import TeamEnv
from marl_llm.environment.experience import (
    NOTHING,
    STORE_FILE,
    Experience,
    ExperienceStore,
    joined,
    known_data_set,
    shown_lines,
)
from marl_llm.solve.journal import Journal

NO_STORE = "none"


def user_store() -> Path:
    """The default store: `marl_llm/experience.jsonl` under XDG_DATA_HOME, by default
    ~/.local/share.
    """
    base = os.environ.get("XDG_DATA_HOME") or ""
    home = Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "share"
    return home / "marl_llm" / STORE_FILE


def named_store(option: str | None) -> Path | None:
    """The store that `--experience` names: a file, None for "none", the user's own by default."""
    if option is None:
        return user_store()
    return None if option == NO_STORE else Path(option)


class OwnExperience:
    """What a `solve` is told of earlier CSVs, and what it leaves for later ones; does nothing
    without a store.

    What the team brings along of its training (`brought`) is told as well. A store that is damaged
    while `solve` works is one line, and is left as it is: the model matters more.

    Raises
    ------
    UserError
        The file is no experience store of this version.
    """

    def __init__(
        self,
        path: Path | None,
        on_line: Callable[[str], None] = lambda line: None,
        brought: Experience = NOTHING,
    ) -> None:
        self._store, self._on_line = ExperienceStore(path) if path else None, on_line
        self._brought = brought

    def lines(self, env: TeamEnv, most: int) -> tuple[str, ...]:
        """At most `most` lines for the prompts."""
        if self._store is None:
            return ()
        try:
            return shown_lines(env, joined(self._brought, self._store.read()), most)
        except UserError as error:
            self._let_go(error)
            return ()

    def remember(self, env: TeamEnv, journal: Journal) -> None:
        """Keep what the steps so far have found."""
        if self._store is None or not journal.visited:
            return
        try:
            self._store.add(known_data_set(env, journal.first, journal.visited))
        except UserError as error:
            self._let_go(error)

    def _let_go(self, error: UserError) -> None:
        self._store = None
        self._on_line(f"warning: going on without experience: {error}")

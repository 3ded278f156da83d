"""A section of the recipe, whichever room declares it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A mapping of the recipe: frozen, and no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

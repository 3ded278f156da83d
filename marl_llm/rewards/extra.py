"""Components of the user's own, named in the recipe by their import path."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from marl_llm.core.errors import UserError
from marl_llm.core.import_path import import_object
from marl_llm.rewards.component import Component

Weight = bool | int | float | str


def load_component(path: str, weights: Mapping[str, Weight]) -> Component:
    """The component at `path`, "package.module:Class", with these weights.

    Raises
    ------
    UserError
        There is no such module or class, it is no `Component`, or a weight is not one of its own.
    """
    try:
        kind = import_object(path)
    except ValueError as error:
        raise UserError(f"rewards.extra: {path!r} {error}.") from None
    if not (isinstance(kind, type) and issubclass(kind, Component)):
        raise UserError(f"rewards.extra: {path!r} is no marl_llm.rewards.Component.")
    try:
        return kind.model_validate(weights)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"rewards.extra: {path!r}, key {key!r}: {first['msg']}.") from None

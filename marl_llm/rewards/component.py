"""What a component of the reward is: its weights, which are keys of the recipe, and a pure function
of an outcome.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from marl_llm.rewards.outcome import Outcome


class Component(BaseModel):
    """One component of the reward; subclasses declare weights as fields, and answer a call.

    All values are in units of skill; penalties and costs are negative or zero.

    Attributes
    ----------
    name : str
        The component's column in credit tables is `reward_<name>`.
    per_call : bool
        True: charged to the call itself. False: earned by the turn and shared by all its calls,
        so it must follow from facts that they share.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ClassVar[str]
    per_call: ClassVar[bool] = False

    def __call__(self, outcome: Outcome) -> float:
        """The value for one model call."""
        raise NotImplementedError

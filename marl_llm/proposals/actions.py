"""The Data Scientist's five actions as typed, validated objects with a JSON schema.

What comes in is untrusted text that was already parsed into these types. What they are held
against, and what they make of a solution, is in `applying.py`. Nothing here runs a model.
"""

from __future__ import annotations

import functools
import operator
import textwrap
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from marl_llm.proposals.estimators import ParamValue
from marl_llm.proposals.features import FeatureName
from marl_llm.proposals.ops import CHOICES, DROP, FEATURES, KEEP_ALL, REDUCERS
from marl_llm.proposals.ops.action import ColumnsAction, OperationAction

MAX_OPS = 3
"""Maximum number of feature operations per proposal: a step should stay one idea."""
MAX_SNIPPET_CHARACTERS = 2000
Query = Literal[
    "distribution",
    "missing",
    "correlation",
    "information",
    "target",
    "outliers",
    "leakage",
    "errors",
    "confusion",
    "segments",
    "importance",
    "calibration",
    "models",
    "code",
]


Delivery = Literal["current", "best", "blend"]


class InvalidAction(ValueError):
    """A suggestion that cannot be carried out; the message is one short sentence for the agent."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_MEANINGS = ", ".join(f"`{name}` ({feature.meaning})" for name, feature in FEATURES.items())


class AddFeatures(ColumnsAction, frozen=True, extra="forbid"):
    """Add features computed from columns; the schema says what each of them is."""

    model_config = ConfigDict(
        json_schema_extra={
            "description": textwrap.fill(f"Add features computed from columns: {_MEANINGS}.", 116)
        }
    )
    op: FeatureName


if TYPE_CHECKING:
    FeatureOp: TypeAlias = OperationAction
else:  # what pydantic checks and the schema lists
    _ACTIONS = (
        *(record.action for record in CHOICES),
        AddFeatures,
        DROP.action,
        *(record.action for record in REDUCERS.values()),
        KEEP_ALL.action,
    )
    FeatureOp = Annotated[functools.reduce(operator.or_, _ACTIONS), Field(discriminator="op")]


class Between(_Strict):
    """A region of one hyperparameter, both ends included; the environment searches inside it."""

    low: float
    high: float


Setting = ParamValue | Between
"""What `tune` gives a parameter: a value, or a region to search."""


class Analyze(_Strict):
    """Ask about the development data; costs tokens, no step. `models`: how the families of
    estimators do at their defaults; `code`: a pandas snippet, for query "code" only.
    """

    action: Literal["analyze"] = "analyze"
    query: Query
    columns: tuple[str, ...] = ()
    code: str = Field(default="", max_length=MAX_SNIPPET_CHARACTERS)
    why: str = ""


class ProposeModel(_Strict):
    """Replace the estimator; or combine earlier solutions: estimator "Voting" or "Stacking",
    `members` 0 for the current solution, k for the solution of memory line k.
    """

    action: Literal["propose_model"] = "propose_model"
    estimator: str
    params: dict[str, ParamValue] = Field(default_factory=dict)
    members: tuple[int, ...] = Field(default=(), max_length=5)
    why: str = ""


class Tune(_Strict):
    """Set parameters of the current estimator, or name regions in which the environment tries
    `budget` settings.

    `calibration` (sigmoid, isotonic, None) and `threshold` (a scorer, None) may stand among the
    parameters of any classifier.
    """

    action: Literal["tune"] = "tune"
    params: dict[str, Setting] = Field(min_length=1)
    budget: int | None = Field(default=None, ge=2, le=64)
    why: str = ""

    @property
    def regions(self) -> dict[str, Between]:
        """The parameters that are to be searched."""
        return {name: value for name, value in self.params.items() if isinstance(value, Between)}

    @property
    def exact(self) -> dict[str, ParamValue]:
        """The parameters with a value."""
        return {
            name: value for name, value in self.params.items() if not isinstance(value, Between)
        }


class EngineerFeatures(_Strict):
    """Change the preparation of the columns."""

    action: Literal["engineer_features"] = "engineer_features"
    ops: tuple[FeatureOp, ...] = Field(min_length=1, max_length=MAX_OPS)
    why: str = ""


class Finish(_Strict):
    """End: deliver the current model, the best that was tried, or a blend of what was tried."""

    action: Literal["finish"] = "finish"
    deliver: Delivery = "current"
    why: str = ""


Action = Annotated[
    Analyze | ProposeModel | Tune | EngineerFeatures | Finish, Field(discriminator="action")
]
Proposal = ProposeModel | Tune | EngineerFeatures
ACTION: TypeAdapter[Action] = TypeAdapter(Action)


def action_schema() -> dict[str, JsonValue]:
    """JSON schema of the five actions, generated from the types."""
    return ACTION.json_schema()

"""The Data Scientist's five actions as typed, validated objects with a JSON schema.

What comes in is untrusted text that was already parsed into these types. What they are held against, and what they make
of a solution, is in `applying.py`. Nothing here runs a model.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from marl_llm.proposals.estimators import ParamValue
from marl_llm.proposals.features import ExtraOp
from marl_llm.proposals.spec import EncodeMethod, ImputeStrategy, ScaleMethod

MAX_OPS = 3
"""Most feature operations in one proposal: a step should stay one idea."""
MAX_SNIPPET_CHARACTERS = 2000
Query = Literal[
    "distribution", "missing", "correlation", "information", "target", "outliers", "leakage",
    "errors", "confusion", "segments", "importance", "calibration", "models", "code",
]  # fmt: skip


Delivery = Literal["current", "best", "blend"]


class InvalidAction(ValueError):
    """A suggestion that cannot be carried out; the message is one short sentence for the agent."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Impute(_Strict):
    """Fill missing numbers."""

    op: Literal["impute"] = "impute"
    strategy: ImputeStrategy


class Scale(_Strict):
    """Scale all numeric columns."""

    op: Literal["scale"] = "scale"
    method: ScaleMethod


class Encode(_Strict):
    """Encode all categorical columns; `target`: mean of the target, cross-fitted so that nothing leaks."""

    op: Literal["encode"] = "encode"
    method: EncodeMethod


class AddFeatures(_Strict):
    """Add features computed from columns: `log` (signed logarithm), `polynomial` (squares and products), `missing`
    (indicators), `bin` (five quantile bins), `ratio` (first over second), `difference` (first minus second), `dates`
    (year, month, day, weekday, ...), `tfidf` (words of a text), `group_mean` (of numbers within a category, first).
    """

    op: ExtraOp
    columns: tuple[str, ...] = Field(min_length=1)


class Drop(_Strict):
    """Remove columns."""

    op: Literal["drop"] = "drop"
    columns: tuple[str, ...] = Field(min_length=1)


class Select(_Strict):
    """Keep the k prepared columns with the strongest univariate relation to the target."""

    op: Literal["select"] = "select"
    k: int = Field(ge=1, le=10_000)


class Pca(_Strict):
    """Replace the prepared columns by principal components that keep a share of their variance."""

    op: Literal["pca"] = "pca"
    variance: float = Field(gt=0, lt=1)


class KeepAll(_Strict):
    """Undo `select` or `pca`."""

    op: Literal["reduce"] = "reduce"
    method: Literal["none"] = "none"


FeatureOp = Annotated[
    Impute | Scale | Encode | AddFeatures | Drop | Select | Pca | KeepAll, Field(discriminator="op")
]  # fmt: skip


class Between(_Strict):
    """A region of one hyperparameter, both ends included; the environment searches inside it."""

    low: float
    high: float


class Analyze(_Strict):
    """Ask about the development data; costs tokens, no step. `models`: how the families of estimators do at their
    defaults; `code`: a pandas snippet, for query "code" only.
    """

    action: Literal["analyze"] = "analyze"
    query: Query
    columns: tuple[str, ...] = ()
    code: str = Field(default="", max_length=MAX_SNIPPET_CHARACTERS)
    why: str = ""


class ProposeModel(_Strict):
    """Replace the estimator; or combine earlier solutions: estimator "Voting" or "Stacking", `members` 0 for the
    current solution, k for the solution of memory line k.
    """

    action: Literal["propose_model"] = "propose_model"
    estimator: str
    params: dict[str, ParamValue] = Field(default_factory=dict)
    members: tuple[int, ...] = Field(default=(), max_length=5)
    why: str = ""


class Tune(_Strict):
    """Set parameters of the current estimator, or name regions in which the environment tries `budget` settings.

    `calibration` (sigmoid, isotonic, None) and `threshold` (a scorer, None) may stand among the parameters of any
    classifier.
    """

    action: Literal["tune"] = "tune"
    params: dict[str, ParamValue | Between] = Field(min_length=1)
    budget: int | None = Field(default=None, ge=2, le=64)
    why: str = ""

    @property
    def regions(self) -> dict[str, Between]:
        """The parameters that are to be searched."""
        return {name: value for name, value in self.params.items() if isinstance(value, Between)}

    @property
    def exact(self) -> dict[str, ParamValue]:
        """The parameters with a value."""
        return {name: value for name, value in self.params.items() if not isinstance(value, Between)}


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


Action = Annotated[Analyze | ProposeModel | Tune | EngineerFeatures | Finish, Field(discriminator="action")]
Proposal = ProposeModel | Tune | EngineerFeatures
ACTION: TypeAdapter[Any] = TypeAdapter(Action)


def action_schema() -> dict[str, Any]:
    """JSON schema of the five actions, generated from the types."""
    return ACTION.json_schema()

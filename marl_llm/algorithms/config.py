"""The recipe's `training` section: the algorithm of each role, and whose turn it is."""

from __future__ import annotations

from pydantic import Field, model_validator

from marl_llm.algorithms.base import Algorithm
from marl_llm.algorithms.registry import AnyAlgorithm, default_algorithm
from marl_llm.algorithms.schedule import Schedule
from marl_llm.core.roles import ML_ENGINEER, ROLES
from marl_llm.core.section import Section


class TrainingSection(Section):
    """One algorithm per role, who trains when, and whether both train at once."""

    schedule: Schedule = Field(
        default="both",
        description="who trains: both roles in every iteration; alternate, the Data Scientist "
        "first; or data_scientist_first, alone against a frozen Engineer and then alternating",
    )
    alone: int = Field(
        default=2, ge=1, description="data_scientist_first: iterations before the Engineer's turn"
    )
    at_once: int = Field(
        default=1,
        ge=1,
        le=2,
        description="roles trained at the same time: 2 on a CPU, 1 on one GPU",
    )
    processes: int = Field(
        default=1,
        ge=1,
        description="processes of this machine that train one adapter together, a GPU each; the "
        "adapter is that of one process, to float error",
    )
    accelerate: str | None = Field(
        default=None,
        description="file of `accelerate config` for several processes, such as "
        "recipes/accelerate/fsdp.yaml; null: each has the whole model",
    )
    data_scientist: AnyAlgorithm = Field(
        default_factory=default_algorithm, description="the Data Scientist's algorithm and its keys"
    )
    ml_engineer: AnyAlgorithm = Field(
        default_factory=default_algorithm, description="the ML Engineer's algorithm and its keys"
    )

    @model_validator(mode="after")
    def _processes_have_work(self) -> TrainingSection:
        if self.accelerate is not None and self.processes == 1:
            raise ValueError("accelerate is of several processes: set processes to at least 2")
        for role in ROLES:
            algorithm = self.of(role)
            if self.processes > 1 and algorithm.one_process:
                raise ValueError(
                    f"processes must be 1, as {algorithm.algorithm}, the algorithm of {role}, "
                    "trains in one process only"
                )
            if self.processes > algorithm.batch_rows:
                raise ValueError(
                    f"processes ({self.processes}) may be {role}.batch_rows "
                    f"({algorithm.batch_rows}) at most, so that each has a row of every batch"
                )
        return self

    def of(self, role: str) -> Algorithm:
        """A role's algorithm; of an adapter that both share, either's."""
        return self.ml_engineer if role == ML_ENGINEER else self.data_scientist

"""What the engine can be told, whatever the algorithm: optimizer, batches, precision, and for
phases on logged log-probabilities the integrity gate and old rows. The algorithms add their own
keys in `marl_llm.algorithms`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from marl_llm.core.precision import Precision

PrecisionChoice = Literal["auto", "float32", "bfloat16"]
OldLogps = Literal["logged", "recompute"]

GATE_TOLERANCE: dict[Precision, float] = {"float32": 1e-3, "bfloat16": 2e-2}
"""Tolerance of the integrity gate by precision, on |mean ratio - 1|. In bfloat16 the server's
kernels and the trainer's differ by a few hundredths of a nat on single tokens, which average out:
on rows of Qwen2.5-Coder-0.5B (vLLM's CPU build, 64 rows of 800 to 1,500 sampled tokens, six
phases) the mean ratio was within 0.0013 of 1 and the mean |log-ratio| 0.002 to 0.010 nats."""


class TrainConfig(BaseModel, frozen=True, extra="forbid"):
    """How any phase steps through its rows."""

    max_age: int = Field(
        default=0,
        ge=0,
        description="policy versions: rows up to so many versions old are trained on again",
    )
    learning_rate: float = Field(
        default=1e-4, gt=0, description="peak learning rate of AdamW, per step"
    )
    warmup: float = Field(
        default=0.0,
        ge=0,
        description="linear warm-up: below 1 a share of all steps, else a number of steps",
    )
    lr_scheduler: Literal["constant", "linear", "cosine"] = Field(
        default="constant", description="learning rate after the warm-up"
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        description="AdamW's decoupled weight decay, per step and unit of learning rate",
    )
    max_grad_norm: float = Field(
        default=1.0, gt=0, description="gradients are scaled down to this L2 norm"
    )
    epochs: int = Field(default=1, ge=1, description="passes over the rows")
    batch_rows: int = Field(
        default=16, ge=1, description="rows (completions) per batch, over all processes"
    )
    batch_tokens: int | None = Field(
        default=None,
        ge=1,
        description="maximum number of cells (tokens and padding) computed at once; a batch is cut "
        "into as many pieces as that takes, which changes memory and speed and not the gradient; "
        "null: a batch at once",
    )
    checkpoint_steps: int | None = Field(
        default=None,
        ge=1,
        description="optimizer steps between checkpoints from which a killed phase goes on; "
        "null: it begins again (a critic's fit always does)",
    )
    gradient_accumulation: int = Field(default=1, ge=1, description="batches per optimizer step")
    precision: PrecisionChoice = Field(
        default="auto",
        description="auto: bfloat16 on a GPU, and for a model stored in it on a CPU that is "
        "clearly faster in it; else float32",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="recompute activations in the backward pass: less memory, 20-30% slower",
    )


class PolicyConfig(TrainConfig, frozen=True):
    """How a phase on logged log-probabilities is guarded and corrected."""

    kl_limit: float | None = Field(
        default=None,
        gt=0,
        description="nats per token; a phase whose policy has moved further from the one it "
        "started at ends, and the update that did it is taken back; null: no limit",
    )
    temperature: float = Field(
        default=1.0, gt=0, description="must be the sampling temperature of the rows"
    )
    old_logps: OldLogps = Field(
        default="logged",
        description="denominator of the ratio: logged by the server, or recomputed by the trainer "
        "at the start, with the difference to the logged ones folded into the advantages as "
        "truncated importance weights",
    )
    tis_cap: float | None = Field(
        default=2.0,
        gt=0,
        description="largest such weight (old_logps: recompute); null: no weights",
    )
    gate_tolerance: float | None = Field(
        default=None,
        gt=0,
        description="largest |mean ratio - 1| before the first update; null: 1e-3 in float32, 2e-2 "
        "in bfloat16",
    )
    gate_rows: int = Field(
        default=64,
        ge=1,
        description="rows that the gate looks at: up to 4 of each of some prompts, drawn at random",
    )

    @model_validator(mode="after")
    def _old_rows_need_weights(self) -> PolicyConfig:
        if self.max_age > 0 and self.weight_cap is None:
            raise ValueError(
                f"max_age {self.max_age} trains on rows of older adapters, which need truncated "
                "importance weights: set old_logps to recompute and tis_cap to a number"
            )
        return self

    @property
    def weight_cap(self) -> float | None:
        """Largest importance weight; None where there are no weights."""
        return self.tis_cap if self.old_logps == "recompute" else None

    @property
    def needs_reference(self) -> bool:
        """Whether the loss reads the base model's log-probabilities, which cost a pass."""
        return False

    def tolerance(self, precision: Precision) -> float:
        """The gate's tolerance at a precision."""
        return GATE_TOLERANCE[precision] if self.gate_tolerance is None else self.gate_tolerance

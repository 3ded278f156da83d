"""What training can be told. One strict pydantic model; the recipe holds one and the worker's specification carries
it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

LossType = Literal["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"]
Algorithm = Literal["grpo", "rloo", "ppo", "sft", "dpo"]
ON_POLICY = ("grpo", "rloo", "ppo")
"""Algorithms whose loss reads the logged log-probabilities: the integrity gate applies to them."""

GATE_TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2}
"""Tolerance of the integrity gate by precision, on |mean ratio - 1|. In bfloat16 the server's kernels and the trainer's
differ by a few hundredths of a nat on single tokens, which average out to well below this over some thousand tokens."""


class TrainConfig(BaseModel):
    """How one role's adapter is trained on logged rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    algorithm: Algorithm = Field(
        default="grpo",
        description="grpo; rloo (grpo's trainer, baselines leave the turn out); ppo (own critic, GAE over the agent's "
        "turns); sft (imitation); dpo (pairs of one group)",
    )
    max_age: int = Field(
        default=0, ge=0, description="policy versions: rows up to so many versions old are trained on again"
    )
    selection: Literal["best_of_group", "all"] = Field(
        default="best_of_group",
        description="sft: imitate the best turn of each group that beats its baseline (rejection sampling), or all",
    )
    imitate: tuple[str, ...] = Field(
        default=(),
        description="sft: directories of other runs of the same base model, whose trajectories are imitated besides",
    )
    dpo_beta: float = Field(
        default=0.1, gt=0, description="dpo: how strongly the policy is held to the adapter it started from"
    )
    gamma: float = Field(default=1.0, gt=0, le=1, description="ppo: discount from one of the agent's turns to the next")
    gae_lambda: float = Field(
        default=0.95, ge=0, le=1, description="ppo: GAE's lambda across turns; within a turn it is 1"
    )
    value_clip: float | None = Field(
        default=1.0,
        gt=0,
        description="ppo: a value moves at most this far in one phase, in deviations of the return; null: not limited",
    )
    critic_learning_rate: float = Field(default=1e-3, gt=0, description="ppo: of the critic's LoRA and head (AdamW)")
    critic_epochs: int = Field(default=4, ge=1, description="ppo: passes of the critic over the rows")
    critic_batch_rows: int = Field(default=32, ge=1, description="ppo: rows per optimizer step of the critic")
    critic_rank: int = Field(default=16, ge=1, description="ppo: LoRA rank of the critic's own adapter (alpha: twice)")
    critic_weight_decay: float = Field(
        default=0.01, ge=0, description="ppo: AdamW's decoupled weight decay of the critic"
    )
    loss_type: LossType = Field(
        default="dapo", description="how TRL aggregates the clipped token losses: dapo = mean over all tokens of a step"
    )
    importance_sampling_level: Literal["token", "sequence"] = Field(
        default="token", description="ratio per token, or one per completion (GSPO: with loss_type grpo)"
    )
    learning_rate: float = Field(default=1e-4, gt=0, description="peak learning rate of AdamW, per step")
    warmup: float = Field(
        default=0.0, ge=0, description="linear warm-up: below 1 a share of all steps, else a number of steps"
    )
    lr_scheduler: Literal["constant", "linear", "cosine"] = Field(
        default="constant", description="learning rate after the warm-up"
    )
    weight_decay: float = Field(
        default=0.0, ge=0, description="AdamW's decoupled weight decay, per step and unit of learning rate"
    )
    max_grad_norm: float = Field(default=1.0, gt=0, description="gradients are scaled down to this L2 norm")
    epochs: int = Field(default=1, ge=1, description="passes over the rows")
    batch_rows: int = Field(default=16, ge=1, description="rows (completions) per batch, over all processes")
    batch_tokens: int | None = Field(
        default=None,
        ge=1,
        description="most cells (tokens and padding) computed at once; a batch is cut into as many pieces as that "
        "takes, which changes memory and speed and not the gradient; null: a batch at once",
    )
    checkpoint_steps: int | None = Field(
        default=None,
        ge=1,
        description="optimizer steps between checkpoints from which a killed phase goes on; null: it begins again "
        "(of ppo the policy's part)",
    )
    gradient_accumulation: int = Field(default=1, ge=1, description="batches per optimizer step")
    epsilon_low: float = Field(default=0.2, gt=0, description="the ratio is clipped at 1 - this")
    epsilon_high: float = Field(
        default=0.28, gt=0, description="the ratio is clipped at 1 + this (cispo: the largest weight itself)"
    )
    beta: float = Field(
        default=0.0, ge=0, description="weight of the KL divergence to the base model, nats; 0 saves a pass"
    )
    kl_limit: float | None = Field(
        default=None,
        gt=0,
        description="nats per token; a phase whose policy has moved further from the one it started at ends, and the "
        "update that did it is taken back; null: no limit",
    )
    temperature: float = Field(default=1.0, gt=0, description="must be the sampling temperature of the rows")
    old_logps: Literal["logged", "recompute"] = Field(
        default="logged",
        description="denominator of the ratio: logged by the server, or recomputed by the trainer at the start, with "
        "the difference to the logged ones folded into the advantages as truncated importance weights",
    )
    tis_cap: float | None = Field(
        default=2.0, gt=0, description="largest such weight (old_logps: recompute); null: no weights"
    )
    max_completion_tokens: int = Field(default=512, ge=1, description="tokens; the constant that dr_grpo divides by")
    gate_tolerance: float | None = Field(
        default=None,
        gt=0,
        description="largest |mean ratio - 1| before the first update; null: 1e-3 in float32, 2e-2 in bfloat16",
    )
    gate_rows: int = Field(default=64, ge=1, description="rows that the gate looks at, drawn at random")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="auto: bfloat16 on a GPU, and for a model stored in it on a CPU that is clearly faster in it; else "
        "float32",
    )
    gradient_checkpointing: bool = Field(
        default=False, description="recompute activations in the backward pass: less memory, 20-30% slower"
    )

    @model_validator(mode="after")
    def _weights_need_a_clipped_loss(self) -> TrainConfig:
        # Folding w >= 0 into the advantage commutes with min(rA, clip(r)A); vespo uses its weights in another place.
        if self.loss_type == "vespo" and self.old_logps == "recompute" and self.tis_cap is not None:
            raise ValueError(
                "loss_type vespo cannot carry truncated importance weights: set old_logps to logged, or tis_cap to null"
            )
        return self

    @model_validator(mode="after")
    def _old_rows_need_weights(self) -> TrainConfig:
        corrected = self.old_logps == "recompute" and self.tis_cap is not None
        if self.max_age > 0 and self.algorithm in ON_POLICY and not corrected:
            raise ValueError(
                f"max_age {self.max_age} trains on rows of older adapters, which need truncated importance weights: "
                "set old_logps to recompute and tis_cap to a number"
            )
        return self

    @model_validator(mode="after")
    def _only_sft_imitates(self) -> TrainConfig:
        if self.imitate and self.algorithm != "sft":
            raise ValueError(f"imitate names runs, which {self.algorithm} cannot learn from: set algorithm to sft")
        return self

    @property
    def own_rows_only(self) -> bool:
        """sft: rows must be of the adapter that is trained, unless all rows or those of other runs are imitated."""
        return self.selection == "best_of_group" and not self.imitate

    def tolerance(self, precision: str) -> float:
        """The gate's tolerance at a precision ("float32" or "bfloat16")."""
        return GATE_TOLERANCE[precision] if self.gate_tolerance is None else self.gate_tolerance

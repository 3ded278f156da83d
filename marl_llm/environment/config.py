"""Settings of the environment; part of the recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from marl_llm.core.section import Section


class EnvironmentConfig(Section):
    """How candidates are evaluated and when a gain counts."""

    steps: int = Field(default=6, ge=1, description="maximum number of proposals in one episode")
    cv_folds: int = Field(
        default=3, ge=2, description="folds of the cross-validation on the development part"
    )
    significance: Literal["paired_bootstrap", "corrected_resampled_t"] = Field(
        default="paired_bootstrap",
        description="test of a gain: on hold-out rows, or on the folds' differences",
    )
    level: float = Field(
        default=0.05, gt=0, lt=1, description="significance level of a gain, one-sided"
    )
    resamples: int = Field(
        default=500, ge=100, description="bootstrap resamples of the hold-out rows"
    )
    analyses: int = Field(
        default=1, ge=0, description="maximum number of analyses in one turn of the Data Scientist"
    )
    corrections: int = Field(
        default=0,
        ge=0,
        description="maximum number of corrections of an invalid action in one turn of the Data "
        "Scientist",
    )
    analysis_tokens: int = Field(
        default=160, ge=16, description="maximum tokens of an answer to an analysis"
    )
    search_settings: int = Field(
        default=16,
        ge=2,
        le=64,
        description="maximum number of settings tried in one search of a region",
    )
    screen_rows: int = Field(
        default=3000,
        ge=50,
        description="development rows on which `analyze models` screens; of more, a sample",
    )
    screen_folds: int = Field(default=2, ge=1, description="folds of that screening")
    screen_s: float = Field(
        default=8, gt=0, description="longest fit and prediction of one fold there, seconds"
    )
    blend_members: int = Field(
        default=6, ge=1, le=20, description="maximum number of different models in a blend"
    )
    repairs: int = Field(
        default=1, ge=0, description="maximum number of repairs in one turn of the Engineer"
    )
    early_stop: bool = Field(
        default=False,
        description="leave out the remaining folds of a candidate that cannot be a significant "
        "gain",
    )
    early_stop_error: float = Field(
        default=0.02,
        ge=0,
        lt=0.5,
        description="maximum probability that this loses a significant gain; 0: none",
    )
    cache: str | None = Field(
        default=None,
        description="file of the evaluation cache, shared by all processes; null: in memory",
    )
    cache_mib: int = Field(
        default=256, ge=1, description="largest size of the evaluation cache, MiB"
    )
    experience: str | None = Field(
        default=None,
        description="file of what worked on each data set, filled by training; null: nothing is "
        "kept",
    )

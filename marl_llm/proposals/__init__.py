"""Typed proposals and the reference compiler: actions, `PipelineSpec`, `compile`, `generate_code`, canonical text."""

from marl_llm.proposals.actions import (
    Action,
    AddFeatures,
    Analyze,
    Context,
    Drop,
    Encode,
    EngineerFeatures,
    Finish,
    Impute,
    InvalidAction,
    Proposal,
    ProposeModel,
    Scale,
    Tune,
    action_schema,
    apply,
    resolve_columns,
)
from marl_llm.proposals.canonical import canonical, parse_action
from marl_llm.proposals.codegen import PRELUDE, generate_code
from marl_llm.proposals.compiler import compile
from marl_llm.proposals.spec import Extra, PipelineSpec, baseline

__all__ = [
    "PRELUDE",
    "Action",
    "AddFeatures",
    "Analyze",
    "Context",
    "Drop",
    "Encode",
    "EngineerFeatures",
    "Extra",
    "Finish",
    "Impute",
    "InvalidAction",
    "PipelineSpec",
    "Proposal",
    "ProposeModel",
    "Scale",
    "Tune",
    "action_schema",
    "apply",
    "baseline",
    "canonical",
    "compile",
    "generate_code",
    "parse_action",
    "resolve_columns",
]

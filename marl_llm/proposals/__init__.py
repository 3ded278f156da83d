"""Typed proposals and the reference compiler: actions, `PipelineSpec`, `compile`, `generate_code`,
canonical text.
"""

from marl_llm.proposals.actions import (
    Action,
    AddFeatures,
    Analyze,
    Between,
    EngineerFeatures,
    Finish,
    InvalidAction,
    Proposal,
    ProposeModel,
    Tune,
    action_schema,
)
from marl_llm.proposals.applying import apply, check_region, fits
from marl_llm.proposals.canonical import canonical, parse_action
from marl_llm.proposals.codegen import generate_code
from marl_llm.proposals.compiler import compile
from marl_llm.proposals.context import Context, effective, resolve_columns
from marl_llm.proposals.features import Extra, Reduction
from marl_llm.proposals.lenient import Reading, read_action
from marl_llm.proposals.ops.columns import ColumnFacts
from marl_llm.proposals.ops.drop import Drop
from marl_llm.proposals.ops.encode import Encode
from marl_llm.proposals.ops.impute import Impute
from marl_llm.proposals.ops.keep_all import KeepAll
from marl_llm.proposals.ops.pca import Pca
from marl_llm.proposals.ops.scale import Scale
from marl_llm.proposals.ops.select import Select
from marl_llm.proposals.prelude import PRELUDE, prelude_for
from marl_llm.proposals.spec import PipelineSpec, baseline

__all__ = [
    "PRELUDE",
    "Action",
    "AddFeatures",
    "Analyze",
    "Between",
    "ColumnFacts",
    "Context",
    "Drop",
    "Encode",
    "EngineerFeatures",
    "Extra",
    "Finish",
    "Impute",
    "InvalidAction",
    "KeepAll",
    "Pca",
    "PipelineSpec",
    "Proposal",
    "ProposeModel",
    "Reading",
    "Reduction",
    "Scale",
    "Select",
    "Tune",
    "action_schema",
    "apply",
    "baseline",
    "canonical",
    "check_region",
    "compile",
    "effective",
    "fits",
    "generate_code",
    "parse_action",
    "prelude_for",
    "read_action",
    "resolve_columns",
]

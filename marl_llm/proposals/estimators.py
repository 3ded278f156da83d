"""The catalogue of estimators by name, and which of them fit a kind of target."""

from __future__ import annotations

from marl_llm.core.kind import Kind
from marl_llm.proposals.catalogue import ENTRIES
from marl_llm.proposals.estimator_info import EstimatorInfo, Param, ParamValue

ESTIMATORS: dict[str, EstimatorInfo] = {info.name: info for info in ENTRIES}


def estimators_for(kind: Kind, *, core: bool = False) -> tuple[EstimatorInfo, ...]:
    """The installed estimators that fit a kind of target, in catalogue order; `core`: the small
    space only.
    """
    fitting = (info for info in ENTRIES if info.classifier == kind.is_classification)
    return tuple(info for info in fitting if info.available and (info.core or not core))


__all__ = ["ESTIMATORS", "EstimatorInfo", "Param", "ParamValue", "estimators_for"]

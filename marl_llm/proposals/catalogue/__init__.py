"""The entries of the catalogue: the core ones first, in the order that the embedded model was
trained on.

Left out of scikit-learn's estimators, with reasons: tests/proposals/test_catalogue.py.
"""

from __future__ import annotations

from marl_llm.proposals.catalogue.boosting import BOOSTING
from marl_llm.proposals.catalogue.classifiers import CLASSIFIERS
from marl_llm.proposals.catalogue.core import CORE
from marl_llm.proposals.catalogue.regressors import REGRESSORS

ENTRIES = (*CORE, *CLASSIFIERS, *REGRESSORS, *BOOSTING)

__all__ = ["ENTRIES"]

"""The prelude of generated code: the imports and the few names it stands on, part of every
delivered solution.

scikit-learn clones transformers when it fits, so the shared constants are safe. The names that
begin the file are what the Engineer may use; transformers of our own are embedded by their source.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from marl_llm.proposals.estimators import ESTIMATORS
from marl_llm.proposals.ops import CHOICES, FEATURES, REDUCERS
from marl_llm.proposals.ops.encode import ENCODE
from marl_llm.proposals.ops.feature import Imports, source_below_mark
from marl_llm.proposals.ops.impute import IMPUTE
from marl_llm.proposals.ops.scale import SCALE

_ENSEMBLES = ("VotingClassifier", "VotingRegressor", "StackingClassifier", "StackingRegressor")
_BLENDS = ("BlendClassifier", "BlendRegressor")
_BLEND_IMPORT = "from sklearn.base import ClassifierMixin, RegressorMixin, clone\n"
_BASE: Imports = {
    "sklearn.base": ("BaseEstimator", "TransformerMixin"),
    "sklearn.calibration": ("CalibratedClassifierCV",),
    "sklearn.compose": ("ColumnTransformer", "make_column_selector", "make_column_transformer"),
    "sklearn.impute": ("SimpleImputer",),
    "sklearn.model_selection": ("TunedThresholdClassifierCV",),
    "sklearn.pipeline": ("Pipeline", "make_pipeline"),
    "sklearn.preprocessing": ("FunctionTransformer", "StandardScaler"),
}
_METHODS = tuple(method for choice in CHOICES for method in choice.methods)


def _operation_imports() -> str:
    records = (*_METHODS, *REDUCERS.values(), *FEATURES.values())
    found: dict[str, set[str]] = {}
    for imports in (_BASE, *(record.imports for record in records)):
        for module, names in imports.items():
            found.setdefault(module, set()).update(names)
    return "import numpy as np\nimport pandas as pd\n" + _import_lines(found)


def _constant_lines() -> str:
    selectors = {
        "NUM": 'make_column_selector(dtype_include="number")',
        "CAT": 'make_column_selector(pattern="^(?!t[0-9])", dtype_exclude="number")',
    }
    methods = (method.constants for choice in (ENCODE, SCALE, IMPUTE) for method in choice.methods)
    features = ({feature.constant: feature.code} for feature in FEATURES.values())
    named = (pair for group in (selectors, *methods, *features) for pair in group.items())
    return "".join(f"{name} = {code}\n" for name, code in named)


CONSTANTS = _constant_lines()
"""Assignments of the names that stand for transformers in code: NUM, ONE_HOT, LOG, ..."""


def _import_lines(names: Mapping[str, Iterable[str]]) -> str:
    lines = (f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names))
    return "".join(f"{_wrapped(line)}\n" for line in lines)


def _estimator_imports(names: Iterable[str]) -> str:
    modules: dict[str, set[str]] = {"sklearn.ensemble": set(_ENSEMBLES)}
    for name in names:
        info = ESTIMATORS[name]
        modules.setdefault(info.module, set()).add(name)
    return _import_lines(modules)


def _wrapped(line: str) -> str:
    """An import line of at most 120 characters, or in brackets."""
    if len(line) <= 120:
        return line
    head, names = line.split(" import ")
    rows = [""]
    for name in names.split(", "):
        if len(rows[-1]) + len(name) > 112:
            rows.append("")
        rows[-1] += f"{name}, "
    return "\n".join([f"{head} import (", *(f"    {row.rstrip()}" for row in rows), ")"])


def _in_sklearn() -> list[str]:
    return [name for name, info in ESTIMATORS.items() if info.module.startswith("sklearn.")]


@functools.cache
def _prelude(others: tuple[str, ...], blends: bool = False) -> str:
    imports = (_BLEND_IMPORT if blends else "") + _estimator_imports([*_in_sklearn(), *others])
    own = [feature.own for feature in FEATURES.values() if feature.own]
    own += [source_below_mark(Path(__file__).with_name("blending.py"))] if blends else []
    sources = "".join(f"{source}\n\n\n" for source in own)
    return f"{_operation_imports()}{imports}\n\n{sources}{CONSTANTS}"


def prelude_for(code: str) -> str:
    """The prelude of one candidate: what not every solution needs, libraries besides scikit-learn
    and the blends, only where the code names it.
    """
    words = set(re.findall(r"\w+", code))
    others = (
        n for n, info in ESTIMATORS.items() if n in words and not info.module.startswith("sklearn.")
    )
    return _prelude(
        tuple(n for n in others if ESTIMATORS[n].available), not words.isdisjoint(_BLENDS)
    )


PRELUDE = _prelude(())
"""The prelude without other libraries than scikit-learn."""

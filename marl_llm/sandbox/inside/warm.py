"""Warm imports of the zygote: what a candidate may need is loaded, and used once, before the first
fork.

No thread may be left behind: a fork copies only the calling thread, and locks or OpenMP pools of
the others would hang the child. The host checks that the process has one thread.
"""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import sys
import warnings

_FAMILIES = """
linear_model ensemble svm neighbors naive_bayes tree discriminant_analysis neural_network compose
pipeline impute preprocessing feature_selection decomposition calibration model_selection
kernel_approximation cluster
gaussian_process random_projection kernel_ridge isotonic dummy feature_extraction.text
""".split()  # noqa: SIM905
# pandas would import it, and its allocators start a thread and reserve a gigabyte of address space.
_BLOCKED = ("pyarrow",)


class _Blocker(importlib.abc.MetaPathFinder):
    """Makes blocked packages look as if they were not installed."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Raise for a blocked package, leave every other one to the usual finders."""
        if fullname in _BLOCKED:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def warm_up() -> None:
    """Import the scientific stack, fit small models once, and move everything out of the garbage
    collector's sight.
    """
    gc.disable()
    sys.meta_path.insert(0, _Blocker())
    warnings.simplefilter("ignore")
    for family in _FAMILIES:
        importlib.import_module(f"sklearn.{family}")
    _touch_lazy_code()
    gc.collect()
    gc.freeze()  # collections in a child then write to few of the shared pages
    gc.enable()


def _touch_lazy_code() -> None:
    import numpy as np
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.DataFrame(np.random.RandomState(0).rand(60, 2), columns=["a", "b"])
    frame["c"] = pd.Series(["u", "v"] * 30, dtype=object)
    target = np.arange(60) % 2
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["a", "b"]),
        (OneHotEncoder(sparse_output=False), ["c"]),
    )
    for estimator in (
        LogisticRegression(),
        HistGradientBoostingClassifier(max_iter=2),
        RandomForestRegressor(2),
    ):
        pipeline = make_pipeline(columns, estimator).fit(frame, target)
        pipeline.predict(frame)
        repr(pipeline)
        pipeline.get_params()

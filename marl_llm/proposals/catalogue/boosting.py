"""LightGBM, XGBoost and CatBoost, where they are installed (extra `boosting`): one thread, and
silent.
"""

from __future__ import annotations

from marl_llm.proposals.catalogue.params import BALANCED, count, number
from marl_llm.proposals.estimator_info import EstimatorInfo

_RATES = (0.03, 0.05, 0.1, 0.3)
_TREES = (50, 100, 200, 400)
_LIGHT = (
    count("n_estimators", _TREES, 10, 2000, 100),
    number("learning_rate", _RATES, 1e-3, 1.0, 0.1),
    count("num_leaves", (7, 15, 31, 63), 2, 512, 31),
    count("min_child_samples", (5, 10, 20, 50), 1, 1000, 20),
    number("reg_lambda", (0.1, 1.0, 10.0), 0.0, 1e4, 0.0),
    number("colsample_bytree", (0.3, 0.5, 0.8), 0.05, 1.0, 1.0),
)
_EXTREME = (
    count("n_estimators", _TREES, 10, 2000, None),
    number("learning_rate", _RATES, 1e-3, 1.0, None),
    count("max_depth", (2, 3, 4, 6, 8), 1, 20, None),
    number("min_child_weight", (1.0, 3.0, 10.0), 0.0, 1e3, None),
    number("reg_lambda", (0.1, 1.0, 10.0), 0.0, 1e4, None),
    number("subsample", (0.5, 0.8, 1.0), 0.1, 1.0, None),
    number("colsample_bytree", (0.3, 0.5, 0.8), 0.05, 1.0, None),
)
_CAT = (
    count("iterations", _TREES, 10, 2000, None),
    number("learning_rate", _RATES, 1e-3, 1.0, None),
    count("depth", (3, 4, 6, 8), 1, 10, None),
    number("l2_leaf_reg", (1.0, 3.0, 10.0), 0.0, 1e4, None),
)
_QUIET_LIGHT = (("n_jobs", 1), ("verbose", -1))
_QUIET_EXTREME = (("n_jobs", 1), ("verbosity", 0))
_QUIET_CAT = (("thread_count", 1), ("verbose", 0), ("allow_writing_files", False))

BOOSTING = (
    EstimatorInfo(
        "LGBMClassifier", "lightgbm", True, "boosting", (*_LIGHT, BALANCED), _QUIET_LIGHT, core=True
    ),
    EstimatorInfo("LGBMRegressor", "lightgbm", False, "boosting", _LIGHT, _QUIET_LIGHT, core=True),
    EstimatorInfo("XGBClassifier", "xgboost", True, "boosting", _EXTREME, _QUIET_EXTREME),
    EstimatorInfo("XGBRegressor", "xgboost", False, "boosting", _EXTREME, _QUIET_EXTREME),
    EstimatorInfo("CatBoostClassifier", "catboost", True, "boosting", _CAT, _QUIET_CAT, core=True),
    EstimatorInfo("CatBoostRegressor", "catboost", False, "boosting", _CAT, _QUIET_CAT, core=True),
)

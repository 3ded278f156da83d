from __future__ import annotations

from tests.fixtures import env, regression_env, sandbox

__all__ = ["env", "regression_env", "sandbox"]

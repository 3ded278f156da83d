from __future__ import annotations

from tests.fixtures import env, regression_env
from tests.lent_sandbox import sandbox

__all__ = ["env", "regression_env", "sandbox"]

"""Studies share the session's real sandbox, and one that compares arms does so in it."""

from __future__ import annotations

from tests.evaluation.conftest import comparing
from tests.lent_sandbox import sandbox

__all__ = ["comparing", "sandbox"]

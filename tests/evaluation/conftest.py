"""Comparisons in these tests share the session's real sandbox: starting one takes seconds."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from marl_llm.sandbox import Sandbox
from marl_llm.workspace import open_run
from tests.fixtures import sandbox

__all__ = ["sandbox"]


@pytest.fixture(scope="module")
def comparing(sandbox: Sandbox):
    """`evaluate_suite` and `evaluate_procedural` use the session's sandbox."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_run, "open_sandbox", lambda section: nullcontext(sandbox))
        yield sandbox

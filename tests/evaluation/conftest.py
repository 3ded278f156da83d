"""Comparisons in these tests are lent the session's real sandbox: starting one takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from marl_llm.sandbox import Sandbox
from tests.lent_sandbox import lent_sandboxes, sandbox

__all__ = ["sandbox"]


@pytest.fixture(scope="module")
def comparing(sandbox: Sandbox) -> Iterator[Sandbox]:
    """`evaluate_suite` and `evaluate_procedural` use the session's sandbox."""
    with lent_sandboxes():
        yield sandbox

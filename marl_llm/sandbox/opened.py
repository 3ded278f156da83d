"""The sandbox that a recipe asks for."""

from __future__ import annotations

from marl_llm.sandbox.config import SandboxSection
from marl_llm.sandbox.sandbox import Sandbox


def sandbox_of(section: SandboxSection, slots: int | None = None) -> Sandbox:
    """Start a sandbox as a recipe's section says, self-tested.

    Parameters
    ----------
    section : SandboxSection
    slots : int, optional
        Instead of the section's.

    Raises
    ------
    SandboxUnavailable
        This machine does not give the isolation asked for.
    """
    return Sandbox(
        slots=slots or section.slots,
        level=section.level,
        limits=section.limits,
        packages=section.packages,
    )

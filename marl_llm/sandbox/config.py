"""The recipe's `sandbox` section."""

from __future__ import annotations

from pydantic import Field

from marl_llm.core.section import Section
from marl_llm.sandbox.results import Limits


class SandboxSection(Section):
    """Where candidates run."""

    level: str = Field(
        default="bubblewrap",
        description="isolation: bubblewrap, or landlock where namespaces are forbidden",
    )
    packages: tuple[str, ...] = Field(
        default=(),
        description="import names of packages that candidates may use besides scikit-learn and "
        "what boosts; nothing else that is installed can be seen",
    )
    slots: int = Field(default=2, ge=1, description="candidates run at once, one core each")
    wall_s: float = Field(
        default=20, gt=0, description="longest fit and prediction of one fold, seconds"
    )
    memory_gib: float = Field(default=2, gt=0, description="memory of one candidate, GiB")

    @property
    def limits(self) -> Limits:
        """What one fold may use."""
        return Limits(
            wall_s=self.wall_s,
            cpu_s=int(self.wall_s),
            memory_bytes=int(self.memory_gib * 2**30),
        )

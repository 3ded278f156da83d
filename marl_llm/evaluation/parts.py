"""What the same play would have delivered without one of its parts: for `ablation.py`. Nothing is
fitted here but what the environment has not evaluated yet.
"""

from __future__ import annotations

from marl_llm.environment import State, TeamEnv
from marl_llm.environment.delivery import Evidence, choose_delivery
from marl_llm.proposals import PipelineSpec

PREFIX = "test_without_"
"""Begins the names of such test scores among the figures of a result."""
PARTS = ("team", "blend", "rule")


def deliveries(env: TeamEnv, last: State, delivered: PipelineSpec) -> dict[str, PipelineSpec]:
    """What would have been delivered, by the part that is left out. Blocks.

    Without the team: of the start and the screened families alone. Without a blend: the best single
    solution, with its decision rule. Without a rule: the same blend, the most probable class.
    """
    tried, evidence, most = (
        env.tried(last),
        Evidence(env.evaluator, "all"),
        env.config.blend_members,
    )
    families = [spec.normal() for spec in env.plain(looked=True)]
    of_families = [one for one in tried if one.spec.normal() in families]
    plain = delivered.model_copy(update={"power": 0.0})
    return {
        "team": choose_delivery(of_families, evidence, most),
        "blend": env.choose(last, 1),
        "rule": plain if len(plain.members) != 1 else plain.members[0],
    }

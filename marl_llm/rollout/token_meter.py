"""How many tokens each role uses: a meter that stands before its policy."""

from __future__ import annotations

from marl_llm.core.roles import ROLES
from marl_llm.rollout.episode import Team
from marl_llm.rollout.policies import Ask, Policy, PolicyInfo
from marl_llm.serving import Completion


class TokenMeter:
    """Counts each role's tokens by standing before its policy."""

    def __init__(self) -> None:
        self.tokens = {role: {"prompt": 0, "completion": 0} for role in ROLES}

    def watch(self, team: Team) -> Team:
        """The same pair, counted."""
        return Team(_Metered(team.data_scientist, self), _Metered(team.ml_engineer, self))

    def add(self, role: str, completion: Completion) -> None:
        """Count one reply."""
        self.tokens[role]["prompt"] += len(completion.prompt_ids)
        self.tokens[role]["completion"] += len(completion.completion_ids)

    def since(self, before: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
        """Tokens used after an earlier `snapshot`."""
        return {
            r: {k: n - before[r][k] for k, n in counts.items()} for r, counts in self.tokens.items()
        }

    def snapshot(self) -> dict[str, dict[str, int]]:
        """A copy of the counts."""
        return {role: dict(counts) for role, counts in self.tokens.items()}


class _Metered:
    def __init__(self, policy: Policy, meter: TokenMeter) -> None:
        self._policy, self._meter = policy, meter

    @property
    def info(self) -> PolicyInfo:
        return self._policy.info

    async def reply(self, ask: Ask) -> Completion:
        completion = await self._policy.reply(ask)
        self._meter.add(ask.role, completion)
        return completion

"""`TeamAECEnv`: the environment of one task as a PettingZoo agent-environment cycle.

Actions are replies as the agents write them, observations the prompts they read. One episode is one
line of steps: the Data Scientist speaks (and may analyse before it proposes, or correct itself),
the Engineer implements (and may repair), the step is judged, both are rewarded. It ends when the
model is delivered or the steps are used up; nothing here samples a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from gymnasium.spaces import Text
from pettingzoo import AECEnv

from marl_llm.agents.prompts import PromptConfig
from marl_llm.core.errors import UserError
from marl_llm.core.roles import ML_ENGINEER, ROLES
from marl_llm.environment import State, StepOutcome, TeamEnv
from marl_llm.environment.memory import TokenCounter, rough_tokens
from marl_llm.interfaces.info import outcome_info
from marl_llm.interfaces.play import StepPlay, turn_context
from marl_llm.interfaces.spaces import ALPHABET, MAX_CHARACTERS, Observation, fit, text_space
from marl_llm.rewards import Outcome, RewardConfig
from marl_llm.rewards.token_cost import TokenCost
from marl_llm.rollout.outcomes import data_scientist_outcome, engineer_outcome
from marl_llm.rollout.policies import Ask
from marl_llm.rollout.turns import derive_seed


class TeamAECEnv(AECEnv[str, str, str | None]):
    """A team's episode on one task, agent by agent.

    The observation of an agent is everything said in its turn so far: its prompt and, after an
    analysis or an error, its own replies and what it was told. Each call pays for its tokens at
    once; what the turn earned is paid once, when the step is judged. `infos[agent]` holds

    - `rewards`: by component, what the agent was given since it last acted (their sum is the reward
      of `last()`);
    - `outcome`: what became of the step, once its last turn was judged (see `outcome_info`);
    - `messages`, `seed`: for the agent to act, the chat behind the observation, uncut, and a seed
      for sampling.

    Nothing in an episode is random but the replies: folds, resamples and the sandbox are seeded by
    `TeamEnv`'s own `seed`, and `reset(seed)` decides the sampling seeds, which are those of a
    rollout of one branch with that seed.

    Parameters
    ----------
    env : TeamEnv
        The task, its sandbox, how many steps; `close()` closes it (not the sandbox, which others
        may share).
    prompts : PromptConfig, optional
        How prompts are written.
    rewards : RewardConfig, optional
        Weights of the reward components.
    count : callable
        Text to number of tokens, for the token costs.
    max_calls : int, optional
        An episode that is not over after so many calls of both agents is truncated; an unfinished
        turn earns nothing.
    alphabet : str
        Characters of the text spaces, at least `ALPHABET`.
    max_characters : int
        Longest text of the spaces; a longer observation loses its middle (see `fit`).
    """

    metadata: ClassVar[dict[str, object]] = {
        "name": "marl_llm_team_v0",
        "render_modes": ["ansi"],
        "is_parallelizable": False,
    }
    render_mode = "ansi"

    def __init__(
        self,
        env: TeamEnv,
        *,
        prompts: PromptConfig | None = None,
        rewards: RewardConfig | None = None,
        count: TokenCounter = rough_tokens,
        max_calls: int | None = None,
        alphabet: str = ALPHABET,
        max_characters: int = MAX_CHARACTERS,
    ) -> None:
        super().__init__()
        if max_calls is not None and max_calls < 1:
            raise UserError(
                f"max_calls is {max_calls}: give at least one call, or None for no limit."
            )
        self.team_env, self._count, self._max_calls = env, count, max_calls
        self._components = (rewards or RewardConfig()).components()
        self._context = turn_context(env, prompts or PromptConfig(), count)
        self.possible_agents = list(ROLES)
        self.observation_spaces = {agent: text_space(alphabet, max_characters) for agent in ROLES}
        self.action_spaces = {agent: text_space(alphabet, max_characters) for agent in ROLES}
        self.agents: list[str] = []
        self._state: State | None = None
        self._seed: int | None = None

    def observation_space(self, agent: str) -> Text:  # noqa: D102
        return self.observation_spaces[agent]  # pyright: ignore[reportReturnType]

    def action_space(self, agent: str) -> Text:  # noqa: D102
        return self.action_spaces[agent]  # pyright: ignore[reportReturnType]

    @property
    def team_state(self) -> State:
        """The current solution, its result and the memory. Raises UserError before the first
        `reset()`.
        """
        if self._state is None:
            raise UserError("there is no episode yet: call reset() first.")
        return self._state

    @property
    def ask(self) -> Ask | None:
        """The open question as the rollout's policies take it, None when the episode is over."""
        return self._play.ask if self.agents and not any(self.truncations.values()) else None

    def reset(self, seed: int | None = None, options: dict[str, object] | None = None) -> None:
        """Begin an episode: the baseline is evaluated. Blocks. Without a seed, one follows from the
        last episode's.

        Raises RunFailed if the data defeat even the baseline. `options` are not used.
        """
        if seed is None:
            seed = self.team_env.seed if self._seed is None else derive_seed(self._seed, "next")
        self._seed, self._calls = seed, 0
        self._state = self.team_env.reset()
        self.agents = list(ROLES)
        self.rewards = dict.fromkeys(ROLES, 0.0)
        self._cumulative_rewards = dict.fromkeys(ROLES, 0.0)
        self.terminations = dict.fromkeys(ROLES, False)
        self.truncations = dict.fromkeys(ROLES, False)
        self.infos = {agent: {"rewards": {}} for agent in ROLES}
        self._observations = dict.fromkeys(ROLES, Observation())
        self._begin_step()

    def observe(self, agent: str) -> Observation:
        """What the agent was last asked; empty before its first turn."""
        return self._observations[agent]

    def step(self, action: str | None) -> None:
        """The selected agent's reply; None for an agent whose episode is over. Blocks while code
        runs.
        """
        if not self.agents:
            raise UserError("the episode is over, or has not begun: call reset().")
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            return self._was_dead_step(action)  # pyright: ignore[reportArgumentType]
        if not isinstance(action, str):
            raise UserError(
                f"the action of {agent} must be its reply, a text, and is of type "
                f"{type(action).__name__}."
            )
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        self._charge(agent, action)
        self._play.answer(action)
        if self._play.outcome is not None:
            self._close_step(self._play.outcome)
        else:
            self._show_question()
        self._truncate_if_spent()
        self._accumulate_rewards()
        return None

    def render(self) -> str:
        """The episode as text: whose turn it is, the current solution and its score, what was
        tried.
        """
        state = self.team_state
        scores, steps = state.evaluated.cv, self.team_env.config.steps
        turn = f"{self.agent_selection} to answer" if self.ask else "over"
        return "\n".join(
            [
                f"{self.team_env.task.name}: {state.step} of {steps} steps done, {turn}",
                f"score {scores.score:.3f} (cross-validated)" if scores else "no score",
                state.code,
                *(entry.line() for entry in state.memory.entries),
            ]
        )

    def close(self) -> None:
        """Release the task's memory. The environment cannot be used any more; the sandbox is its
        owner's.
        """
        self.agents = []
        self.team_env.close()

    def _begin_step(self) -> None:
        assert self._seed is not None
        self._play = StepPlay(self._context, self.team_state, self._seed)
        self._tokens: dict[str, list[tuple[int, int]]] = {agent: [] for agent in ROLES}
        self._show_question()

    def _show_question(self) -> None:
        """Select the agent that is asked, and show it the question."""
        ask = self._play.ask
        assert ask is not None
        conversation = "\n".join(message["content"] for message in ask.messages)
        self.agent_selection = ask.role
        self._observations[ask.role] = fit(conversation, self.observation_space(ask.role))
        self.infos[ask.role] |= {"messages": ask.messages, "seed": ask.seed}

    def _charge(self, agent: str, reply: str) -> None:
        """Count the call and its tokens; what the agent knew of earlier steps is over."""
        self._calls += 1
        tokens = self._count(self._observations[agent]), self._count(reply)
        self._tokens[agent].append(tokens)
        call = Outcome(role=agent, verdict="", prompt_tokens=tokens[0], completion_tokens=tokens[1])
        cost = sum(one(call) for one in self._components if isinstance(one, TokenCost))
        self.rewards[agent] = cost
        self.infos[agent] = {"rewards": {TokenCost.name: cost}}

    def _close_step(self, outcome: StepOutcome) -> None:
        """Reward both for a judged step and go on to the next one, or end."""
        before = self.team_state
        told = outcome_info(before, outcome)
        scientist = data_scientist_outcome([outcome])
        self._pay(
            [
                replace(scientist, refused=c.refused, analysis_cpu_s=c.evaluation_s)
                for c in self._play.calls
            ],
            told,
        )
        if outcome.implementation is not None:
            self._pay([engineer_outcome(outcome)] * len(self._tokens[ML_ENGINEER]), told)
        self._state = self.team_env.advance(before, outcome)
        if self._state.finished:
            self.terminations = dict.fromkeys(ROLES, True)
        else:
            self._begin_step()

    def _pay(self, calls: Sequence[Outcome], told: dict[str, object]) -> None:
        """Give an agent what its turn earned, once, and its calls cost, but for their tokens, which
        are paid for.
        """
        agent = calls[0].role
        self.infos[agent]["outcome"] = told
        calls = [
            replace(call, prompt_tokens=read, completion_tokens=wrote)
            for call, (read, wrote) in zip(calls, self._tokens[agent], strict=True)
        ]
        for component in self._components:
            if not isinstance(component, TokenCost):
                worth = sum(map(component, calls)) if component.per_call else component(calls[-1])
                self.rewards[agent] += worth
                self.infos[agent]["rewards"][component.name] = worth

    def _truncate_if_spent(self) -> None:
        if (
            self._max_calls is not None
            and self._calls >= self._max_calls
            and not self.team_state.finished
        ):
            self.truncations = dict.fromkeys(ROLES, True)

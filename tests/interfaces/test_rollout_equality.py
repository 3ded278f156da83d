"""An episode of `TeamAECEnv` is the rollout's episode of one branch: same prompts, seeds, steps and
rewards.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from marl_llm.agents.prompts import PromptConfig
from marl_llm.agents.style import PromptStyle
from marl_llm.core.kind import Kind
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.environment.memory import rough_tokens
from marl_llm.interfaces.spaces import fit
from marl_llm.rewards import RewardConfig
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.episode import EpisodePlayer, Team
from marl_llm.rollout.policies import Ask, PolicyInfo, ScriptedPolicy
from marl_llm.rollout.rows import EpisodeKey
from marl_llm.rollout.turns import TurnContext, derive_seed
from marl_llm.serving import Completion
from marl_llm.trajectories import Row
from tests.rewards.scored import scored

PROMPTS = PromptConfig(instructions=False)
SEEDS = range(6)
EPISODE = {"steps": 5, "analyses": 2}
ONE_BRANCH = RolloutConfig(proposals=1, implementations=1)


class Careless:
    """The scripted agents, with unreadable, repeated and final replies among theirs; tokens as
    `rough_tokens`.
    """

    info = PolicyInfo("careless")

    def __init__(self) -> None:
        self._scripted = ScriptedPolicy(0.5)

    async def reply(self, ask: Ask) -> Completion:
        done = await self._scripted.reply(ask)
        draw = derive_seed(ask.seed, "careless") % 6
        if ask.role == DATA_SCIENTIST and draw == 0:
            done = replace(
                done, text=('analyze target ["x0"]' if ask.may_analyze else "tune nothing")
            )
        elif ask.role == DATA_SCIENTIST and draw == 1:
            done = replace(done, text="propose_model est = RandomForestClassifier()")
        elif ask.role == DATA_SCIENTIST and draw == 3 and len(ask.situation.memory.entries) > 2:
            done = replace(done, text="finish")
        elif ask.role == ML_ENGINEER and draw < 2:
            done = replace(done, text="1 + forest = Forest()")
        elif ask.role == ML_ENGINEER and draw == 3:
            done = replace(done, text="1 + # done")
        elif draw == 2:
            done = replace(done, text="I am not sure.")
        read = rough_tokens("\n".join(message["content"] for message in ask.messages))
        return replace(done, prompt_ids=[0] * read, completion_ids=[0] * rough_tokens(done.text))


def rolled_out(env, seed: int):
    context, policy = TurnContext(env, PromptStyle(PROMPTS)), Careless()
    key = EpisodeKey("run", 0, env.task.name, "e", 1.0)
    player = EpisodePlayer(context, Team(policy, policy), ONE_BRANCH, key, seed)
    return asyncio.run(player.play())


def earned(rows: list[Row], role: str, rewards: RewardConfig) -> list[float]:
    """Of each of the role's turns: what the turn earned, once, and what its calls cost. Processor
    time is the machine's, and is held against that of the other episode elsewhere.
    """
    turns: dict[int, float] = {}
    for row in scored(rows, rewards):
        if row.role == role:
            own = row.reward_token_cost + row.reward_refusal
            shared = row.reward - own - row.reward_cpu_cost if row.call == 0 else 0.0
            turns[row.turn] = turns.get(row.turn, 0.0) + shared + own
    return list(turns.values())


@pytest.mark.parametrize(
    ("credit", "corrections"), [("reference", 0), ("step", 0), ("reference", 1)]
)
@pytest.mark.parametrize("kind", [Kind.binary, Kind.regression])
@pytest.mark.parametrize("seed", SEEDS)
def test_one_branch_gives_the_same_calls_rewards_and_states(
    make_env, kind, credit, corrections, seed
):
    episode = EPISODE | {"corrections": corrections}
    rewards = RewardConfig(credit=credit)
    env, policy = make_env(kind, **episode, prompts=PROMPTS, rewards=rewards), Careless()
    result = rolled_out(env.team_env, seed)
    env.reset(seed=seed)
    calls, verdicts, returns = [], [], {DATA_SCIENTIST: [0.0], ML_ENGINEER: [0.0]}
    for agent in env.agent_iter():
        observation, reward, terminated, _, info = env.last()
        returns[agent][-1] += reward - info["rewards"].get("cpu_cost", 0.0)
        if "outcome" in info:
            returns[agent].append(0.0)
            if agent == DATA_SCIENTIST:
                verdicts.append(info["outcome"]["verdict"])
        if env.ask is not None:
            text = asyncio.run(policy.reply(env.ask)).text
            calls.append((agent, info["messages"], info["seed"], text))
            assert observation == fit(
                "\n".join(m["content"] for m in info["messages"]), env.observation_space(agent)
            )
        env.step(None if terminated else text)
    rows = result.rows
    assert [(c[0], c[2]) for c in calls] == [(row.role, row.seed) for row in rows]
    assert verdicts == [step.outcome.verdict for step in result.steps]
    assert env.team_state.memory == result.last.memory and env.team_state.code == result.last.code
    for role, by_turn in returns.items():
        assert by_turn[:-1] == pytest.approx(earned(rows, role, rewards), abs=1e-7)
        assert by_turn[-1] == 0


def test_the_compared_episodes_hold_every_kind_of_step(make_env):
    """What the test above rests on: its episodes are not all alike."""
    verdicts, lengths, failures, refusals = set(), set(), set(), set()
    for kind in (Kind.binary, Kind.regression):
        env = make_env(kind, **EPISODE).team_env
        for seed in SEEDS:
            result = rolled_out(env, seed)
            verdicts |= {str(step.outcome.verdict) for step in result.steps}
            lengths |= {(row.role, row.call) for row in result.rows}
            failures |= {
                row.rungs
                for row in result.rows
                if row.verdict == "failed" and row.role == ML_ENGINEER
            }
            correcting = make_env(kind, **EPISODE, corrections=1).team_env
            refusals |= {row.refused for row in rolled_out(correcting, seed).rows}
    assert {
        "accepted",
        "no_gain",
        "not_as_asked",
        "failed",
        "invalid",
        "redundant",
        "finished",
    } <= verdicts
    assert {(DATA_SCIENTIST, 1), (ML_ENGINEER, 1)} <= lengths
    assert len(failures) > 1 and len(refusals) == 2

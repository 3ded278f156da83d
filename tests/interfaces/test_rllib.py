"""RLlib drives the team: its PettingZoo wrapper, and its env runner with modules that answer
texts.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("ray.rllib", reason="RLlib is not installed (extra ray)")

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module import MultiRLModuleSpec, RLModuleSpec
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.wrappers.pettingzoo_env import PettingZooEnv
from ray.tune.registry import register_env

from marl_llm.core.kind import Kind
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER, ROLES
from marl_llm.environment import TeamEnv
from marl_llm.interfaces import TeamAECEnv
from marl_llm.interfaces.examples.rllib_loop import Rule
from tests.fixtures import CONFIG, shared_sandbox, small_task

FOREST, RIGHT = "propose_model est = RandomForestClassifier()", "8 = est = RandomForestClassifier()"


def small_env(config: dict) -> PettingZooEnv:
    return PettingZooEnv(TeamAECEnv(TeamEnv(small_task(Kind.binary), shared_sandbox(), CONFIG)))


@pytest.fixture(scope="module")
def runner(sandbox) -> Iterator[MultiAgentEnvRunner]:
    """An env runner in this process, with an environment of its own, which it closes."""
    register_env("team", small_env)
    config = PPOConfig().environment("team").env_runners(num_env_runners=0)
    config.multi_agent(
        policies=set(ROLES), policy_mapping_fn=lambda agent, episode, **kwargs: agent
    )
    config.rl_module(
        rl_module_spec=MultiRLModuleSpec(
            rl_module_specs={role: RLModuleSpec(Rule) for role in ROLES}
        )
    )
    runner = MultiAgentEnvRunner(config=config)
    yield runner
    runner.stop()


def test_rllibs_pettingzoo_wrapper_steps_through_a_whole_episode(make_env):
    wrapped, direct = PettingZooEnv(make_env()), make_env()
    assert wrapped.observation_space[DATA_SCIENTIST] == wrapped.observation_space[ML_ENGINEER]
    observations, _ = wrapped.reset(seed=3)
    direct.reset(seed=3)
    assert list(observations) == [DATA_SCIENTIST]
    returns, over, replies = dict.fromkeys(ROLES, 0.0), False, [FOREST, RIGHT, "finish"]
    while not over:
        (agent,), reply = observations, replies.pop(0)
        assert observations[agent] == direct.observe(agent) and agent == direct.agent_selection
        direct.step(reply)
        observations, rewards, terminated, truncated, infos = wrapped.step({agent: reply})
        for rewarded, reward in rewards.items():
            returns[rewarded] += reward
        over = terminated["__all__"]
    assert not replies and not truncated["__all__"]
    assert set(observations) == set(rewards) == set(infos) == set(ROLES)
    assert (
        infos[ML_ENGINEER]["outcome"]["verdict"] == "accepted"
        and infos[DATA_SCIENTIST]["outcome"]["step"] == 1
    )
    assert returns[ML_ENGINEER] > 0.1 and returns[DATA_SCIENTIST] > 0.1


def test_rllibs_wrapper_reports_a_truncated_episode(make_env):
    wrapped = PettingZooEnv(make_env(max_calls=1))
    wrapped.reset()
    *_, terminated, truncated, _ = wrapped.step({DATA_SCIENTIST: FOREST})
    assert truncated["__all__"] and not terminated["__all__"]


def test_rllibs_env_runner_samples_an_episode_with_modules_that_answer_texts(runner):
    (episode,) = runner.sample(num_episodes=1)
    played = {agent: episode.agent_episodes[agent] for agent in ROLES}
    assert episode.is_terminated and {len(p) for p in played.values()} == {2, 3}
    assert played[DATA_SCIENTIST].get_actions()[-1] == "finish"
    assert str(played[ML_ENGINEER].get_observations()[0]).startswith("role: ml engineer")
    assert played[ML_ENGINEER].get_infos()[-1]["outcome"]["verdict"] == "accepted"
    assert played[ML_ENGINEER].get_return() > 0.1


def test_rllibs_env_runner_samples_random_texts(runner):
    (episode,) = runner.sample(num_episodes=1, random_actions=True)
    (scientist,) = episode.agent_episodes.values()
    assert [info["outcome"]["verdict"] for info in scientist.get_infos()[1:]] == ["invalid"] * 3

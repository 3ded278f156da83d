"""RLlib samples an episode of the team; a module that answers texts stands where a language model
would.

Run it with `python -m marl_llm.interfaces.examples.rllib_loop`.
"""

from __future__ import annotations

import sys

import numpy as np
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module import MultiRLModuleSpec, RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.wrappers.pettingzoo_env import PettingZooEnv
from ray.tune.registry import register_env

from marl_llm import TeamEnv
from marl_llm.core.roles import ROLES
from marl_llm.environment import EnvironmentConfig
from marl_llm.interfaces import TeamAECEnv
from marl_llm.interfaces.examples.pettingzoo_loop import moons, reply
from marl_llm.sandbox import Sandbox


class Rule(TorchRLModule):
    """Texts in, texts out: arrays of str, shape (n,), pass RLlib's pipelines untouched."""

    def setup(self) -> None:
        """No network."""

    def _forward(self, batch: dict[str, np.ndarray], **kwargs: object) -> dict[str, np.ndarray]:
        return {"actions": np.array([reply(text) for text in batch["obs"]])}


def make_env(config: dict[str, object]) -> PettingZooEnv:
    """The team's environment, made where RLlib runs it."""
    chosen = EnvironmentConfig.model_validate(dict(config))
    return PettingZooEnv(TeamAECEnv(TeamEnv(moons(), Sandbox(), chosen)))


def main() -> None:
    """Sample one episode and write the return of each agent."""
    register_env("team", make_env)
    config = PPOConfig().environment("team", env_config={"steps": 4}).env_runners(num_env_runners=0)
    config.multi_agent(
        policies=set(ROLES), policy_mapping_fn=lambda agent, episode, **kwargs: str(agent)
    )
    config.rl_module(
        rl_module_spec=MultiRLModuleSpec(
            rl_module_specs={role: RLModuleSpec(Rule) for role in ROLES}
        )
    )
    runner = MultiAgentEnvRunner(config=config)
    (episode,) = runner.sample(num_episodes=1)
    for agent, played in episode.agent_episodes.items():
        sys.stdout.write(f"{agent:<14} {len(played)} calls, return {played.get_return():+.3f}\n")
    runner.stop()


if __name__ == "__main__":
    main()

"""A team's episode in PettingZoo's loop, with a rule in place of each language model.

Run it with `python -m marl_llm.interfaces.examples.pettingzoo_loop`.
"""

from __future__ import annotations

import re
import sys

import pandas as pd
from sklearn.datasets import make_moons

from marl_llm import Task, TeamEnv
from marl_llm.environment import EnvironmentConfig
from marl_llm.interfaces import TeamAECEnv
from marl_llm.sandbox import Sandbox


def moons() -> Task:
    """Two interleaved half circles: a straight line cannot part them, a forest can."""
    X, y = make_moons(600, noise=0.2, random_state=0)
    return Task.from_frame(
        pd.DataFrame(X, columns=["east", "north"]).assign(moon=y), target="moon", name="moons"
    )


def reply(prompt: str) -> str:
    """Both agents' answer: propose the next model that memory does not show; write the proposed one
    into the code.
    """
    if proposed := re.search(r"^proposal: propose_model (est = .*)", prompt, re.MULTILINE):
        line = re.search(r"^(\d+) +est = ", prompt, re.MULTILINE)
        return f"{line[1] if line else 1} = {proposed[1]}"
    untried = (
        m
        for m in ("GaussianNB()", "RandomForestClassifier()")
        if f"propose_model est = {m}" not in prompt
    )
    return next((f"propose_model est = {model}" for model in untried), "finish")


def main() -> None:
    """Play one episode and write what became of it."""
    with Sandbox() as sandbox:
        env = TeamAECEnv(TeamEnv(moons(), sandbox, EnvironmentConfig(steps=4)))
        env.reset(seed=0)
        for agent in env.agent_iter():
            observation, reward, terminated, truncated, info = env.last()
            sys.stdout.write(
                f"{agent:<14} {reward:+.3f} {info.get('outcome', {}).get('verdict', '')}\n"
            )
            env.step(None if terminated or truncated else reply(observation or ""))
        sys.stdout.write(env.render() + "\n")
        env.close()


if __name__ == "__main__":
    main()

"""`python -m marl_llm.tiny.measure [--suite DIR]`: the embedded model on unseen tasks, through the real server and
sandbox: procedural ones, or the CSV files of a suite.

Prints the share of valid actions, of replies that run and of replies that do what was asked (first replies, before any
repair, at temperature 1), and its mean step gain beside that of the scripted pair's random valid proposals.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from marl_llm.evaluation.measure import suite_plans, unseen_plans
from marl_llm.open_run import OpenRun, open_sandbox, play, server_session, settings
from marl_llm.recipe import Recipe, load_recipe
from marl_llm.roles import DATA_SCIENTIST, ML_ENGINEER, ROLES
from marl_llm.rollout.collect import Collector, PlannedEpisode
from marl_llm.rollout.episode import Team
from marl_llm.rollout.policies import ScriptedPolicy
from marl_llm.rollout.progress import Progress
from marl_llm.rollout.session import BASE_POLICY
from marl_llm.run import RunDirectory
from marl_llm.trajectories import read_rows


def figures(rows: pd.DataFrame) -> dict[str, float]:
    """Rates over turns and first replies.

    Returns
    -------
    dict
        valid_actions, replies_that_run, replies_as_asked (shares of the Data Scientist's turns and of the Engineer's
        first replies), forgiven (share of all calls whose reply was read leniently), step_gain (mean significant gain
        of the reference implementation over valid proposals, skill), and the counts turns and replies.
    """
    turns = rows.loc[rows["role"] == DATA_SCIENTIST].groupby(["episode", "branch"]).last()
    engineer = rows.loc[rows["role"] == ML_ENGINEER]
    first = engineer.loc[engineer["call"] == 0]
    calls = engineer.groupby(["episode", "branch"]).size()
    ran = calls.reindex(pd.MultiIndex.from_frame(first.loc[:, ["episode", "branch"]])).to_numpy() == 1
    ran &= (first["verdict"] != "failed").to_numpy()
    as_asked = ran & (first["compliance"] == 1).to_numpy()
    proposals = turns.loc[turns["reference_gain"].notna()]
    gains = np.where(proposals["significant"].to_numpy(bool), proposals["reference_gain"].to_numpy(float), 0.0)
    return {
        "valid_actions": float((turns["verdict"] != "invalid").to_numpy().mean()),
        "replies_that_run": float(ran.mean()),
        "replies_as_asked": float(as_asked.mean()),
        "forgiven": float((rows["forgiven"].fillna("") != "").to_numpy().mean()),
        "step_gain": float(gains.mean()) if len(gains) else 0.0,
        "turns": len(turns),
        "replies": len(first),
    }


def measure(recipe: Recipe, plans: list[PlannedEpisode], folder: Path) -> dict[str, dict[str, float]]:
    """Play unseen tasks with the embedded model and with the scripted pair."""
    run = RunDirectory(folder)
    with server_session(recipe, run) as session, open_sandbox(recipe) as sandbox:
        opened = OpenRun(recipe, run, session, sandbox)
        play(opened, dict.fromkeys(ROLES, BASE_POLICY), folder / "model", plans, settings(recipe, 0), "embedded model")
        team = Team(ScriptedPolicy(), ScriptedPolicy())
        collector = Collector(folder / "scripted", team, sandbox, recipe.sandbox.slots, settings(recipe, 0))
        asyncio.run(collector.collect(plans, Progress("scripted pair")))
    return {name: figures(read_rows(folder / name)) for name in ("model", "scripted")}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/tiny/cpu.yaml"))
    parser.add_argument("--tasks", type=int, default=24, help="procedural tasks, where no suite is named")
    parser.add_argument("--suite", type=Path, action="append", default=[], help="directory with suite.yaml; repeatable")
    parser.add_argument("--model", type=Path, help="directory of the model; default: the recipe's")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    recipe = load_recipe(args.recipe)
    if args.model:
        recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"path": str(args.model)})})
    plans = suite_plans(args.suite) if args.suite else unseen_plans(args.tasks)
    with tempfile.TemporaryDirectory() as folder:
        for name, values in measure(recipe, plans, Path(folder)).items():
            shown = ", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
            sys.stdout.write(f"{name}: {shown}\n")


if __name__ == "__main__":
    main()

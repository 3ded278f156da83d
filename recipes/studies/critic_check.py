"""`python recipes/studies/critic_check.py RUN... --role R --out FILE.json`: how much of the returns
a critic can explain on tasks it was not fitted to.

The tasks of one or more runs' trajectories are split at random, or by iteration (`--ahead`: a later
policy too), a new critic is fitted to one part, and its values are compared with the rewards really
received in the other part. As in PPO's first phase there are no values before, so a turn that the
episode did not follow is fitted to its own reward alone; compared are followed turns only. How much
of what single turns earn lies between states, rather than between the answers to one, is the most
that a state's value can explain of it. Nothing of the runs is changed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from marl_llm.algorithms.ppo import PPO, RowCredit, agent_credit, value_loss
from marl_llm.core.atomic import write_json
from marl_llm.core.errors import UserError
from marl_llm.core.roles import ROLES
from marl_llm.credit.gae import explained_variance
from marl_llm.rewards import FACTS, RewardConfig, score_rows
from marl_llm.training.data import TRAINING_COLUMNS, replay_rows
from marl_llm.trajectories import read_rows
from marl_llm.workspace.run import RunDirectory


def split_at_random(frame: pd.DataFrame, share: float, seed: int) -> np.ndarray:
    """Mask of the rows of a random `share`, in (0, 1), of the tasks; bool, shape (n,).

    Raises
    ------
    UserError
        All tasks are chosen, or none.
    """
    names = np.random.default_rng(seed).permutation(sorted(set(frame["task"])))
    chosen = frame["task"].isin(list(names[: round(share * len(names))])).to_numpy(bool)
    if chosen.all() or not chosen.any():
        raise UserError(
            f"{len(names)} tasks cannot be split by a share of {share:g}; collect more of them."
        )
    return chosen


def split_ahead(frame: pd.DataFrame, iteration: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows up to an iteration, and the mask of those before it.

    Raises
    ------
    UserError
        There are none of that iteration, or none before.
    """
    number = frame["iteration"].to_numpy()
    if not (number == iteration).any() or not (number < iteration).any():
        raise UserError(
            f"there is nothing before iteration {iteration}, or nothing of it; the last is "
            f"{number.max()}."
        )
    return frame.loc[number <= iteration], number[number <= iteration] < iteration


def scored_rows(run: Path, role: str) -> pd.DataFrame:
    """A role's rows of all iterations of a run, or of a directory of trajectories, with their
    rewards by the run's own weights, or the default ones.
    """
    own = RunDirectory(run).recipe().rewards if (run / "recipe.yaml").is_file() else RewardConfig()
    folders = sorted(run.glob("iteration_*/trajectories")) or [run]
    return score_rows(
        read_rows(folders, list(dict.fromkeys([*TRAINING_COLUMNS, *FACTS, "task"])), role), own
    )


def share_between_states(frame: pd.DataFrame) -> float | None:
    """Share of the variance of turns' own rewards that lies between their groups, which are of one
    state each: the one-way intraclass correlation (Shrout & Fleiss 1979, ICC(1,1), for groups of
    different sizes), at most 1; None where there are no two groups, or none of two turns.
    """
    calls = frame.sort_values("call").groupby(["run", "iteration", "episode", "branch"])
    groups, rewards = calls["group"].first(), calls["reward"].last().to_numpy(float)
    turns = pd.MultiIndex.from_arrays(
        [groups.index.get_level_values("run"), groups]
    )  # of the first call
    codes, n = pd.factorize(turns)[0], len(rewards)
    sizes = np.bincount(codes)
    if not 1 < len(sizes) < n:
        return None
    means = np.bincount(codes, weights=rewards) / sizes
    between = np.sum(sizes * (means - rewards.mean()) ** 2) / (len(sizes) - 1)
    within = np.sum((rewards - means[codes]) ** 2) / (n - len(sizes))
    size = (n - np.sum(sizes**2) / n) / (len(sizes) - 1)
    return float((between - within) / (between + (size - 1) * within))


def heldout_variance(
    frame: pd.DataFrame, fitted: np.ndarray, base_dir: Path, config: PPO, seed: int
) -> dict[str, Any]:
    """Fit a new critic to some rows and measure it on the others.

    Parameters
    ----------
    frame : DataFrame
        Rows of one role, as `PPO.learn` takes them; no completion is empty.
    fitted : array of bool, shape (n,)
        The rows to fit.
    base_dir : Path
        Base model.
    config : PPO
        Its `critic_*` keys, `gamma` and `batch_tokens`; lambda counts as 1, so that returns are
        rewards received.
    seed : int
        Of the critic and the order of rows.

    Returns
    -------
    dict
        For "fitted" and "heldout": tasks, turns, and the explained variance over all tokens of
        followed turns ("tokens") and over their first tokens only ("first", what the state alone
        says); `loss` of each epoch.
    """
    from marl_llm.training.critic import load_critic

    frame = frame.reset_index(drop=True)
    rows, _ = replay_rows(frame.assign(advantage=0.0, kept=True))
    nothing = [np.zeros(len(row.completion_ids), np.float32) for row in rows]
    credits = agent_credit(frame, nothing, config.model_copy(update={"gae_lambda": 1.0}))
    settings = config.critic_settings()
    with tempfile.TemporaryDirectory() as folder:
        critic = load_critic(base_dir, Path(folder) / "none", settings, Path(folder), seed)
    chosen = np.flatnonzero(fitted)
    returns, old = [credits[i].returns for i in chosen], [nothing[i] for i in chosen]
    fit = critic.fit([rows[i] for i in chosen], returns, old, settings, seed, value_loss)
    values = critic.values(rows, settings)
    found: dict[str, Any] = {"seed": seed, "loss": fit.loss}
    for name, mask in (("fitted", fitted), ("heldout", ~fitted)):
        part = np.flatnonzero(mask)
        found[name] = _explained([values[i] for i in part], [credits[i] for i in part])
        found[name]["tasks"] = int(frame.loc[mask, "task"].nunique())
    return found


def _explained(values: list[np.ndarray], credits: list[RowCredit]) -> dict[str, Any]:
    known = [
        (v, c.seen, c.first) for v, c in zip(values, credits, strict=True) if c.seen is not None
    ]
    first = [(v[0], seen[0]) for v, seen, is_first in known if is_first]
    return {
        "turns": len(first),
        "tokens": explained_variance(
            np.concatenate([s for _, s, _ in known]), np.concatenate([v for v, _, _ in known])
        ),
        "first": explained_variance(
            np.array([s for _, s in first]), np.array([v for v, _ in first])
        ),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the check as told on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="explained variance of a critic on tasks it was not fitted to"
    )
    parser.add_argument(
        "runs", type=Path, nargs="+", help="run directories, or directories of trajectories"
    )
    parser.add_argument("--role", choices=ROLES, required=True, help="whose rows")
    parser.add_argument("--base", type=Path, default=Path("data/models/tiny"), help="base model")
    parser.add_argument("--share", type=float, default=0.7, help="share of the tasks to fit")
    parser.add_argument("--splits", type=int, default=3, help="random splits, from seed 0")
    parser.add_argument(
        "--ahead", type=int, help="measure on this iteration, fitted to those before it"
    )
    parser.add_argument("--epochs", type=int, default=8, help="passes over the rows")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="of the critic")
    parser.add_argument(
        "--batch-tokens", type=int, default=4096, help="maximum tokens computed at once"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    told = parser.parse_args(arguments)
    config = PPO(
        critic_epochs=told.epochs,
        critic_learning_rate=told.learning_rate,
        batch_tokens=told.batch_tokens,
    )
    try:
        rows = pd.concat([scored_rows(run, told.role) for run in told.runs], ignore_index=True)
        rows = rows.loc[rows["completion_ids"].map(len) > 0]
        if told.ahead is None:
            parts = [(rows, split_at_random(rows, told.share, seed)) for seed in range(told.splits)]
        else:
            parts = [split_ahead(rows, told.ahead)]
        splits = [
            heldout_variance(*part, told.base, config, seed) for seed, part in enumerate(parts)
        ]
        settings = json.loads(json.dumps(vars(told), default=str))
        mean = {
            key: float(np.mean([split["heldout"][key] for split in splits]))
            for key in ("tokens", "first")
        }
        known = {"share_between_states": share_between_states(rows), "heldout_mean": mean}
        write_json(told.out, {"settings": settings} | known | {"splits": splits})
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(
        f"held-out explained variance: tokens {mean['tokens']:.3f}, first {mean['first']:.3f}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

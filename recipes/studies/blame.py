"""`python recipes/studies/blame.py RUN... --out FILE.json`: whether the Engineer was blamed for
suggestions that it only carried out.

Code that does what was asked should not be discouraged because the suggestion brought no gain. Read
are the advantages that each iteration of a run learned from: PPO's, whitened over the iteration's
tokens, or those of the groups. Nothing of the runs is changed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from marl_llm.core.atomic import write_json
from marl_llm.core.errors import UserError
from marl_llm.core.roles import ML_ENGINEER
from marl_llm.credit.gae import whiten
from marl_llm.credit.stage import ROW_KEY
from marl_llm.trajectories import read_rows
from marl_llm.workspace.run import RunDirectory

GAINED = "accepted"
"""Verdict of a turn whose suggestion brought a significant gain."""


def blame(frame: pd.DataFrame) -> dict[str, Any]:
    """How code that did what was asked was credited.

    Parameters
    ----------
    frame : DataFrame
        Completions that were learned from: advantage (float), compliance (0 or 1), verdict (str).

    Returns
    -------
    dict
        completions; as_asked (share); of those negative (share with a negative advantage),
        mean_with_gain and mean_without_gain (mean advantage where the suggestion brought a
        significant gain and where it did not); mean_otherwise (of code that did not do what was
        asked). None where there is no such code.
    """
    advantage, asked = frame["advantage"].to_numpy(float), (frame["compliance"] == 1).to_numpy()
    gained = (frame["verdict"] == GAINED).to_numpy()
    return {
        "completions": len(frame),
        "as_asked": _mean(asked.astype(float)),
        "negative": _mean((advantage[asked] < 0).astype(float)),
        "mean_with_gain": _mean(advantage[asked & gained]),
        "mean_without_gain": _mean(advantage[asked & ~gained]),
        "mean_otherwise": _mean(advantage[~asked]),
    }


def learned_from(run: RunDirectory, k: int) -> pd.DataFrame:
    """The Engineer's completions that iteration `k` of a run learned from: `ROW_KEY`, advantage,
    compliance, verdict.

    Raises
    ------
    UserError
        The iteration has no rows, or was not trained on.
    """
    rows = read_rows([run.trajectories(k)], [*ROW_KEY, "compliance", "verdict"], ML_ENGINEER)
    values, table = (
        run.iteration(k) / "training" / f"{ML_ENGINEER}-values.parquet",
        run.credit(k, ML_ENGINEER),
    )
    if values.is_file():
        credit = pd.read_parquet(values)
        white = whiten([np.asarray(tokens, np.float64) for tokens in credit["advantage"]])
        credit = credit.assign(advantage=[float(tokens.mean()) for tokens in white])
    elif table.is_file():
        credit = pd.read_parquet(table)
        credit = credit.loc[credit["kept"]]
    else:
        raise UserError(f"{run.iteration(k)}: it was not trained on; name a run that was.")
    return credit.loc[:, [*ROW_KEY, "advantage"]].merge(rows, on=ROW_KEY, validate="one_to_one")


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def main(arguments: list[str] | None = None) -> int:
    """Run the check as told on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="how the Engineer's code that did what was asked was credited"
    )
    parser.add_argument("runs", type=Path, nargs="+", help="run directories")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    told = parser.parse_args(arguments)
    found = {}
    try:
        for path in told.runs:
            run = RunDirectory(path)
            iterations = range(run.next_iteration())
            if not iterations:
                raise UserError(f"{path}: no finished iteration; name a run directory.")
            found[str(path)] = blame(pd.concat([learned_from(run, k) for k in iterations]))
        write_json(told.out, found)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    for path, one in found.items():
        shown = ", ".join(f"{key} {value:.3g}" for key, value in one.items() if value is not None)
        sys.stdout.write(f"{path}: {shown}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What stopping passes up: logged rows of one role go in, what is taken off each row's reward comes
out.

A turn that ends the episode risks nothing, and earns nothing but what a blend gains. Whether that
was right shows in its group: the other turns from the same state tried what else could have been
done. Ending is therefore charged what the best of them gained more, where credit is assigned and
nowhere else: early in an episode, where most groups hold a gain, it is dear; where no proposal
gains anything it is free. The group's mean alone tells the two apart far less.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from marl_llm.core.frames import equal, floats
from marl_llm.credit.columns import require_columns

FINISHED = "finished"
"""Verdict of a turn that ends the episode."""
REGRET_COLUMNS = ["verdict", "reward_metric_delta"]


def stopping_regret(rows: pd.DataFrame, groups: np.ndarray) -> np.ndarray:
    """For each row that ended the episode what the best of its group gained more, 0 for all others;
    reward units, shape (n,).

    Parameters
    ----------
    rows : DataFrame
        With `REGRET_COLUMNS`.
    groups : array of int, shape (n,)

    Raises
    ------
    UserError
        A missing column.
    """
    require_columns(rows, REGRET_COLUMNS, "credit.regret above 0")
    gains = floats(rows, "reward_metric_delta")
    best = np.zeros(int(groups.max(initial=-1)) + 1)
    np.maximum.at(best, groups, gains)
    ended = equal(rows, "verdict", FINISHED)
    return np.where(ended, best[groups] - np.maximum(gains, 0.0), 0.0)

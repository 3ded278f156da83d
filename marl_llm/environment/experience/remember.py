"""An environment and its experience: the lines it shows, and what is kept of an episode in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marl_llm.environment.delivery import Tried
from marl_llm.environment.experience.data_set import DataSet
from marl_llm.environment.experience.findings import Visit, findings
from marl_llm.environment.experience.keys import table_key
from marl_llm.environment.experience.meta_features import meta_features
from marl_llm.environment.experience.view import Experience
from marl_llm.environment.state import State
from marl_llm.environment.team_env import TeamEnv


def shown_lines(env: TeamEnv, experience: Experience, most: int) -> tuple[str, ...]:
    """What the agents of this environment are told of other data sets. Blocks while the baseline
    runs.
    """
    if most < 1 or not experience.data_sets:
        return ()
    return experience.lines(env.card, table_key(env.task), most, _landmark(env.reset()))


def known_data_set(env: TeamEnv, first: State, visits: Sequence[Visit]) -> DataSet:
    """What is worth keeping of an episode on a task whose baseline is `first`."""
    vector = meta_features(env.card, _landmark(first))
    return DataSet(
        key=table_key(env.task),
        name=env.task.name[:200].encode("utf-8", "replace").decode(),
        kind=env.task.kind,
        meta=tuple(round(float(v), 6) if np.isfinite(v) else None for v in vector),
        findings=findings(first, visits, _families(env, visits)),
    )


def _families(env: TeamEnv, visits: Sequence[Visit]) -> list[Tried]:
    """The screened families that were evaluated before the first step."""
    entries = visits[0][0].memory.entries if visits else ()
    known, reach = [entry.spec for entry in entries], env.within_reach()
    found = [Tried(spec, env.evaluate(spec)) for spec in reach if spec in known]
    return [one for one in found if one.evaluated.ok]


def _landmark(first: State) -> float | None:
    """The baseline's cross-validated score: of development rows, as all else that the agents are
    told.
    """
    return None if first.evaluated.cv is None else first.evaluated.cv.score

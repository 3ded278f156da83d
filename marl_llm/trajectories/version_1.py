"""Part files of version 1, read as if they were of version 2: facts are recovered from what those
rows kept.

Version 1 kept reward components with the recipe's weights in them. Most facts stand in other
columns; what does not is recovered from the components and the weights of the recipe in the run
directory above the file (version 1's defaults where there is none), so that a run's own recipe
gives the rewards it gave. Other weights find these gaps:

- `new_reference_gain` under the run's own `credit: step`: what was credited before is not known, so
  it is the whole significant gain of the reference implementation.
- `rungs` of code that ran is 4; of code that failed it is 0 where `rung_bonus` was 0.
- `refused` is false where `invalid_penalty` was 0, and in files from before refusals were recorded.
- `analysis_cpu_s` is 0 in files from before analyses were charged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from marl_llm.core.errors import UserError
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.core.verdict import Verdict
from marl_llm.core.yaml_files import read_yaml
from marl_llm.trajectories.schema import SCHEMA

ADDED = frozenset({"followed", "reward_cpu_cost", "forgiven", "reward_refusal", "reply", "problem"})
"""Columns of version 1 that its files may lack."""
NEW = ("step_gain", "new_reference_gain", "rungs", "refused", "analysis_cpu_s")
"""Columns that version 1 did not have."""
RECOVERED = (*NEW, "evaluation_s")
"""Columns that are recovered from `SOURCES`; version 1 had an analysis's time in `evaluation_s`."""
LEVELS_UP = 5
"""How far above its directory a part's run directory may lie (evaluations lie deepest)."""

RUNGS = 4
Facts = dict[str, bool | int | float | None]
Proposal = tuple[object, ...]
"""What a proposal is known by."""


@dataclass(frozen=True, kw_only=True)
class OldRow:
    """What a row of version 1 says of the facts it lacks; columns of that version."""

    role: str
    branch: str
    action: str
    verdict: str
    compliance: float | None
    metrics_after: str | None
    skill_gain: float | None
    reference_gain: float | None
    significant: bool | None
    evaluation_s: float
    reward_metric_delta: float
    reward_no_gain: float
    reward_failure: float
    reward_cpu_cost: float | None = None
    reward_refusal: float | None = None


SOURCES = tuple(field.name for field in fields(OldRow))
"""Columns that facts are recovered from, as far as a file has them (`ADDED`)."""


@dataclass(frozen=True)
class OldWeights:
    """What a row's components were weighted with, as far as it is needed; the defaults are version
    1's.
    """

    credit: str = "reference"
    gain_weight: float = 1.0
    no_gain_penalty: float = 0.02
    failure_penalty: float = 0.15
    rung_bonus: float = 0.005


_KEYS = tuple(field.name for field in fields(OldWeights))


def weights_above(directory: Path) -> OldWeights:
    """The weights of the recipe that the rows in `directory` were made with.

    Raises
    ------
    UserError
        The recipe cannot be read.
    """
    above = [directory.resolve(), *directory.resolve().parents][: LEVELS_UP + 1]
    recipe = next((path for one in above if (path := one / "recipe.yaml").is_file()), None)
    if recipe is None:
        return OldWeights()
    try:
        content: Any = read_yaml(recipe)
        section = content["rewards"]
        return OldWeights(**{key: section[key] for key in _KEYS if key in section})
    except KeyError:
        return OldWeights()
    except (OSError, ValueError, TypeError) as error:
        why = " ".join(str(error).split())[:160]
        raise UserError(
            f"{recipe} is no recipe ({why}), and old rows beside it are read by its weights."
        ) from None


def recovered(rows: pa.Table, weights: OldWeights) -> pa.Table:
    """The columns `RECOVERED` of one episode's rows of version 1, in the order of `rows`.

    Parameters
    ----------
    rows : Table
        Of one part, with `SOURCES` as far as the file has them.
    weights : OldWeights
        Of the run's own recipe.
    """
    old = [OldRow(**row) for row in rows.to_pylist()]
    gains = _mean_gains(old)
    facts = [
        _engineers(row, weights) if row.role == ML_ENGINEER else _scientists(row, weights, gains)
        for row in old
    ]
    schema = pa.schema([SCHEMA.field(name) for name in RECOVERED])
    return pa.Table.from_pylist(facts, schema=schema)


def _engineers(row: OldRow, weights: OldWeights) -> Facts:
    return {
        "step_gain": _gain_of_code(row),
        "new_reference_gain": None,
        "rungs": RUNGS if row.compliance is not None else _rungs(row.reward_failure, weights),
        "refused": False,
        "analysis_cpu_s": 0.0,
        "evaluation_s": row.evaluation_s,
    }


def _scientists(row: OldRow, weights: OldWeights, gains: Mapping[Proposal, float | None]) -> Facts:
    return {
        "step_gain": _gain_of_proposal(row, weights, gains),
        "new_reference_gain": _new_reference_gain(row, weights),
        "rungs": 0,
        "refused": (row.reward_refusal or 0.0) < 0,
        "analysis_cpu_s": 0.0 if row.reward_cpu_cost is None else row.evaluation_s,
        "evaluation_s": 0.0,
    }


def _gain_of_code(row: OldRow) -> float:
    """An implementation's significant gain, 0 unless it did as asked."""
    done = row.verdict == Verdict.accepted or (
        row.verdict == Verdict.finished and row.compliance == 1
    )
    return row.skill_gain if done and row.significant and row.skill_gain is not None else 0.0


def _rungs(failure: float, weights: OldWeights) -> int:
    """How far failing code came, by what was taken off its penalty."""
    if weights.rung_bonus <= 0:
        return 0
    return min(RUNGS, max(0, round((weights.failure_penalty + failure) / weights.rung_bonus)))


def _new_reference_gain(row: OldRow, weights: OldWeights) -> float | None:
    verdict, earned = row.verdict, row.reward_metric_delta
    if verdict == Verdict.no_gain or (verdict == Verdict.finished and row.significant is False):
        return 0.0
    if verdict not in (Verdict.accepted, Verdict.finished) or not row.significant:
        return None
    if weights.credit == "reference" and weights.gain_weight > 0:
        return earned / weights.gain_weight if earned > 0 else None  # all of it was credited before
    return row.reference_gain


def _gain_of_proposal(
    row: OldRow, weights: OldWeights, gains: Mapping[Proposal, float | None]
) -> float | None:
    """Mean gain of the implementations that did as asked: as it was rewarded, else by the
    Engineer's rows.
    """
    if row.verdict in (Verdict.invalid, Verdict.redundant):
        return None
    if weights.credit == "step":
        if row.reward_metric_delta > 0:
            return row.reward_metric_delta / weights.gain_weight
        if row.reward_no_gain < 0:
            return 0.0
        if weights.no_gain_penalty > 0 and row.verdict != Verdict.finished:
            return None
    return next((gains[name] for name in _names(row) if name in gains), None)


def _mean_gains(rows: Sequence[OldRow]) -> dict[Proposal, float | None]:
    """Mean gain of each proposal's implementations that did as asked, None where none did, under
    all its names.
    """
    turns: dict[str, dict[str, float | None]] = {}
    for row in rows:
        if row.role == ML_ENGINEER:  # "1.d2.e0" implements "1.d2"; all calls of a turn agree
            done = row.compliance == 1
            turns.setdefault(row.branch.rpartition(".")[0], {})[row.branch] = (
                _gain_of_code(row) if done else None
            )
    found: dict[Proposal, float | None] = {}
    for row in rows:
        if row.role == DATA_SCIENTIST and row.branch in turns:
            done = [gain for gain in turns[row.branch].values() if gain is not None]
            for name in _names(row):
                found.setdefault(name, sum(done) / len(done) if done else None)
    return found


def _names(row: OldRow) -> list[Proposal]:
    """What a proposal is known by: its branch; and, as only the first of equal ones was
    implemented, what equal ones of its step have in common: words, or what their reference
    implementation measured.
    """
    step, ends, measured = (
        row.branch.partition(".")[0],
        row.verdict == Verdict.finished,
        row.metrics_after,
    )
    names: list[Proposal] = [("branch", row.branch), (step, ends, "action", row.action)]
    return (
        [*names, (step, ends, "metrics", measured)] if measured not in ("", "{}", None) else names
    )

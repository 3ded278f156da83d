"""From a finished turn and its outcome to trajectory rows: one per call, sharing what came of the
turn.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.environment import Evaluated, State, StepOutcome
from marl_llm.rewards import Outcome
from marl_llm.rollout.policies import PolicyInfo
from marl_llm.rollout.turns import CallRecord, Turn
from marl_llm.trajectories import Row


@dataclass(frozen=True)
class EpisodeKey:
    """Which episode rows belong to, and how they were sampled."""

    run: str
    iteration: int
    task: str
    episode: str
    temperature: float


@dataclass(frozen=True)
class TurnPlace:
    """Where in the episode a turn stands. `state` hashes what the turn started from; `followed`:
    the episode went on from it.
    """

    step: int
    role: str
    branch: str
    turn: int
    state: str
    followed: bool


def state_hash(*parts: str) -> str:
    """Sixteen hexadecimal digits that identify the text a turn started from."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _raw(evaluated: Evaluated | None) -> str:
    return (
        json.dumps(evaluated.holdout.raw)
        if evaluated is not None and evaluated.holdout is not None
        else "{}"
    )


def turn_rows(
    key: EpisodeKey,
    place: TurnPlace,
    policy: PolicyInfo,
    turn: Turn,
    before: State,
    outcome: StepOutcome,
    facts: Outcome,
) -> list[Row]:
    """Rows of one turn, in the order of its calls; `facts` are those of `outcome` that rewards
    need.
    """
    shared = (
        _place_columns(key, place, policy)
        | _outcome_columns(before, outcome)
        | _facts_of_turn(facts)
    )
    shared["action"] = (turn.suggestion or outcome.suggestion).text
    return [_call_row(shared, number, call) for number, call in enumerate(turn.calls)]


def _place_columns(key: EpisodeKey, place: TurnPlace, policy: PolicyInfo) -> dict[str, Any]:
    """Where in the run, who sampled, and how."""
    return {
        "run": key.run,
        "iteration": key.iteration,
        "task": key.task,
        "episode": key.episode,
        "step": place.step,
        "role": place.role,
        "branch": place.branch,
        "turn": place.turn,
        "group": "/".join((key.task, key.episode, str(place.step), place.role, place.state)),
        "state": place.state,
        "followed": place.followed,
        "policy_version": policy.version,
        "adapter": policy.name,
        "adapter_sha256": policy.sha256,
        "sampling": json.dumps({"temperature": key.temperature, "top_p": 1.0, "top_k": -1}),
    }


def _outcome_columns(before: State, outcome: StepOutcome) -> dict[str, Any]:
    """What came of the turn."""
    result = outcome.implementation.evaluated if outcome.implementation else None
    shown = outcome.comparison or outcome.reference_comparison
    return {
        "verdict": str(outcome.verdict),
        "compliance": outcome.compliance,
        "metrics_before": _raw(before.evaluated),
        "metrics_after": _raw(result or outcome.reference),
        "skill_gain": outcome.comparison.gain if outcome.comparison else None,
        "reference_gain": outcome.reference_comparison.gain
        if outcome.reference_comparison
        else None,
        "significant": shown.significant if shown else None,
        "p_value": shown.p_value if shown else None,
        "isolation": result.isolation if result else "",
    }


def _facts_of_turn(facts: Outcome) -> dict[str, Any]:
    """What all calls of the turn share of the facts, besides verdict and compliance."""
    names = ("step_gain", "new_reference_gain", "rungs")
    return {name: getattr(facts, name) for name in names}


def _call_row(shared: dict[str, Any], number: int, call: CallRecord) -> Row:
    """One call: its own tokens and time, and what it shares with the turn."""
    done, seconds = call.completion, call.evaluation_s
    return Row(
        **shared,
        call=number,
        messages=json.dumps(call.messages, ensure_ascii=False),
        prompt_ids=list(done.prompt_ids),
        completion_ids=list(done.completion_ids),
        logprobs=list(done.logprobs),
        finish_reason=done.finish_reason,
        code=call.code,
        reply=done.text,
        forgiven=" ".join(call.forgiven),
        problem=call.problem,
        prompt_tokens=len(done.prompt_ids),
        completion_tokens=len(done.completion_ids),
        latency_s=done.latency_s,
        evaluation_s=seconds if shared["role"] == ML_ENGINEER else 0.0,
        analysis_cpu_s=seconds if shared["role"] == DATA_SCIENTIST else 0.0,
        refused=call.refused,
        seed=call.seed,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )

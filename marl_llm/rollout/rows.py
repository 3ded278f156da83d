"""From a finished turn and its outcome to trajectory rows: one per call, sharing what came of the
turn.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.environment import Evaluated, State, StepOutcome
from marl_llm.rewards import Outcome
from marl_llm.rollout.policies import PolicyInfo
from marl_llm.rollout.turns import Turn
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
    action = (turn.suggestion or outcome.suggestion).text
    result = outcome.implementation.evaluated if outcome.implementation else None
    comparison, reference = outcome.comparison, outcome.reference_comparison
    shown = comparison or reference
    return [
        Row(
            # where in the run, who sampled, and how
            run=key.run,
            iteration=key.iteration,
            task=key.task,
            episode=key.episode,
            step=place.step,
            role=place.role,
            branch=place.branch,
            turn=place.turn,
            group="/".join((key.task, key.episode, str(place.step), place.role, place.state)),
            state=place.state,
            followed=place.followed,
            policy_version=policy.version,
            adapter=policy.name,
            adapter_sha256=policy.sha256,
            sampling=json.dumps({"temperature": key.temperature, "top_p": 1.0, "top_k": -1}),
            # what came of the turn
            verdict=str(outcome.verdict),
            compliance=outcome.compliance,
            metrics_before=_raw(before.evaluated),
            metrics_after=_raw(result or outcome.reference),
            skill_gain=comparison.gain if comparison else None,
            reference_gain=reference.gain if reference else None,
            significant=shown.significant if shown else None,
            p_value=shown.p_value if shown else None,
            isolation=result.isolation if result else "",
            step_gain=facts.step_gain,
            new_reference_gain=facts.new_reference_gain,
            rungs=facts.rungs,
            action=action,
            # the call's own tokens and time
            call=number,
            messages=json.dumps(call.messages, ensure_ascii=False),
            prompt_ids=list(call.completion.prompt_ids),
            completion_ids=list(call.completion.completion_ids),
            logprobs=list(call.completion.logprobs),
            finish_reason=call.completion.finish_reason,
            code=call.code,
            reply=call.completion.text,
            forgiven=" ".join(call.forgiven),
            problem=call.problem,
            prompt_tokens=len(call.completion.prompt_ids),
            completion_tokens=len(call.completion.completion_ids),
            latency_s=call.completion.latency_s,
            evaluation_s=call.evaluation_s if place.role == ML_ENGINEER else 0.0,
            analysis_cpu_s=call.evaluation_s if place.role == DATA_SCIENTIST else 0.0,
            refused=call.refused,
            seed=call.seed,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        for number, call in enumerate(turn.calls)
    ]

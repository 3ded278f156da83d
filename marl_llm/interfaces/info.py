"""What `infos` tell of a judged step: plain numbers and texts, named as the columns of a trajectory
row.
"""

from __future__ import annotations

from marl_llm.environment import Evaluated, State, StepOutcome


def outcome_info(before: State, outcome: StepOutcome) -> dict[str, object]:
    """What became of a step; hold-out scores, for trainers and reports: no agent's prompt holds
    them.

    Parameters
    ----------
    before : State
        The state the step started from.
    outcome : StepOutcome
        The judged step.

    Returns
    -------
    dict
        step (from 0), action (canonical text), problem ("" or why the action is invalid), error (of
        the code, "" if it ran), verdict, accepted, compliance (0 to 1, None if nothing ran),
        score_before and score_after (skill), metrics_before and metrics_after (raw, by name),
        skill_gain (of the implementation, None if it did not run), reference_gain (of the reference
        implementation), significant and p_value (of the implementation's gain), step_gain (what the
        team keeps: 0 unless accepted).
    """
    result = outcome.implementation.evaluated if outcome.implementation else None
    comparison, reference = outcome.comparison, outcome.reference_comparison
    return {
        "step": before.step,
        "action": outcome.suggestion.text,
        "problem": outcome.suggestion.problem,
        "error": result.error if result else "",
        "verdict": str(outcome.verdict),
        "accepted": outcome.accepted,
        "compliance": outcome.compliance,
        "score_before": _score(before.evaluated),
        "score_after": _score(result),
        "metrics_before": _raw(before.evaluated),
        "metrics_after": _raw(result),
        "skill_gain": comparison.gain if comparison else None,
        "reference_gain": reference.gain if reference else None,
        "significant": bool(comparison.significant) if comparison else None,
        "p_value": comparison.p_value if comparison else None,
        "step_gain": outcome.step_gain,
    }


def _score(result: Evaluated | None) -> float | None:
    return result.holdout.score if result is not None and result.holdout is not None else None


def _raw(result: Evaluated | None) -> dict[str, float]:
    return dict(result.holdout.raw) if result is not None and result.holdout is not None else {}

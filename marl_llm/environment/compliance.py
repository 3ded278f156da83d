"""Compliance in [0, 1], without a judge: was what was asked done, and nothing else?

By behaviour first: predictions equal to the reference implementation's mean 1. By clauses otherwise: every component
that the proposal changes is a clause, every component changed without being asked is a broken one, and a clause is
kept only if two witnesses agree, the code as read here and the description sent by the sandboxed process (which the
code could forge).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from marl_llm.environment.evaluator import Evaluated
from marl_llm.environment.reading import Unreadable, read_components
from marl_llm.predictions import Predictions
from marl_llm.proposals import PipelineSpec

TOLERANCE = 1e-6
CLAUSES_AT_MOST = 0.9
"""Clauses alone never give 1: the predictions differ, so something was done that the clauses do not see."""


def same_predictions(a: Predictions, b: Predictions) -> bool:
    """True if labels and probabilities of the same rows agree within 1e-6 (for regression: of value and spread)."""
    if len(a) != len(b) or (a.proba is None) != (b.proba is None):
        return False
    if a.proba is not None and b.proba is not None:
        return bool((a.labels == b.labels).all() and np.allclose(a.proba, b.proba, atol=TOLERANCE, rtol=0))
    return bool(np.allclose(a.labels, b.labels, rtol=TOLERANCE, atol=TOLERANCE * float(np.std(b.labels))))


def same_behaviour(candidate: Evaluated, reference: Evaluated) -> bool:
    """True if both ran and predict the same on the hold-out and out of fold."""
    pairs = (
        (candidate.holdout_predictions, reference.holdout_predictions),
        (candidate.out_of_fold, reference.out_of_fold),
    )
    return all(a is not None and b is not None and same_predictions(a, b) for a, b in pairs)


def _described(description: Mapping[str, object] | None) -> dict[str, str]:
    """Estimator class and its parameters as the sandboxed process described them (last step of the pipeline)."""
    params = (description or {}).get("params")
    if not isinstance(params, Mapping):
        return {}
    plain = [k for k in params if "__" not in k and k not in ("memory", "steps", "verbose", "transform_input")]
    if not plain:
        return {}
    last = str(plain[-1])
    values = {k.removeprefix(f"{last}__"): str(v) for k, v in params.items() if str(k).startswith(f"{last}__")}
    return {"estimator": str(params[last]).split("(", 1)[0], **{f"param {k}": v for k, v in values.items()}}


def _witness_agrees(clause: str, wanted: object, described: Mapping[str, str]) -> bool:
    if clause == "estimator":
        return described.get("estimator") == wanted
    if clause.startswith("param ") and wanted is not None:
        return described.get(clause) == repr(wanted)
    return True


def clause_compliance(
    code: str, description: Mapping[str, object] | None, before: PipelineSpec, wanted: PipelineSpec
) -> float:
    """Share of clauses kept.

    Parameters
    ----------
    code : str
        The candidate's code, without the prelude.
    description : mapping or None
        What the sandboxed process said of the estimator; unverified.
    before, wanted : PipelineSpec
        The current solution and the one asked for.

    Returns
    -------
    float
        kept / (asked + broken unasked), at most `CLAUSES_AT_MOST`; 0 for code that cannot be read.
    """
    try:
        found = read_components(code)
    except Unreadable:
        return 0.0
    old, new = before.components(), wanted.components()
    described = _described(description)
    asked = [c for c in {**old, **new} if old.get(c) != new.get(c)]
    kept = sum(found.get(c) == new.get(c) and _witness_agrees(c, new.get(c), described) for c in asked)
    unasked = sum(found.get(c) != new.get(c) for c in {**found, **new} if c not in asked)
    return min(CLAUSES_AT_MOST, kept / max(1, len(asked) + unasked))

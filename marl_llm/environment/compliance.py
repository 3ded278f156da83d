"""Compliance in [0, 1], without a judge: was what was asked done, and nothing else?

Two witnesses have to agree. *Behaviour*: the predictions on all folds equal those of the reference
implementation. *Clauses*: the code, read without running it, holds every component that the
proposal asks for and changes no other. Code that behaves as asked but cannot be read (a loop, an
own class), or that holds what no proposal can ask for (`n_jobs`), is run once more, with the
reference, on rows it cannot expect. Where the predictions differ, compliance is the share of
clauses kept, and a clause about the estimator needs a third witness, the description sent by the
sandboxed process (which the code could forge, but not all three).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from marl_llm.core.predictions import Predictions
from marl_llm.core.syntax import parse
from marl_llm.environment.cache.keys import same_code
from marl_llm.environment.evaluated import Evaluated
from marl_llm.proposals import PipelineSpec, generate_code
from marl_llm.proposals.estimators import ESTIMATORS
from marl_llm.proposals.reading import read_components
from marl_llm.proposals.spec import BLEND, ENSEMBLES, normal_components
from marl_llm.proposals.symbols import Unreadable

TOLERANCE = 1e-6
CLAUSES_AT_MOST = 0.9
"""Clauses alone never give 1: the predictions differ, so something was done that the clauses do not
see.
"""


@dataclass(frozen=True, eq=False)
class Case:
    """One implementation and what it is held against.

    Attributes
    ----------
    code : str
        The candidate's code, without the prelude.
    result, reference, current : Evaluated
        Of the candidate, of the reference implementation of what was asked, and of the current
        solution.
    before, wanted : PipelineSpec
        The current solution and the one asked for.
    same_elsewhere : callable
        Runs candidate and reference on rows that the code cannot expect; True if they predict the
        same there.
    """

    code: str
    result: Evaluated
    reference: Evaluated
    current: Evaluated
    before: PipelineSpec
    wanted: PipelineSpec
    same_elsewhere: Callable[[], bool]


def compliance(case: Case) -> float:
    """Share of what was asked that was done; 1 only if it was done exactly and nothing else."""
    if same_code(case.code, generate_code(case.wanted)):
        return 1.0
    behaves = same_behaviour(case.result, case.reference)
    try:
        found = normal_components(read_components(case.code))
    except Unreadable:
        telling = not same_behaviour(case.current, case.reference)
        certain = behaves and telling and not own_code_branches(case.code)
        return 1.0 if certain and case.same_elsewhere() else 0.0
    wanted = normal_components(case.wanted.components())
    if behaves and found == wanted:
        return 1.0
    if behaves and not _typed_differences(found, wanted) and case.same_elsewhere():
        return 1.0
    return clause_compliance(found, case.result.description, case.before, case.wanted)


def _typed_differences(found: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
    """True if the code differs from what was asked in something that a proposal could have asked
    for.

    Such a difference counts even where no prediction shows it. What no proposal can ask for
    (`n_jobs`, a passthrough step, a transformer written out) is left to behaviour.
    """
    info = ESTIMATORS.get(str(wanted.get("estimator")))

    def typed(name: str) -> bool:
        value = found.get(name)
        if name.startswith("other") or str(value).startswith("other"):
            return False
        param = name.removeprefix("param ")
        return param == name or info is None or info.param(param) is not None

    differing = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    untyped = any(not typed(name) for name in differing)
    # Where something untyped stands, features that are asked for may be made by it.
    return any(typed(name) and not (untyped and name not in found) for name in differing)


_BRANCHES = (
    ast.If,
    ast.IfExp,
    ast.While,
    ast.For,
    ast.Try,
    ast.Match,
    ast.BoolOp,
    ast.Compare,
    ast.Assert,
    ast.comprehension,
)


def own_code_branches(code: str) -> bool:
    """True if a class, a lambda or a helper function of the code decides anything: no finite number
    of rows shows what it does on others.
    """
    try:
        module = parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    own = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    inside = (
        n
        for n in ast.walk(module)
        if isinstance(n, own) and getattr(n, "name", "") != "build_pipeline"
    )
    return any(_decides(node) for one in inside for node in ast.walk(one))


def _decides(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript):
        return any(
            isinstance(part, ast.Name | ast.Call | ast.Attribute) for part in ast.walk(node.slice)
        )
    return isinstance(node, _BRANCHES)


def says_the_same(code: str, wanted: PipelineSpec) -> bool:
    """True if the code, only read, is what was asked for: where the reference fails there is
    nothing to compare.
    """
    if same_code(code, generate_code(wanted)):
        return True
    try:
        return normal_components(read_components(code)) == normal_components(wanted.components())
    except Unreadable:
        return False


def same_predictions(a: Predictions, b: Predictions) -> bool:
    """True if labels and probabilities of the same rows agree within 1e-6 (for regression: of value
    and spread).
    """
    if len(a) != len(b) or (a.proba is None) != (b.proba is None):
        return False
    if a.proba is not None and b.proba is not None:
        return bool(
            (a.labels == b.labels).all() and np.allclose(a.proba, b.proba, atol=TOLERANCE, rtol=0)
        )
    return bool(
        np.allclose(a.labels, b.labels, rtol=TOLERANCE, atol=TOLERANCE * float(np.std(b.labels)))
    )


def same_behaviour(candidate: Evaluated, reference: Evaluated) -> bool:
    """True if both ran and predict the same on every fold that both were run on, at least one."""
    if not candidate.ok or not reference.ok:
        return False
    pairs = []
    if candidate.holdout_predictions is not None and reference.holdout_predictions is not None:
        pairs.append((candidate.holdout_predictions, reference.holdout_predictions))
    if candidate.out_of_fold is not None and reference.out_of_fold is not None:
        shared = min(len(candidate.out_of_fold), len(reference.out_of_fold))
        pairs.append((_first(candidate.out_of_fold, shared), _first(reference.out_of_fold, shared)))
    return bool(pairs) and all(same_predictions(a, b) for a, b in pairs)


def _first(predictions: Predictions, count: int) -> Predictions:
    """Early stopping leaves one of two candidates with fewer folds."""
    return Predictions(
        predictions.labels[:count], None if predictions.proba is None else predictions.proba[:count]
    )


def clause_compliance(
    found: Mapping[str, object],
    description: Mapping[str, object] | None,
    before: PipelineSpec,
    wanted: PipelineSpec,
) -> float:
    """Share of clauses kept.

    Parameters
    ----------
    found : mapping
        Components of the candidate's code, in normal form.
    description : mapping or None
        What the sandboxed process said of the estimator; unverified.
    before, wanted : PipelineSpec
        The current solution and the one asked for.

    Returns
    -------
    float
        kept / (asked + broken unasked), at most `CLAUSES_AT_MOST`.
    """
    old, new = normal_components(before.components()), normal_components(wanted.components())
    described = _described(description)
    asked = [c for c in {**old, **new} if old.get(c) != new.get(c)]
    kept = sum(
        found.get(c) == new.get(c) and _witness_agrees(c, new.get(c), described) for c in asked
    )
    unasked = sum(found.get(c) != new.get(c) for c in {**found, **new} if c not in asked)
    return min(CLAUSES_AT_MOST, kept / max(1, len(asked) + unasked))


def _described(description: Mapping[str, object] | None) -> dict[str, str]:
    """Estimator class and its parameters as the sandboxed process described them: of the last step
    of the pipeline, inside calibration and threshold.
    """
    params = (description or {}).get("params")
    if not isinstance(params, Mapping):
        return {}
    plain = [
        k
        for k in params
        if "__" not in k and k not in ("memory", "steps", "verbose", "transform_input")
    ]
    if not plain:
        return {}
    last = str(plain[-1])
    while f"{last}__estimator" in params and f"{last}__cv" in params:
        last = f"{last}__estimator"
    values = {
        k.removeprefix(f"{last}__"): str(v)
        for k, v in params.items()
        if str(k).startswith(f"{last}__")
    }
    return {
        "estimator": str(params[last]).split("(", 1)[0],
        **{f"param {k}": v for k, v in values.items()},
    }


def _witness_agrees(clause: str, wanted: object, described: Mapping[str, str]) -> bool:
    if clause == "estimator" and wanted not in (*ENSEMBLES, BLEND):
        return described.get("estimator") == wanted
    if clause.startswith("param ") and wanted is not None:
        return described.get(clause) == repr(wanted)
    return True

"""The labelled set itself: sizes, form, that each label agrees with how the code behaves, without
any checker, and that the checker agrees with the labels.

Honest code runs in this process, code that tries to deceive only in the sandbox; there each code is
run once, for its label and for the checker.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter

import numpy as np
import pytest

from marl_llm.core.kind import Kind
from marl_llm.core.predictions import Predictions
from marl_llm.proposals import PRELUDE, canonical, generate_code, parse_action
from tests.environment.agreement import bench, judge_all, matrix, run_all
from tests.environment.compliance_set.pairs import Pair, frame, load_pairs, replay

TRAINING_ROWS = 320
TOLERANCE = 1e-6
PAIRS = load_pairs()
HONEST = [p for p in PAIRS if p.parses and not p.forged]
FORGED = [p for p in PAIRS if p.forged]
OPS = (
    "impute",
    "scale",
    "encode",
    "drop",
    "select",
    "pca",
    "reduce",
    "log",
    "polynomial",
    "missing",
    "bin",
    "ratio",
    "difference",
    "dates",
    "tfidf",
    "group_mean",
)
"""Operations with labelled pairs; what holds of every operation stands in
tests/proposals/test_operations.py.
"""
FORMS = {
    "new model": r"propose_model est = (?!Voting|Stacking)",
    "voting": r"propose_model est = Voting",
    "stacking": r"propose_model est = Stacking",
    "parameter": r"tune (?!calibration|threshold)",
    "calibration": r"tune .*calibration",
    "threshold": r"tune .*threshold",
    "several operations": r"engineer_features .*;",
} | {op: rf"engineer_features (.*; )?{op} " for op in OPS}


def test_the_set_is_large_balanced_and_holds_many_forgeries() -> None:
    labels = Counter(p.label for p in PAIRS)
    assert set(labels) == {"complies", "violates"} and len(PAIRS) >= 240
    assert min(labels.values()) >= 0.45 * len(PAIRS)
    assert len(FORGED) >= 60 and not any(p.complies for p in FORGED)
    assert {p.kind for p in PAIRS} == set(Kind)


def test_ids_are_unique_and_no_pair_stands_twice() -> None:
    assert max(Counter(p.id for p in PAIRS).values()) == 1
    texts = Counter((p.kind, p.before, p.rejected, p.proposal, *p.code.split()) for p in PAIRS)
    assert max(texts.values()) == 1


def test_codes_parse_unless_marked() -> None:
    for pair in PAIRS:
        if pair.parses:
            ast.parse(pair.code)
        else:
            with pytest.raises(SyntaxError):
                ast.parse(pair.code)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_proposal_is_kept_and_broken(form: str) -> None:
    labels = {p.label for p in PAIRS if re.match(FORMS[form], p.proposal)}
    assert labels == {"complies", "violates"}


def test_proposals_are_canonical_and_can_be_carried_out() -> None:
    for pair in PAIRS:
        for text in (*pair.before, pair.proposal):
            assert canonical(parse_action(text)) == text, pair.id
        replay(pair)


def test_only_some_violations_are_dormant() -> None:
    dormant = [p for p in PAIRS if p.dormant]
    assert 0 < len(dormant) <= 10 and not any(p.complies for p in dormant)


@functools.cache
def _predicted(code: str, kind: Kind, extended: bool) -> Predictions:
    model, (X, y) = _build(code), frame(kind, extended)
    np.random.seed(0)
    model.fit(X.iloc[:TRAINING_ROWS], y[:TRAINING_ROWS])
    rest = X.iloc[TRAINING_ROWS:]
    return Predictions(
        model.predict(rest), model.predict_proba(rest) if hasattr(model, "predict_proba") else None
    )


def _plain(code: str) -> str:
    """The code without layout and comments, so that equal code is fitted once."""
    return ast.unparse(ast.parse(code))


def _equal(a: Predictions, b: Predictions) -> bool:
    if (a.proba is None) != (b.proba is None) or not np.allclose(
        a.labels, b.labels, rtol=0, atol=TOLERANCE
    ):
        return False
    return (
        a.proba is None or b.proba is None or np.allclose(a.proba, b.proba, rtol=0, atol=TOLERANCE)
    )


def _build(code: str):
    names: dict = {"__name__": "candidate"}
    exec(PRELUDE + code, names)
    return names["build_pipeline"]()


def _runs_as_asked(pair: Pair) -> bool:
    asked = _predicted(_plain(generate_code(replay(pair)[1])), pair.kind, pair.extended)
    try:
        return _equal(_predicted(_plain(pair.code), pair.kind, pair.extended), asked)
    except Exception:  # some violations do not run, whatever the reason; compliant code must
        if pair.complies:
            raise
        return False


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("theme", sorted({p.id.split("/")[0] for p in HONEST}))
def test_honest_code_predicts_what_was_asked_if_and_only_if_it_complies(theme: str) -> None:
    pairs = [p for p in HONEST if p.id.startswith(f"{theme}/")]
    assert [p.id for p in pairs if _runs_as_asked(p) != (p.complies or p.dormant)] == []


def test_forged_code_predicts_something_else_unless_it_is_dormant() -> None:
    run_all(FORGED)

    def dormant(pair: Pair) -> bool:
        ran = bench(pair.kind, pair.extended)
        got, asked = (
            ran[code].holdout_predictions for code in (pair.code, generate_code(replay(pair)[1]))
        )
        assert asked is not None
        return got is not None and _equal(got, asked)

    assert [pair.id for pair in FORGED if dormant(pair) != pair.dormant] == []


def test_the_checker_agrees_with_the_labelled_set_and_accepts_no_forgery() -> None:
    judged = judge_all(PAIRS)
    counts = matrix(judged)
    wrong = [f"{j.pair.label} but {j.compliance:.2f}: {j.pair.id}" for j in judged if not j.agrees]
    assert counts["forged, accepted"] == 0
    assert len(judged) >= 200 and len(wrong) <= 0.02 * len(judged), wrong

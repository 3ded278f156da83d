from __future__ import annotations

import pytest

from marl_llm.core.kind import Kind
from marl_llm.core.predictions import Predictions
from marl_llm.environment import TeamEnv
from marl_llm.environment.compliance import (
    CLAUSES_AT_MOST,
    clause_compliance,
    own_code_branches,
    same_behaviour,
    same_predictions,
)
from marl_llm.environment.elsewhere import unexpected_folds
from marl_llm.proposals import apply, baseline, generate_code, parse_action, resolve_columns
from marl_llm.proposals.reading import read_components
from marl_llm.proposals.spec import normal_components
from marl_llm.proposals.symbols import Unreadable
from tests.fixtures import context

OLD = baseline(Kind.binary)
PROPOSAL = "propose_model est = GaussianNB(var_smoothing=0.1)"


def after(text: str):
    ctx = context(Kind.binary)
    return apply(resolve_columns(parse_action(text), ctx), OLD, ctx)


RIGHT = generate_code(after(PROPOSAL))
FOUND = normal_components(read_components(RIGHT))
RESPELLED = """
def build_pipeline():
    model = GaussianNB(var_smoothing=1e-1)
    words = [SimpleImputer(strategy="most_frequent"), ORDINAL]
    steps = [(make_pipeline(SimpleImputer(), StandardScaler()), NUM), (make_pipeline(*words), CAT)]
    return make_pipeline(make_column_transformer(*steps), model)
"""
LOOP = RIGHT.replace("    est =", "    for _ in range(1): pass\n    est =").replace("0.1", "0.01")
IMITATION = """
class GaussianNB(LogisticRegression):
    pass

""" + RIGHT.replace("var_smoothing=0.1", "")
REBOUND = RIGHT.replace(
    "    num =",
    "    junk = globals().update(GaussianNB=lambda **k: LogisticRegression())\n    num =",
    1,
)


def compliance(env: TeamEnv, code: str, proposal: str = PROPOSAL) -> float | None:
    state = env.reset()
    suggestion = env.read(state, proposal)
    from marl_llm.environment import Implementation

    return env.judge(state, suggestion, Implementation(code, env.run(code))).compliance


@pytest.mark.parametrize("code", [RIGHT, RESPELLED], ids=["reference", "respelled"])
def test_code_that_behaves_like_the_reference_complies_fully(env, code):
    assert compliance(env, code) == 1


@pytest.mark.parametrize(
    ("code", "share"),
    [
        (RIGHT.replace("0.1", "0.01"), 1 / 2),
        (RIGHT.replace("GaussianNB(var_smoothing=0.1)", "KNeighborsClassifier(n_neighbors=5)"), 0),
        (RIGHT.replace("StandardScaler()", "QUANTILE"), 2 / 3),
        (
            RIGHT.replace("        (cat, CAT),", '        (cat, CAT),\n        (LOG, ["x0"]),'),
            2 / 3,
        ),
        (generate_code(after(PROPOSAL).with_drop(["x1"])), 2 / 3),
        (generate_code(OLD), 0),
        (LOOP, 0),
        (IMITATION, 0),
        (REBOUND, 0),
    ],
    ids=[
        "wrong value",
        "wrong estimator",
        "unasked scaling",
        "unasked feature",
        "unasked drop",
        "no change",
        "unreadable loop",
        "imitating class",
        "rebound name",
    ],
)
def test_code_that_does_something_else_complies_in_part_or_not_at_all(env, code, share):
    found = compliance(env, code)
    assert found == pytest.approx(share) and found < 1


def test_clauses_alone_never_prove_full_compliance():
    described = {
        "params": {
            "gaussiannb": "GaussianNB(var_smoothing=0.1)",
            "gaussiannb__var_smoothing": "0.1",
        }
    }
    assert clause_compliance(FOUND, described, OLD, after(PROPOSAL)) == CLAUSES_AT_MOST


@pytest.mark.parametrize(
    "described",
    [
        None,
        {},
        {"params": {}},
        {"params": {"ridge": "Ridge()", "ridge__var_smoothing": "0.5"}},
        {"params": "GaussianNB"},
    ],
)
def test_a_clause_needs_two_witnesses(described):
    assert clause_compliance(FOUND, described, OLD, after(PROPOSAL)) == 0


def test_one_witness_for_the_estimator_and_two_for_its_value_keep_half():
    described = {
        "params": {
            "gaussiannb": "GaussianNB(var_smoothing=0.5)",
            "gaussiannb__var_smoothing": "0.5",
        }
    }
    assert clause_compliance(FOUND, described, OLD, after(PROPOSAL)) == 0.5


@pytest.mark.parametrize(
    "text",
    [
        'engineer_features drop ["x0"]',
        'engineer_features log ["x0", "x1"]; polynomial ["x0", "x2"]; scale none',
        "engineer_features impute median; encode one_hot; scale quantile",
        'tune C=3, class_weight="balanced"',
    ],
)
def test_the_reader_finds_the_components_of_generated_code(text):
    spec = after(text)
    assert read_components(generate_code(spec)) == spec.components()


DROP = generate_code(after('engineer_features drop ["x0"]'))


@pytest.mark.parametrize(
    "code",
    [
        "",
        "x = 1",
        "def build_pipeline(:",
        "def build_pipeline():\n    pass",
        "def build_pipeline(x=1):\n    return x",
        RIGHT.replace("()", "(*, a=print())", 1),
        RIGHT.replace("():", "() -> print():", 1),
        RIGHT.replace("    est", "    SimpleImputer = print()\n    est"),
        RIGHT.replace("    est", "    StandardScaler = 1\n    est = StandardScaler()\n    est"),
        RIGHT.replace("prep, est)", "prep, est, memory=None)"),
        RIGHT.replace("(num, NUM)", "(num, NUM), (num, NUM)"),
        DROP.replace('{"columns": ["x0"]}', 'dict(columns=["x0"])'),
        DROP.replace('{"columns": ["x0"]}', "5"),
        DROP.replace('{"columns": ["x0"]}', '["x10"]'),
        DROP.replace('{"columns": ["x0"]}', '{"columns": ["x0"], "axis": 1}'),
        DROP.replace("pd.DataFrame.drop", "print().drop"),
        "def build_pipeline():\n    return " + "[" * 90 + "1" + "]" * 90,
        "def build_pipeline():\n    return " + "-" * 900 + "1",
        "def build_pipeline():\n    return " + "+".join("1" * 3000),
    ],
)
def test_any_other_shape_is_unreadable_and_nothing_worse(code):
    with pytest.raises(Unreadable):
        read_components(code)


def test_a_feature_that_no_proposal_can_ask_for_is_a_change_of_its_own_and_no_error():
    two = generate_code(after('engineer_features polynomial ["x0", "x1"]'))
    one = two.replace('["x0", "x1"]', '["x0"]')
    assert one != two
    found = read_components(one)
    assert any(str(name).startswith("other feature") for name in found), found


def test_predictions_agree_up_to_rounding_whatever_the_unit_of_the_target():
    import numpy as np

    values = np.random.default_rng(0).normal(size=50)
    for unit in (1e-9, 1.0, 1e9):
        assert same_predictions(Predictions(unit * values), Predictions(unit * values * (1 + 1e-9)))
        assert not same_predictions(Predictions(unit * values), Predictions(unit * (values + 0.01)))


UNNEEDED = RIGHT.replace("var_smoothing=0.1)", "var_smoothing=0.1)\n    est = make_pipeline(est)")
LAMBDA = RIGHT.replace(
    "prep, est)", "prep, FunctionTransformer(lambda X: X if len(X) < 10**5 else 0 * X), est)"
)
OWN_STEP = RIGHT.replace("prep, est)", "prep, FunctionTransformer(lambda X: X * 1.0), est)")


@pytest.mark.parametrize(
    "code", [UNNEEDED, OWN_STEP], ids=["nested pipeline", "own step that does nothing"]
)
def test_unreadable_code_complies_if_it_also_behaves_on_rows_it_cannot_expect(env, code):
    assert compliance(env, code) == 1


def test_code_of_its_own_that_branches_is_not_believed_whatever_it_predicts_here(env):
    assert own_code_branches(LAMBDA) and not own_code_branches(OWN_STEP)
    assert compliance(env, LAMBDA) == 0


def test_code_that_knows_the_sizes_it_is_scored_on_is_found_out(env):
    sizes = {240, 120, 30}  # development, folds and hold-out, the consistency probe
    shift = f"dict.fromkeys({sizes}, 0).get(len(X), 1) * len(X) / 50"
    known = RIGHT.replace("prep, est)", f"prep, FunctionTransformer(lambda X: X + {shift}), est)")
    assert same_behaviour(env.run(known), env.run(RIGHT)) and not own_code_branches(known)
    assert compliance(env, known) == 0


def test_unexpected_rows_are_the_same_each_time_and_none_of_the_usual_sizes(env):
    first, again = (unexpected_folds(env.task, 2, 0) for _ in range(2))
    assert [f.train.content for f in first] == [f.train.content for f in again]
    assert not {240, 120} & {block.layout.rows for f in first for block in (f.train, f.valid)}


def test_a_value_that_changes_no_prediction_here_is_still_the_wrong_value(env):
    wanted = generate_code(
        after("propose_model est = RandomForestClassifier(n_estimators=20, max_depth=60)")
    )
    deeper = wanted.replace("max_depth=60", "max_depth=90")
    assert same_behaviour(env.run(wanted), env.run(deeper))
    proposal = "propose_model est = RandomForestClassifier(n_estimators=20, max_depth=60)"
    assert compliance(env, deeper, proposal) < 1
    assert compliance(env, wanted.replace("max_depth=60", "n_jobs=1, max_depth=60"), proposal) == 1


def test_doing_nothing_is_not_what_was_asked_even_if_what_was_asked_changes_nothing(env):
    proposal = "tune max_iter=5000"
    assert same_behaviour(env.run(generate_code(OLD)), env.run(generate_code(after(proposal))))
    assert compliance(env, generate_code(OLD), proposal) < 1
    assert compliance(env, generate_code(after(proposal)), proposal) == 1

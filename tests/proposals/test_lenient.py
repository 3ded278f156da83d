"""Replies as models write them that were never trained on the grammar: what is read, what is
forgiven, what stays an error.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_llm.agents.full_space import full_action
from marl_llm.agents.scripted import random_action
from marl_llm.core.forgiven import Forgiven
from marl_llm.core.kind import Kind
from marl_llm.proposals import (
    Analyze,
    Finish,
    InvalidAction,
    apply,
    baseline,
    canonical,
    check_region,
    read_action,
    resolve_columns,
)
from tests.fixtures import context, small_card

BINARY, NUMBERS = context(Kind.binary), context(Kind.regression)
LOGISTIC = baseline(Kind.binary)
FOREST = "propose_model est = RandomForestClassifier(n_estimators=300)"
DRAWN = ("analyze", "propose_model", "tune", "engineer_features", "finish")


def drawn(seed: int, kind: Kind, full: bool) -> object:
    rng, card, spec = random.Random(seed), small_card(kind), baseline(kind)
    return (
        full_action(rng, card, spec, DRAWN, {1: spec}) if full else random_action(rng, card, spec)
    )


any_draw = st.tuples(st.integers(0, 10**6), st.sampled_from(list(Kind)), st.booleans())


@given(any_draw)
@settings(max_examples=300)
def test_what_is_in_the_grammar_is_the_same_action_and_nothing_is_forgiven(draw):
    seed, kind, full = draw
    action = drawn(seed, kind, full)
    reading = read_action(canonical(action), context(kind), baseline(kind).estimator)
    assert reading.action == action and reading.forgiven == ()


@given(any_draw)
def test_an_action_in_any_wrapping_is_the_same_action(draw):
    seed, kind, full = draw
    action = drawn(seed, kind, full)
    text = canonical(action)
    for reply, forgiven in (
        (f"```\n{text}\n```", {"fence"}),
        (f"Here is my choice.\n\n- {text}\n- finish\n", {"prose", "bullet", "more_lines"}),
        (f"**Answer:** {text}", {"label"}),
        (f"```json\n{action.model_dump_json()}\n```", {"fence", "json"}),
        (repr(action.model_dump()), {"json"}),
    ):
        reading = read_action(reply, context(kind), baseline(kind).estimator)
        assert reading.action == action and set(reading.forgiven) == forgiven


READ = [
    # propose_model
    ("propose_model RandomForestClassifier(n_estimators=300)", FOREST, ""),
    ("Propose_Model est=RandomForestClassifier(n_estimators=300)", FOREST, "case"),
    ("propose model: Random Forest (n_estimators=300)", FOREST, "verb separator estimator_name"),
    ("propose_model est = RandomForest(n_estimators=300)", FOREST, "estimator_name"),
    ("propose_model est = randomforestclassifier(n_estimators=300)", FOREST, "case"),
    (
        "propose_model est = sklearn.ensemble.RandomForestClassifier(n_estimators=300)",
        FOREST,
        "estimator_name",
    ),
    ("propose_model model = RandomForestClassifier(n_estimators: 300)", FOREST, "separator"),
    ("propose_model est = RandomForestClassifier n_estimators=300", FOREST, "call"),
    (
        "propose_model(estimator='RandomForestClassifier', params={'n_estimators': 300})",
        FOREST,
        "quotes call json",
    ),
    ('propose_model est = RandomForestClassifier(n_estimators="300")', FOREST, "number"),
    ("propose_model est = RandomForestClassifier(n_estimators=300.0)", FOREST, "number"),
    (
        "propose_model est = RandomForestClassifier(n_estimators=300, random_state=42, "
        "n_jobs=-1, verbose=0)",
        FOREST,
        "ignored_parameter",
    ),
    (
        "propose_model est = RandomForestClassifier(\n    n_estimators=300,  # many\n)\n",
        FOREST,
        "wrapped",
    ),
    (
        "propose_model est = RandomForestClassifier(n_estimators=300) to capture interactions.",
        FOREST,
        "prose separator",
    ),
    (
        "```python\nest = RandomForestClassifier(n_estimators=300)\n```",
        FOREST,
        "fence bare_estimator",
    ),
    ("RandomForestClassifier(n_estimators=300)", FOREST, "bare_estimator"),
    (
        "from sklearn.ensemble import RandomForestClassifier\nclf = "
        "RandomForestClassifier(n_estimators=300)\n"
        "clf.fit(X, y)",
        FOREST,
        "prose more_lines bare_estimator",
    ),
    (
        '{"action": "Propose_Model", "estimator": "RandomForestClassifier", "params": '
        '{"n_estimators": 300}, "reason": "trees"}',
        FOREST,
        "case json",
    ),
    ('{"action": "propose_model est = RandomForestClassifier(n_estimators=300)"}', FOREST, "json"),
    (
        "propose_model est = SVC(C=1.0, kernel=RBF)",
        'propose_model est = SVC(C=1.0, kernel="rbf")',
        "quotes case",
    ),
    ("Voting(0, 2)", "propose_model est = Voting(0, 2)", "bare_estimator"),
    (
        "propose_model est = VotingClassifier(0, 2)",
        "propose_model est = Voting(0, 2)",
        "estimator_name",
    ),
    # tune
    ("1. tune C=0.3", "tune C=0.3", "bullet"),
    ("tune(C=0.3)", "tune C=0.3", "call"),
    ("tune C: 0.3", "tune C=0.3", "separator"),
    ("tune C=0.3 max_iter=300", "tune C=0.3, max_iter=300", "separator"),
    ("tune {'C': 0.3}", "tune C=0.3", "json"),
    ("Tune: C=0.3.", "tune C=0.3", "case separator"),
    ("tune class_weight=balanced", 'tune class_weight="balanced"', "quotes"),
    ("tune class_weight=none, C=1.0", "tune class_weight=None, C=1.0", "quotes"),
    ("`tune C=0.3` because it overfits", "tune C=0.3", "prose quotes"),
    ("I would like to `tune C=0.3` here.", "tune C=0.3", "prose quotes"),
    ("I suggest tune C=0.3", "tune C=0.3", "prose"),
    ("Analyze the data first.\ntune C=0.3\ntune C=1.0", "tune C=0.3", "prose more_lines"),
    ("<think>finish? no.</think>\ntune C=0.3", "tune C=0.3", "prose"),
    ("tune LogisticRegression(C=0.3)", "tune C=0.3", ""),
    ("tune: C = between(0.1, 10) budget = 8", "tune C=between(0.1, 10.0), budget=8", "separator"),
    # engineer_features, analyze
    ("engineer_features log x1, x0", 'engineer_features log ["x0", "x1"]', ""),
    ("engineer_features log(['x1'])", 'engineer_features log ["x1"]', "call"),
    (
        "engineer_features log [x1, x2], scale quantile",
        'engineer_features log ["x1", "x2"]; scale quantile',
        "quotes separator",
    ),
    ("engineer_features scale=quantile", "engineer_features scale quantile", "separator"),
    (
        "Engineer features: drop(columns=['colour'])",
        'engineer_features drop ["x3"]',
        "verb separator call",
    ),
    ("engineer_features log x0 x1", 'engineer_features log ["x0", "x1"]', "separator"),
    ("engineer_features log X1", 'engineer_features log ["x1"]', "case"),
    ('engineer_features log ["body size"]', 'engineer_features log ["x0"]', "case"),
    ("log ['x1']", 'engineer_features log ["x1"]', "verb"),
    ('Drop ["x3"].', 'engineer_features drop ["x3"]', "verb case"),
    ("select 2", "engineer_features select 2", "verb"),
    ("analyse distribution of x0", 'analyze distribution ["x0"]', "prose verb"),
    ("analyze(target, [x1])", 'analyze target ["x1"]', "quotes call"),
    (
        "analyze code df.rename(columns={'action': 'x1'})",
        "analyze code df.rename(columns={'action': 'x1'})",
        "",
    ),
    ("analyze code: df['x1'].mean()", "analyze code df['x1'].mean()", ""),
    # finish
    ("Answer: `finish`", "finish", "quotes label"),
    ("FINISH.", "finish", "case separator"),
    ("Finish(deliver='blend')", "finish blend", "case call"),
    ("I think we can finish.", "finish", "prose"),
]


@pytest.mark.parametrize(("reply", "means", "forgiven"), READ, ids=[case[0][:40] for case in READ])
def test_what_a_model_means_beyond_doubt_is_read(reply, means, forgiven):
    reading = read_action(reply, BINARY, LOGISTIC.estimator)
    assert canonical(resolve_columns(reading.action, BINARY)) == means
    assert set(reading.forgiven) == set(map(Forgiven, forgiven.split()))


def test_a_name_without_its_kind_fits_the_kind_of_the_target():
    assert (
        read_action("RandomForest()", NUMBERS, "Ridge").action.estimator == "RandomForestRegressor"
    )
    assert read_action("propose_model est = svm(C=1.0)", NUMBERS, "Ridge").action.estimator == "SVR"


def test_a_column_whose_name_is_another_one_in_other_letters_case_is_not_guessed():
    twins = {
        "x0": replace(BINARY.columns["x0"], name="AGE"),
        "x1": replace(BINARY.columns["x1"], name="Age"),
    }
    action = read_action(
        'engineer_features log ["age"]', replace(BINARY, columns=twins), "LogisticRegression"
    ).action
    assert action.ops[0].columns == ("age",)


REFUSED = [
    (
        "",
        "no action found; start with one of analyze, propose_model, tune, engineer_features, "
        "finish",
    ),
    (
        "We could finish here, but a forest may help.",
        "a sentence is no action: answer with one line, e.g. finish",
    ),
    ("Do not `finish` yet.", "a sentence is no action"),
    ("To finish the job, more features are needed.", "a sentence is no action"),
    (
        "I would not tune C=0.3",
        "a sentence is no action: answer with one line, e.g. tune parameter=value",
    ),
    (
        "Finish the model",
        "it is not clear what 'Finish the model' asks for; write finish, finish best or "
        "finish blend",
    ),
    (
        "est = SVC()\nother = GaussianNB()",
        "names several models: propose one, propose_model est = NAME(",
    ),
    (
        "def build_pipeline():\n    est = SVC()\n    return make_pipeline(est)",
        "propose one change, not a program",
    ),
    (
        "RandomForestRegressor(n_estimators=300)",
        "binary target, did you mean RandomForestClassifier?",
    ),
    (
        "propose_model est = Lasso()",
        "'Lasso' is no estimator for a binary target; there are LogisticRegression,",
    ),
    ("propose_model est = RandomForestClasifier()", "did you mean RandomForestClassifier?"),
    (
        "propose_model est = make_pipeline(SVC())",
        "write propose_model est = NAME(parameter=value) with one estimator",
    ),
    (
        "propose_model est = SVC(C=1.0) or LinearSVC()",
        "with one estimator, not 'SVC(C=1.0) or LinearSVC()'",
    ),
    (
        "propose_model est = SVC(C=1.0) or LinearSVC",
        "with one estimator, not 'SVC(C=1.0) or LinearSVC'",
    ),
    ("propose_model est = SVC(C=1.0).fit(X, y)", "with one estimator"),
    (
        "est = RandomForestClassifier(n_estimators=300",
        "write propose_model est = NAME(parameter=value)",
    ),
    (
        "propose_model est = RandomForestClassifier(trees=9)",
        "has no parameter 'trees' here; it has n_estimators, max_",
    ),
    (
        "propose_model est = RandomForestClassifier(n_estimators=many)",
        "takes a number between 10 and 1000",
    ),
    (
        "propose_model est = VotingClassifier(estimators=[a, b])",
        "write propose_model est = NAME(parameter=value)",
    ),
    (
        "propose_model est = Voting(0, 3)",
        "memory line 3 holds no solution that ran; there are 0 (0: current)",
    ),
    (
        "tune est = SVC(C=0.3)",
        "current LogisticRegression; for another model write propose_model est = SVC(",
    ),
    (
        "tune SVC(C=0.3)",
        "current LogisticRegression; for another model write propose_model est = SVC(",
    ),
    ("tune n_estimators=300", "no parameter 'n_estimators' here; it has C, class_weight, max_iter"),
    (
        "tune random_state=1",
        "is set by the environment; parameters of LogisticRegression: C, class_weight, max_iter",
    ),
    ("tune C", "write tune parameter=value"),
    ("tune", "tune: params is missing; write tune parameter=value"),
    ("tune C=much", "C takes a number between 1e-05 and 100000"),
    ("scale while encoding", "no action found"),
    ("log loss is high", "no column 'loss is high'"),
    ("engineer_features", 'write engineer_features log ["x1"]; scale quantile'),
    ("engineer_features log x4", "x4 is not numeric; x0, x1, x2 are"),
    ("engineer_features log weight", "no column 'weight'; there are x0, x1, x2, x3, x4"),
    ("engineer_features impute mode", "strategy takes one of 'mean' or 'median'"),
    ("engineer_features rotate x1", "no operation 'rotate'; there are impute, scale,"),
    ("analyze x1", "analyze: query takes one of 'distribution', 'missing',"),
    ('{"action": "fly"}', "there is no action 'fly'; start with one of analyze, propose_model,"),
    ('{"action": "tune"}', "tune: params is missing; write tune parameter=value"),
    ("{'action': 'tune', 'params': {'C': {1, 2}}}", "no JSON"),
]


@pytest.mark.parametrize(("reply", "says"), REFUSED, ids=[case[0][:40] for case in REFUSED])
def test_what_is_in_doubt_is_refused_with_a_sentence_to_correct_it_from(reply, says):
    with pytest.raises(InvalidAction) as caught:
        action = resolve_columns(read_action(reply, BINARY, LOGISTIC.estimator).action, BINARY)
        apply(action, LOGISTIC, BINARY)
    message = str(caught.value)
    assert says in message
    assert len(message) < 300 and "\n" not in message and "validation" not in message


@pytest.mark.parametrize("kind", list(Kind))
def test_a_value_that_is_allowed_as_it_is_written_is_never_respelled(kind):
    tuned = read_action(
        "tune gamma='scale', C=1", context(kind), "SVC" if kind.is_classification else "SVR"
    )
    assert tuned.action.params == {"gamma": "scale", "C": 1} and tuned.forgiven == ()


MARKS = "{}[]()\"'=;,#\\ \n\0\ud800é²x019.-+e*_`:<>|/"
TEXTS = [case[0] for case in (*READ, *REFUSED)]
mutated = st.builds(
    lambda text, at, cut, put, more: text[:at] + put + text[at + cut :] + more,
    st.sampled_from(TEXTS),
    st.integers(0, 80),
    st.integers(0, 6),
    st.text(alphabet=MARKS, max_size=6),
    st.sampled_from(["", *(f"\n{text}" for text in TEXTS)]),
)


@given(mutated | st.text(max_size=60))
@settings(max_examples=800)
def test_no_reply_raises_anything_but_an_invalid_action(text):
    try:
        action = resolve_columns(read_action(text, BINARY, LOGISTIC.estimator).action, BINARY)
        canonical(action)
        if action.action == "tune" and action.regions:
            check_region(action, LOGISTIC, BINARY)
        elif not isinstance(action, Analyze | Finish):
            apply(action, LOGISTIC, BINARY)
    except InvalidAction as error:
        assert len(str(error)) < 400 and "\n" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "Tune C=" + "(" * 1900,
        "Tune C=" + "-" * 1900 + "1",
        "{'action': " * 3000,
        json.dumps({"action": "Tune", "params": {"C": "9" * 5000}}),
        "{'action': 'tune', 'params': {'C': " + "9" * 4000 + "}}",
        "`" * 3001,
        "est = SVC(" * 500,
        "Engineer_features log " + "x9 " * 600,
        "**" * 999 + "tune",
        "Answer: " * 240,
        "Finish " * 280,
    ],
)
def test_nesting_length_and_repetition_are_only_invalid(text):
    with pytest.raises(InvalidAction):
        apply(
            resolve_columns(read_action(text, BINARY, "LogisticRegression").action, BINARY),
            LOGISTIC,
            BINARY,
        )

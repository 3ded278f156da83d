from __future__ import annotations

import dataclasses
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.core.kind import Kind
from marl_llm.environment import Implementation, TaskCard, TeamEnv
from marl_llm.environment.card import ColumnCard
from marl_llm.environment.experience import (
    META_FEATURES,
    Experience,
    Finding,
    findings,
    known_data_set,
    meta_features,
    shown_lines,
    table_key,
)
from marl_llm.environment.experience.advice import advice
from marl_llm.environment.experience.carrying import carried, like_columns
from marl_llm.environment.experience.data_set import MOST_FINDINGS, best_findings, merged
from marl_llm.environment.experience.meta_features import distances
from marl_llm.proposals import PipelineSpec, generate_code, screened
from marl_llm.proposals.ops import FEATURES
from marl_llm.tasks import Task
from tests.environment.known import BAYES, DEEP, FOREST, NEAREST, data_set
from tests.fixtures import CONFIG, small_card, small_frame, small_task, wide_card

CARD = small_card(Kind.binary)
shares = st.floats(0, 1)
column_cards = st.builds(
    ColumnCard,
    alias=st.sampled_from(["x0", "x1"]),
    name=st.just("a"),
    kind=st.sampled_from(["numeric", "categorical", "date", "text"]),
    missing=shares,
    skew=st.floats(-1e6, 1e6),
    levels=st.integers(0, 9),
    association=shares,
)


@st.composite
def cards(draw) -> TaskCard:
    kind = draw(st.sampled_from(list(Kind)))
    classes = {Kind.binary: 2, Kind.multiclass: draw(st.integers(3, 30)), Kind.regression: 0}[kind]
    counts = np.array(draw(st.lists(st.integers(0, 99), min_size=classes, max_size=classes))) + 0.01
    columns = tuple(draw(st.lists(column_cards, max_size=5)))
    return TaskCard(
        kind, draw(st.integers(1, 10**7)), tuple(counts / counts.sum()), ("r2",), columns
    )


def vectors(*given_cards: TaskCard) -> np.ndarray:
    return np.array([meta_features(card, 0.5) for card in given_cards])


# Meta-features and distances.


@given(cards())
def test_meta_features_are_finite_but_for_an_unknown_landmark(card):
    vector = meta_features(card)
    assert (
        vector.shape == (len(META_FEATURES),)
        and np.isnan(vector[-1])
        and np.isfinite(vector[:-1]).all()
    )
    assert vector[:3].sum() == 1 and meta_features(card, 0.25)[-1] == 0.25


def test_meta_features_say_what_their_names_say():
    told = dict(zip(META_FEATURES, meta_features(CARD, 0.7), strict=True))
    skews = [abs(c.skew) for c in CARD.columns if c.kind == "numeric"]
    expected = {
        "is_binary": 1,
        "is_multiclass": 0,
        "is_regression": 0,
        "log10_rows": np.log10(CARD.rows),
        "log10_columns": np.log10(5),
        "numeric": 0.6,
        "categorical": 0.4,
        "date": 0,
        "text": 0,
        "missing": np.mean([c.missing for c in CARD.columns]),
        "log2_classes": 1,
        "log1p_skew": np.mean(np.log1p(skews)),
        "max_association": max(c.association for c in CARD.columns),
        "spread_of_associations": np.std([c.association for c in CARD.columns]),
        "baseline_skill": 0.7,
    }
    assert {name: told[name] for name in expected} == pytest.approx(expected)


def test_imbalance_grows_from_equal_classes_to_one_rare_class():
    at = META_FEATURES.index("imbalance")
    found = [
        meta_features(dataclasses.replace(CARD, class_shares=s))[at]
        for s in ((0.5, 0.5), (0.9, 0.1), (0.99, 0.01))
    ]
    assert found[0] == pytest.approx(0) and found == sorted(found) and found[2] > 0.9


@given(cards(), cards())
def test_distances_are_symmetric_zero_to_itself_and_infinite_between_kinds(one, other):
    a, b = vectors(one, other)
    there, back = distances(a, b[None])[0], distances(b, a[None])[0]
    assert there == back and distances(a, a[None])[0] == 0
    assert np.isinf(there) == (one.kind != other.kind)


@given(cards(), cards(), cards())
def test_a_third_data_set_does_not_move_two_others(one, other, third):
    a, b, c = vectors(one, other, third)
    assert distances(a, np.array([b]))[0] == distances(a, np.array([b, c]))[0]


def test_a_landmark_counts_only_where_both_are_known():
    easy, hard, unknown = (meta_features(CARD, baseline) for baseline in (0.9, 0.3, None))
    assert distances(easy, np.array([easy, unknown, hard])).tolist()[:2] == [0, 0]
    assert distances(easy, hard[None])[0] > 0


# Who a data set is.


def test_a_table_has_one_key_under_any_split_order_name_and_metrics():
    frame = small_frame(Kind.binary)
    shuffled = frame.sample(frac=1, random_state=1)
    others = [
        Task.from_frame(shuffled, target="outcome", seed=7, name="other"),
        Task.from_frame(frame, target="outcome", metrics={"f1": 1.0}, positive="no"),
        Task.from_frame(
            frame.rename(columns={"gap": "hole"}), target="outcome", fractions=(0.6, 0.2, 0.2)
        ),
    ]
    assert {table_key(task) for task in others} == {table_key(small_task(Kind.binary))}
    assert len({task.key for task in others}) == 3


def test_another_table_has_another_key():
    frame = small_frame(Kind.binary)
    changed = frame.copy()
    changed.loc[5, "noise"] += 1e-9
    swapped = frame.copy()
    swapped["outcome"] = frame["outcome"].to_numpy()[::-1]
    tasks = [
        Task.from_frame(f, target="outcome") for f in (frame, changed, swapped, frame.iloc[:-1])
    ]
    assert len({table_key(task) for task in [*tasks, small_task(Kind.regression)]}) == 5


# What is kept.

texts = st.sampled_from([FOREST, DEEP, NEAREST, BAYES, *(f"tune C={i}" for i in range(8))])
some_findings = st.lists(
    st.builds(Finding, text=texts, gain=st.floats(0, 1), score=st.floats(-1, 1)), max_size=12
)


@given(some_findings, st.randoms())
def test_the_best_findings_are_distinct_few_and_do_not_depend_on_the_order(found, rng):
    best = best_findings(found)
    again = list(found)
    rng.shuffle(again)
    assert best_findings(again) == best == best_findings([*best, *best])
    assert len({f.text for f in best}) == len(best)
    assert all(sum(f.is_model is model for f in best) <= MOST_FINDINGS for model in (True, False))


def test_of_two_measurements_the_lower_counts():
    lucky, sober = data_set("a", (FOREST, 0.4)), data_set("a", (FOREST, 0.1))
    assert merged(lucky, sober).findings == merged(sober, lucky).findings == sober.findings


@given(some_findings, some_findings)
def test_merging_again_changes_nothing(one, other):
    first = data_set("a").model_copy(update={"findings": best_findings(one)})
    second = data_set("a").model_copy(update={"findings": best_findings(other)})
    both = merged(first, second)
    assert merged(both, both) == both


# From an episode.


def step(env, state, reply):
    """What a suggestion comes to when it is built as asked."""
    suggestion = env.read(state, reply)
    assert suggestion.spec is not None, suggestion.problem
    implementation = Implementation(code := generate_code(suggestion.spec), env.run(code))
    return state, env.judge(state, suggestion, implementation)


def test_an_episode_leaves_its_models_with_their_gain_over_the_baseline(env):
    first = env.reset()
    visits = [
        step(env, first, text)
        for text in (FOREST, BAYES, 'engineer_features drop ["x2"]', "tune C=0.5")
    ]
    found = {f.text: f for f in findings(first, visits)}
    (text,) = [t for t in found if "RandomForest" in t]
    reference = visits[0][1].reference
    gains = [
        getattr(reference, part).score - getattr(first.evaluated, part).score
        for part in ("cv", "holdout")
    ]
    assert found[text].gain == pytest.approx(np.mean(gains), abs=1e-4) and min(gains) > 0
    assert not any("drop" in t for t in found)
    after = env.advance(first, visits[0][1])
    later = step(env, after, "tune max_depth=8")
    second = {f.text: f for f in findings(first, [later])}
    assert all(
        "max_depth=8" in t and t.startswith("propose_model est = RandomForest") for t in second
    )


def test_an_episode_that_began_with_a_look_leaves_the_families_with_their_gain_over_the_baseline(
    sandbox, monkeypatch
):
    trees = screened._Family("ExtraTreesClassifier", "ExtraTreesRegressor", (("n_estimators", 20),))
    monkeypatch.setattr(screened, "_FAMILIES", (*screened._FAMILIES[:3], trees))
    with closing(TeamEnv(small_task(Kind.regression), sandbox, CONFIG)) as own:
        first = own.reset()
        looked = own.look(first)
        visit = step(own, looked, "propose_model est = RandomForestRegressor(n_estimators=10)")
        fits = own.evaluator.fits
        left = known_data_set(own, first, [visit])
        assert own.evaluator.fits == fits, "what is known is not run again"
        assert left.meta[-1] == pytest.approx(first.evaluated.cv.score, abs=1e-6)
        found = {finding.text: finding.gain for finding in left.findings}
        boosted = own.evaluate(PipelineSpec(estimator="HistGradientBoostingRegressor"))
        gains = [
            getattr(boosted, p).score - getattr(first.evaluated, p).score for p in ("cv", "holdout")
        ]
        assert found["propose_model est = HistGradientBoostingRegressor()"] == pytest.approx(
            np.mean(gains), abs=1e-4
        )
        assert not any("Ridge" in text for text in found), (
            "one-hot encoding is no part of such a line"
        )
        assert known_data_set(own, first, [step(own, first, "tune alpha=3.0")]).findings == ()


def test_parameters_at_their_default_and_columns_are_not_carried_on(env):
    first = env.reset()
    visit = step(
        env, first, "propose_model est = RandomForestClassifier(n_estimators=100, max_depth=None)"
    )
    texts = [f.text for f in findings(first, [visit])]
    assert texts == ["propose_model est = RandomForestClassifier()"]


def test_what_only_the_hold_out_or_only_the_folds_call_better_is_not_kept(env):
    first = env.reset()
    state, outcome = step(env, first, FOREST)
    worse = dataclasses.replace(outcome.reference.cv, score=first.evaluated.cv.score - 0.001)
    contradicted = dataclasses.replace(
        outcome, reference=dataclasses.replace(outcome.reference, cv=worse)
    )
    assert findings(first, [(state, outcome)]) and not findings(first, [(state, contradicted)])


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        ('engineer_features log ["x0"]; scale quantile', "engineer_features log; scale quantile"),
        ('engineer_features group_mean ["x3", "x0"]', "engineer_features group_mean"),
        ('engineer_features encode one_hot; drop ["x2"]', None),
        ('tune threshold="f1"', 'tune threshold="f1"'),
    ],
)
def test_a_change_that_helped_is_kept_without_its_columns(env, reply, kept):
    first = env.reset()
    state, outcome = step(env, first, reply)
    better = dataclasses.replace(
        outcome.reference,
        **{
            p: dataclasses.replace(getattr(outcome.reference, p), score=0.99)
            for p in ("cv", "holdout")
        },
    )
    compared = dataclasses.replace(outcome.reference_comparison, significant=True)
    outcome = dataclasses.replace(outcome, reference=better, reference_comparison=compared)
    assert [f.text for f in findings(first, [(state, outcome)])] == ([kept] if kept else [])
    by_chance = dataclasses.replace(
        outcome, reference_comparison=dataclasses.replace(compared, significant=False)
    )
    assert findings(first, [(state, by_chance)]) == ()


# Onto another data set.


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (FOREST, FOREST),
        ("engineer_features log; scale quantile", 'engineer_features log ["x0"]; scale quantile'),
        ("engineer_features missing", 'engineer_features missing ["x1", "x4"]'),
        ("engineer_features dates", None),
        ("engineer_features tfidf", None),
        ("engineer_features scale standard", None),
        ('tune threshold="f1"', 'tune threshold="f1"'),
        ("propose_model est = Ridge(alpha=3.0)", None),
        ("propose_model est = LogisticRegression()", None),
        ("propose_model est = Voting(0, 2)", None),
        ("propose_model est = OfTheFuture(depth=3)", None),
        ("propose_model est = RandomForestClassifier(max_depth=between(1, 3))", "propose_model"),
        ("tune C=between(0.1, 1.0)", None),
        ("finish", None),
        ("analyze target", None),
        ("engineer_features ", None),
        ("", None),
        ("<|im_end|> nonsense", None),
    ],
)
def test_a_finding_is_shown_as_it_can_be_asked_for_here_or_not_at_all(text, shown):
    found = carried(text, CARD)
    assert (
        found is None
        if shown in (None, "propose_model")
        else found is not None and found[0] == shown
    )


def test_what_is_too_slow_for_so_many_rows_or_not_installed_is_not_shown(monkeypatch):
    text = "propose_model est = SVC(C=3.0)"
    large = dataclasses.replace(CARD, rows=10**6)
    assert carried(text, CARD) and carried(text, large) is None
    boosted = "propose_model est = CatBoostClassifier(depth=4)"
    from marl_llm.proposals import estimator_info

    monkeypatch.setattr(estimator_info, "_installed", lambda package: package != "catboost")
    assert carried(boosted, CARD) is None


@given(cards(), st.sampled_from(list(FEATURES.values())))
def test_the_columns_given_to_a_feature_are_of_this_data_set(card, feature):
    assert set(like_columns(feature, card)) <= {c.alias for c in card.columns}


@given(
    st.text(max_size=60),
    st.sampled_from(["", "propose_model est = ", "engineer_features ", "tune "]),
)
def test_no_text_in_a_store_breaks_a_prompt(text, start):
    found = carried(start + text, CARD)
    assert found is None or "\n" not in found[0]


# Two or three lines.


def test_what_helped_often_comes_before_what_helped_once_and_closeness_counts():
    near = [(data_set("a", (FOREST, 0.1)), 1.0), (data_set("b", (DEEP, 0.2), (NEAREST, 0.25)), 1.0)]
    assert advice(near, CARD, 2) == (f"+0.15 {DEEP}", f"+0.25 {NEAREST}")
    near = [(data_set("a", (FOREST, 0.1)), 1.0), (data_set("b", (DEEP, 0.2), (NEAREST, 0.25)), 0.1)]
    assert advice(near, CARD, 1) == (f"+0.11 {FOREST}",)


def test_the_last_of_three_lines_is_for_a_change_that_is_no_model():
    seen = ((FOREST, 0.3), (NEAREST, 0.2), (BAYES, 0.1), ("engineer_features scale quantile", 0.01))
    near = [(data_set("a", *seen), 1.0)]
    assert advice(near, CARD, 3) == (
        f"+0.30 {FOREST}",
        f"+0.20 {NEAREST}",
        "+0.01 engineer_features scale quantile",
    )
    assert advice(near, CARD, 2) == (f"+0.30 {FOREST}", f"+0.20 {NEAREST}")


@given(
    st.lists(st.tuples(some_findings, st.floats(0.01, 1)), max_size=6),
    st.integers(0, 3),
    st.randoms(),
)
def test_lines_are_few_distinct_and_the_same_every_time(sets, most, rng):
    experience = [
        (data_set(str(i)).model_copy(update={"findings": best_findings(found)}), weight)
        for i, (found, weight) in enumerate(sets)
    ]
    lines = advice(experience, CARD, most)
    assert len(lines) <= most and len({line.split(" ", 1)[1] for line in lines}) == len(lines)
    assert lines == advice(experience, CARD, most)


def test_a_data_set_is_never_shown_to_itself_nor_to_another_kind():
    key = table_key(small_task(Kind.binary))
    others = data_set("far", (BAYES, 0.1), card=wide_card(Kind.regression))
    known = Experience((others, data_set(key, (FOREST, 0.5))))
    assert known.similar(CARD, key) == [] and known.lines(CARD, key, 3) == ()
    assert known.lines(CARD, "another", 3) == (f"+0.50 {FOREST}",)


def test_the_nearest_come_first_and_no_more_than_asked_for():
    larger = dataclasses.replace(CARD, rows=CARD.rows * 10)
    largest = dataclasses.replace(CARD, rows=CARD.rows * 100)
    known = Experience(
        (
            data_set("a", (BAYES, 0.1), card=largest),
            data_set("b"),
            data_set("c", (BAYES, 0.1), card=larger),
        )
    )
    found = known.similar(CARD, "me", 2)
    assert [d.key for d, _ in found] == ["c", "a"] and 0 < found[0][1] < found[1][1]
    assert len(known.similar(CARD, "me", 1)) == 1


def test_an_environment_shows_what_another_has_left(env, regression_env):
    first = env.reset()
    left = known_data_set(env, first, [step(env, first, FOREST)])
    assert left.key == table_key(env.task) and left.meta[-1] == pytest.approx(
        first.evaluated.cv.score
    )
    known = Experience((left,))
    assert shown_lines(env, known, 3) == () and shown_lines(regression_env, known, 3) == ()
    moved = Experience((left.model_copy(update={"key": "elsewhere"}),))
    (line,) = shown_lines(env, moved, 3)
    assert (
        line.endswith("propose_model est = RandomForestClassifier()")
        and shown_lines(env, moved, 0) == ()
    )

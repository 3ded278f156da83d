from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marl_llm.core.kind import Kind
from marl_llm.proposals import Extra, PipelineSpec, baseline, compile, generate_code
from marl_llm.proposals.ops.dates import date_parts
from marl_llm.proposals.ops.group_mean_transformer import GroupMean
from marl_llm.proposals.ops.ratio import ratio
from marl_llm.proposals.reading import read_spec
from tests.proposals.pipelines import cheap, executed, mixed_task, predicted, wandered


def same(spec: PipelineSpec, kind: Kind) -> None:
    labels, proba = predicted(compile(spec), kind)
    code_labels, code_proba = predicted(executed(generate_code(spec)), kind)
    np.testing.assert_array_equal(labels, code_labels)
    if proba is not None:
        np.testing.assert_array_equal(proba, code_proba)


@pytest.mark.parametrize("kind", list(Kind))
@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
def test_compiled_object_and_generated_code_predict_identically_or_fail_alike(kind, seed):
    spec = cheap(wandered(seed, kind))
    try:
        predicted(compile(spec), kind)
    except (
        Exception
    ) as error:  # some solutions cannot be fitted: then the code fails in the same way
        with pytest.raises(type(error)):
            predicted(executed(generate_code(spec)), kind)
        return
    same(spec, kind)


@given(seed=st.integers(0, 10**6), kind=st.sampled_from(list(Kind)))
@settings(max_examples=300, deadline=None)
def test_code_reads_back_as_the_solution_it_was_made_from(seed, kind):
    spec = wandered(seed, kind, steps=8)
    again = read_spec(generate_code(spec))
    assert again.normal() == spec.normal()
    if not spec.members:
        assert generate_code(again.normal()) == generate_code(spec.normal())


def test_target_encoding_of_a_row_does_not_know_the_rows_own_target():
    kind = Kind.binary
    X, y = mixed_task(kind).development.X.copy(), np.random.default_rng(0).integers(0, 2, 180)
    X["x3"] = [
        f"level {i}" for i in range(len(X))
    ]  # one row a level: a leaking encoder would return the target
    spec = baseline(kind).model_copy(
        update={"encode": "target", "drop": ("x0", "x1", "x2", "x4", "x5")}
    )
    encoded = compile(spec)[:-1].fit_transform(X, y[: len(X)])
    assert abs(np.corrcoef(np.asarray(encoded)[:, -1], y[: len(X)])[0, 1]) < 0.2


def test_date_parts_are_those_of_the_calendar():
    moments = np.array(
        ["1970-01-01T00", "2024-02-29T18", "1969-12-31T06", "2026-11-22T12"], dtype="datetime64[h]"
    )
    days = (moments - np.datetime64("1970-01-01T00")).astype(float)[:, None] / 24
    parts = date_parts(days)
    np.testing.assert_array_equal(
        parts,
        [
            [1970, 1, 1, 3, 1, 0],
            [2024, 2, 29, 3, 60, 18],
            [1969, 12, 31, 2, 365, 6],
            [2026, 11, 22, 6, 326, 12],
        ],
    )


def test_a_ratio_over_zero_is_zero_and_keeps_its_order():
    np.testing.assert_array_equal(
        ratio(np.array([[6.0, 3.0], [1.0, 0.0], [3.0, 6.0]])), [[2.0], [0.0], [0.5]]
    )


def test_a_group_that_was_never_seen_gets_the_mean_of_all_rows():
    X = mixed_task(Kind.binary).development.X[["x3", "x0"]]
    fitted = GroupMean().fit(X)
    new = X.iloc[:2].copy()
    new["x3"] = ["red", "never seen"]
    expected = [X.loc[X["x3"] == "red", "x0"].mean(), X["x0"].mean()]
    np.testing.assert_allclose(fitted.transform(new)[:, 0], expected)


def test_the_code_of_the_core_space_is_what_the_embedded_model_learned():
    spec = PipelineSpec(
        estimator="Ridge",
        params=(("alpha", 0.3),),
        drop=("x2",),
        scale="quantile",
        encode="one_hot",
        impute="median",
        extra=(Extra(op="log", columns=("x0",)), Extra(op="polynomial", columns=("x0", "x1"))),
    )
    assert generate_code(spec) == "\n".join(
        [
            "def build_pipeline():",
            '    num = make_pipeline(SimpleImputer(strategy="median"), QUANTILE)',
            '    cat = make_pipeline(SimpleImputer(strategy="most_frequent"), ONE_HOT)',
            "    prep = make_column_transformer(",
            "        (num, NUM),",
            "        (cat, CAT),",
            '        (LOG, ["x0"]),',
            '        (POLY, ["x0", "x1"]),',
            "    )",
            '    drop = FunctionTransformer(pd.DataFrame.drop, kw_args={"columns": ["x2"]})',
            "    est = Ridge(alpha=0.3)",
            "    return make_pipeline(drop, prep, est)",
        ]
    )

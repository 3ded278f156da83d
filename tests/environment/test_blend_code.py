"""A blend's code: what running it gives, how it is read back, and what of it an Engineer may get
wrong.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.core.kind import Kind
from marl_llm.core.predictions import Predictions
from marl_llm.environment import (
    EnvironmentConfig,
    Evaluated,
    Implementation,
    State,
    Suggestion,
    TeamEnv,
    Verdict,
)
from marl_llm.environment.evaluator import Evaluator
from marl_llm.proposals import Finish, PipelineSpec, compile, generate_code
from marl_llm.proposals.codegen import ENSEMBLE_START, engineer_start
from marl_llm.proposals.reading import read_components, read_spec
from marl_llm.proposals.symbols import Unreadable
from marl_llm.sandbox import Sandbox
from marl_llm.tasks import Task
from tests.environment.test_small_classes import task_of
from tests.fixtures import small_task

LINEAR = PipelineSpec(estimator="LogisticRegression")
FOREST = PipelineSpec(estimator="RandomForestClassifier", params=(("n_estimators", 20),))
NEIGHBOURS = PipelineSpec(estimator="KNeighborsClassifier", encode="one_hot")
BOOSTING = PipelineSpec(estimator="LGBMClassifier", params=(("n_estimators", 20),))
RIDGE = PipelineSpec(estimator="Ridge")
TREES = PipelineSpec(estimator="ExtraTreesRegressor", params=(("n_estimators", 20),))
BOOSTED = PipelineSpec(estimator="LGBMRegressor", params=(("n_estimators", 20),))


def blend(*members: PipelineSpec, weights: tuple[int, ...], power: float = 0.0) -> PipelineSpec:
    return PipelineSpec(estimator="Blend", members=members, weights=weights, power=power)


EXTRA = PipelineSpec(estimator="ExtraTreesClassifier", params=(("n_estimators", 20),))
THREE = blend(FOREST, LINEAR, BOOSTING, weights=(3, 1, 2), power=0.5)
NUMBERS = blend(TREES, RIDGE, BOOSTED, weights=(2, 3, 1))
WOODS = PipelineSpec(estimator="RandomForestRegressor", params=(("n_estimators", 20),))


def same_bits(a: Predictions | None, b: Predictions | None) -> bool:
    assert a is not None and b is not None
    if a.proba is None or b.proba is None:
        return a.proba is b.proba and np.array_equal(a.labels, b.labels)
    return np.array_equal(a.labels, b.labels) and np.array_equal(a.proba, b.proba)


@pytest.mark.parametrize(
    ("task", "spec"),
    [
        (
            small_task(Kind.binary),
            blend(FOREST, EXTRA, LINEAR, BOOSTING, weights=(3, 1, 1, 2), power=0.5),
        ),
        (small_task(Kind.multiclass), blend(NEIGHBOURS, FOREST, weights=(1, 2), power=1.0)),
        (task_of(80, 60, 1), blend(FOREST, LINEAR, weights=(2, 1), power=0.75)),
        (small_task(Kind.regression), blend(TREES, RIDGE, BOOSTED, WOODS, weights=(2, 3, 1, 1))),
    ],
    ids=["binary", "multiclass", "a class without rows in some folds", "regression"],
)
def test_a_composed_blend_is_bit_for_bit_what_its_code_gives_in_the_sandbox(
    sandbox: Sandbox, task: Task, spec: PipelineSpec
):
    if any(member.estimator.startswith("LGBM") for member in spec.members):
        pytest.importorskip("lightgbm")
    evaluator = Evaluator(task, sandbox, EnvironmentConfig(cv_folds=3))
    composed, ran = evaluator.compose(spec), evaluator.evaluate(generate_code(spec))
    assert ran.complete, ran.error
    assert same_bits(composed.out_of_fold, ran.out_of_fold)
    assert same_bits(composed.holdout_predictions, ran.holdout_predictions)
    assert (composed.cv, composed.holdout) == (ran.cv, ran.holdout)
    assert same_bits(evaluator.test_predictions(spec), evaluator._test_predictions(spec))
    evaluator.close()


def test_composing_fits_the_members_only_and_those_once(sandbox: Sandbox):
    evaluator = Evaluator(small_task(Kind.binary), sandbox, EnvironmentConfig(cv_folds=2))
    evaluator.evaluate(generate_code(LINEAR))
    assert evaluator.fits == 3
    evaluator.compose(blend(LINEAR, NEIGHBOURS, weights=(1, 1)))
    assert evaluator.fits == 6
    evaluator.compose(blend(NEIGHBOURS, LINEAR, weights=(5, 2), power=1.0))
    assert evaluator.fits == 6
    evaluator.close()


def test_a_blend_with_a_member_that_fails_is_that_members_failure(sandbox: Sandbox):
    evaluator = Evaluator(small_task(Kind.binary, 60), sandbox, EnvironmentConfig(cv_folds=2))
    broken = NEIGHBOURS.model_copy(update={"params": (("n_neighbors", 400),)})
    found = evaluator.compose(blend(LINEAR, broken, weights=(1, 1)))
    assert (
        not found.ok
        and found.error
        and found.error == evaluator.evaluate(generate_code(broken)).error
    )
    evaluator.close()


PLAIN = {True: (LINEAR, FOREST, NEIGHBOURS, BOOSTING), False: (RIDGE, TREES, BOOSTED)}


@st.composite
def blends(draw: st.DrawFn) -> PipelineSpec:
    classes = draw(st.booleans())
    members = draw(st.lists(st.sampled_from(PLAIN[classes]), min_size=1, max_size=4, unique=True))
    weights = draw(st.lists(st.integers(1, 100), min_size=len(members), max_size=len(members)))
    power = draw(st.sampled_from((0.0, 0.25, 0.5, 1.0)) | st.floats(0, 2)) if classes else 0.0
    return blend(*members, weights=tuple(weights), power=power)


@given(blends())
def test_the_code_of_a_blend_reads_back_to_the_same_blend(spec: PipelineSpec):
    assert read_components(generate_code(spec)) == spec.components()
    assert read_spec(generate_code(spec)).normal() == spec.normal()


@given(blends())
def test_the_code_of_a_blend_says_what_the_compiler_builds(spec: PipelineSpec):
    built, code = compile(spec), generate_code(spec)
    assert built.weights == list(spec.weights) and getattr(built, "power", 0) == spec.power
    assert (
        code.count("def ") == len(spec.members) + 1 and f"return {type(built).__name__}([" in code
    )


CODE = generate_code(THREE)


@pytest.mark.parametrize(
    "code",
    [
        CODE.replace("power=0.5", "power=np.inf"),
        CODE.replace("power=0.5", 'power="half"'),
        CODE.replace("power=0.5", "power=(1, 2)"),
        CODE.replace("weights=[3, 1, 2]", "weights=[3, 1]"),
        CODE.replace("weights=[3, 1, 2]", "weights=3"),
        CODE.replace('("s1", solution_1())', "solution_1()"),
        CODE.replace("solution_2())", "solution_9())"),
        CODE.replace("solution_2())", "solution_2(1))"),
        CODE.replace("def solution_2()", "def solution_2(x=1)"),
        CODE.replace("def solution_2()", "def solution_1()"),
        "def solution_1():\n    return 1\n\n\n" + CODE,
        CODE.replace("def solution_2()", "def make_pipeline()"),
        CODE.replace("def solution_2()", "def NUM()"),
    ],
)
def test_a_blend_written_in_another_shape_is_unreadable_and_nothing_worse(code: str):
    assert code != CODE
    with pytest.raises(Unreadable):
        read_components(code)


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": (1,)},
        {"weights": (1, 1, 0)},
        {"weights": (1, 1, 101)},
        {"power": -0.5},
        {"power": 2.5},
        {"members": ()},
        {"members": (THREE, LINEAR), "weights": (1, 1)},
        {"estimator": "Voting"},
    ],
)
def test_a_blend_that_could_not_be_written_is_refused(changes: dict):
    with pytest.raises(ValueError, match=r"weight|blend|power|ensemble|Blend|Voting"):
        PipelineSpec(**{**dict(THREE), **changes})
    with pytest.raises(ValueError, match="power"):
        PipelineSpec(**{**dict(NUMBERS), "power": 0.5})


def finish(env: TeamEnv, spec: PipelineSpec, code: str, result: Evaluated | None = None):
    """A `finish blend` that delivers this blend, written like this."""
    state = env.reset()
    suggestion = Suggestion("finish blend", Finish(deliver="blend"), spec)
    ran = result or env.run(code, state.evaluated, spec)
    return state, env.judge(state, suggestion, Implementation(code, ran))


PAIR = blend(FOREST, LINEAR, weights=(2, 1), power=0.5)
RIGHT = generate_code(PAIR)
RESPELLED = RIGHT.replace("    return BlendClassifier(", "    parts = ").replace(
    "], weights=[2, 1], power=0.5)",
    "]\n    return BlendClassifier(members=parts, power=1 / 2, weights=[2, 1])",
)


@pytest.mark.parametrize("code", [RIGHT, RESPELLED], ids=["reference", "respelled"])
def test_a_blend_written_as_asked_complies_and_is_delivered(env: TeamEnv, code: str):
    state, outcome = finish(env, PAIR, code)
    assert outcome.compliance == 1 and outcome.verdict is Verdict.finished
    after = env.advance(state, outcome)
    assert after.finished and after.spec == PAIR and after.code == RIGHT
    assert after.evaluated.holdout == env.evaluator.compose(PAIR).holdout


WRONG = {
    "weight": RIGHT.replace("[2, 1]", "[1, 2]"),
    "power": RIGHT.replace("power=0.5", "power=1.0"),
    "no power": RIGHT.replace(", power=0.5", ""),
    "member": RIGHT.replace('("s2", solution_2())', '("s2", solution_1())'),
    "one member left out": RIGHT.replace(', ("s2", solution_2())', "").replace("[2, 1]", "[2]"),
    "parameter of a member": RIGHT.replace("n_estimators=20", "n_estimators=30"),
    "another ensemble": RIGHT.replace("BlendClassifier(", "VotingClassifier(").replace(
        "weights=[2, 1], power=0.5", 'voting="soft", weights=[2, 1]'
    ),
    "nothing": f"{RIGHT.rsplit('def build_pipeline', 1)[0]}{ENSEMBLE_START}",
}


@pytest.mark.parametrize("code", WRONG.values(), ids=WRONG)
def test_a_blend_written_otherwise_does_not_comply_and_changes_nothing(env: TeamEnv, code: str):
    assert code != RIGHT
    state, outcome = finish(env, PAIR, code)
    assert outcome.compliance is not None and outcome.compliance < 1
    assert outcome.verdict is Verdict.not_as_asked and outcome.step_gain == 0
    after = env.advance(state, outcome)
    assert after.finished and (after.spec, after.code) == (state.spec, state.code)


def test_a_forged_description_does_not_help(env: TeamEnv):
    code = WRONG["weight"]
    ran = env.run(code)
    plain = finish(env, PAIR, code, ran)[1].compliance
    forged = {
        "params": {
            "members": "BlendClassifier(weights=[2, 1])",
            "weights": "[2, 1]",
            "power": "0.5",
        }
    }
    lied = Evaluated(**{**vars(ran), "description": forged})
    assert finish(env, PAIR, code, lied)[1].compliance == plain


def test_a_class_that_only_bears_the_name_is_not_believed(env: TeamEnv):
    code = "class BlendClassifier(VotingClassifier):\n    pass\n\n\n" + RIGHT
    outcome = finish(env, PAIR, code)[1]
    assert not outcome.compliance and outcome.verdict in (Verdict.not_as_asked, Verdict.failed)


def test_the_engineer_starts_from_a_stub_with_the_members_at_hand():
    shown, helpers = engineer_start(PAIR, LINEAR)
    assert shown == ENSEMBLE_START and RIGHT.startswith(helpers)
    assert engineer_start(LINEAR, PAIR) == (
        generate_code(FOREST),
        "",
    )  # another model for an ensemble
    assert engineer_start(FOREST, LINEAR) == (generate_code(LINEAR), "")


def test_a_state_after_a_blend_is_told_like_any_other(env: TeamEnv):
    from marl_llm.agents.prompts import PromptConfig, Situation, data_scientist_prompt

    state, outcome = finish(env, PAIR, RIGHT)
    after: State = env.advance(state, outcome)
    assert after.evaluated.cv is not None
    now = Situation(env.card, after.spec, after.code, after.evaluated.cv.score, {}, after.memory, 1)
    assert "model: Blend of" in data_scientist_prompt(now, PromptConfig(instructions=False))

"""The one-step search: what is tried, what is chosen, and that its gains are those of the
evaluations.
"""

from __future__ import annotations

import functools
from contextlib import nullcontext
from pathlib import Path

import headroom as search_module
import pytest
from headroom import Searcher, best_step, headroom
from headroom_file import Headroom, Step, load_headroom, summary
from one_step import MOST_COLUMNS, one_steps

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.core.kind import Kind
from marl_llm.evaluation.scoring import Bench
from marl_llm.evaluation.trials import Trial
from marl_llm.proposals import PipelineSpec, baseline, effective
from marl_llm.sandbox import Sandbox
from marl_llm.workspace.recipe import Recipe
from tests.fixtures import small_card, small_task, wide_card

RECIPE = Recipe.model_validate({"environment": {"cv_folds": 2, "resamples": 200}})


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("card_of", [small_card, wide_card])
def test_every_proposal_makes_a_solution_of_its_own(kind: Kind, card_of):
    card = card_of(kind)
    found = one_steps(card, baseline(kind))
    made = [effective(one.spec, card.context()).model_dump_json() for one in found]
    assert effective(baseline(kind), card.context()).model_dump_json() not in made
    assert len(set(made)) == len(made)
    assert 80 <= len(found) <= 200


def texts(kind: Kind, card_of=small_card) -> list[str]:
    return [one.text for one in one_steps(card_of(kind), baseline(kind))]


def test_each_common_value_is_tried_alone_and_defaults_once():
    found = texts(Kind.binary)
    forests = [text for text in found if "RandomForestClassifier" in text]
    # as it comes, n_estimators 50 and 200 (100 is the default), 4 depths, 4 leaf sizes (1 is the
    # default), balanced
    assert len(forests) == 1 + 2 + 4 + 4 + 1
    assert forests[0] == "propose_model est = RandomForestClassifier()"
    assert not any("max_features" in text or "criterion" in text for text in found)
    tunes = [text for text in found if text.startswith("tune")]
    assert tunes == [
        "tune C=0.01",
        "tune C=0.1",
        "tune C=0.3",
        "tune C=3.0",
        "tune C=10.0",
        'tune class_weight="balanced"',
        "tune max_iter=300",
        "tune max_iter=1000",
    ]


def test_preparations_are_tried_for_all_columns_and_for_single_ones():
    found = [
        text.removeprefix("engineer_features ")
        for text in texts(Kind.regression)
        if text.startswith("eng")
    ]
    columns = ["x0", "x1", "x2", "x3", "x4"]
    wanted = {
        "impute median",
        "encode one_hot",
        "encode target",
        "scale none",
        "scale quantile",
        "pca 0.95",
        "select 5",
    }
    wanted |= {f'drop ["{c}"]' for c in columns} | {f'log ["{c}"]' for c in columns[:3]}
    wanted |= {'log ["x0", "x1", "x2"]', 'bin ["x0", "x1", "x2"]', 'missing ["x1", "x4"]'}
    wanted |= {
        f"polynomial {pair}"
        for pair in ('["x0", "x1"]', '["x0", "x2"]', '["x1", "x2"]', '["x0", "x1", "x2"]')
    }
    assert wanted <= set(found)
    assert not {"impute mean", "encode ordinal", "scale standard"} & set(
        found
    )  # the baseline's own


def test_of_many_columns_the_strongest_are_transformed_and_the_weakest_removed():
    card = wide_card(Kind.regression)
    by_strength = [c.alias for c in sorted(card.columns, key=lambda c: -c.association)]
    drops = [text.split('"')[1] for text in texts(Kind.regression, wide_card) if "drop" in text]
    assert drops == by_strength[::-1][:MOST_COLUMNS]
    numbers = [c for c in by_strength if int(c[1:]) < 20]
    pairs = [text for text in texts(Kind.regression, wide_card) if "polynomial" in text]
    assert len(pairs) == 10 + 1
    assert {part for text in pairs for part in text.split('"')[1::2]} == set(numbers[:5])


def step(gain: float, significant: bool, test: float | None = 0.0) -> Step:
    return Step(
        action=f"tune C={gain}",
        family="tune",
        gain=gain,
        p_value=0.01,
        significant=significant,
        test_gain=test,
    )


def test_the_best_step_is_the_largest_significant_gain_and_not_the_largest():
    steps = [step(0.02, True), step(0.3, False), step(0.05, True), step(0.04, True)]
    assert best_step(steps) == steps[2]
    assert best_step([step(0.3, False)]) is None


def room(**changes) -> Headroom:
    fields = {
        "trial": "a-r0",
        "task": "a",
        "repeat": 0,
        "kind": "binary",
        "rows": 9,
        "columns": 2,
        "baseline": 0.5,
    }
    return Headroom.model_validate(
        {**fields, "proposals": 3, "failed": 0, "significant": 1, **changes}
    )


def test_headroom_is_confirmed_only_by_the_test_part():
    none = room()
    assert (none.headroom, none.confirmed, none.best_gain) == (False, False, 0.0)
    unsure = room(best=step(0.1, True, -0.02), low=-0.06, high=0.01)
    assert (unsure.headroom, unsure.confirmed, unsure.best_gain) == (True, False, -0.02)
    assert room(best=step(0.1, True, 0.08), low=0.01, high=0.2).confirmed


def a_trial(name: str = "small-r0") -> Trial:
    return Trial(name, "small", 0, functools.partial(small_task, Kind.binary))


def test_gains_of_the_search_are_those_of_an_evaluation_of_the_same_solution(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    wanted = (
        "propose_model est = RandomForestClassifier()",
        "tune C=0.01",
        "propose_model est = GaussianNB()",
    )
    few = [
        one
        for one in one_steps(small_card(Kind.binary), baseline(Kind.binary))
        if one.text in wanted
    ]
    monkeypatch.setattr(search_module, "one_steps", lambda card, spec: few)
    found = Searcher(sandbox, RECIPE, 7, 2).search(a_trial())
    assert (found.proposals, found.failed, len(found.leading)) == (3, 0, 3)
    assert found.best is not None and found.oracle is not None
    assert found.best.action == "propose_model est = RandomForestClassifier()"
    bench = Bench(sandbox, RECIPE.environment, 7)
    forest = PipelineSpec(estimator="RandomForestClassifier")
    result = bench.fixed("forest", a_trial(), small_task(Kind.binary), forest)
    assert found.best.gain == pytest.approx(result.holdout_gain, abs=1e-12)
    assert found.best.test_gain == pytest.approx(result.gain, abs=1e-12)
    assert (found.low, found.high) == (result.low, result.high)
    assert found.baseline == pytest.approx((result.test or 0) - (result.gain or 0), abs=1e-12)
    assert found.oracle.test_gain == max(one.test_gain or 0.0 for one in found.leading)
    assert [one.gain for one in found.leading] == sorted(
        (one.gain for one in found.leading), reverse=True
    )


def test_a_search_goes_on_where_it_ended_and_leaves_out_what_defeats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    searched: list[str] = []

    def search(self: Searcher, trial: Trial) -> Headroom:
        searched.append(trial.name)
        if trial.name == "broken":
            raise RunFailed("the baseline does not run")
        return room(trial=trial.name, task=trial.name)

    monkeypatch.setattr(search_module, "open_sandbox", lambda section: nullcontext(None))
    monkeypatch.setattr(Searcher, "search", search)
    out, trials = tmp_path / "room.json", [a_trial(name) for name in ("a", "broken", "b")]
    headroom(RECIPE, trials[:1], [], out)
    found = headroom(RECIPE, trials, [], out)
    assert searched == ["a", "broken", "b"]
    assert [one.trial for one in found.trials] == ["a", "b"]
    assert [problem.error for problem in found.problems] == ["the baseline does not run"]
    assert load_headroom(out) == found
    assert "2 tasks, 2 trials" in summary(found)
    with pytest.raises(UserError, match="other settings"):
        headroom(RECIPE, trials, [], out, seed=1)

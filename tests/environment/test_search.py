"""The Data Scientist names a region, the environment fills in the numbers: on development rows, and
reproducibly.
"""

from __future__ import annotations

import pytest

from marl_llm.core.kind import Kind
from marl_llm.environment.search import search_region, settings
from marl_llm.metrics import Scores
from marl_llm.proposals import Between, PipelineSpec, Tune, baseline, canonical, parse_action

FOREST = PipelineSpec(estimator="RandomForestClassifier")


def region(text: str) -> Tune:
    action = parse_action(text)
    assert isinstance(action, Tune)
    return action


def test_settings_lie_inside_the_region_and_cover_it():
    action = region("tune max_depth=between(3, 30), max_features=between(0.2, 0.9), budget=32")
    tried = list(settings(action, FOREST, 0))
    depths = [s["max_depth"] for s in tried]
    assert len(tried) == 32 and all(isinstance(d, int) and 3 <= d <= 30 for d in depths)
    assert min(depths) < 8 and max(depths) > 25
    assert all(0.2 <= s["max_features"] <= 0.9 for s in tried)


def test_a_wide_positive_region_is_searched_by_orders_of_magnitude():
    tried = [
        s["C"]
        for s in settings(
            region("tune C=between(0.001, 1000), budget=64"), baseline(Kind.binary), 0
        )
    ]
    assert sum(c < 1 for c in tried) == pytest.approx(32, abs=4)


def test_few_whole_numbers_are_tried_once_each():
    tried = list(settings(region("tune max_depth=between(3, 5), budget=30"), FOREST, 0))
    assert sorted(s["max_depth"] for s in tried) == [3, 4, 5]


def test_the_best_setting_in_cross_validation_becomes_the_proposal_and_exact_values_stay():
    def cross_validate(code: str) -> Scores | None:
        depth = int(code.split("max_depth=")[1].split(",", maxsplit=1)[0])
        assert 'class_weight="balanced"' in code
        return None if depth == 7 else Scores({}, {}, -abs(depth - 8.2))

    action = region('tune max_depth=between(2, 20), class_weight="balanced", budget=60')
    found = search_region(action, FOREST, cross_validate, 0)
    assert canonical(found) == 'tune max_depth=8, class_weight="balanced"'


def test_where_every_setting_fails_the_first_one_is_proposed():
    found = search_region(
        region("tune C=between(1, 2), budget=4"), baseline(Kind.binary), lambda code: None, 0
    )
    assert 1 <= float(found.exact["C"] or 0) <= 2 and not found.regions


def test_the_environment_searches_on_development_rows_alone_and_alike_each_time(env, monkeypatch):
    state = env.reset()
    suggestion = env.read(state, "tune C=between(0.001, 100.0), budget=5")
    assert suggestion.to_search and suggestion.valid and not suggestion.to_implement
    seen: list[int] = []
    run = env.evaluator._runner.run

    def watched(candidate, fold, **options):
        seen.append(id(fold))
        return run(candidate, fold, **options)

    monkeypatch.setattr(env.evaluator._runner, "run", watched)
    resolved = env.resolve(state, suggestion)
    assert id(env.evaluator._folds[-1]) not in seen and seen  # the hold-out's fold is not touched
    assert resolved.to_implement and not resolved.to_search
    assert resolved == env.resolve(state, suggestion)
    tried = settings(suggestion.action, state.spec, env.search_seed)
    scores = [env.evaluator.cross_validate(env_code(env, state, setting)) for setting in tried]
    best = env.evaluator.cross_validate(env_code(env, state, resolved.action.exact))
    assert best.score == max(s.score for s in scores)


def env_code(env, state, params) -> str:
    from marl_llm.proposals import generate_code

    return generate_code(state.spec.with_params(params))


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("tune C=between(3, 3)", "is empty"),
        ("tune C=between(0.1, 1e9)", "lies between"),
        ("tune class_weight=between(0, 1)", "takes one of"),
        ("tune max_iter=between(1.5, 200)", "whole number"),
        ("tune depth=between(1, 2)", "no parameter"),
        ("tune C=between(1)", "between(low, high)"),
        ("tune C=between(1, 2), budget=1", "budget"),
        ("tune C=between(1, 2), budget=1000", "budget"),
    ],
)
def test_an_impossible_region_is_invalid_and_says_why(env, reply, says):
    assert says in env.read(env.reset(), reply).problem


def test_a_region_is_written_as_it_is_read():
    text = 'tune C=between(0.01, 10.0), class_weight="balanced", budget=12'
    action = parse_action(text)
    assert canonical(action) == text
    assert action == Tune(
        params={"C": Between(low=0.01, high=10.0), "class_weight": "balanced"}, budget=12
    )

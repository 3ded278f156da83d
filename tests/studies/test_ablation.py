"""What each part of a play adds: differences to the same play without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ablation import differences, main

from marl_llm.core.kind import Kind
from marl_llm.core.verdict import Verdict
from marl_llm.environment import EnvironmentConfig, TeamEnv
from marl_llm.environment.memory import MemoryEntry
from marl_llm.evaluation.parts import PREFIX, deliveries
from marl_llm.evaluation.report import EvaluationReport, Result
from marl_llm.proposals import PipelineSpec, baseline, screened
from marl_llm.proposals.spec import BLEND
from marl_llm.sandbox import Sandbox
from tests.fixtures import small_task

FOREST = PipelineSpec(estimator="RandomForestClassifier", params=(("n_estimators", 20),))


def result(task: str, test: float, **without: float | None) -> Result:
    figures = {PREFIX + part: value for part, value in without.items()}
    return Result(
        arm="solve",
        trial=task,
        task=task,
        repeat=0,
        kind="binary",
        test=test,
        team={"steps": 3, **figures},
    )


def test_a_part_adds_what_the_play_loses_without_it():
    results = [
        result("a", 0.8, team=0.7, blend=0.8, rule=None),
        result("b", 0.6, team=0.6, blend=0.65, rule=0.5),
    ]
    found = differences(results)
    assert found["team"].mean == pytest.approx(0.05) and found["blend"].mean == pytest.approx(
        -0.025
    )
    assert found["rule"].mean == pytest.approx(0.1) and (
        found["rule"].tasks,
        found["rule"].low,
    ) == (1, None)
    assert found["team"].low is not None and found["team"].low < 0.05


@pytest.fixture
def env(sandbox: Sandbox) -> Iterator[TeamEnv]:
    with closing(
        TeamEnv(small_task(Kind.binary), sandbox, EnvironmentConfig(cv_folds=2, resamples=100), 0)
    ) as one:
        yield one


def test_without_the_team_nothing_of_it_is_delivered_and_without_a_rule_the_probable_class_counts(
    env: TeamEnv, monkeypatch
):
    monkeypatch.setattr(screened, "_FAMILIES", screened._FAMILIES[:3])
    start = env.reset()
    entry = MemoryEntry("propose", Verdict.no_gain, None, FOREST, "", 0.99)
    last = env.look(type(start)(start.spec, start.code, start.evaluated, start.memory.add(entry)))
    blend = PipelineSpec(
        estimator=BLEND, members=(FOREST, baseline(env.task.kind)), weights=(1, 2), power=0.5
    )
    found = deliveries(env, last, blend)
    assert FOREST not in (found["team"], *found["team"].members)
    assert len(found["blend"].members) <= 1
    assert found["rule"] == blend.model_copy(update={"power": 0.0})
    ruled = PipelineSpec(estimator=BLEND, members=(FOREST,), weights=(1,), power=0.5)
    assert deliveries(env, last, ruled)["rule"] == FOREST


def report(path: Path, *results: Result) -> Path:
    empty = EvaluationReport(
        name="s",
        level=0.95,
        repeats=1,
        seed=0,
        tasks=2,
        settings={},
        arms=[],
        differences=[],
        results=list(results),
        problems=[],
        created_at="",
    )
    path.write_text(json.dumps(empty.to_dict()))
    return path


def test_the_command_prints_a_line_for_each_part(tmp_path: Path, capsys):
    path = report(
        tmp_path / "evaluation.json", result("a", 0.8, team=0.7), result("b", 0.6, team=0.6)
    )
    assert main([str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["team", "+0.0500"],
        ["blend", "-"],
        ["rule", "-"],
    ]


def test_a_report_without_plays_is_one_sentence(tmp_path: Path, caplog):
    path = report(tmp_path / "evaluation.json", result("a", 0.8))
    assert main([str(path), "--arm", "catboost"]) == 2
    assert "has no plays of a team by the name of catboost" in caplog.text
    assert main([str(tmp_path / "none.json")]) == 2

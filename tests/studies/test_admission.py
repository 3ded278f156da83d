"""The study of what may join a blend, on small tables."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import admission as module
import numpy as np
import pandas as pd
import pytest
import yaml
from admission import Admission, admission, admission_text, main, settings

from marl_llm.core.kind import Kind
from marl_llm.environment import EnvironmentConfig, TeamEnv
from marl_llm.proposals import screened
from marl_llm.proposals.estimators import ESTIMATORS
from tests.fixtures import small_task

QUICK = EnvironmentConfig(cv_folds=2, resamples=100, blend_members=2)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(screened, "_FAMILIES", (screened._FAMILIES[0], screened._FAMILIES[3]))
    monkeypatch.setattr(module, "_TUNED", ("ExtraTrees", "RandomForest"))
    monkeypatch.setattr(module, "_SETTINGS", 2)


@pytest.mark.parametrize("kind", list(Kind))
def test_settings_are_of_the_tuned_kinds_and_of_this_target(sandbox, kind: Kind):
    with closing(TeamEnv(small_task(kind), sandbox, QUICK, 0)) as env:
        drawn = settings(env, random.Random(0))
    assert {ESTIMATORS[spec.estimator].classifier for spec in drawn} == {kind.is_classification}
    assert len(drawn) == 4 and all(
        spec.estimator.startswith(("ExtraTrees", "RandomForest")) for spec in drawn
    )


def test_settings_that_never_count_add_nothing(sandbox, monkeypatch):
    with closing(TeamEnv(small_task(Kind.binary), sandbox, QUICK, 0)) as env:
        monkeypatch.setattr(module.Evidence, "clearly_better", lambda *_: False)
        found = admission(env, "small", random.Random(0))
        assert found.clear == 0 and found.rows == len(env.task.development.y) + len(
            env.task.holdout.y
        )
        monkeypatch.setattr(module.Evidence, "clearly_better", lambda *_: True)
        assert admission(env, "small", random.Random(0)).clear == found.everything


def test_tables_that_are_finished_are_not_played_again(
    comparing, tmp_path: Path, monkeypatch, capsys
):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(160, 3)).round(3), columns=list("abc"))
    frame.assign(y=frame["a"] * frame["b"]).to_csv(tmp_path / "one.csv", index=False)
    (tmp_path / "suite.yaml").write_text(
        yaml.safe_dump([{"csv": "one.csv", "target": "y", "kind": "regression"}])
    )
    arguments = [
        "--suite",
        str(tmp_path),
        "--every",
        "1",
        "--out",
        str(tmp_path / "runs" / "found.jsonl"),
    ]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    monkeypatch.setattr(module, "_play", lambda *_: pytest.fail("played again"))
    assert main(arguments) == 0 and capsys.readouterr().out == first
    assert (
        "of 1 tables" in first
        and "left out" not in first
        and main(["--suite", str(tmp_path / "none")]) == 2
    )


def test_tables_are_told_apart_by_their_rows():
    text = admission_text([Admission("a", 999, -0.1, 0.0), Admission("b", 1000, 0.1, 0.02)])
    assert "below 1000 rows, everything -0.1000 of 1 tables" in text
    assert "above 1000 rows, clear      +0.0200 of 1 tables" in text

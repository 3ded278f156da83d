"""Rewards of logged rows: by other weights without playing again, held against what the code that
weighted rows while it played wrote for the same episodes under both sets of weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from marl_llm import rewards
from marl_llm.core.errors import UserError
from marl_llm.core.roles import DATA_SCIENTIST, ROLES
from marl_llm.credit import CreditConfig, assign_credit
from marl_llm.rewards import FACTS, Component, Outcome, RewardConfig, reward_columns, score_rows
from marl_llm.rollout.metrics import team_metrics
from marl_llm.trajectories import read_rows
from marl_llm.workspace.recipe import load_recipe
from tests.rewards.outcomes import SUGGESTED, changed

OLD = Path(__file__).parents[1] / "trajectories" / "version_1"
RUNS = ("reference", "step", "demo")
CREDIT = CreditConfig(regret=0.5, alpha=0.25)
"""As the old tables beside the rows were made."""


def weights(name: str) -> RewardConfig:
    return load_recipe(OLD / name / "recipe.yaml").rewards


def trajectories(name: str) -> Path:
    return OLD / name / "iteration_0000" / "trajectories"


def as_written(name: str) -> pd.DataFrame:
    """The old rows as the old code wrote them, rewards included."""
    parts = [pq.read_table(path).to_pandas() for path in sorted(trajectories(name).glob("part-*"))]
    return pd.concat(parts, ignore_index=True)


def float32_close(found: pd.Series, wanted: pd.Series) -> None:
    np.testing.assert_allclose(
        found.to_numpy(float), wanted.fillna(0.0).to_numpy(float), rtol=2e-7, atol=6e-8
    )


@pytest.mark.parametrize("name", RUNS)
def test_a_runs_own_weights_give_the_rewards_it_was_played_with(name: str) -> None:
    old, scored = as_written(name), score_rows(read_rows(trajectories(name)), weights(name))
    float32_close(scored["reward"], old["reward"])
    float32_close(scored["reward_failure"] + scored["reward_invalid"], old["reward_failure"])
    for part in ("metric_delta", "no_gain", "compliance", "redundant", "token_cost", "cpu_cost"):
        float32_close(scored[f"reward_{part}"], old[f"reward_{part}"])


@pytest.mark.parametrize(("played", "other"), [("reference", "step"), ("step", "reference")])
def test_rows_scored_by_other_weights_are_those_of_playing_with_them(
    played: str, other: str
) -> None:
    """But for processor time, which is the machine's, and what version 1 does not tell (see
    `version_1`): what had been credited before, in rows played under `credit: step`.
    """
    old, scored = as_written(other), score_rows(read_rows(trajectories(played)), weights(other))
    assert (
        old["seed"].tolist() == scored["seed"].tolist()
        and old["action"].tolist() == scored["action"].tolist()
    )
    known = np.ones(len(old), bool)
    if played == "step":
        whole = old["reward_metric_delta"] == old["reference_gain"].where(
            old["significant"].astype(bool), 0.0
        )
        known = (whole | (old["role"] != DATA_SCIENTIST)).to_numpy()
        assert known.sum() > 100
    cost = "reward_cpu_cost"
    float32_close((scored["reward"] - scored[cost])[known], (old["reward"] - old[cost])[known])
    assert (
        scored["reward"] - score_rows(read_rows(trajectories(played)), weights(played))["reward"]
    ).abs().max() > 0.1


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("role", ROLES)
def test_old_rows_are_credited_as_they_were(name: str, role: str) -> None:
    scored = score_rows(read_rows(trajectories(name)), weights(name))
    table, _ = assign_credit(scored, role, CREDIT)
    before = pd.read_parquet(OLD / name / "iteration_0000" / "credit" / f"{role}.parquet")
    pd.testing.assert_frame_equal(table[before.columns.to_list()], before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", RUNS)
def test_published_mean_rewards_stay_as_they_were(name: str) -> None:
    scored = score_rows(read_rows(trajectories(name)), weights(name))
    known = json.loads((OLD / name / "iteration_0000" / "reward.json").read_text())
    assert team_metrics(scored, [])["reward"] == pytest.approx(known, abs=1e-7)


def frame(*outcomes: Outcome) -> pd.DataFrame:
    return pd.DataFrame([{name: getattr(one, name) for name in FACTS} for one in outcomes])


def test_the_reward_is_the_sum_of_its_components_and_the_calls_own_part_stands_apart() -> None:
    call = changed(SUGGESTED, refused=True, completion_tokens=100)
    scored = score_rows(frame(call, SUGGESTED), RewardConfig())
    assert scored["reward"].tolist() == pytest.approx([-0.02 - 0.1 - 0.01, -0.02])
    assert scored["reward_own"].tolist() == pytest.approx([-0.1 - 0.01, 0.0])
    assert scored["reward"].dtype == np.float32 and len(reward_columns(scored)) == 9 + 2
    assert len(score_rows(frame(call).iloc[:0], RewardConfig())) == 0


def test_rows_that_lack_a_fact_are_refused_by_its_name() -> None:
    with pytest.raises(UserError, match="'rungs'"):
        score_rows(frame(SUGGESTED).drop(columns="rungs"), RewardConfig())


class Brevity(Component):
    """A component of a user's own: a bonus for short replies."""

    name = "brevity"
    per_call = True
    bonus: float = 0.01

    def __call__(self, outcome: Outcome) -> float:
        return self.bonus if outcome.completion_tokens < 50 else 0.0


class Twice(Component):
    """Takes a name that is taken."""

    name = "no_gain"

    def __call__(self, outcome: Outcome) -> float:
        return 0.0


def extra(path: str, **keys: float) -> RewardConfig:
    return RewardConfig(extra={f"{__name__}:{path}": keys})


def test_a_component_of_ones_own_is_named_by_its_import_path() -> None:
    scored = score_rows(
        frame(SUGGESTED, changed(SUGGESTED, completion_tokens=90)), extra("Brevity", bonus=0.5)
    )
    assert scored["reward_brevity"].tolist() == [0.5, 0.0]
    assert scored["reward_own"].tolist() == pytest.approx([0.5, -0.009])
    assert scored["reward"].iloc[0] == pytest.approx(0.48)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (RewardConfig(extra={"nowhere:X": {}}), "'nowhere:X' cannot be imported .*PYTHONPATH"),
        (extra("Nobody"), "cannot be imported"),
        (RewardConfig(extra={"json:dumps": {}}), "is no marl_llm.rewards.Component"),
        (extra("Brevity", malus=1.0), "key 'malus'"),
        (extra("Twice"), "names of their own"),
    ],
)
def test_a_mistake_in_it_is_one_sentence(config: RewardConfig, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        score_rows(frame(SUGGESTED), config)


def test_the_component_of_the_readme_works_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(rewards.__file__).parent / "README.md").read_text()
    (tmp_path / "brevity.py").write_text(text.split("```python\n")[1].split("```")[0])
    monkeypatch.syspath_prepend(tmp_path)
    section = yaml.safe_load(text.split("`rewards: ")[1].split("`")[0])
    scored = score_rows(
        frame(SUGGESTED, changed(SUGGESTED, completion_tokens=21)), RewardConfig(**section)
    )
    assert scored["reward_brevity"].tolist() == pytest.approx([0.02, 0.0])


def test_every_fact_of_a_row_reaches_the_rewards(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Outcome(
        role="ml_engineer",
        verdict="accepted",
        compliance=0.25,
        step_gain=0.5,
        new_reference_gain=0.75,
        rungs=3,
        refused=True,
        prompt_tokens=11,
        completion_tokens=7,
        analysis_cpu_s=1.5,
    )
    plain = Outcome(role="", verdict="")
    assert all(getattr(told, name) != getattr(plain, name) for name in FACTS)
    seen: list[Outcome] = []

    class Watching(Component, frozen=True):
        name: ClassVar[str] = "watching"

        def __call__(self, outcome: Outcome) -> float:
            seen.append(outcome)
            return 0.0

    monkeypatch.setattr(RewardConfig, "components", lambda _: (Watching(),))
    score_rows(pd.DataFrame([{name: getattr(told, name) for name in FACTS}]), RewardConfig())
    assert seen == [told]

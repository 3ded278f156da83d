"""The credit stage on data frames: who is credited, what is counted, what is refused, and that its
file survives.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.credit import (
    CREDIT_COLUMNS,
    CreditConfig,
    Scale,
    assign_credit,
    credit_path,
    read_credit,
    write_credit,
)
from marl_llm.credit.team import team_returns


def _rows(**changes: object) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "episode": ["e1", "e1", "e1", "e1", "e2", "e1"],
            "branch": ["1.d0", "1.d0", "1.d1", "2.d0", "1.d0", "1.d0.e0"],
            "call": [0, 1, 0, 0, 0, 0],
            "role": [DATA_SCIENTIST] * 5 + [ML_ENGINEER],
            "group": ["e1/1", "e1/1", "e1/1", "e1/2", "e2/1", "e1/1/d0"],
            "reward": np.array([1.0, 3.0, 0.0, 9.0, 4.0, 5.0], np.float32),
        }
    )
    return frame.assign(**changes)


def test_only_the_rows_of_the_role_are_credited_and_in_their_order() -> None:
    table, _ = assign_credit(_rows(), DATA_SCIENTIST, CreditConfig(scale=Scale.none))
    assert list(table.columns) == [*CREDIT_COLUMNS, "reward"]
    assert table["branch"].tolist() == ["1.d0", "1.d0", "1.d1", "2.d0", "1.d0"]
    # turn means 2 and 0, baseline 1
    assert table["advantage"].tolist() == [0.0, 2.0, -1.0, 0.0, 0.0]
    assert table["advantage"].dtype == np.float32
    assert table["kept"].tolist() == [True, True, True, False, False]
    assert table["reason"].tolist() == ["", "", "", "singleton", "singleton"]


def test_statistics_count_turns_groups_and_what_was_dropped() -> None:
    _, stats = assign_credit(_rows(), DATA_SCIENTIST, CreditConfig())
    assert (stats["rows"], stats["turns"], stats["groups"]) == (5, 4, 3)
    assert (stats["kept_rows"], stats["kept_groups"]) == (3, 1)
    assert stats["group_sizes"] == {"1": 2, "2": 1}
    assert stats["singleton_share"] == pytest.approx(2 / 3)
    assert stats["zero_variance_share"] == 0.0
    assert stats["reward_mean"] == pytest.approx(3.4)
    assert stats["reward_std"] == pytest.approx(np.std([1, 3, 0, 9, 4]))


def test_same_group_name_in_two_iterations_is_two_groups() -> None:
    rows = _rows(iteration=[0, 0, 1, 0, 0, 0])
    _, stats = assign_credit(rows, DATA_SCIENTIST, CreditConfig())
    assert stats["group_sizes"] == {"1": 4}


def test_turns_of_two_episodes_in_one_group_stay_apart() -> None:
    rows = _rows(
        group="g", branch="b", episode=["e1", "e1", "e2", "e3", "e4", "e1"], call=[0, 1, 0, 0, 0, 0]
    )
    _, stats = assign_credit(rows, DATA_SCIENTIST, CreditConfig())
    assert stats["group_sizes"] == {"4": 1}


def test_no_rows_give_an_empty_table_and_zero_counts() -> None:
    table, stats = assign_credit(_rows().iloc[:0], DATA_SCIENTIST, CreditConfig())
    assert table.empty and stats["rows"] == 0 and stats["group_sizes"] == {}


def test_a_row_that_occurs_twice_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"episode e1, branch 1.d0, call 0.*twice"):
        assign_credit(pd.concat([_rows(), _rows()]), DATA_SCIENTIST, CreditConfig())


def test_a_missing_reward_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"branch 1.d1, call 0.*not a finite number"):
        assign_credit(_rows(reward=[1, 2, np.nan, 4, 5, 6]), DATA_SCIENTIST, CreditConfig())


def test_a_missing_column_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="'group'"):
        assign_credit(_rows().drop(columns="group"), DATA_SCIENTIST, CreditConfig())


def test_the_table_survives_its_file_and_leaves_no_other(tmp_path: Path) -> None:
    table, _ = assign_credit(_rows(), DATA_SCIENTIST, CreditConfig())
    path = write_credit(table, credit_path(tmp_path / "credit", DATA_SCIENTIST))
    write_credit(table, path)
    pd.testing.assert_frame_equal(read_credit(path), table, check_dtype=False)
    assert read_credit(path)["advantage"].dtype == np.float32
    assert [entry.name for entry in path.parent.iterdir()] == ["data_scientist.parquet"]


def test_a_failed_write_leaves_the_older_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, _ = assign_credit(_rows(), DATA_SCIENTIST, CreditConfig())
    path = write_credit(table, tmp_path / "c.parquet")
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(RunFailed, match="No space left"):
        write_credit(table, path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [None, b"", b"PAR1 truncated"])
def test_a_missing_or_broken_table_gives_one_sentence(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "data_scientist.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"data_scientist\.parquet: .*credit"):
        read_credit(path)


def test_a_parquet_file_of_something_else_is_no_credit_table(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(UserError, match="not a credit table"):
        read_credit(tmp_path / "x.parquet")


def _tree() -> pd.DataFrame:
    """One step of one episode: four proposals, the first two implemented twice, the third equal to
    the first, the last unreadable; the first Engineer's turn has two calls. Tokens cost 0.01 a
    call.
    """
    proposals = {
        "1.d0": ("a", 0.20),
        "1.d1": ("b", -0.02),
        "1.d2": ("a", 0.20),
        "1.d3": ("?", -0.10),
    }
    gains = {"1.d0.e0": 0.30, "1.d0.e1": 0.0, "1.d1.e0": 0.0, "1.d1.e1": 0.0}
    lines: list[dict[str, object]] = [
        {
            "branch": branch,
            "call": 0,
            "role": DATA_SCIENTIST,
            "group": "g",
            "action": action,
            "reward": reward - 0.01,
            "reward_metric_delta": max(reward, 0.0),
        }
        for branch, (action, reward) in proposals.items()
    ]
    for branch, gain in gains.items():
        asked = branch.rpartition(".")[0]
        for call in range(2 if branch == "1.d0.e0" else 1):
            lines.append(
                {
                    "branch": branch,
                    "call": call,
                    "role": ML_ENGINEER,
                    "group": asked,
                    "action": proposals[asked][0],
                    "reward": gain - 0.01,
                    "reward_metric_delta": gain,
                }
            )
    return pd.DataFrame(lines).assign(episode="e", step=1, metrics_after="{}")


def test_the_return_of_a_proposal_is_the_mean_gain_of_its_and_its_equals_implementations() -> None:
    rows = _tree()
    np.testing.assert_allclose(team_returns(rows, DATA_SCIENTIST), [0.15, 0.0, 0.15, 0.0])
    np.testing.assert_allclose(team_returns(rows, ML_ENGINEER), [0.30, 0.30, 0.0, 0.0, 0.0])
    other_words = rows.assign(action=[*"abxy", *rows["action"][4:]])
    assert team_returns(other_words, DATA_SCIENTIST)[2] == 0.0
    other_words.loc[[0, 2], "metrics_after"] = '{"recall": 0.9}'
    np.testing.assert_allclose(team_returns(other_words, DATA_SCIENTIST), [0.15, 0.0, 0.15, 0.0])


def test_the_return_of_a_proposal_never_comes_from_another_iteration_or_episode() -> None:
    now = _tree()
    later = _tree().assign(reward_metric_delta=0.0, iteration=1)
    both = pd.concat([now.assign(iteration=0), later])
    np.testing.assert_allclose(
        team_returns(both, DATA_SCIENTIST), [0.15, 0.0, 0.15, 0.0] + [0.0] * 4
    )
    both = pd.concat([now, later.drop(columns="iteration").assign(episode="f")])
    np.testing.assert_allclose(
        team_returns(both, DATA_SCIENTIST), [0.15, 0.0, 0.15, 0.0] + [0.0] * 4
    )


def test_scale_step_reads_the_step_of_each_row() -> None:
    rewards = [
        4.0,
        6.0,
        -3.0,
        3.0,
        0.9,
        1.1,
        0.7,
        1.3,
    ]  # of two groups at step 0 and two at step 1, a tenth as wide
    rows = pd.DataFrame(
        {
            "reward": rewards,
            "group": list("aabbccdd"),
            "step": [0] * 4 + [1] * 4,
            "role": ML_ENGINEER,
        }
    )
    rows = rows.assign(episode="e", call=0, branch=[str(number) for number in range(8)])
    table, _ = assign_credit(rows, ML_ENGINEER, CreditConfig(scale=Scale.step, epsilon=1e-9))
    np.testing.assert_allclose(
        table["advantage"], np.tile([-1, 1, -3, 3], 2) / np.sqrt(5), rtol=1e-5
    )
    with pytest.raises(UserError, match="'step'"):
        assign_credit(rows.drop(columns="step"), ML_ENGINEER, CreditConfig(scale=Scale.step))


def test_stopping_is_charged_the_best_gain_that_its_group_found() -> None:
    """Two groups of three: beside the first stop something gained 0.4 and 0.1, beside the second
    nothing.
    """
    lines = [("a", "finished", 0.0, 0.0), ("a", "accepted", 0.4, 0.4), ("a", "accepted", 0.1, 0.1)]
    lines += [("b", "finished", 0.0, 0.0), ("b", "no_gain", -0.1, 0.0), ("b", "no_gain", -0.1, 0.0)]
    rows = pd.DataFrame(lines, columns=["group", "verdict", "reward", "reward_metric_delta"])
    rows = rows.assign(
        episode="e",
        step=0,
        call=0,
        role=DATA_SCIENTIST,
        branch=[f"0.d{number}" for number in range(6)],
    )
    options = {"scale": Scale.none, "clip": None}
    plain, _ = assign_credit(rows, DATA_SCIENTIST, CreditConfig(**options))
    charged, _ = assign_credit(rows, DATA_SCIENTIST, CreditConfig(**options, regret=0.5))
    np.testing.assert_allclose(
        plain["advantage"][:3], np.array([0.0, 0.4, 0.1]) - 0.5 / 3, rtol=1e-5
    )
    np.testing.assert_allclose(
        charged["advantage"][:3], np.array([-0.2, 0.4, 0.1]) - 0.1, atol=1e-6
    )
    np.testing.assert_allclose(charged["advantage"][3:], plain["advantage"][3:])
    with pytest.raises(UserError, match="'verdict'"):
        assign_credit(rows.drop(columns="verdict"), DATA_SCIENTIST, CreditConfig(regret=0.5))


def test_alpha_mixes_own_reward_and_team_return_each_by_its_own_deviation() -> None:
    own = (
        np.array([0.20, -0.02, 0.20, -0.10]) - 0.07
    )  # the token cost is the same for all, so it drops out
    team = np.array([0.15, 0.0, 0.15, 0.0]) - 0.075
    for alpha in (0.0, 0.25, 1.0):
        table, _ = assign_credit(_tree(), DATA_SCIENTIST, CreditConfig(alpha=alpha, epsilon=1e-9))
        expected = (1 - alpha) * own / np.sqrt(np.mean(own**2)) + alpha * team / 0.075
        np.testing.assert_allclose(table["advantage"], expected, rtol=1e-5)
    raw, _ = assign_credit(
        _tree(), DATA_SCIENTIST, CreditConfig(alpha=0.5, scale=Scale.none, leave_one_out=True)
    )
    np.testing.assert_allclose(raw["advantage"], (own + team) / 2 * 4 / 3, rtol=1e-5)


def test_the_mix_is_cut_and_not_its_parts() -> None:
    whole, _ = assign_credit(_tree(), DATA_SCIENTIST, CreditConfig(alpha=0.25, clip=None))
    cut, stats = assign_credit(_tree(), DATA_SCIENTIST, CreditConfig(alpha=0.25, clip=1.0))
    np.testing.assert_allclose(cut["advantage"], whole["advantage"].clip(-1, 1))
    assert stats["clipped_rows"] == (whole["advantage"].abs() > 1).sum() > 0


def test_a_group_is_dropped_only_if_neither_own_reward_nor_team_return_tells_its_turns_apart() -> (
    None
):
    rows = _tree()
    rows.loc[rows["group"] == "1.d0", "reward"] = 0.0
    rows.loc[rows["branch"] == "1.d1.e1", "reward"] = -0.5

    def dropped(alpha: float) -> list[str]:
        table, stats = assign_credit(rows, ML_ENGINEER, CreditConfig(alpha=alpha))
        assert stats["kept_groups"] == table.loc[table["kept"], "group"].nunique()
        assert stats["zero_variance_share"] == 1 - stats["kept_groups"] / 2
        assert (table["advantage"][~table["kept"]] == 0).all()
        return sorted(
            set(table.loc[~table["kept"], "group"] + " " + table.loc[~table["kept"], "reason"])
        )

    assert dropped(0.0) == [
        "1.d0 zero_variance"
    ]  # own rewards alike, but one implementation gained
    assert dropped(0.5) == []
    assert dropped(1.0) == ["1.d1 zero_variance"]  # nothing gained, whatever the own rewards


def test_without_alpha_the_teams_columns_are_not_needed_and_with_it_a_missing_one_is_named() -> (
    None
):
    assign_credit(_rows(), DATA_SCIENTIST, CreditConfig())
    with pytest.raises(UserError, match=r"'step', which credit\.alpha"):
        assign_credit(_rows(), DATA_SCIENTIST, CreditConfig(alpha=0.5))
    assert assign_credit(_tree().iloc[:0], DATA_SCIENTIST, CreditConfig(alpha=0.5))[1]["rows"] == 0


def test_each_role_is_scaled_by_its_own_deviation() -> None:
    rows = _tree()
    rows.loc[rows["role"] == ML_ENGINEER, "reward"] *= 1000
    before, _ = assign_credit(_tree(), DATA_SCIENTIST, CreditConfig())
    after, _ = assign_credit(rows, DATA_SCIENTIST, CreditConfig())
    pd.testing.assert_frame_equal(before, after)
    assert before["advantage"].std(ddof=0) == pytest.approx(1, abs=1e-4)


def test_credit_needs_no_torch() -> None:
    code = "import sys, marl_llm.credit; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""An interrupted episode goes on from the completions sampled before: none is sampled again,
nothing else changes.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from marl_llm.core.errors import RunFailed
from marl_llm.rollout.collect import Collector
from marl_llm.rollout.episode import Team
from marl_llm.rollout.executors import LocalExecutor
from marl_llm.rollout.journal import UNFINISHED, EpisodeJournal, JournaledPolicy, Spent
from marl_llm.rollout.meter import Meter
from marl_llm.rollout.policies import Ask, Policy, PolicyInfo, ScriptedPolicy
from marl_llm.rollout.progress import Progress
from marl_llm.rollout.summary import read_summaries
from marl_llm.serving import Completion
from marl_llm.trajectories import finished_episodes, read_rows, write_manifest
from tests.lent_sandbox import LentSandbox
from tests.rollout.test_collect import PLANS
from tests.rollout.test_collect import SETTINGS as LARGER

SETTINGS = replace(
    LARGER, rollout=LARGER.rollout.model_copy(update={"proposals": 2, "implementations": 1})
)
TIMES = ["latency_s", "evaluation_s", "analysis_cpu_s", "created_at"]


class Sampled:
    """The scripted agent, as if sampled: its replies have tokens. Its server dies after `answers`
    replies.
    """

    info = PolicyInfo("sampled", 3, "abc")

    def __init__(self, answers: int = 10**6) -> None:
        self.seeds: list[int] = []
        self._answers, self._scripted = answers, ScriptedPolicy(0.4)

    async def reply(self, ask: Ask) -> Completion:
        if len(self.seeds) == self._answers:
            raise RunFailed("the model server ended.")
        self.seeds.append(ask.seed)
        reply = await self._scripted.reply(ask)
        return replace(
            reply,
            prompt_ids=[1, 2],
            completion_ids=[3, ask.seed],
            logprobs=[-0.1, -1 / 3],
            latency_s=0.5,
        )


def collect(directory: Path, policy: Policy, meter: Meter | None = None) -> None:
    collector = Collector(
        directory, LocalExecutor(Team(policy, policy), LentSandbox(), meter), SETTINGS
    )
    asyncio.run(collector.collect(PLANS[:1], Progress("test")))


def rows_of(directory: Path) -> pd.DataFrame:
    return read_rows(directory).drop(columns=TIMES)


@pytest.fixture(scope="module")
def undisturbed(sandbox, tmp_path_factory) -> tuple[Path, Sampled]:
    directory, policy = tmp_path_factory.mktemp("undisturbed"), Sampled()
    collect(directory, policy)
    return directory, policy


def test_an_interrupted_episode_samples_nothing_again_and_its_rows_are_those_of_an_undisturbed_one(
    undisturbed, tmp_path
):
    whole, all_at_once = undisturbed
    first, second = Sampled(answers=len(all_at_once.seeds) // 2), Sampled()
    with pytest.raises(RunFailed):
        collect(tmp_path, first)
    assert finished_episodes(tmp_path) == set() and (tmp_path / UNFINISHED / "e0.jsonl").is_file()
    collect(tmp_path, second)
    assert sorted(first.seeds + second.seeds) == sorted(all_at_once.seeds)
    pd.testing.assert_frame_equal(rows_of(tmp_path), rows_of(whole), check_exact=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in whole.iterdir())


def test_a_journal_confuses_no_reader_of_the_directory_and_goes_with_the_episode(
    undisturbed, tmp_path
):
    whole, _ = undisturbed
    for part in whole.iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    with (
        EpisodeJournal(tmp_path, "e0") as left,
        EpisodeJournal(tmp_path, "e1") as unfinished,
    ):  # killed before `remove`
        left.add("key", Completion("a", [1], [2], [-1.0], "stop", 0.1), Spent())
        unfinished.add("key", Completion("a", [1], [2], [-1.0], "stop", 0.1), Spent())
    assert finished_episodes(tmp_path) == {"e0"} and write_manifest(tmp_path)["episodes"] == 1
    pd.testing.assert_frame_equal(rows_of(tmp_path), rows_of(whole))
    collect(tmp_path, Sampled(answers=0))
    assert [p.name for p in (tmp_path / UNFINISHED).iterdir()] == ["e1.jsonl"]


def test_a_line_cut_short_by_a_kill_is_ignored_and_the_next_one_is_whole(tmp_path):
    one = Completion('a "quote"\n\ud800', [1, 2], [3], [-0.1], "stop", 0.25)
    with EpisodeJournal(tmp_path, "e") as journal:
        journal.add("one", one, Spent(2.0, 3.0))
        journal.add("two", one, Spent(4.0, 5.0))
    path = tmp_path / UNFINISHED / "e.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    with EpisodeJournal(tmp_path, "e") as journal:
        assert journal.kept == {"one": one} and journal.spent == Spent(2.0, 3.0)
        journal.add("three", one, Spent())
    assert list(EpisodeJournal(tmp_path, "e").kept) == ["one", "three"]


def asked_again(
    directory: Path, ask: Ask, sampling: str = "t", info: PolicyInfo = Sampled.info
) -> bool:
    """Whether a new process samples this, after one that sampled the ask of seed 1."""
    policy = Sampled()
    policy.info = info
    with EpisodeJournal(directory, "e") as journal:
        asyncio.run(JournaledPolicy(policy, journal, sampling, Spent).reply(ask))
    return bool(policy.seeds)


def test_only_the_same_request_to_the_same_weights_is_answered_from_the_journal(tmp_path, env):
    from marl_llm.agents.prompts import PromptConfig
    from marl_llm.rollout.turns import TurnContext

    now = TurnContext(env, PromptConfig()).situation(env.reset())
    ask = Ask("data_scientist", [{"role": "user", "content": "a"}], 1, now)
    assert asked_again(tmp_path, ask) and not asked_again(tmp_path, ask)
    assert asked_again(tmp_path, replace(ask, seed=2))
    assert asked_again(tmp_path, replace(ask, messages=[{"role": "user", "content": "b"}]))
    assert asked_again(tmp_path, ask, sampling="other")
    assert asked_again(tmp_path, ask, info=PolicyInfo("sampled", 3, "other weights"))
    assert asked_again(tmp_path, ask, info=PolicyInfo("another", 3, "abc"))


def test_what_the_first_attempt_took_counts_and_the_start_of_the_server_once(tmp_path, monkeypatch):
    monkeypatch.setattr("marl_llm.rollout.executors.local._SETTLE_EVERY_S", 0.0)
    clock = iter(range(0, 10**6, 100))  # 100 CPU seconds between any two readings
    with pytest.raises(RunFailed):
        collect(
            tmp_path, Sampled(answers=3), meter=Meter(lambda: float(next(clock)), startup_s=5000)
        )
    spent = EpisodeJournal(tmp_path, "e0").spent
    assert spent.cpu_s > 5000
    collect(tmp_path, Sampled(), meter=Meter(lambda: 0.0, startup_s=5000))
    cost = read_summaries(tmp_path)[0]
    assert cost.cpu_s is not None and cost.wall_s is not None
    assert spent.cpu_s < cost.cpu_s < 9000 and cost.wall_s > spent.wall_s


def test_scripted_replies_are_not_worth_keeping(tmp_path):
    class Ends(ScriptedPolicy):
        async def reply(self, ask: Ask) -> Completion:
            if ask.role == "ml_engineer":
                raise RunFailed("ended.")
            return await super().reply(ask)

    with pytest.raises(RunFailed):
        collect(tmp_path, Ends())
    assert not (tmp_path / UNFINISHED).exists()


def test_a_disk_that_takes_no_journal_is_said_so(tmp_path):
    (tmp_path / UNFINISHED).write_text("in the way")
    with pytest.raises(
        RunFailed, match=r"e0.jsonl: cannot be written .*; free some space and run again"
    ):
        collect(tmp_path, Sampled())


def test_a_journal_is_json_lines_with_tokens_and_logprobs(tmp_path):
    with EpisodeJournal(tmp_path, "e") as journal:
        journal.add("k", Completion("a", [1], [2, 3], [-0.1, -1 / 3], "stop", 0.5), Spent(1.0, 2.0))
    line = json.loads((tmp_path / UNFINISHED / "e.jsonl").read_text())
    assert line["completion"]["completion_ids"] == [2, 3] and line["completion"]["logprobs"] == [
        -0.1,
        -1 / 3,
    ]

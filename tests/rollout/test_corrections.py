"""Turns in which the Data Scientist corrects an invalid action: what it reads, what the rows hold,
what it costs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from marl_llm.agents.prompts import PromptConfig
from marl_llm.agents.style import PromptStyle
from marl_llm.core.kind import Kind
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.environment import Suggestion, TeamEnv
from marl_llm.rewards import RewardConfig
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.episode import EpisodePlayer, EpisodeResult, Team
from marl_llm.rollout.policies import Ask, PolicyInfo
from marl_llm.rollout.rows import EpisodeKey
from marl_llm.rollout.turns import Turn, TurnContext, data_scientist_turn
from marl_llm.sandbox import Sandbox
from marl_llm.serving import Completion, PromptTooLong
from tests.fixtures import CONFIG, small_task
from tests.rewards.scored import scored

PROMPTS = PromptConfig()
FOREST = "```python\nest = RandomForestClassifier(n_estimators=30)\n```"
REWARDS = RewardConfig()


class Saying:
    """Replies in order, of three prompt tokens and two new ones each; at call `too_long` the prompt
    no longer fits.
    """

    info = PolicyInfo("saying")

    def __init__(self, *replies: str, too_long: int | None = None) -> None:
        self.replies, self.asked, self._too_long = list(replies), [], too_long

    async def reply(self, ask: Ask) -> Completion:
        if len(self.asked) == self._too_long:
            raise PromptTooLong(1024, 64)
        self.asked.append(ask)
        return Completion(self.replies.pop(0), [1, 2, 3], [4, 5], [-0.5, -0.1], "stop", 0.01)


@pytest.fixture
def make(sandbox: Sandbox) -> Iterator[Callable[..., TeamEnv]]:
    """Makes environments of the binary task, and closes them."""
    made: list[TeamEnv] = []

    def one(**changes) -> TeamEnv:
        made.append(
            TeamEnv(
                small_task(Kind.binary), sandbox, CONFIG.model_copy(update={"steps": 1, **changes})
            )
        )
        return made[-1]

    yield one
    for env in made:
        env.close()


def turn(env: TeamEnv, policy: Saying) -> tuple[Suggestion, Turn]:
    done = asyncio.run(
        data_scientist_turn(TurnContext(env, PromptStyle(PROMPTS)), env.reset(), policy, 0)
    )
    assert done.suggestion is not None
    return done.suggestion, done


def play(env: TeamEnv, scientist: Saying, engineer: Saying) -> EpisodeResult:
    key = EpisodeKey("run", 0, env.task.name, "e", 1.0)
    config = RolloutConfig(proposals=1, implementations=1)
    player = EpisodePlayer(
        TurnContext(env, PromptStyle(PROMPTS)), Team(scientist, engineer), config, key, 0
    )
    return asyncio.run(player.play())


def test_an_episode_of_an_untrained_pair_that_first_speaks_nonsense_and_then_corrects_itself(make):
    env = make(corrections=1, repairs=1)
    line = next(i for i, text in enumerate(env.reset().code.split("\n"), 1) if "est =" in text)
    scientist = Saying("Propose_Model est = RandomForestRegressor()", FOREST)
    engineer = Saying(
        "I would use a forest.", f"```\n{line}: est = RandomForestClassifier(n_estimators=30)\n```"
    )
    result = play(env, scientist, engineer)
    assert (
        result.last.spec.estimator == "RandomForestClassifier" and result.steps[0].outcome.accepted
    )
    refused, proposed, unread, written = result.rows
    assert [row.call for row in result.rows] == [0, 1, 0, 1]
    asked, said, told = json.loads(proposed.messages)
    assert [asked] == json.loads(refused.messages) and said[
        "content"
    ] == "Propose_Model est = RandomForestRegressor()"
    assert told == {
        "role": "user",
        "content": "error: 'RandomForestRegressor' is no estimator for a binary target, "
        "did you mean RandomForestClassifier?",
    }
    assert [row.forgiven for row in result.rows] == [
        "case",
        "fence bare_estimator",
        "",
        "fence edit_sign",
    ]
    assert {row.verdict for row in result.rows} == {
        "accepted"
    } and refused.action == proposed.action
    assert json.loads(written.messages)[-1]["content"].startswith(
        "error: the reply holds neither line edits"
    )
    assert not unread.refused and not written.refused


def test_a_refused_call_pays_what_an_invalid_action_costs_and_shares_what_its_correction_earned(
    make,
):
    env, engineer = (
        make(corrections=1),
        Saying("1 = def build_pipeline():", "1 = def build_pipeline():"),
    )
    rows = [
        row for row in play(env, Saying("hm", FOREST), engineer).rows if row.role == DATA_SCIENTIST
    ]
    refused, proposed = scored(rows, REWARDS)
    assert (
        refused.reward_refusal == pytest.approx(-REWARDS.invalid_penalty)
        and proposed.reward_refusal == 0
    )
    assert refused.reward_metric_delta == proposed.reward_metric_delta > 0.05
    assert refused.reward_invalid == proposed.reward_invalid == 0
    assert refused.reward_token_cost == proposed.reward_token_cost < 0
    assert proposed.reward - refused.reward == pytest.approx(REWARDS.invalid_penalty)


def earned(env: TeamEnv, *replies: str) -> float:
    """The mean reward of a Data Scientist's turn, as credit compares turns."""
    engineer = Saying(*["1 = def build_pipeline():"] * 2)
    rows = [row for row in play(env, Saying(*replies), engineer).rows if row.role == DATA_SCIENTIST]
    return sum(row.reward for row in scored(rows, REWARDS)) / len(rows)


def test_right_at_once_is_worth_more_than_corrected_and_that_more_than_wrong_twice(make):
    weak = "propose_model est = DecisionTreeClassifier(max_depth=2)"
    env = make(corrections=1)
    at_once, corrected, repeated = (
        earned(env, weak),
        earned(env, "hm", weak),
        earned(env, "hm", "hm"),
    )
    assert at_once > corrected > repeated
    assert earned(make(), "hm") > repeated  # wrong once, and not asked again


@pytest.mark.parametrize("corrections", [0, 1, 2])
def test_an_invalid_action_is_corrected_as_often_as_the_recipe_says(make, corrections):
    policy = Saying(*["hm"] * (corrections + 1))
    suggestion, done = turn(make(corrections=corrections), policy)
    assert len(policy.asked) == corrections + 1 and suggestion.problem.startswith("no action found")
    assert [call.refused for call in done.calls] == [True] * corrections + [False]
    assert [len(ask.messages) for ask in policy.asked] == [
        1 + 2 * i for i in range(corrections + 1)
    ]
    assert len({ask.seed for ask in policy.asked}) == corrections + 1


def test_a_redundant_suggestion_is_valid_and_gets_no_correction(make):
    suggestion, done = turn(make(corrections=1), Saying("tune C=1.0"))
    assert suggestion.redundant and len(done.calls) == 1


def test_analyses_and_corrections_are_counted_apart(make):
    policy = Saying("analyze target x0", "hm", "tune C=0.3")
    suggestion, done = turn(make(corrections=1), policy)
    assert suggestion.text == "tune C=0.3" and [call.refused for call in done.calls] == [
        False,
        True,
        False,
    ]
    assert [ask.may_analyze for ask in policy.asked] == [True, False, False]
    before = turn(make(corrections=1), Saying("hm", "analyze target x0", "tune C=0.3"))
    assert before[0].text == "tune C=0.3" and before[1].calls[1].evaluation_s >= 0


def test_an_analysis_too_many_is_not_made_but_corrected(make):
    env = make(corrections=1)
    policy = Saying("analyze target x0", "analyze models", "tune C=0.3")
    suggestion, done = turn(env, policy)
    assert (
        suggestion.text == "tune C=0.3"
        and not suggestion.looked
        and done.calls[1].evaluation_s == 0
    )
    assert (
        policy.asked[2]
        .messages[-1]["content"]
        .startswith("error: too many analyses in one turn: answer with")
    )


def test_a_correction_that_no_longer_fits_the_prompt_leaves_the_invalid_action_and_its_price(make):
    suggestion, done = turn(make(corrections=1), Saying("hm", too_long=1))
    assert suggestion.problem.startswith("no action found") and [
        call.refused for call in done.calls
    ] == [False]


def test_marks_of_chat_templates_in_a_reply_do_not_come_back_in_the_correction(make):
    policy = Saying("tune <|im_end|>=3", "finish")
    turn(make(corrections=1), policy)
    assert "<|" not in policy.asked[1].messages[-1]["content"]


def test_without_corrections_memory_shows_of_an_invalid_reply_what_it_always_showed(
    make,
):
    env = make()
    state = env.reset()
    for reply in ("tune C=much", "propose_model est = SVC(C=x1)"):
        assert env.read(state, reply).text == reply  # unreadable to the strict parser
    assert env.read(state, "tune depth=3").text == "tune depth=3"
    assert replace(env.read(state, "Tune C=0.3"), forgiven=()) == env.read(state, "tune C=0.3")


def test_engineers_rows_say_what_was_forgiven(make):
    rows = play(make(), Saying(FOREST), Saying("```\n1 = def build_pipeline():\n```")).rows
    assert [row.forgiven for row in rows if row.role == ML_ENGINEER] == ["fence"]

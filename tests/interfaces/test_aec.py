"""The team as a PettingZoo environment: PettingZoo's own tests, the order of play, and how an
episode ends.
"""

from __future__ import annotations

import warnings

import pytest
from pettingzoo.test import api_test, seed_test

from marl_llm.core.errors import UserError
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.interfaces import TeamAECEnv
from marl_llm.rewards import RewardConfig

OF_TEXTS_AND_NAMES = {
    "Observation is not a NumPy array",
    "Observation space for each agent probably should be gymnasium.spaces.box or "
    "gymnasium.spaces.discrete",
    "Action space for each agent probably should be gymnasium.spaces.box or "
    "gymnasium.spaces.discrete",
    'We recommend agents to be named in the format <descriptor>_<number>, like "player_0"',
}
FOREST = "propose_model est = RandomForestClassifier()"
RIGHT, WRONG, UNREADABLE = (
    "8 = est = RandomForestClassifier()",
    "8 = est = Forest()",
    "I would rather not.",
)
ANALYSIS = 'analyze target ["x0"]'


def play(env, *replies: str, seed: int = 0) -> list[tuple]:
    """Give the replies in turn, and nothing to agents that are done; what `last()` said before
    each.
    """
    env.reset(seed=seed)
    seen, left = [], list(replies)
    for agent in env.agent_iter():
        observation, reward, terminated, truncated, info = env.last()
        seen.append((agent, str(observation), reward, terminated, truncated, info))
        if not (terminated or truncated) and not left:
            break
        env.step(None if terminated or truncated else left.pop(0))
    return seen


def agents(seen: list[tuple]) -> str:
    """Who was asked: d and e; capitals for agents that are done."""
    letters = {DATA_SCIENTIST: "d", ML_ENGINEER: "e"}
    return "".join(
        letters[a].upper() if done or cut else letters[a] for a, _, _, done, cut, _ in seen
    )


def test_pettingzoos_api_test_passes_and_warns_only_of_texts_and_names(make_fresh_env):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        api_test(make_fresh_env(), num_cycles=20)
    told = {str(w.message) for w in caught if w.filename.endswith("api_test.py")}
    assert told == OF_TEXTS_AND_NAMES


def test_pettingzoos_api_test_passes_on_an_episode_in_which_both_agents_act(make_env, monkeypatch):
    env = make_env()
    monkeypatch.setattr(
        env.action_space(DATA_SCIENTIST), "sample", iter([FOREST, ANALYSIS, "finish"] * 9).__next__
    )
    monkeypatch.setattr(env.action_space(ML_ENGINEER), "sample", iter([WRONG, RIGHT] * 9).__next__)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        api_test(env, num_cycles=20)


def test_pettingzoos_seed_test_passes(make_fresh_env):
    seed_test(make_fresh_env, num_cycles=20)


def test_a_proposal_goes_to_the_engineer_and_an_accepted_one_becomes_the_solution(make_env):
    env = make_env()
    seen = play(env, FOREST, RIGHT, "finish")
    assert agents(seen) == "dedDE"
    engineer, scientist = seen[1], seen[2]
    assert engineer[1].endswith(f"proposal: {FOREST}")
    assert "RandomForestClassifier()" in env.team_state.code
    assert f"kept {scientist[5]['outcome']['skill_gain']:+.2f} {FOREST}" in scientist[1]
    assert scientist[5]["outcome"]["verdict"] == "accepted" and scientist[2] > 0.1 < seen[4][2]


def test_both_agents_are_told_what_became_of_their_step(make_env):
    *_, scientist, engineer = play(make_env(), FOREST, RIGHT, "finish")
    told = engineer[5]["outcome"]
    assert told["verdict"] == "accepted" and told["compliance"] == 1 and told["significant"] is True
    assert told["skill_gain"] == told["reference_gain"] == told["step_gain"]
    assert told["score_after"] - told["score_before"] == pytest.approx(told["skill_gain"])
    assert set(told["metrics_after"]) == set(told["metrics_before"]) != set()
    assert (scientist[5]["outcome"]["step"], scientist[5]["outcome"]["verdict"]) == (1, "finished")


def test_a_turn_is_read_whole_with_the_answer_to_its_analysis(make_env):
    prompt, answered = play(make_env(), ANALYSIS)
    head, reply, answer = answered[1].rsplit("\n", 2)
    assert head == prompt[1] and reply == ANALYSIS and answer.startswith("answer: x0 ")
    assert [m["role"] for m in answered[5]["messages"]] == ["user", "assistant", "user"]
    assert "\n".join(m["content"] for m in answered[5]["messages"]) == answered[1]


def test_more_analyses_than_allowed_end_the_turn_as_invalid(make_env):
    seen = play(make_env(), ANALYSIS, ANALYSIS)
    assert agents(seen) == "ddd"
    outcome = seen[2][5]["outcome"]
    assert outcome["verdict"] == "invalid" and outcome["problem"].startswith(
        "too many analyses in one turn"
    )


def test_an_invalid_action_is_corrected_in_the_same_turn_and_paid_for(make_env):
    seen = play(
        make_env(corrections=1), "what?", "tune C=0.3", "8 = est = LogisticRegression(C=0.3)"
    )
    assert agents(seen) == "dded" and seen[1][1].rsplit("\n", 1)[1].startswith(
        "error: no action found; start with"
    )
    assert (
        seen[3][5]["rewards"]["refusal"] == -0.1 and seen[3][5]["outcome"]["verdict"] == "no_gain"
    )
    assert seen[3][2] == pytest.approx(sum(seen[3][5]["rewards"].values()))


def test_the_engineer_may_repair_once_and_then_the_step_is_judged(make_env):
    repaired = play(make_env(), FOREST, WRONG, RIGHT)
    assert agents(repaired) == "deed" and repaired[3][5]["outcome"]["verdict"] == "accepted"
    assert repaired[2][1].startswith(repaired[1][1]) and "error: NameError" in repaired[2][1]
    failed = play(make_env(), FOREST, WRONG, UNREADABLE)
    assert agents(failed) == "deed" and failed[3][5]["outcome"]["verdict"] == "failed"


def test_code_that_gets_further_before_it_fails_costs_the_engineer_less(make_env):
    def failure(*replies: str) -> float:
        seen = play(make_env(steps=1), FOREST, *replies)
        assert agents(seen) == "deeED"
        return seen[3][5]["rewards"]["failure"]

    assert failure(WRONG, UNREADABLE) < failure(UNREADABLE, WRONG) < 0


@pytest.mark.parametrize(
    "reply", ["", "what?", "tune C=-1", "propose_model est = LogisticRegression()"]
)
def test_what_cannot_or_need_not_be_built_does_not_reach_the_engineer(make_env, reply):
    seen = play(make_env(), reply)
    assert agents(seen) == "dd"
    assert seen[1][5]["outcome"]["verdict"] in ("invalid", "redundant") and seen[1][2] < -0.04


def test_an_episode_ends_with_its_last_step(make_env):
    seen = play(make_env(), "what?", "what?", "what?")
    assert agents(seen) == "dddDE"
    assert [s[5]["outcome"]["step"] for s in seen[1:4]] == [0, 1, 2]
    assert seen[4][5] == {"rewards": {}} and seen[4][2] == 0


def test_an_agent_is_told_of_its_own_last_turn_and_only_once(make_env):
    seen = play(make_env(), FOREST, WRONG, WRONG, "what?", "tune C=3.0", RIGHT)
    assert agents(seen) == "deeddeED"
    assert [s[5].get("outcome", {}).get("step") for s in seen] == [None, None, None, 0, 1, 0, 2, 2]
    assert (
        seen[6][5]["outcome"]["verdict"] == "not_as_asked"
        and seen[6][5]["outcome"]["compliance"] < 1
    )


def test_the_components_told_add_up_to_the_reward(make_env):
    seen = play(make_env(), ANALYSIS, FOREST, WRONG, RIGHT, "what?", FOREST)
    assert agents(seen) == "ddeeddDE"
    for _, _, reward, *_, info in seen:
        assert sum(info["rewards"].values()) == pytest.approx(reward)
        assert info["rewards"] == {} or info["rewards"]["token_cost"] < 0


def test_each_call_pays_for_what_it_read_and_wrote(make_env):
    rewards = RewardConfig(prompt_token_price=0.5, completion_token_price=10)
    seen = play(make_env(rewards=rewards, count=len), ANALYSIS, "finish")
    assert agents(seen) == "ddDE"
    assert seen[1][2] == -(0.5 * len(seen[0][1]) + 10 * len(ANALYSIS))
    assert seen[2][2] == -(0.5 * len(seen[1][1]) + 10 * len("finish"))


def test_an_analysis_that_fits_models_is_paid_for_in_processor_time(make_env):
    env = make_env(
        rewards=RewardConfig(prompt_token_price=0, completion_token_price=0, cpu_second_price=0.01)
    )
    seen = play(env, "analyze models", "finish")
    assert seen[1][2] == 0 and env.team_env.screen().seconds > 0
    assert seen[2][2] == pytest.approx(-0.01 * env.team_env.screen().seconds)


def test_too_many_calls_truncate_both_and_an_unfinished_turn_earns_nothing(make_env):
    seen = play(make_env(max_calls=2), FOREST, WRONG)
    assert agents(seen) == "deED"
    assert not any(terminated for *_, terminated, _, _ in seen) and seen[2][4] and seen[3][4]
    assert list(seen[2][5]["rewards"]) == list(seen[3][5]["rewards"]) == ["token_cost"]


def test_an_episode_that_ends_with_its_last_call_is_terminated_and_not_truncated(make_env):
    seen = play(make_env(max_calls=1), "finish")
    assert agents(seen) == "dDE" and all(s[3] and not s[4] for s in seen[1:])


def test_long_observations_lose_their_middle_and_messages_nothing(make_env):
    env = make_env(max_characters=160)
    seen = play(env, FOREST)
    for agent, text, *_, info in seen:
        assert env.observation_space(agent).contains(text) and "characters left out" in text
        assert len(info["messages"][0]["content"]) > 200
    assert seen[1][1].endswith(f"proposal: {FOREST}")


def test_the_same_seed_gives_the_same_episode_and_another_seed_other_sampling_seeds(make_fresh_env):
    env, replies = make_fresh_env(), (ANALYSIS, FOREST, WRONG, RIGHT, "finish")
    first, again, other = (play(env, *replies, seed=seed) for seed in (5, 5, 6))
    assert first == again == play(make_fresh_env(), *replies, seed=5)
    seeds, others = ([s[5]["seed"] for s in seen if "seed" in s[5]] for seen in (first, other))
    assert len(seeds) == 5 and not set(seeds) & set(others)
    assert [s[:5] for s in first] == [s[:5] for s in other]


def test_without_a_seed_the_episodes_seeds_follow_from_the_environments(make_fresh_env):
    def sampling_seeds(env) -> list[int]:
        seeds = []
        for _ in range(3):
            env.reset()
            seeds.append(env.last()[4]["seed"])
        return seeds

    seeds = sampling_seeds(make_fresh_env())
    assert len(set(seeds)) == 3 and seeds == sampling_seeds(make_fresh_env()) != sampling_seeds(
        make_fresh_env(seed=1)
    )


def test_the_episode_is_rendered_as_text_and_nothing_is_printed(make_env, capsys):
    env = make_env()
    play(env, FOREST, WRONG, WRONG)
    text = env.render()
    assert text.startswith("small-binary: 1 of 3 steps done, data_scientist to answer\nscore 0.")
    assert env.team_state.code in text and text.endswith(f"failed {FOREST}")
    play(env, "finish")
    assert "1 of 3 steps done, over" in env.render()
    assert capsys.readouterr().out == ""
    assert env.render_mode in env.metadata["render_modes"]


def test_agents_and_spaces_are_as_pettingzoo_wants_them(make_env):
    env = make_env()
    assert env.possible_agents == [DATA_SCIENTIST, ML_ENGINEER] and env.agents == []
    for agent in env.possible_agents:
        assert env.action_space(agent) == env.observation_space(DATA_SCIENTIST)
    env.reset()
    assert env.observe(ML_ENGINEER) == "" and env.observe(DATA_SCIENTIST).startswith(
        "role: data scientist"
    )


def test_misuse_is_answered_with_a_sentence(make_fresh_env):
    env = make_fresh_env()
    with pytest.raises(UserError, match=r"call reset\(\)"):
        env.step("finish")
    with pytest.raises(UserError, match=r"call reset\(\)"):
        env.render()
    env.reset()
    with pytest.raises(
        UserError,
        match="the action of data_scientist must be its reply, a text, and is of type int",
    ):
        env.step(3)
    env.close()
    with pytest.raises(UserError, match=r"call reset\(\)"):
        env.step("finish")
    with pytest.raises(UserError, match="max_calls is 0"):
        TeamAECEnv(env.team_env, max_calls=0)


def test_closing_releases_the_task_and_leaves_the_sandbox_to_its_owner(make_fresh_env, monkeypatch):
    env, closed = make_fresh_env(), []
    monkeypatch.setattr(env.team_env, "close", lambda: closed.append(True))
    env.close()
    assert closed == [True]
    assert agents(play(make_fresh_env(), FOREST, RIGHT, "finish")) == "dedDE"


def test_a_region_is_searched_before_the_engineer_reads_the_proposal(make_env):
    seen = play(make_env(), "tune C=between(0.01, 10.0), budget=3")
    assert agents(seen) == "de"
    asked = seen[1][1].rsplit("\n", 1)[-1]
    assert asked.startswith("proposal: tune C=") and "between" not in asked

"""Episodes that merge their branches, are stopped or go on; turns that screen models; Engineers
that write blends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from marl_llm.agents.prompts import (
    PromptConfig,
    data_scientist_prompt,
    functions_at_hand,
    proposal_text,
)
from marl_llm.agents.style import PromptStyle
from marl_llm.core.kind import Kind
from marl_llm.environment import State, Suggestion, TeamEnv, Verdict
from marl_llm.proposals import Finish, PipelineSpec, generate_code
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.episode import EpisodePlayer, EpisodeResult, Team
from marl_llm.rollout.policies import Ask, PolicyInfo, ScriptedPolicy
from marl_llm.rollout.rows import EpisodeKey
from marl_llm.rollout.turns import (
    SCREENED_LINES,
    Turn,
    TurnContext,
    data_scientist_turn,
    engineer_turn,
)
from marl_llm.sandbox import Sandbox
from marl_llm.serving import Completion, PromptTooLong
from tests.fixtures import CONFIG, small_task

PROMPTS = PromptConfig(instructions=False)
FOREST = "propose_model est = RandomForestClassifier(n_estimators=30)"
BAYES, TREE = (
    "propose_model est = GaussianNB()",
    "propose_model est = DecisionTreeClassifier(max_depth=2)",
)


class Saying:
    """Replies in the order in which it is asked; `too_long`: the question at which the prompt no
    longer fits.
    """

    info = PolicyInfo("saying")

    def __init__(self, *replies: str, too_long: int | None = None) -> None:
        self.replies, self.asked, self._too_long = list(replies), [], too_long

    async def reply(self, ask: Ask) -> Completion:
        if len(self.asked) == self._too_long:
            raise PromptTooLong(1024, 64)
        self.asked.append(ask)
        return Completion(self.replies.pop(0), [], [], [], "stop", 0.0)


@pytest.fixture
def make(sandbox: Sandbox) -> Iterator[Callable[..., TeamEnv]]:
    """Makes environments of the binary task, and closes them."""
    made: list[TeamEnv] = []

    def one(**changes) -> TeamEnv:
        made.append(TeamEnv(small_task(Kind.binary), sandbox, CONFIG.model_copy(update=changes)))
        return made[-1]

    yield one
    for env in made:
        env.close()


def player(
    env: TeamEnv,
    *replies: str,
    proposals: int = 2,
    advance: str = "merged",
    looked: float = 0.0,
    seed: int = 0,
    **more,
) -> EpisodePlayer:
    config = RolloutConfig(proposals=proposals, implementations=1, advance=advance, looked=looked)  # type: ignore[arg-type]
    team = Team(Saying(*replies), ScriptedPolicy())
    key = EpisodeKey("run", 0, env.task.name, "e", 1.0)
    return EpisodePlayer(TurnContext(env, PromptStyle(PROMPTS)), team, config, key, seed, **more)


def play(env: TeamEnv, *replies: str, **more) -> EpisodeResult:
    start = more.pop("start", None)
    return asyncio.run(player(env, *replies, **more).play(start=start))


def lines(state: State) -> list[str]:
    return [entry.line() for entry in state.memory.entries]


def test_a_merged_episode_goes_on_from_the_best_gain_and_remembers_what_the_others_found(make):
    result = play(make(steps=2), BAYES, FOREST)
    assert (
        result.last.spec.estimator == "RandomForestClassifier"
        and result.last.finished
        and result.last.step == 2
    )
    assert len(result.steps) == 1 and result.steps[0].outcome.accepted
    kept, other = lines(result.last)
    assert (
        kept.startswith("kept +")
        and kept.endswith(FOREST)
        and other.startswith("no ")
        and other.endswith(BAYES)
    )
    assert [row.followed for row in result.rows if row.role == "data_scientist"] == [False, True]


def test_a_share_of_the_episodes_begins_with_the_models_screened_and_the_seed_says_which(make):
    env = make(steps=1)

    def began(looked: float) -> list[bool]:
        return [
            play(env, "finish", proposals=1, looked=looked, seed=seed).first.looked
            for seed in range(8)
        ]

    assert not any(began(0.0)) and all(began(1.0))
    assert 0 < sum(began(0.5)) < 8 and began(0.5) == began(0.5)


def test_equal_proposals_are_one_step_and_one_line(make):
    result = play(make(steps=3), BAYES, BAYES, TREE, "hm")
    assert len(result.steps) == 2 and result.last.step == 3
    assert [line.count("propose_model") for line in lines(result.last)] == [1, 1, 0]


def test_a_merged_group_is_no_larger_than_the_steps_left(make):
    result = play(make(steps=3), BAYES, TREE, "tune C=0.5", proposals=2)
    assert result.last.step == 3 == len(result.last.memory.entries) and len(result.steps) == 2


def test_what_the_others_tried_in_the_last_step_can_be_delivered(make):
    env = make(steps=2)
    result = play(env, FOREST, BAYES)
    assert [entry.verdict for entry in result.last.memory.entries] == [
        Verdict.accepted,
        Verdict.no_gain,
    ]
    assert "GaussianNB" in [one.spec.estimator for one in env.tried(result.last)]


def test_ending_beside_a_line_that_goes_on_is_not_remembered(make):
    result = play(make(steps=2), FOREST, "finish", "hm", proposals=2)
    assert lines(result.last)[0].endswith(FOREST) and not any(
        "finish" in line for line in lines(result.last)
    )


def test_a_merged_episode_ends_where_all_of_the_group_say_so_and_best_prefers_going_on(make):
    ended = play(make(steps=4), "finish", BAYES, "finish", "finish").last
    assert ended.finished and [line.split()[-1] for line in lines(ended)[1:]] == ["finish"]
    assert lines(ended)[0].endswith(BAYES)
    best = play(make(steps=1), "finish", BAYES, advance="best")
    assert best.steps[0].outcome.suggestion.text == BAYES and len(best.last.memory.entries) == 1


def test_a_branch_beside_the_line_that_screened_models_is_remembered_to_have_looked(make):
    env = make(steps=2)
    result = play(env, FOREST, "analyze models", BAYES)
    assert result.last.spec.estimator == "RandomForestClassifier" and result.last.looked


def test_of_equal_proposals_the_one_that_is_followed_says_whether_models_were_screened(make):
    env, seen = make(steps=3), set()
    start = env.reset()
    for seed in range(6):
        one = player(
            env,
            BAYES,
            "analyze models",
            BAYES,
            advance="sampled",
            seed=seed,
            stop=lambda state: state.step > 0,
        )
        result = asyncio.run(one.play(start=start))
        followed = [
            row.followed for row in result.rows if row.role == "data_scientist" and row.call == 0
        ]
        seen.add(result.last.looked)
        assert result.last.looked == followed[1]
    assert seen == {True, False}


def test_an_episode_stops_before_the_step_at_which_it_is_told_to(make):
    seen: list[int] = []

    def stop(state: State) -> bool:
        seen.append(state.step)
        return state.step >= 2

    result = play(make(steps=9), BAYES, TREE, "never said", stop=stop)
    assert seen == [0, 2] and result.last.step == 2 and not result.last.finished
    nothing = play(make(), stop=lambda state: True)
    assert nothing.steps == [] == nothing.rows and nothing.last is nothing.first


def test_an_episode_goes_on_from_where_another_stood(make):
    env = make(steps=3)
    first = play(env, BAYES, proposals=1, stop=lambda state: state.step == 1).last
    result = play(env, TREE, "finish", proposals=1, start=first)
    assert result.first is first and result.last.memory.entries[:1] == first.memory.entries
    assert [step.before.step for step in result.steps] == [1, 2] and result.last.step == 3


def test_steps_are_told_of_as_they_are_taken(make):
    told: list[tuple[int, int]] = []
    play(
        make(steps=2),
        BAYES,
        TREE,
        on_step=lambda record: told.append((record.before.step, record.after.step)),
    )
    assert told == [(0, 2)]


def turn(env: TeamEnv, state: State, policy: Saying) -> tuple[Suggestion, Turn]:
    done = asyncio.run(
        data_scientist_turn(TurnContext(env, PromptStyle(PROMPTS)), state, policy, 0)
    )
    assert done.suggestion is not None
    return done.suggestion, done


def test_a_turn_that_screens_and_then_proposes_leaves_a_state_that_has_looked(make):
    env = make(analyses=2)
    state, policy = env.reset(), Saying("analyze models", BAYES)
    suggestion, _ = turn(env, state, policy)
    answer = policy.asked[1].messages[-1]["content"]
    assert answer.startswith("answer: models: ") and answer.count(" sd ") >= 5
    assert suggestion.looked and suggestion.text == BAYES
    after = env.advance(state, env.judge(state, suggestion))
    assert after.looked and not state.looked
    assert not turn(env, state, Saying(BAYES))[0].looked


@pytest.mark.parametrize(
    "policy",
    [
        lambda: Saying("analyze models", "tune C=between(0.1, 1.0), budget=2"),
        lambda: Saying("analyze models", "hm"),
        lambda: Saying("analyze models", "analyze models"),
        lambda: Saying("analyze models", too_long=1),
        lambda: Saying("analyze models", "finish best"),
    ],
    ids=["region", "unreadable", "too many analyses", "prompt too long", "finish best"],
)
def test_whatever_ends_the_turn_the_screening_is_not_forgotten(make, policy):
    env = make()
    state = env.reset()
    suggestion, _ = turn(env, state, policy())
    assert suggestion.looked and env.advance(state, env.judge(state, suggestion)).looked


def test_the_screening_is_charged_to_each_turn_that_asks_for_it_in_processor_time(make):
    env = make()
    for _ in range(2):
        _, done = turn(env, env.reset(), Saying("analyze models", BAYES))
        assert done.calls[0].evaluation_s == env.screen().seconds > 0 == done.calls[1].evaluation_s


def test_prompts_show_the_best_families_after_the_screening_and_none_before(make):
    env = make()
    context, state = TurnContext(env, PromptStyle(PROMPTS)), env.reset()
    before = data_scientist_prompt(context.situation(state), PROMPTS)
    after = data_scientist_prompt(context.situation(replace(state, looked=True)), PROMPTS)
    shown = "models:\n" + "\n".join(env.screen().lines(SCREENED_LINES)) + "\n"
    assert "models:" not in before and after.replace(shown, "") == before
    assert shown.count("\n") == SCREENED_LINES + 1
    score = after.index("score ")
    assert after.index("model: LogisticRegression()") < after.index("models:") < score


MEMBERS = (
    PipelineSpec(estimator="RandomForestClassifier", params=(("n_estimators", 20),)),
    PipelineSpec(estimator="LogisticRegression"),
)
PAIR = PipelineSpec(estimator="Blend", members=MEMBERS, weights=(2, 1), power=0.5)
ASKED = Suggestion("finish blend", Finish(deliver="blend"), PAIR)


def engineered(env: TeamEnv, *replies: str):
    policy = Saying(*replies)
    state = env.reset()
    done = asyncio.run(
        engineer_turn(TurnContext(env, PromptStyle(PROMPTS)), state, ASKED, policy, 0)
    )
    return (
        policy.asked[0].messages[0]["content"],
        env.judge(state, ASKED, done.implementation),
        done,
    )


def test_the_engineer_reads_the_functions_at_hand_the_stub_and_what_to_return(make):
    prompt, _, _ = engineered(make(repairs=0), "1 = def build_pipeline():")
    assert prompt == (
        "role: ml engineer\nsolution_1() "
        "RandomForestClassifier(n_estimators=20)\nsolution_2() LogisticRegression()\n"
        "1 def build_pipeline():\n2     return solution_1()\n"
        "proposal: finish est = BlendClassifier(solution_1, solution_2, weights=[2, 1], power=0.5)"
    )


def test_one_line_edit_on_the_stub_is_the_whole_blend_and_fits_the_members_only(make):
    env = make()
    edit = (
        '2 = return BlendClassifier([("s1", solution_1()), ("s2", solution_2())], weights=[2, '
        "1], power=0.5)"
    )
    for member in MEMBERS:
        env.evaluate(member)
    fits = env.evaluator.fits
    _, outcome, _ = engineered(env, edit)
    assert outcome.implementation is not None and outcome.implementation.code == generate_code(PAIR)
    assert env.evaluator.fits == fits
    assert (
        outcome.compliance == 1 and outcome.verdict is Verdict.finished and outcome.step_gain > 0.1
    )


def test_an_engineer_that_leaves_the_stub_has_not_done_what_was_asked(make):
    _, outcome, _ = engineered(make(), "1 = def build_pipeline():")
    assert outcome.verdict is Verdict.not_as_asked and outcome.step_gain == 0


def test_a_failed_blend_is_repaired_in_the_same_turn(make):
    wrong = (
        '2 = return BlendClassifier([("s1", solution_1()), ("s3", solution_3())], weights=[2, '
        "1], power=0.5)"
    )
    right = wrong.replace("3", "2")
    _, outcome, done = engineered(make(repairs=1), wrong, right)
    assert (
        len(done.calls) == 2
        and "NameError" in done.calls[1].messages[-1]["content"]
        and outcome.compliance == 1
    )


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (
            PipelineSpec(estimator="Voting", members=MEMBERS),
            "VotingClassifier(solution_1, solution_2)",
        ),
        (
            PAIR.model_copy(update={"power": 0.0}),
            "BlendClassifier(solution_1, solution_2, weights=[2, 1])",
        ),
        (
            PAIR.model_copy(update={"power": 1.0}),
            "BlendClassifier(solution_1, solution_2, weights=[2, 1], power=1)",
        ),
    ],
)
def test_an_ensemble_is_asked_for_by_the_names_of_its_functions(spec: PipelineSpec, text: str):
    assert proposal_text("finish best", spec) == f"finish est = {text}"
    assert functions_at_hand(spec)[1] == "solution_2() LogisticRegression()"
    assert (
        proposal_text("tune C=3", MEMBERS[1]) == "tune C=3" and functions_at_hand(MEMBERS[1]) == ()
    )

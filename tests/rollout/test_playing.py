"""A play under a budget: the clock is injected, so what is claimed does not depend on how fast the
machine is.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from marl_llm.agents.scripted import ScriptedDataScientist
from marl_llm.core.kind import Kind
from marl_llm.core.verdict import Verdict
from marl_llm.environment import Evaluated, State, TeamEnv
from marl_llm.environment.delivery import Evidence, Tried
from marl_llm.environment.memory import Memory, MemoryEntry
from marl_llm.proposals import Finish, PipelineSpec, ProposeModel, baseline, screened
from marl_llm.proposals.spec import BLEND
from marl_llm.rollout import playing
from marl_llm.rollout.budget import Budget, Clock
from marl_llm.rollout.playing import AT_ONCE, Limits, Play, Players, Watchers
from marl_llm.rollout.token_meter import TokenMeter
from marl_llm.sandbox import Sandbox
from marl_llm.workspace.teams import budgeted, choose_team, players
from tests.dispositions import interruptible
from tests.fixtures import small_task
from tests.solve.conftest import ALL_FAMILIES, AMPLE, QUICK, few_families

__all__ = ["few_families"]

TREES = PipelineSpec(estimator="ExtraTreesClassifier", params=(("n_estimators", 20),))
NAIVE = PipelineSpec(estimator="GaussianNB")


@contextmanager
def played(
    sandbox: Sandbox,
    limits: Limits,
    *,
    kind: Kind = Kind.binary,
    memory: Memory | None = None,
    now: Callable[[TeamEnv], float] = lambda env: 0.0,
    watchers: Watchers = Watchers(),  # noqa: B008
) -> Iterator[tuple[TeamEnv, Play]]:
    """A play of the scripted team; `now` is the clock's time, by whatever the environment has done
    so far.
    """
    choice = budgeted(choose_team("scripted", QUICK), limits)
    with closing(TeamEnv(small_task(kind), sandbox, choice.recipe.environment, 0)) as env:
        clock = Clock(
            limits.budget, began=0, cpu_began=0, wall=lambda: now(env), cpu=lambda: now(env)
        )
        yield env, Play(env, limits, clock, env.reset(memory), watchers)


def scripted() -> Players:
    return players(budgeted(choose_team("scripted", QUICK), Limits(AMPLE)), None)


def whole(play: Play) -> Tried:
    play.look()
    play.run(scripted(), TokenMeter())
    return play.deliver()


def is_baseline(delivered: Tried, kind: Kind = Kind.binary) -> bool:
    """It may have another decision rule, which costs nothing."""
    return all(one == baseline(kind) for one in delivered.spec.members or (delivered.spec,))


def test_the_team_goes_on_from_the_best_of_the_families_and_of_an_earlier_solve(sandbox: Sandbox):
    entry = MemoryEntry("propose", Verdict.accepted, 0.1, TREES, "", 0.9)
    seen: list[State] = []
    with played(
        sandbox, Limits(AMPLE), memory=Memory((entry,)), watchers=Watchers(looked=seen.append)
    ) as (env, play):
        play.look()
        evidence = Evidence(env.evaluator, "folds")
        known = {
            spec: evidence.score(env.evaluate(spec)) for spec in (*env.plain(looked=True), TREES)
        }
        assert seen == [play.last] and play.last.looked and play.last.step == 0
        assert known[play.last.spec] == max(known.values()) > known[play.first.spec]


def test_a_budget_below_the_evaluation_of_the_baseline_delivers_it_and_says_so(sandbox: Sandbox):
    with played(sandbox, Limits(Budget(5)), now=lambda env: 6.0) as (env, play):
        fits = env.evaluator.fits
        delivered = whole(play)
        assert is_baseline(delivered) and env.evaluator.fits == fits
        assert (
            play.stopped == "the budget of 5 s of wall time was used up before the first proposal"
        )
        assert play.remark(delivered).startswith("The baseline is delivered")
        assert play.remark(delivered).endswith(
            ": the budget of 5 s of wall time left no time to evaluate anything else."
        )


@pytest.mark.parametrize("of", ["wall", "cpu"])
def test_no_step_and_no_fit_is_begun_after_the_budget(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, of
):
    monkeypatch.setattr(playing, "_FINAL_FITS", 0.0)
    budget = Budget(45, of)
    with played(sandbox, Limits(budget), now=lambda env: float(env.evaluator.fits)) as (env, play):
        whole(play)
        assert budget.seconds - 10 <= env.evaluator.fits <= budget.seconds + AT_ONCE
        assert play.steps > 0 and play.stopped == f"the budget of {budget} was used up"


def test_a_family_whose_final_fit_would_be_over_budget_is_not_evaluated(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(playing, "_FINAL_FITS", 1e6)
    with played(sandbox, Limits(AMPLE)) as (env, play):
        screened = len([one for one in env.screen().found if one.score is not None])
        fits = env.evaluator.fits
        play.look()
        assert screened > 0 and env.evaluator.fits == fits and is_baseline(play.deliver())


def test_what_delivering_takes_is_kept_in_reserve(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    with played(sandbox, Limits(AMPLE)) as (_, play):
        play.look()
        monkeypatch.setattr(playing, "_FINAL_FITS", 1e6)
        play.run(scripted(), TokenMeter())
        assert play.steps == 0 and play.stopped.endswith("was used up before the first proposal")


def test_the_screening_leaves_time_to_complete_the_best_families(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(playing, "_FINAL_FITS", 0.0)
    monkeypatch.setattr(screened, "_FAMILIES", ALL_FAMILIES)
    with played(sandbox, Limits(Budget(14)), now=lambda env: float(env.evaluator.fits)) as (
        env,
        play,
    ):
        delivered = whole(play)
        found = env.screen().found
        assert any("no time" in one.problem for one in found) and any(
            one.score is not None for one in found
        )
        assert not is_baseline(delivered)


def test_patience_ends_a_play_that_brings_nothing(sandbox: Sandbox):
    with played(sandbox, Limits(AMPLE, steps=30, patience=1)) as (_, play):
        whole(play)
        assert play.stopped in (
            f"{n} proposals in a row brought no significant gain" for n in range(1, AT_ONCE + 1)
        )


@pytest.mark.parametrize("patience", [1, 20])
def test_a_team_that_wants_to_finish_is_asked_again_until_patience_ends(
    sandbox: Sandbox, monkeypatch, patience: int
):
    asked = []

    def finishes(self: ScriptedDataScientist, *_: object, **__: object) -> Finish:
        asked.append(self)
        return Finish()

    monkeypatch.setattr(ScriptedDataScientist, "act", finishes)
    with played(sandbox, Limits(AMPLE, patience=patience)) as (_, play):
        delivered = whole(play)
        times = -(-patience // playing._WISH)
        assert (play.stopped, play.steps) == (f"the team wanted to finish {times} times", 0)
        assert len(asked) == AT_ONCE * times and not is_baseline(delivered)


def test_a_team_that_thinks_better_of_finishing_goes_on(sandbox: Sandbox, monkeypatch):
    act, asked = ScriptedDataScientist.act, []

    def hesitates(self: ScriptedDataScientist, *arguments: object, **named: object) -> object:
        asked.append(self)
        return Finish() if len(asked) <= AT_ONCE else act(self, *arguments, **named)

    monkeypatch.setattr(ScriptedDataScientist, "act", hesitates)
    with played(sandbox, Limits(AMPLE, steps=2)) as (_, play):
        whole(play)
        assert (play.stopped, play.steps) == ("2 proposals were made", 2)


def test_wishes_and_proposals_without_a_gain_are_counted_apart(sandbox: Sandbox, monkeypatch):
    proposal = ProposeModel(estimator="GaussianNB", params={"var_smoothing": 0.1})
    replies = iter([Finish()] * AT_ONCE + [proposal] * AT_ONCE + [Finish()] * 99)
    monkeypatch.setattr(ScriptedDataScientist, "act", lambda self, *_, **__: next(replies))
    with played(sandbox, Limits(AMPLE, patience=2 * playing._WISH + 1)) as (_, play):
        whole(play)
        assert (
            play.stopped
            == (
                f"{play.steps} proposals in a row brought no significant gain and the team "
                "wanted to finish 2 times"
            )
            and 1 <= play.steps <= AT_ONCE
        )


def test_steps_end_a_play_that_has_time_left(sandbox: Sandbox):
    with played(sandbox, Limits(AMPLE, steps=3)) as (_, play):
        whole(play)
        assert (play.steps, play.stopped) == (3, "3 proposals were made")


@pytest.mark.parametrize("kind", list(Kind))
def test_the_baseline_is_not_delivered_when_a_family_is_better_on_all_evidence(
    sandbox: Sandbox, kind: Kind
):
    with played(sandbox, Limits(AMPLE, steps=1), kind=kind) as (env, play):
        play.look()
        delivered, evidence = play.deliver(), Evidence(env.evaluator, "all")
        families = [env.evaluate(spec) for spec in env.within_reach()]
        best = max(evidence.score(one) for one in families)
        assert best > evidence.score(play.first.evaluated), "in these data forests are better"
        assert not is_baseline(delivered, kind) and not play.remark(delivered)
        assert evidence.score(delivered.evaluated) > evidence.score(play.first.evaluated)


def test_where_every_family_runs_out_of_time_the_baseline_is_delivered_with_a_sentence(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Budget, "fold_s", 0.01)
    with played(sandbox, Limits(AMPLE, steps=2)) as (env, play):
        delivered = whole(play)
        assert is_baseline(delivered)
        others = [one for one in env.screen().found if one.spec != baseline(Kind.binary)]
        assert {one.problem for one in others} == {"out of time"}
        assert play.remark(delivered).endswith(
            f": of {len(others)} other families of models none ran on this data."
        )


def remembered(spec: PipelineSpec) -> Memory:
    return Memory((MemoryEntry("finish blend", Verdict.finished, None, spec, "", 0.9),))


def test_a_blend_of_an_earlier_solve_is_evaluated_again_within_the_budget(sandbox: Sandbox):
    blend = PipelineSpec(estimator=BLEND, members=(TREES, NAIVE), weights=(2, 1), power=0.5)
    with played(sandbox, Limits(AMPLE), memory=Memory.from_json(remembered(blend).to_json())) as (
        env,
        play,
    ):
        play.look()
        assert any(one.spec == blend for one in env.tried(play.last))
    with played(sandbox, Limits(AMPLE), memory=remembered(blend), now=lambda env: 1e9) as (
        env,
        play,
    ):
        fits = env.evaluator.fits
        play.look()
        play.deliver()
        assert env.evaluator.fits == fits, "nothing of it is run after the budget"


def test_an_interruption_in_the_look_waits_for_nothing_and_what_is_known_is_at_hand(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    let_go, calls, ended = threading.Event(), iter(range(100)), []
    with played(sandbox, Limits(AMPLE)) as (env, play), interruptible():
        evaluate = env.evaluate

        def stuck(spec: PipelineSpec, against: Evaluated | None = None) -> Evaluated:
            if next(calls) == 0:
                _thread.interrupt_main()
            let_go.wait(30)
            ended.append(spec)
            return evaluate(spec, against)

        monkeypatch.setattr(env, "evaluate", stuck)
        with pytest.raises(KeyboardInterrupt):
            play.look()
            threading.Event().wait(60)
        assert not ended, "the look has not waited for them"
        monkeypatch.setattr(env, "evaluate", evaluate)
        fits = env.evaluator.fits
        assert play.deliver().evaluated.complete and env.evaluator.fits == fits
        let_go.set()

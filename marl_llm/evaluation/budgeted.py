"""Arms that play as `solve` does: look, let a team improve, deliver, all under a budget; and the
same without agents.

`solve` is what a person gets who names no team; `solve@untrained`, `solve@scripted` and `solve@run`
are other teams in the same play, `solve@run` with the adapters of the run that is evaluated.
`no_agents` screens the families and delivers a blend of the best; `six_defaults` blends the six
usual defaults. A trial has the machine to itself: its candidates run two at a time, as in `solve`.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from marl_llm.environment import TeamEnv
from marl_llm.environment.delivery import Evidence, Tried, choose_delivery
from marl_llm.environment.experience import NOTHING, Experience, joined, shown_lines
from marl_llm.evaluation.costs import Cost
from marl_llm.evaluation.parts import PREFIX, deliveries
from marl_llm.evaluation.plans import SIX_DEFAULTS, Plan
from marl_llm.evaluation.report import Result
from marl_llm.evaluation.scoring import Bench, TestRun
from marl_llm.evaluation.trials import Trial
from marl_llm.proposals.screened import SIX, screened_specs, starting_spec
from marl_llm.rollout.budget import Clock
from marl_llm.rollout.playing import Limits, Play, Watchers
from marl_llm.rollout.session import ModelSession
from marl_llm.rollout.token_meter import TokenMeter
from marl_llm.sandbox import Sandbox
from marl_llm.tasks import Task
from marl_llm.workspace.open_run import open_sandbox
from marl_llm.workspace.teams import SCRIPTED, budgeted, choose_team, players, team_session


class BudgetedArm:
    """Plays one such arm on trial after trial. A context manager: it holds a sandbox and a model.

    Parameters
    ----------
    plan : Plan
    bench : Bench
        Scores on the test part.
    directory : Path
        Where a model server, if one is needed, writes its log.
    seed : int
        The comparison's.
    seen : Experience
        What the agents may be told of other data sets.
    """

    def __init__(
        self, plan: Plan, bench: Bench, directory: Path, seed: int, seen: Experience = NOTHING
    ) -> None:
        self._plan, self._bench, self._seed = plan, bench, seed
        self._limits = Limits(plan.budget)
        self._choice = budgeted(plan.team or choose_team(SCRIPTED), self._limits)
        self._seen = joined(self._choice.experience, seen)
        self._directory = directory

    def play(self, trial: Trial) -> Result:
        """The arm's result on one trial."""
        task, choice = trial.load(), self._choice
        result = Result(
            arm=self._plan.name,
            trial=trial.name,
            task=trial.task,
            repeat=trial.repeat,
            kind=str(task.kind),
        )
        began, clock = time.monotonic(), Clock(self._plan.budget)
        with (
            open_sandbox(choice.sections.sandbox) as sandbox,
            closing(self._env(task, trial, sandbox)) as env,
            team_session(choice, self._directory) as model,
        ):
            first = env.reset()
            play = Play(env, self._limits, clock, first, Watchers())
            meter = TokenMeter()
            delivered = self._deliver(env, play, model, meter)
            predictions = env.evaluator.test_predictions(delivered.spec)
            cost = Cost(clock.cpu_s, time.monotonic() - began)
            start, end = first.evaluated.holdout, delivered.evaluated.holdout
            ablated = self._ablated(env, play, delivered) if self._plan.team else {}
        assert start is not None and end is not None
        tokens = sum(count for role in meter.tokens.values() for count in role.values())
        figures = {
            "steps": play.steps,
            "accepted": play.accepted,
            "tokens": tokens,
            "followed_screen": play.followed,
        }
        figures |= ablated
        result = result.model_copy(
            update={
                "holdout": end.score,
                "holdout_gain": end.score - start.score,
                "team": figures,
                "cpu_s": round(cost.cpu_s, 3),
                "wall_s": round(cost.wall_s, 3),
            }
        )
        error = (
            "" if predictions is not None else "the delivered model does not run on the test part"
        )
        return self._bench.judged(result, trial, task, TestRun(predictions, error))

    def _ablated(self, env: TeamEnv, play: Play, delivered: Tried) -> dict[str, float | None]:
        """Test scores of the same play, each without a part; after the play, and none of its
        cost.
        """
        found: dict[str, float | None] = {}
        for part, spec in deliveries(env, play.last, delivered.spec).items():
            predictions = env.evaluator.test_predictions(spec)
            found[PREFIX + part] = (
                None if predictions is None else self._bench.score(env.task, predictions)
            )
        return found

    def _env(self, task: Task, trial: Trial, sandbox: Sandbox) -> TeamEnv:
        return TeamEnv(task, sandbox, self._choice.sections.environment, trial.seed(self._seed))

    def _deliver(
        self, env: TeamEnv, play: Play, model: ModelSession | None, meter: TokenMeter
    ) -> Tried:
        if self._plan.name == SIX_DEFAULTS:
            return six_defaults(env)
        play.look()
        if self._plan.team is not None:
            lines = shown_lines(env, self._seen, self._choice.sections.prompts.experience_lines)
            play.run(players(self._choice, model), meter, lines)
        return play.deliver()


def six_defaults(env: TeamEnv) -> Tried:
    """The blend of the six usual defaults, chosen on folds and hold-out together."""
    context = env.card.context()
    specs = [starting_spec(context), *screened_specs(context, SIX)]
    tried = [Tried(spec, env.evaluate(spec)) for spec in dict.fromkeys(specs)]
    whole = [one for one in tried if one.evaluated.complete]
    spec = choose_delivery(whole, Evidence(env.evaluator, "all"), SIX)
    return Tried(spec, env.evaluate(spec))

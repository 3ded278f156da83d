"""What may join a blend: everything that was tried, or only what is significantly better than the
families.

The study behind the bar of `environment/delivery.py`. In: tables of the training suite (never the
benchmark). On each, the screened families at their defaults and settings of the tuned kinds drawn
at random are evaluated; blends of the families alone, of the families and a draw of settings, and
of the families and those of the draw that are significantly better are scored on the test part.
Out: what the settings add, by the number of deciding rows. Tables that are finished are kept: the
same command goes on from there.

    python recipes/studies/admission.py --suite data/suite --every 6 --out runs/admission.jsonl
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from marl_llm.core.errors import RunFailed
from marl_llm.environment import TeamEnv
from marl_llm.environment.delivery import Evidence, Tried, choose_delivery, distinct
from marl_llm.evaluation.countdown import Countdown
from marl_llm.evaluation.statistics import clustered_mean
from marl_llm.evaluation.study import run_study
from marl_llm.evaluation.trials import Trial, suite_trials
from marl_llm.proposals import PipelineSpec, baseline
from marl_llm.proposals.estimators import ESTIMATORS
from marl_llm.proposals.screened import screened_specs
from marl_llm.proposals.spec import ordered_params
from marl_llm.workspace.open_run import open_sandbox
from marl_llm.workspace.teams import SCRIPTED, choose_team

_TUNED = ("CatBoost", "LGBM", "HistGradientBoosting", "ExtraTrees", "RandomForest", "MLP")
_SETTINGS = 5
"""Drawn for each of these."""
_DRAWS, _DRAWN = 4, 20
_MANY_ROWS = 1000
"""Tables with fewer deciding rows stand apart in the table."""
_FIT_S = 8.0


@dataclass(frozen=True)
class Admission:
    """One table: deciding rows, and what settings add to the test score of the families' blend;
    `clear`: of those settings only that are significantly better than every family. `problem`: why
    there are no figures.
    """

    trial: str
    rows: int = 0
    everything: float = 0.0
    clear: float = 0.0
    problem: str = ""


def settings(env: TeamEnv, rng: random.Random) -> list[PipelineSpec]:
    """Settings of the tuned kinds, drawn from the catalogue's grids, on the preparation of the
    screened families.
    """
    families = {spec.estimator: spec for spec in screened_specs(env.card.context())}
    classifier = env.task.kind.is_classification
    found: list[PipelineSpec] = []
    for stem in _TUNED:
        name = stem + ("Classifier" if classifier else "Regressor")
        start = (
            families.get(name)
            or families[f"ExtraTrees{'Classifier' if classifier else 'Regressor'}"]
        )
        if not ESTIMATORS[name].available or (stem == "MLP" and name not in families):
            continue
        for _ in range(_SETTINGS):
            common = [p for p in ESTIMATORS[name].params if p.common and p.name != "class_weight"]
            drawn = {
                p.name: rng.choice([v for v in p.grid if v is not None])
                for p in common
                if rng.random() < 0.6
            }
            changes = {"estimator": name, "params": ordered_params(name, drawn)}
            found.append(start.model_copy(update=changes))
    return found


def admission(env: TeamEnv, name: str, rng: random.Random) -> Admission:
    """The study on one table. Blocks."""
    env.evaluator.bound_fits(_FIT_S)
    families = distinct([baseline(env.task.kind), *screened_specs(env.card.context())])
    plain, beside = _evaluated(env, families), _evaluated(env, distinct(settings(env, rng)))
    if not plain:
        return Admission(name, problem=f"no family is fitted within {_FIT_S:g} s")
    evidence = Evidence(env.evaluator, "all")
    best = max(plain, key=lambda one: evidence.score(one.evaluated))
    better = [one.spec for one in beside if evidence.clearly_better(one.evaluated, best.evaluated)]

    def test_score(tried: Sequence[Tried]) -> float:
        spec = choose_delivery(tried, evidence, env.config.blend_members)
        predictions = env.evaluator.test_predictions(spec)
        if predictions is None:
            raise RunFailed(f"{spec.estimator} does not run on the test part")
        return env.evaluator.scores(env.task.test.y, predictions).score

    alone, everything, clear = test_score(plain), 0.0, 0.0
    for _ in range(_DRAWS):
        drawn = rng.sample(beside, min(_DRAWN, len(beside)))
        everything += (test_score([*plain, *drawn]) - alone) / _DRAWS
        clear += (
            test_score([*plain, *(one for one in drawn if one.spec in better)]) - alone
        ) / _DRAWS
    return Admission(name, len(evidence.labels()), everything, clear)


def _evaluated(env: TeamEnv, specs: Sequence[PipelineSpec]) -> list[Tried]:
    found = (Tried(spec, env.evaluate(spec)) for spec in specs)
    return [one for one in found if one.evaluated.complete]


def _play(trial: Trial, seed: int) -> Admission:
    sections = choose_team(SCRIPTED).sections
    with (
        open_sandbox(sections.sandbox) as sandbox,
        closing(TeamEnv(trial.load(), sandbox, sections.environment, trial.seed(seed))) as env,
    ):
        try:
            return admission(env, trial.name, random.Random(trial.seed(seed)))
        except RunFailed as error:
            return Admission(trial.name, problem=str(error))


def study(suite: Path, every: int, out: Path, seed: int = 0) -> list[Admission]:
    """Every so many tables of a suite; tables that cannot be read, or fail, stand there with their
    problem.

    Raises
    ------
    UserError
        No such suite.
    """
    trials, unread = suite_trials(suite, 1, seed)
    trials = trials[::every]
    known = (
        [Admission(**json.loads(line)) for line in out.read_text().splitlines()]
        if out.is_file()
        else []
    )
    done = {one.trial for one in known}
    missing = [trial for trial in trials if trial.name not in done]
    countdown = Countdown("admission", len(trials), len(trials) - len(missing))
    for trial in missing:
        known.append(_play(trial, seed))
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a") as file:
            file.write(json.dumps(asdict(known[-1])) + "\n")
        countdown.trial()
    asked = {trial.name for trial in trials}
    return [
        *(one for one in known if one.trial in asked),
        *(Admission(p.task, problem=p.error) for p in unread),
    ]


def admission_text(found: Sequence[Admission]) -> str:
    """The table."""
    lines = [f"left out: {one.trial}: {one.problem}" for one in found if one.problem]
    found = [one for one in found if not one.problem]
    parts = {
        "below": [f for f in found if f.rows < _MANY_ROWS],
        "above": [f for f in found if f.rows >= _MANY_ROWS],
    }
    for name, part in parts.items():
        for what in ("everything", "clear"):
            e = clustered_mean([getattr(one, what) for one in part], [one.trial for one in part])
            lines.append(
                f"{name} {_MANY_ROWS} rows, {what:<10} {e.text('+.4f')} of {e.tasks} tables"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: run the study, print the table."""
    parser = argparse.ArgumentParser(
        prog="python recipes/studies/admission.py", description=__doc__
    )
    parser.add_argument("--suite", type=Path, default=Path("data/suite"), help="the training suite")
    parser.add_argument(
        "--every", type=int, default=6, help="every so many of its tables (default: 6)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/admission.jsonl"), help="results, a line a table"
    )
    options = parser.parse_args(arguments)
    return run_study(lambda: admission_text(study(options.suite, options.every, options.out)))


if __name__ == "__main__":
    raise SystemExit(main())

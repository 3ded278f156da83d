"""The scripted pair: a Data Scientist that proposes valid, undirected changes, and an Engineer that
writes the reference code.

They need no model. They are the floor that trained agents are compared with, and the teachers whose
undirected habits the embedded model imitates: the Data Scientist draws uniformly among valid
changes, the Engineer is wrong in a set share of cases.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Literal

from marl_llm.agents.answers import EngineerAnswer, fenced
from marl_llm.agents.edits import line_edits
from marl_llm.agents.full_space import full_action
from marl_llm.environment.card import TaskCard
from marl_llm.proposals import (
    Action,
    AddFeatures,
    Analyze,
    Drop,
    Encode,
    EngineerFeatures,
    Finish,
    Impute,
    PipelineSpec,
    ProposeModel,
    Scale,
    Tune,
)
from marl_llm.proposals.codegen import final_function
from marl_llm.proposals.estimators import ESTIMATORS, ParamValue, estimators_for
from marl_llm.proposals.ops.action import OperationAction

Space = Literal["core", "full"]
ACTION_WEIGHTS = {
    "propose_model": 0.36,
    "tune": 0.22,
    "engineer_features": 0.32,
    "analyze": 0.05,
    "finish": 0.05,
}
"""How often the scripted Data Scientist draws each action."""


def _params(rng: random.Random, estimator: str, most: int) -> dict[str, ParamValue]:
    params = [p for p in ESTIMATORS[estimator].params if p.common]
    chosen = set(
        rng.sample(range(len(params)), rng.randint(0 if most > 2 else 1, min(most, len(params))))
    )
    return {
        p.name: rng.choice([v for v in p.grid if v is not None])
        for i, p in enumerate(params)
        if i in chosen
    }


def _pick(rng: random.Random, pool: list[str], most: int) -> tuple[str, ...]:
    chosen = set(rng.sample(pool, min(len(pool), rng.randint(1, most))))
    return tuple(c for c in pool if c in chosen)


def _feature_op(rng: random.Random, card: TaskCard, spec: PipelineSpec) -> OperationAction:
    left = [c for c in card.columns if c.alias not in spec.drop]
    numbers, words = (
        [c.alias for c in left if c.numeric],
        [c.alias for c in left if c.kind == "categorical"],
    )
    choices = ["impute", "scale", "log", "log"] * bool(numbers) + ["polynomial"] * 2 * (
        len(numbers) > 1
    )
    choices += ["encode"] * bool(words) + ["drop"] * (len(left) > 2)
    kind = rng.choice(choices or ["drop"])
    if kind == "impute":
        return Impute(strategy="median" if spec.impute == "mean" else "mean")
    if kind == "scale":
        return Scale(
            method=rng.choice([m for m in ("none", "standard", "quantile") if m != spec.scale])
        )
    if kind == "encode":
        return Encode(method="one_hot" if spec.encode == "ordinal" else "ordinal")
    if kind == "drop":
        return Drop(columns=_pick(rng, [c.alias for c in left], 2 if len(left) > 4 else 1))
    if kind == "log":
        return AddFeatures(op="log", columns=_pick(rng, numbers, 3))
    chosen = set(rng.sample(numbers, min(len(numbers), rng.randint(2, 3))))
    return AddFeatures(op="polynomial", columns=tuple(c for c in numbers if c in chosen))


def random_action(
    rng: random.Random, card: TaskCard, spec: PipelineSpec, kinds: tuple[str, ...] = ()
) -> Action:
    """Draw one valid action without looking at the data's numbers.

    Parameters
    ----------
    rng : random.Random
        Source of randomness.
    card, spec
        The task's columns and the current solution.
    kinds : tuple of str
        Restrict the draw to these actions; empty for all.
    """
    weights = {k: w for k, w in ACTION_WEIGHTS.items() if not kinds or k in kinds}
    kind = rng.choices(list(weights), list(weights.values()))[0]
    if kind == "propose_model":
        others = [e.name for e in estimators_for(card.kind, core=True) if e.name != spec.estimator]
        estimator = rng.choice(others)
        return ProposeModel(estimator=estimator, params=_params(rng, estimator, 3))
    if kind == "tune":
        return Tune(params=dict(_params(rng, spec.estimator, 2)))
    if kind == "engineer_features":
        return EngineerFeatures(ops=(_feature_op(rng, card, spec),))
    if kind == "analyze":
        left = [c.alias for c in card.columns if c.alias not in spec.drop]
        query = rng.choice(("distribution", "target", "errors", "models", "models", "models"))
        return Analyze(
            query=query, columns=() if query in ("errors", "models") else _pick(rng, left, 2)
        )
    return Finish(deliver=rng.choice(("current", "best", "blend")))


def corrupt(rng: random.Random, old: str, new: str, card: TaskCard) -> str:
    """Spoil a right answer in one of the ways a careless engineer does.

    Nothing done, another value or column than asked, an undefined name, or a bracket lost. Returns
    code.
    """
    ways = [_lose_bracket, _wrong_name]
    if "[" in new:
        ways += [_wrong_column]
    if "=" in new.rsplit("est = ", 1)[-1].split("\n", 1)[0]:
        ways += [_wrong_value, _wrong_value]
    ways += [lambda rng, code, card: old]
    return rng.choice(ways)(rng, new, card)


def _lose_bracket(rng: random.Random, code: str, card: TaskCard) -> str:
    lines = code.split("\n")
    i = rng.choice(
        [i for i, line in enumerate(lines) if "))" in line or line.strip().startswith("est")]
    )
    lines[i] = lines[i][::-1].replace(")", "", 1)[::-1]
    return "\n".join(lines)


def _wrong_name(rng: random.Random, code: str, card: TaskCard) -> str:
    wrong, right = rng.choice(
        (("model)", "est)"), ("pre, est", "prep, est"), ("num_prep, NUM", "num, NUM"))
    )
    return code.replace(right, wrong)


def _wrong_column(rng: random.Random, code: str, card: TaskCard) -> str:
    aliases = [c.alias for c in card.columns]
    present = [a for a in aliases if f'"{a}"' in code]
    if not present:
        return _lose_bracket(rng, code, card)
    return code.replace(f'"{rng.choice(present)}"', f'"{rng.choice(aliases)}"', 1)


def _wrong_value(rng: random.Random, code: str, card: TaskCard) -> str:
    head, _, tail = code.rpartition("est = ")
    line, _, rest = tail.partition("\n")
    name = line.split("(", 1)[0]
    set_params = (
        [p for p in ESTIMATORS[name].params if f"{p.name}=" in line] if name in ESTIMATORS else []
    )
    if not set_params:
        return _lose_bracket(rng, code, card)
    param = rng.choice(set_params)
    from marl_llm.proposals.codegen import literal

    before, _, after = line.partition(f"{param.name}=")
    end = min((after.index(c) for c in ",)" if c in after), default=len(after))
    return (
        f"{head}est = {before}{param.name}={literal(rng.choice(param.grid))}{after[end:]}\n{rest}"
    )


class ScriptedDataScientist:
    """Draws valid, undirected actions; asks at most one analysis in a row, and never finishes where
    it may not.

    `space`: "core", what the embedded model was taught, or "full", everything that can be proposed.
    `finish`: share of its actions that finish; None: as `ACTION_WEIGHTS` has it.
    """

    def __init__(
        self, seed: int, may_finish: bool = True, space: Space = "core", finish: float | None = None
    ) -> None:
        self._rng = random.Random(seed)
        self._may_finish, self._space, self._finish = may_finish, space, finish

    def act(
        self,
        card: TaskCard,
        spec: PipelineSpec,
        *,
        may_analyze: bool = True,
        solutions: Mapping[int, PipelineSpec] | None = None,
    ) -> Action:
        """One action for the current solution; `solutions`: what an ensemble may be made of, by
        memory line.
        """
        allowed = {"analyze": may_analyze, "finish": self._may_finish and self._finish is None}
        kinds = tuple(k for k in ACTION_WEIGHTS if allowed.get(k, True))
        if self._may_finish and self._finish is not None and self._rng.random() < self._finish:
            kinds = ("finish",)
        if self._space == "full":
            return full_action(self._rng, card, spec, kinds, solutions)
        return random_action(self._rng, card, spec, kinds)


class ScriptedEngineer:
    """Answers with the program of `generate_code`, as line edits or whole; wrong in a share
    `error_rate` of cases.
    """

    def __init__(
        self, seed: int, error_rate: float = 0.0, answer: EngineerAnswer = "edits"
    ) -> None:
        self._rng = random.Random(seed)
        self._error_rate, self._answer = error_rate, answer

    def answer(self, card: TaskCard, code: str, wanted: PipelineSpec) -> str:
        """What turns `code` into the program of `wanted`."""
        right = final_function(wanted)
        new = (
            corrupt(self._rng, code, right, card)
            if self._rng.random() < self._error_rate
            else right
        )
        return fenced(new) if self._answer == "program" else line_edits(code, new) or NO_CHANGE


NO_CHANGE = "1 = def build_pipeline():"
"""The edit that changes nothing: what an answer says when the code already is as it should be."""

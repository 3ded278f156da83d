"""Examples of what may be answered: actions that are valid for this task and pipeline, and worked
requests.

Drawn by a seed from the typed actions and implemented by the reference compiler, so they can never
go stale, and no model can get by with copying a fixed one. They look at no number of the data.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from marl_llm.agents.full_space import full_action
from marl_llm.agents.prompts import Situation, proposal_text
from marl_llm.proposals import (
    Action,
    Analyze,
    Finish,
    InvalidAction,
    PipelineSpec,
    Tune,
    apply,
    canonical,
    check_region,
)
from marl_llm.proposals.actions import Query
from marl_llm.proposals.applying import SPECIAL, can_vote
from marl_llm.proposals.codegen import final_function
from marl_llm.proposals.spec import ENSEMBLES

_TRIES = 40
"""Draws until an example that is wanted but seldom drawn is done without."""
_KINDS = ("propose_model", "tune", "engineer_features")
"""Changes of which the Data Scientist sees an example, besides a look at the data and the end."""
_MORE, _FEW_COLUMNS = ("propose_model", "engineer_features"), 20
"""Of these another one where few columns leave room in the prompt."""

TOPICS: tuple[Query, ...] = (
    "distribution",
    "missing",
    "correlation",
    "target",
    "outliers",
    "errors",
    "importance",
)
"""Questions about the data that suit every task; there are more."""


@dataclass(frozen=True)
class Worked:
    """A request in canonical form, and the program that does it."""

    request: str
    program: str


def action_examples(now: Situation) -> list[str]:
    """One line for every kind of action, where there is room two of the commonest: valid now, not
    tried before, in an order that is drawn too.
    """
    rng = random.Random(now.draw)
    found: list[str] = []
    for kind in (*_KINDS, *(_MORE if len(now.card.columns) <= _FEW_COLUMNS else ())):
        fresh = (
            canonical(action) for action, spec in _draws(rng, now, kind) if not _tried(now, spec)
        )
        found += list(islice((line for line in fresh if line not in found), 1))
    found.append(canonical(Analyze(query=rng.choice(TOPICS) if now.models else "models")))
    found.append(canonical(Finish(deliver=rng.choice(("current", "best", "blend")))))
    rng.shuffle(found)
    return found


def worked_requests(
    now: Situation, asked: Action, wanted: PipelineSpec, count: int
) -> list[Worked]:
    """Requests like the one asked, with other values and columns, on the same program: those that
    change the same places first. Fewer than `count` where there are no others.
    """
    if wanted.members:
        return _worked_ensembles(wanted)[:count]
    rng = random.Random(now.draw)
    drawn = {canonical(action): (action, spec) for action, spec in _draws(rng, now, asked.action)}
    others = [pair for text, pair in drawn.items() if text != canonical(asked) and _plain(*pair)]
    others.sort(key=lambda pair: _operations(pair[0]) != _operations(asked))
    return [
        Worked(canonical(action), final_function(spec))
        for action, spec in others[:count]
        if spec is not None
    ]


def _worked_ensembles(wanted: PipelineSpec) -> list[Worked]:
    """Other ensembles of the same members."""
    others = [name for name in ENSEMBLES if name != wanted.estimator]
    if not all(map(can_vote, wanted.members)):
        others = [name for name in others if name != "Voting"]
    specs = [PipelineSpec(estimator=name, members=wanted.members) for name in others]
    return [Worked(proposal_text("propose_model", spec), final_function(spec)) for spec in specs]


def _draws(
    rng: random.Random, now: Situation, kind: str
) -> Iterator[tuple[Action, PipelineSpec | None]]:
    """Valid actions of a kind that change something, with the pipeline that each asks for (None
    where none).
    """
    spec = now.spec.members[0] if now.spec.members else now.spec
    for _ in range(_TRIES):
        action = full_action(rng, now.card, spec, (kind,), now.memory.solutions())
        try:
            asked = _requested_spec(action, spec, now)
        except InvalidAction:
            continue
        if asked != spec:
            yield action, asked


def _requested_spec(action: Action, spec: PipelineSpec, now: Situation) -> PipelineSpec | None:
    context = now.card.context()
    if isinstance(action, Analyze | Finish):
        return None
    if isinstance(action, Tune) and action.regions:
        check_region(action, spec, context)
        return None
    return apply(action, spec, context, now.memory.solutions())


def _tried(now: Situation, spec: PipelineSpec | None) -> bool:
    return spec is not None and now.memory.tried(spec)


def _plain(action: Action, spec: PipelineSpec | None) -> bool:
    return spec is not None and not spec.members


def _operations(action: Action) -> list[str]:
    """Which places of the program change: operations on features; of a `tune` what wraps the
    estimator.
    """
    special = [name for name in SPECIAL if name in getattr(action, "params", {})]
    return [*(op.op for op in getattr(action, "ops", ())), *special]

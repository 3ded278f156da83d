"""Does collecting keep both resources busy, the model and the cores? The time of collecting beside
that of its two parts alone, in one run.

*Both*: model and evaluations. *Model alone*: every evaluation is answered from a cache. *Evaluation
alone*: every reply is there at once. The model is the scripted pair behind a server's pace (so many
replies at once, each as long as its text takes at a rate), so it takes no core, as one on a GPU
does not. Evaluations are run once and then replayed: a slot is taken for the processor time that
the fit took. So what is measured is how work is interleaved, on a busy machine too; the collector
itself, with its cache, rows and prompts, is the real one. The three take turns; the ratio is that
of medians. The pace makes both parts equally long, which leaves the least room, or the model's part
a multiple of the other.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from marl_llm.agents.prompts import PromptConfig
from marl_llm.agents.style import PromptStyle
from marl_llm.environment import EnvironmentConfig
from marl_llm.environment.cache.keys import fold_key
from marl_llm.rollout.collect import Collector
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.episode import Team
from marl_llm.rollout.executors import LocalExecutor
from marl_llm.rollout.planned import CollectSettings
from marl_llm.rollout.plans import procedural_plans
from marl_llm.rollout.policies import Ask, Policy, PolicyInfo, ScriptedPolicy
from marl_llm.rollout.progress import Progress
from marl_llm.sandbox import Evaluation, Fold, Limits, Probe, Sandbox
from marl_llm.serving import Completion

BOTH, MODEL, EVALUATION = "both", "model alone", "evaluation alone"
_EPISODES, _STEPS, _AT_ONCE = 12, 2, 6
_PROPOSALS, _IMPLEMENTATIONS = 3, 2
_SEQUENCES, _SLOTS = 16, 2
_FIRST_SEED = 5_000_000


@dataclass
class Server:
    """A model server's pace.

    Attributes
    ----------
    characters_per_s : float
        Of each reply.
    sequences : int
        Replies sampled at once.
    characters : int
        Sampled so far.
    """

    characters_per_s: float
    sequences: int = _SEQUENCES
    characters: int = 0
    _free: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.sequences)

    async def sample(self, text: str) -> None:
        """Take the time that sampling a reply takes."""
        async with self._free:
            self.characters += len(text)
            await asyncio.sleep(len(text) / self.characters_per_s)


@dataclass
class Paced:
    """Another policy's replies, each when a server would have sampled it. A `Policy`."""

    policy: Policy
    server: Server

    @property
    def info(self) -> PolicyInfo:
        """The other policy's."""
        return self.policy.info

    async def reply(self, ask: Ask) -> Completion:
        """The other policy's reply."""
        said = await self.policy.reply(ask)
        await self.server.sample(said.text)
        return said


class Replayed(Sandbox):
    """A sandbox that runs nothing twice: from the second time on, a slot sleeps for as long as the
    fit took a processor.
    """

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self._slots_free = threading.Semaphore(slots)
        self._known: dict[tuple[object, ...], Evaluation] = {}

    def evaluate(
        self,
        code: str,
        folds: Sequence[Fold],
        *,
        prelude: str = "",
        seed: int = 0,
        limits: Limits | None = None,
        probe: str = Probe.last,
        describe: bool = True,
    ) -> Evaluation:
        """As `Sandbox.evaluate`; a known fit takes its time again."""
        key = code, prelude, seed, probe, describe, *map(fold_key, folds)
        if key not in self._known:
            self._known[key] = super().evaluate(
                code, folds, prelude=prelude, seed=seed, probe=probe, describe=describe
            )
        else:
            with self._slots_free:
                time.sleep(self._known[key].cpu_seconds)
        return self._known[key]


@dataclass(frozen=True)
class Overlap:
    """Seconds of the three ways, medians, and the ratio that counts.

    Attributes
    ----------
    share : float
        Model time alone that was aimed at, in evaluation times alone.
    ratio : float
        Collecting to the larger of its parts: 1 if the other part is free.
    """

    share: float
    seconds: dict[str, float]

    @property
    def ratio(self) -> float:
        """Collecting to the larger of its parts."""
        return self.seconds[BOTH] / max(self.seconds[MODEL], self.seconds[EVALUATION])


def benchmark(rounds: int, shares: Sequence[float] = (1.0, 2.0, 0.5)) -> list[Overlap]:
    """Collect `rounds` times in each of the three ways, for each share of model time."""
    with tempfile.TemporaryDirectory() as folder, Replayed(_SLOTS) as sandbox:
        bench = _Bench(Path(folder), sandbox)
        bench.time(Server(1e9), bench.filled)  # fills the cache, and what is replayed
        once = bench.time(Server(1e9), None)
        return [_overlap(bench, rounds, share, once) for share in shares]


def _overlap(bench: _Bench, rounds: int, share: float, evaluation_s: float) -> Overlap:
    pace = bench.characters / (share * evaluation_s * _SEQUENCES)
    ways = {BOTH: (pace, None), MODEL: (pace, bench.filled), EVALUATION: (1e9, None)}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (rate, cache) in ways.items():
            seconds[way].append(bench.time(Server(rate), cache))
    return Overlap(share, {way: statistics.median(times) for way, times in seconds.items()})


class _Bench:
    """The same episodes, collected again and again; `filled` is a file of all their evaluations."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self._folder, self._sandbox, self._number = folder, sandbox, 0
        self.filled = folder / "evaluations.sqlite"
        self.characters = 0

    def time(self, server: Server, cache: Path | None) -> float:
        """Seconds of collecting the episodes, with the cache in a file or empty in memory."""
        self._number += 1
        environment = EnvironmentConfig(steps=_STEPS, cache=str(cache) if cache else None)
        settings = CollectSettings(
            "bench",
            0,
            0,
            environment,
            PromptStyle(PromptConfig()),
            RolloutConfig(
                proposals=_PROPOSALS, implementations=_IMPLEMENTATIONS, episodes_at_once=_AT_ONCE
            ),
        )
        scripted = ScriptedPolicy(may_finish=False), ScriptedPolicy(0.3)
        team = Team(*(Paced(policy, server) for policy in scripted))
        directory = self._folder / f"rows-{self._number}"
        collector = Collector(directory, LocalExecutor(team, self._sandbox), settings)
        plans = [
            replace(plan, name=f"e{number}")
            for number, plan in enumerate(
                procedural_plans(range(_FIRST_SEED, _FIRST_SEED + _EPISODES))
            )
        ]
        began = time.monotonic()
        asyncio.run(collector.collect(plans, Progress("bench")))
        self.characters = server.characters
        return time.monotonic() - began

"""python recipes/studies/cores_and_gpus.py --measure 24 --out data/results/cores_and_gpus

How many cores to buy for a GPU: episodes an hour of 1, 8 and 64 GPUs with 16 to 4,096 cores, by a
simulation, and which resource is the bottleneck. Made: cores_and_gpus.png and cores_and_gpus.json.

Measured, here: the processor time of each evaluation, the tokens of each reply and how many
evaluations a reply leads to (equal code is evaluated once), of scripted episodes on procedural
tasks, replies in tokens of the embedded model; and what a row costs the collecting process
(`growth.json`, or `--row-s`). Not measured: GPUs. `--tokens-per-s` is what one of them samples,
new tokens/s of all replies together; the default is a range. Without `--measure` the distributions
of the JSON beside `--out` are used again.

A reply holds a sequence of a GPU for its tokens at min(`_ONE_TOKENS_PER_S`, its part of the GPU's
rate). An evaluation holds a core. Each row holds a collecting process for its cost, and several of
them share the work (more than one: with Ray). An episode is steps of groups, as in the recipe:
all proposals, then all implementations, each evaluated when it is there; then the next step.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import heapq
import json
import random
import tempfile
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from marl_llm.agents.prompts import PromptConfig
from marl_llm.agents.style import PromptStyle
from marl_llm.core.atomic import write_json
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.environment import EnvironmentConfig
from marl_llm.rollout.collect import Collector
from marl_llm.rollout.config import RolloutConfig
from marl_llm.rollout.episode import Team
from marl_llm.rollout.executors import LocalExecutor
from marl_llm.rollout.planned import CollectSettings
from marl_llm.rollout.plans import procedural_plans
from marl_llm.rollout.policies import ScriptedPolicy
from marl_llm.rollout.progress import Progress
from marl_llm.rollout.teacher import Teacher
from marl_llm.sandbox import Evaluation, Fold, Limits, Probe, Sandbox
from marl_llm.serving.in_process.chat import ChatTokenizer
from marl_llm.trajectories import read_rows

TINY = Path("data/models/tiny")
GPUS, CORES = (1, 8, 64), (16, 64, 256, 1024, 4096)
STEPS, PROPOSALS, IMPLEMENTATIONS = 6, 8, 4
"""Of recipes/qwen2.5-coder-7b/gpu.yaml."""
_SIMULATED_STEPS = 2
"""Of each episode: steps follow each other alike, so that a third of them tells the rate."""
TOKENS_PER_S = (1000.0, 3000.0, 10000.0)
SEQUENCES = 256
_ONE_TOKENS_PER_S = 60.0
_FIRST_SEED = 7_000_000
_AT_ONCE = 1.2
"""Replies under way, in sequences that the GPUs have: 10 episodes for a GPU."""
_BUSY = 0.8


@dataclass(frozen=True)
class Measured:
    """Distributions of one reply: tokens by role, processor seconds of an evaluation, evaluations
    per implementation, and what a row costs the collecting process, seconds.
    """

    data_scientist_tokens: list[int]
    ml_engineer_tokens: list[int]
    evaluation_s: list[float]
    evaluations_per_implementation: float
    row_s: float


@dataclass(frozen=True)
class Machine:
    """What there is."""

    gpus: int
    cores: int
    tokens_per_s: float
    processes: int


@dataclass(frozen=True)
class Outcome:
    """What it comes to: episodes an hour, and the share of time that each resource is busy."""

    machine: Machine
    episodes_per_h: float
    busy: dict[str, float]

    @property
    def bottleneck(self) -> str:
        """The busiest resource; where none is busy nearly always, episodes wait for their slowest
        evaluation, and more of them at once would help.
        """
        busiest = max(self.busy, key=self.busy.__getitem__)
        return busiest if self.busy[busiest] >= _BUSY else "episodes at once"


class Timed(Sandbox):
    """A sandbox that keeps the processor time of each code's fits."""

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self.spent: dict[tuple[str, int], float] = defaultdict(float)

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
        """As `Sandbox.evaluate`."""
        done = super().evaluate(
            code, folds, prelude=prelude, seed=seed, limits=limits, probe=probe, describe=describe
        )
        self.spent[code, seed] += done.cpu_seconds
        return done


def measure(episodes: int, row_s: float) -> Measured:
    """Play scripted episodes and keep what each reply and each evaluation took."""
    tokenizer = ChatTokenizer(TINY)
    pair = ScriptedPolicy(may_finish=False), ScriptedPolicy(0.3)
    team = Team(*(Teacher(policy, tokenizer) for policy in pair))
    settings = CollectSettings(
        "costs",
        0,
        0,
        EnvironmentConfig(steps=2),
        PromptStyle(PromptConfig()),
        RolloutConfig(proposals=2, implementations=2),
    )
    plans = procedural_plans(range(_FIRST_SEED, _FIRST_SEED + episodes))
    with tempfile.TemporaryDirectory() as folder, Timed(2) as sandbox:
        collector = Collector(Path(folder), LocalExecutor(team, sandbox), settings)
        asyncio.run(collector.collect(plans, Progress("costs")))
        rows = read_rows(Path(folder), ["role", "completion_tokens", "branch", "episode", "call"])
    tokens = {role: part["completion_tokens"] for role, part in rows.groupby("role")}
    implementations = len(rows[(rows["role"] == ML_ENGINEER) & (rows["call"] == 0)])
    evaluations = sorted(round(seconds, 3) for seconds in sandbox.spent.values())
    return Measured(
        sorted(map(int, tokens[DATA_SCIENTIST])),
        sorted(map(int, tokens[ML_ENGINEER])),
        evaluations,
        round((len(evaluations) - episodes) / implementations, 3),
        row_s,
    )


class _Resource:
    """`count` of something that is held for a time; who waits is served in order."""

    def __init__(self, clock: _Clock, count: int) -> None:
        self._clock, self._free, self.count = clock, count, count
        self._waiting: deque[tuple[Callable[[], float], Callable[[], None]]] = deque()
        self.busy_s = 0.0

    @property
    def held(self) -> int:
        """How many are held."""
        return self.count - self._free

    def hold(self, seconds: Callable[[], float], then: Callable[[], None]) -> None:
        """Hold one for so many seconds, which are known when it is got; then go on."""
        if not self._free:
            self._waiting.append((seconds, then))
            return
        self._free -= 1
        took = seconds()
        self.busy_s += took
        self._clock.after(took, functools.partial(self._release, then))

    def _release(self, then: Callable[[], None]) -> None:
        self._free += 1
        if self._waiting:
            self.hold(*self._waiting.popleft())
        then()


class _Clock:
    """Simulated time: a heap of what happens when."""

    def __init__(self) -> None:
        self.now, self._number = 0.0, 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, then: Callable[[], None]) -> None:
        """Have something happen."""
        self._number += 1
        heapq.heappush(self._events, (self.now + seconds, self._number, then))

    def run(self) -> None:
        """Until nothing is left."""
        while self._events:
            self.now, _, then = heapq.heappop(self._events)
            then()


class Simulation:
    """Episodes on one machine; `run` once."""

    def __init__(self, measured: Measured, machine: Machine, replies: int, seed: int = 0) -> None:
        self._m, self._machine, self._rng = measured, machine, random.Random(seed)
        self._clock = _Clock()
        sequences = machine.gpus * SEQUENCES
        self._gpu = _Resource(self._clock, sequences)
        self._cores = _Resource(self._clock, machine.cores)
        self._collectors = _Resource(self._clock, machine.processes)
        group = PROPOSALS * IMPLEMENTATIONS
        self._at_once = max(4, round(_AT_ONCE * sequences / group))
        per_episode = _SIMULATED_STEPS * (PROPOSALS + group)
        self._left = max(2 * self._at_once, replies // per_episode)
        self._ends: list[float] = []
        self._tokens = 0

    def run(self) -> Outcome:
        """The rate is taken between the first and the last fifth of the episodes, so that neither
        start nor end counts.
        """
        for _ in range(min(self._at_once, self._left)):
            self._next_episode()
        self._clock.run()
        a, b = len(self._ends) // 5, 4 * len(self._ends) // 5
        rate = (b - a) / (self._ends[b] - self._ends[a])
        machine, total = self._machine, len(self._ends)
        per_episode = {
            "GPUs": self._tokens / total / (machine.gpus * machine.tokens_per_s),
            "cores": self._cores.busy_s / total / machine.cores,
            "collector": self._collectors.busy_s / total / machine.processes,
        }
        busy = {name: round(min(1.0, rate * spent), 3) for name, spent in per_episode.items()}
        return Outcome(machine, round(3600 * rate * _SIMULATED_STEPS / STEPS, 1), busy)

    def _next_episode(self) -> None:
        if self._left:
            self._left -= 1
            self._step(_SIMULATED_STEPS)

    def _step(self, left: int) -> None:
        if not left:
            self._ends.append(self._clock.now)
            self._next_episode()
            return
        engineers = _after(PROPOSALS * IMPLEMENTATIONS, lambda: self._step(left - 1))
        for _ in range(PROPOSALS):
            self._reply(self._m.data_scientist_tokens, lambda: self._implement(engineers))

    def _implement(self, done: Callable[[], None]) -> None:
        for _ in range(IMPLEMENTATIONS):
            self._reply(self._m.ml_engineer_tokens, lambda: self._evaluate(done))

    def _evaluate(self, done: Callable[[], None]) -> None:
        share = self._m.evaluations_per_implementation
        count = int(share) + (self._rng.random() < share % 1)
        if not count:
            done()
            return
        finished = _after(count, done)
        for _ in range(count):
            self._cores.hold(lambda: self._rng.choice(self._m.evaluation_s), finished)

    def _reply(self, tokens: list[int], then: Callable[[], None]) -> None:
        """The collecting process prepares it and writes its row, a GPU samples it."""
        count = self._rng.choice(tokens)
        self._tokens += count

        def sample() -> None:
            self._gpu.hold(lambda: count / self._tokens_per_s(), then)

        self._collectors.hold(lambda: self._m.row_s, sample)

    def _tokens_per_s(self) -> float:
        """Of one sequence: its part of its GPU."""
        each = max(1.0, self._gpu.held / self._machine.gpus)
        return min(_ONE_TOKENS_PER_S, self._machine.tokens_per_s / each)


def _after(count: int, then: Callable[[], None]) -> Callable[[], None]:
    """Something to call `count` times, the last of which goes on."""
    left = [count]

    def one() -> None:
        left[0] -= 1
        if not left[0]:
            then()

    return one


def cores_per_gpu(measured: Measured, tokens_per_s: float) -> float:
    """Cores that keep one GPU busy, and no more: processor seconds to GPU seconds of an episode."""
    group = PROPOSALS * IMPLEMENTATIONS
    tokens = PROPOSALS * _mean(measured.data_scientist_tokens)
    tokens += group * _mean(measured.ml_engineer_tokens)
    cpu = group * measured.evaluations_per_implementation * _mean(measured.evaluation_s)
    return cpu / (tokens / tokens_per_s)


def processes_per_gpu(measured: Measured, tokens_per_s: float) -> float:
    """Collecting processes that keep one GPU busy."""
    group = PROPOSALS * IMPLEMENTATIONS
    tokens = PROPOSALS * _mean(measured.data_scientist_tokens)
    tokens += group * _mean(measured.ml_engineer_tokens)
    return (PROPOSALS + group) * measured.row_s / (tokens / tokens_per_s)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def plot(outcomes: Sequence[Outcome], measured: Measured, path: Path) -> None:
    """Episodes an hour over cores, a panel for each rate; solid: as many collecting processes as it
    takes, dotted: one.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rates = sorted({one.machine.tokens_per_s for one in outcomes})
    figure, panels = pyplot.subplots(1, len(rates), figsize=(4.2 * len(rates), 3.8), sharey=True)
    for panel, rate in zip(panels, rates, strict=True):
        for color, gpus in zip(("C0", "C1", "C2"), GPUS, strict=True):
            for style, single in (("-o", False), (":", True)):
                shown = [
                    one
                    for one in outcomes
                    if (one.machine.gpus, one.machine.tokens_per_s) == (gpus, rate)
                    and (one.machine.processes == 1) == single
                ]
                label = None if single else f"{gpus} GPU{'s' * (gpus > 1)}"
                cores = [one.machine.cores for one in shown]
                hours = [one.episodes_per_h for one in shown]
                panel.loglog(cores, hours, style, color=color, label=label, markersize=4)
            panel.axvline(
                gpus * cores_per_gpu(measured, rate), color=color, linewidth=0.7, alpha=0.6
            )
        panel.set_title(f"{rate:,.0f} new tokens/s per GPU", fontsize=10)
        panel.set_xlabel("cores")
        panel.set_xlim(CORES[0] / 1.3, CORES[-1] * 1.3)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("episodes/h")
    panels[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def simulate(measured: Measured, rates: Sequence[float], replies: int) -> list[Outcome]:
    """Every machine, with one collecting process and with as many as its GPUs can use."""
    outcomes = []
    for rate in rates:
        for gpus in GPUS:
            enough = 2 + round(1.5 * gpus * processes_per_gpu(measured, rate))
            for cores in CORES:
                for processes in (1, enough):
                    machine = Machine(gpus, cores, rate, processes)
                    outcomes.append(Simulation(measured, machine, replies).run())
    return outcomes


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure where asked to, simulate, print a table, write the JSON and the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[2])
    parser.add_argument("--measure", type=int, metavar="EPISODES")
    parser.add_argument("--row-s", type=float, default=0.015)
    parser.add_argument("--tokens-per-s", type=float, nargs="+", default=TOKENS_PER_S)
    parser.add_argument("--replies", type=int, default=20_000)
    parser.add_argument("--out", type=Path, required=True, help="of .json and .png")
    options = parser.parse_args(arguments)
    stored = options.out.with_suffix(".json")
    if options.measure:
        measured = measure(options.measure, options.row_s)
        write_json(stored, {"measured": asdict(measured)})
    measured = Measured(**json.loads(stored.read_text())["measured"])
    for rate in options.tokens_per_s:
        print(
            f"{rate:,.0f} new tokens/s per GPU: {cores_per_gpu(measured, rate):.0f} cores and "
            f"{processes_per_gpu(measured, rate):.1f} collecting processes per GPU"
        )
    outcomes = simulate(measured, options.tokens_per_s, options.replies)
    layout = "{:>6} {:>6} {:>12} {:>10} {:>12}  {:<16} {}"
    print(layout.format("GPUs", "cores", "tokens/s/GPU", "processes", "episodes/h", "by", "busy"))
    for one in outcomes:
        m = one.machine
        busy = ", ".join(f"{name} {share:.0%}" for name, share in one.busy.items())
        rate, hour = f"{m.tokens_per_s:,.0f}", f"{one.episodes_per_h:,.0f}"
        print(layout.format(m.gpus, m.cores, rate, m.processes, hour, one.bottleneck, busy))
    results = [asdict(one) | {"bottleneck": one.bottleneck} for one in outcomes]
    write_json(stored, {"measured": asdict(measured), "outcomes": results})
    plot(outcomes, measured, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()

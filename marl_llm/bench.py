"""`make bench`: speed as ratios, measured side by side in one run, never as single absolute
times.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from marl_llm.algorithms import bench as training
from marl_llm.algorithms import phase_bench
from marl_llm.environment import bench as environment
from marl_llm.rollout import bench as rollout
from marl_llm.sandbox import bench as sandbox
from marl_llm.serving import bench as serving
from marl_llm.workspace.teams import EMBEDDED


def bench(rounds: int) -> Iterator[str]:
    """Lines of tables: evaluations/s of the sandbox and steps/s of the environment, each beside the
    same work in-process and in a fresh interpreter; collecting beside its model time and its
    evaluation time alone; trained tokens/s beside `trl.SFTTrainer` on the same tokens; a phase of a
    real model's shape beside what the machine can multiply; on a CPU that serves with vLLM, new
    tokens/s with our plugin beside vLLM's own LoRA code.
    """
    yield from _sandbox(rounds)
    yield ""
    yield from _environment(rounds)
    yield ""
    yield from _collecting(rounds)
    yield ""
    yield from _training(rounds)
    yield ""
    yield from _phase()
    if serving.serves_on_cpu():
        yield ""
        yield from _serving(rounds)


def _sandbox(rounds: int) -> Iterator[str]:
    yield "5-fold cross-validation in the sandbox, one core; processor time of all processes"
    yield f"{'work':<30}  {'method':<18}  evaluations/s  processor ms  ratio to in-process"
    for row in sandbox.benchmark(rounds):
        yield (
            f"{row['work']:<30}  {row['method']:<18}  {row['evaluations_per_s']:>13.2f}  "
            f"{row['cpu_ms']:>12.0f}  {row['cpu_ratio']:>19.3f}"
        )


def _environment(rounds: int) -> Iterator[str]:
    yield (
        "environment steps (read, run on 3 folds and the hold-out, judge) on breast_cancer, one "
        "core"
    )
    yield f"{'method':<26}  {'steps/s':>13}  ratio to in-process  ratio to fresh interpreter"
    for rate in environment.benchmark(rounds):
        yield (
            f"{rate.method:<26}  {rate.steps_per_s:>13.2f}  {rate.to_in_process:>19.3f}  "
            f"{rate.to_fresh:>26.1f}"
        )


def _collecting(rounds: int) -> Iterator[str]:
    yield "collecting, a paced model and replayed evaluations, beside either part alone (medians)"
    yield f"{'model : evaluation':<20}  {'both s':>7}  {'model s':>7}  {'evaluation s':>12}  ratio"
    for found in rollout.benchmark(rounds):
        both, model, evaluation = found.seconds.values()
        yield (
            f"{found.share:<20g}  {both:>7.2f}  {model:>7.2f}  {evaluation:>12.2f}  "
            f"{found.ratio:>5.2f}"
        )


def _training(rounds: int) -> Iterator[str]:
    yield (
        "training tokens (prompt and completion, each row counted alone) of the embedded model's "
        "LoRA"
    )
    yield (
        "rows a prompt  replay tokens/s  SFTTrainer tokens/s  ratio  computed cells a token  "
        "padding"
    )
    for rate in training.benchmark(EMBEDDED, rounds):
        yield (
            f"{rate.rows_per_prompt:>13}  {rate.replay_tokens_per_s:>15.0f}  "
            f"{rate.sft_tokens_per_s:>19.0f}  "
            f"{rate.ratio:>5.2f}  {rate.computed_share:>22.2f}  {rate.padding_share:>7.3f}"
        )


def _phase() -> Iterator[str]:
    yield (
        "training phase of a 0.5B model's shape (random weights), LoRA of rank 16 on all layers, "
        "rows of 450 tokens"
    )
    yield (
        "role            precision  tokens/s  computed cells/s  of the product rate  minutes for "
        "500 rows  peak GiB"
    )
    for role, phase in phase_bench.benchmark().items():
        yield (
            f"{role:<14}  {phase['precision']:<9}  {phase['tokens/s']:>8}  "
            f"{phase['computed cells/s']:>16}  {phase['of the product rate']:>19}  "
            f"{500 * phase['tokens a row'] / phase['tokens/s'] / 60:>20.1f}  "
            f"{phase['peak memory, GiB']:>8}"
        )


def _serving(rounds: int) -> Iterator[str]:
    yield f"new tokens of the embedded model, served: {serving.REQUESTS} requests at once, one core"
    yield (
        "served                 with our plugin, tokens/s  without, tokens/s  ratio of processor "
        "time"
    )
    for rate in serving.benchmark(EMBEDDED, _adapter, rounds):
        yield (
            f"{rate.served:<21}  {rate.with_plugin:>25.0f}  {rate.without:>17.0f}  "
            f"{rate.ratio:>23.2f}"
        )


def _adapter(directory: Path, seed: int) -> Path:
    from marl_llm.training.adapters import create_adapter

    return create_adapter(EMBEDDED, directory, rank=16, alpha=32, seed=seed)

"""What correcting for old rows buys: `python recipes/studies/staleness.py --out
data/results/staleness`.

A simulation with the embedded model alone, no environment and no server. The model answers short
prompts in its own language of proposals; a reply earns 1/4 for each different column it names, up
to four, and nothing if it does not end in time. The loop trains version k on rows that version k -
age sampled, as a pipeline does whose sampler lags behind; as many rows are sampled, and new ones,
at every age. The corrections:

    none       the ratio starts at 1, as if the rows were fresh: old log-probabilities recomputed,
               no weights
    clip       the clipped ratio against the policy that sampled
    truncated  recomputed, with truncated importance weights (tis_cap 2)

At age 0 the three are the same. A version's reward is measured on replies that it samples itself,
to prompts it was not trained on. What comes out is a JSON file and a plot.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from marl_llm.algorithms import GRPO
from marl_llm.credit.advantages import Scale, group_relative
from marl_llm.training.adapters import (
    WEIGHTS_FILE,
    adapter_sha256,
    copy_version,
    create_adapter,
    save_adapter,
)
from marl_llm.training.data import ReplayRow
from marl_llm.training.diagnostics import Divergence, divergence
from marl_llm.training.loading import load_policy
from marl_llm.training.phase import Phase

logger = logging.getLogger(__name__)

CORRECTIONS: dict[str, dict[str, Any]] = {
    "none": {"old_logps": "recompute", "tis_cap": None},
    "clip": {"old_logps": "logged"},
    "truncated": {"old_logps": "recompute", "tis_cap": 2.0},
}
COLUMNS_WANTED = 4
LAST = 3
"""The final reward of a run is the mean over its last so many versions."""


@dataclass(frozen=True)
class Study:
    """Sizes of the simulation; rows are replies, lengths tokens."""

    base_dir: str = "data/models/tiny"
    ages: tuple[int, ...] = (0, 1, 2, 4)
    seeds: int = 4
    iterations: int = 10
    prompts: int = 12
    group: int = 8
    reply_tokens: int = 24
    batch_rows: int = 24
    learning_rate: float = 3e-3
    rank: int = 16

    def config(self, correction: str) -> GRPO:
        """How one version is trained."""
        return GRPO(
            learning_rate=self.learning_rate,
            batch_rows=self.batch_rows,
            max_completion_tokens=self.reply_tokens,
            precision="float32",
            **CORRECTIONS[correction],
        )


def reward_of(text: str, ended: bool) -> float:
    """The synthetic reward, in [0, 1]: different columns named, out of four; 0 for a reply that was
    cut.
    """
    named = {
        word.strip('"')
        for word in text.replace("[", " ").replace("]", " ").replace(",", " ").split()
    }
    columns = {word for word in named if word[:1] == "x" and word[1:].isdigit()}
    return min(len(columns), COLUMNS_WANTED) / COLUMNS_WANTED if ended else 0.0


class Sampler:
    """The model that answers, with the adapter of any version in it."""

    def __init__(self, study: Study, adapter_dir: Path) -> None:
        self.study = study
        self.model, self.tokenizer = load_policy(
            Path(study.base_dir), adapter_dir, study.config("none").precision
        )
        self.model.eval()

    def load(self, adapter_dir: Path) -> None:
        """Take another version's weights."""
        from peft import set_peft_model_state_dict
        from safetensors.torch import load_file

        set_peft_model_state_dict(self.model, load_file(adapter_dir / WEIGHTS_FILE))


def sample_rows(sampler: Sampler, rng: np.random.Generator) -> tuple[list[ReplayRow], float]:
    """Replies to new prompts with group-relative advantages, of the groups that differ; and the
    mean reward of all.
    """
    import torch

    study, tokenizer = sampler.study, sampler.tokenizer
    torch.manual_seed(int(rng.integers(2**31)))
    tasks = [f"recall {a / 100} f1 {b / 100}" for a, b in rng.integers(50, 99, (study.prompts, 2))]
    prompts = [
        np.array(tokenizer.encode(_chat(tokenizer, task)), np.int64)
        for task in tasks
        for _ in range(study.group)
    ]
    end, rows, rewards = int(tokenizer.convert_tokens_to_ids(str(tokenizer.eos_token))), [], []  # type: ignore[arg-type]
    for prompt, (ids, logprobs) in zip(
        prompts, _generate(sampler.model, prompts, study), strict=True
    ):
        length = ids.index(end) + 1 if end in ids else len(ids)
        rows.append(
            ReplayRow("", prompt, np.array(ids[:length]), logprobs[:length], np.zeros(length))
        )
        rewards.append(reward_of(str(tokenizer.decode(ids[: length - 1])), end in ids))
    groups = np.repeat(np.arange(study.prompts), study.group)
    credit = group_relative(np.array(rewards), groups, scale=Scale.role)
    for row, advantage in zip(rows, credit.advantage, strict=True):
        row.advantage = np.full(len(row.completion_ids), advantage, np.float32)
    return [row for row, kept in zip(rows, credit.kept, strict=True) if kept], float(
        np.mean(rewards)
    )


def _chat(tokenizer: Any, text: str) -> str:
    return tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
    )


def _generate(
    model: Any, prompts: list[np.ndarray], study: Study
) -> list[tuple[list[int], np.ndarray]]:
    """A reply to each prompt: token ids, and their log-probabilities (nats)."""
    import torch

    width = max(map(len, prompts))
    batch = torch.zeros(len(prompts), width, dtype=torch.int64)
    mask = torch.zeros_like(batch)
    for line, prompt in enumerate(prompts):
        batch[line, width - len(prompt) :], mask[line, width - len(prompt) :] = (
            torch.from_numpy(prompt),
            1,
        )
    with torch.no_grad():
        out = model.generate(
            input_ids=batch,
            attention_mask=mask,
            max_new_tokens=study.reply_tokens,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            return_dict_in_generate=True,
            output_scores=True,
        )
    replies = out.sequences[:, width:]
    logps = (
        torch.stack(out.scores, dim=1).float().log_softmax(-1).gather(2, replies[..., None])[..., 0]
    )
    return list(zip(replies.tolist(), logps.numpy(), strict=True))


def simulate(study: Study, age: int, correction: str, seed: int, folder: Path) -> dict[str, Any]:
    """One run.

    Returns
    -------
    dict
        "rewards", mean reward of versions 0, 1, ... on their own replies; "start", one `divergence`
        an iteration that trained, of the policy before training from the one that sampled.
    """
    rng = np.random.default_rng(seed)
    base, config = Path(study.base_dir), study.config(correction)
    versions = [
        create_adapter(base, folder / "v0", rank=study.rank, alpha=2 * study.rank, seed=seed)
    ]
    sampler = Sampler(study, versions[0])
    rewards: dict[int, float] = {}
    start: list[Divergence] = []
    for k in range(study.iterations):
        behaviour = max(0, k - age)
        sampler.load(versions[behaviour])
        rows, reward = sample_rows(sampler, rng)
        rewards.setdefault(behaviour, reward)
        versions.append(folder / f"v{k + 1}")
        if not rows:  # all groups alike: nothing to learn from
            copy_version(versions[k], versions[-1])
            continue
        phase = Phase(base, versions[k], adapter_sha256(versions[k]), folder / "work", seed + k)
        trainer = config.trainer(rows, phase)
        scores = trainer.score(rows)
        start.append(
            divergence(
                np.concatenate([s - r.logged_logprobs for s, r in zip(scores, rows, strict=True)])
            )
        )
        trainer.train()
        save_adapter(
            trainer.accelerator.unwrap_model(trainer.policy), versions[-1], base_name=base.name
        )
    for version in range(len(rewards), len(versions)):
        sampler.load(versions[version])
        rewards[version] = sample_rows(sampler, rng)[1]
    return {"rewards": [rewards[version] for version in range(len(versions))], "start": start}


def interval(values: np.ndarray) -> dict[str, float]:
    """Mean and 95% interval (Student's t) over seeds, shape (n,)."""
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return {
        "mean": float(values.mean()),
        "low": float(values.mean()) - half,
        "high": float(values.mean()) + half,
    }


def run_study(study: Study, path: Path) -> dict[str, Any]:
    """All cells, each with its seeds; the result is fit for JSON, and is written to `path` after
    each cell.

    Cells of the same study that `path` holds already are not run again.
    """
    cells = _cells_in(path, study)
    known = {(cell["age"], cell["correction"]) for cell in cells}
    wanted = [(age, name) for age in study.ages for name in (CORRECTIONS if age else ("fresh",))]
    for age, correction in (cell for cell in wanted if cell not in known):
        began = time.monotonic()
        cells.append(_run_cell(study, age, correction))
        _write(study, cells, path)
        mean, low, high = (cells[-1][name] for name in ("mean", "low", "high"))
        seconds = time.monotonic() - began
        logger.info(
            "age %d, %s: %.3f [%.3f, %.3f], %.0f s", age, correction, mean, low, high, seconds
        )
    return _write(study, cells, path)


def _cells_in(path: Path, study: Study) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["cells"] if found["study"] == json.loads(json.dumps(asdict(study))) else []


def _write(study: Study, cells: list[dict[str, Any]], path: Path) -> dict[str, Any]:
    result = {"study": asdict(study), "cells": cells, "differences": _differences(cells)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return result


def _run_cell(study: Study, age: int, correction: str) -> dict[str, Any]:
    """All seeds of one age and correction."""
    runs = []
    for seed in range(study.seeds):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(
                simulate(
                    study, age, "none" if correction == "fresh" else correction, seed, Path(folder)
                )
            )
    final = np.array([np.mean(run["rewards"][-LAST:]) for run in runs])
    cell = {"age": age, "correction": correction, "final": final.tolist(), **interval(final)}
    return cell | {"start": _last_start(runs), "rewards": [run["rewards"] for run in runs]}


def _last_start(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Mean over seeds and the iterations whose rows have their full age."""
    entries = [entry for run in runs for entry in run["start"][len(run["start"]) // 2 :]]
    return {name: float(np.mean([entry[name] for entry in entries])) for name in entries[0]}


def _differences(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The corrections of an age against each other, paired by seed."""
    final = {(cell["age"], cell["correction"]): np.array(cell["final"]) for cell in cells}
    pairs = (("clip", "none"), ("truncated", "none"), ("truncated", "clip"))
    return [
        {
            "age": age,
            "correction": one,
            "against": other,
            **interval(final[age, one] - final[age, other]),
        }
        for age in sorted({age for age, _ in final})
        for one, other in pairs
        if (age, one) in final and (age, other) in final
    ]


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw the final reward by age, and the learning curves at the greatest age."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    fresh = result["cells"][0]
    oldest = max(cell["age"] for cell in result["cells"])
    left.axhspan(fresh["low"], fresh["high"], color="0.85")
    left.axhline(fresh["mean"], color="0.5", label="fresh rows")
    right.plot(np.mean(fresh["rewards"], axis=0), color="0.5", label="fresh rows")
    for number, name in enumerate(CORRECTIONS):
        cells = [cell for cell in result["cells"] if cell["correction"] == name]
        mean = np.array([cell["mean"] for cell in cells])
        bars = np.array(
            [[c["mean"] - c["low"] for c in cells], [c["high"] - c["mean"] for c in cells]]
        )
        ages = np.array([cell["age"] for cell in cells]) + 0.06 * (number - 1)
        left.errorbar(ages, mean, bars, fmt="o-", capsize=3, color=f"C{number}", label=name)
        for cell in cells:
            if cell["age"] == oldest:
                right.plot(
                    np.transpose(cell["rewards"]), color=f"C{number}", alpha=0.25, linewidth=0.8
                )
                right.plot(np.mean(cell["rewards"], axis=0), color=f"C{number}", label=name)
    left.set_xticks([age for age in result["study"]["ages"] if age])
    left.set(
        xlabel="age of the rows, policy versions",
        ylabel=f"reward, mean of the last {LAST}",
        title="Final reward",
    )
    right.set(
        xlabel="version", ylabel="reward", title=f"Learning at age {oldest}: mean and every seed"
    )
    left.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Run the study and write OUT.json and OUT.png; a study that was interrupted goes on."""
    defaults = Study()
    parser = argparse.ArgumentParser(
        prog="python recipes/studies/staleness.py", description="what correction buys"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("data/results/staleness"), help="without ending"
    )
    parser.add_argument("--model", default=defaults.base_dir, help="base model's directory")
    parser.add_argument("--seeds", type=int, default=defaults.seeds)
    parser.add_argument("--iterations", type=int, default=defaults.iterations)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    study = Study(
        base_dir=given.model,
        seeds=given.seeds,
        iterations=given.iterations,
        learning_rate=given.learning_rate,
    )
    plot(run_study(study, given.out.with_suffix(".json")), given.out.with_suffix(".png"))


if __name__ == "__main__":
    main()

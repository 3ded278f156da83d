"""How fast a real model is served and trained on this machine, and whether server and trainer agree
about it.

    python recipes/studies/model_bench.py --base DIRECTORY [--no-serving]     # a model of one's own
    python recipes/studies/model_bench.py --shape qwen2.5-7b --no-serving     # random weights

Chats are those of a Data Scientist at the baseline of procedural tasks, with all rules spelled out.
The server samples them from the base, from one adapter, and from two in one batch; what it sampled
from one adapter goes through the integrity gate and one phase of GRPO, whose advantages are drawn
at random: speed and memory do not depend on them. The figures of that phase are those of
`marl_llm.algorithms.phase_bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from marl_llm.agents.prompts import PromptConfig, Situation, data_scientist_prompt
from marl_llm.algorithms import GRPO
from marl_llm.algorithms.phase_bench import SHAPES, random_model, train_phase
from marl_llm.environment.card import describe_task
from marl_llm.environment.memory import Memory
from marl_llm.evaluation.study import run_study
from marl_llm.proposals import baseline, generate_code
from marl_llm.serving import ChatClient, Completion, ModelServer, ServerConfig
from marl_llm.tasks.procedural import procedural_task
from marl_llm.training.adapters import adapter_sha256, create_adapter
from marl_llm.training.data import ReplayRow
from marl_llm.training.gate import measure
from marl_llm.training.loading import precision_of
from marl_llm.training.phase import Phase

FIRST_SEED = 8_000_000


def chats(count: int) -> list[list[dict[str, str]]]:
    """The first chat of a Data Scientist on each of `count` procedural tasks."""
    found = []
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        card = describe_task(procedural_task(seed))
        spec = baseline(card.kind)
        raw = dict.fromkeys(card.metrics, 0.512)
        now = Situation(card, spec, generate_code(spec), 0.512, raw, Memory(), 6)
        found.append([{"role": "user", "content": data_scientist_prompt(now, PromptConfig())}])
    return found


async def sampled(
    server: ModelServer,
    adapters: dict[str, Path],
    models: Sequence[str],
    asked: Sequence[list[dict[str, str]]],
    each: int,
    tokens: int,
) -> tuple[list[Completion], float]:
    """`each` replies to every chat, `models` taking turns, all asked for at once; and the seconds
    that took.
    """
    async with ChatClient(server) as client:
        for name, path in adapters.items():
            await client.load_adapter(name, path)
        started = time.monotonic()
        calls = [
            client.sample(
                models[(i * each + k) % len(models)], chat, max_tokens=tokens, seed=i * each + k
            )
            for i, chat in enumerate(asked)
            for k in range(each)
        ]
        replies = await asyncio.gather(*calls)
        return list(replies), time.monotonic() - started


def serving(
    base: Path,
    adapters: dict[str, Path],
    asked: Sequence[list[dict[str, str]]],
    each: int,
    tokens: int,
    log: Path,
) -> tuple[list[dict[str, Any]], list[Completion]]:
    """Rates of the base, one adapter and two in one batch, each beside a first pass that fills the
    prefix cache; and what the first adapter sampled.
    """
    config = ServerConfig(max_model_len=2048, max_num_seqs=256, gpu_memory_utilization=0.8)
    first, *_ = adapters
    report, kept = [], []
    started = time.monotonic()
    with ModelServer.start(base, log_path=log, config=config) as server:
        report.append({"server answers after, s": round(time.monotonic() - started, 1)})
        for name, models in {
            "base": ["base"],
            "one adapter": [first],
            "two adapters": list(adapters),
        }.items():
            for cache in ("cold", "warm"):
                replies, seconds = asyncio.run(
                    sampled(server, adapters, models, asked, each, tokens)
                )
                new, read = (
                    sum(len(r.completion_ids) for r in replies),
                    sum(len(r.prompt_ids) for r in replies),
                )
                report.append(
                    {
                        "served": name,
                        "prefix cache": cache,
                        "replies": len(replies),
                        "seconds": round(seconds, 2),
                        "new tokens/s": round(new / seconds),
                        "prompt tokens/s": round(read / seconds),
                    }
                )
                if models == [first]:
                    kept = replies
    return report, kept


def generated(
    base: Path, adapter: Path, asked: Sequence[list[dict[str, str]]], each: int, tokens: int
) -> list[Any]:
    """The same replies by transformers, where there is no server: (prompt ids, completion ids,
    log-probabilities).
    """
    import torch

    from marl_llm.training.loading import load_policy

    model, tokenizer = load_policy(base, adapter, "auto")
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    found = []
    for chat in asked:
        rendered: Any = tokenizer.apply_chat_template(chat, add_generation_prompt=True)
        ids = torch.tensor([rendered["input_ids"]] * each, device=model.device)
        with torch.no_grad():
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=tokens,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                repetition_penalty=1.0,
                output_logits=True,
                return_dict_in_generate=True,
            )
        new = out.sequences[:, ids.shape[1] :]
        logps = (
            torch.stack(out.logits, 1)
            .float()
            .log_softmax(-1)
            .gather(-1, new[..., None])[..., 0]
            .cpu()
            .numpy()
        )
        ends = set(np.atleast_1d(model.generation_config.eos_token_id).tolist())
        for line, logp in zip(new.tolist(), logps, strict=True):
            end = next((i + 1 for i, token in enumerate(line) if token in ends), len(line))
            found.append((rendered["input_ids"], line[:end], logp[:end]))
    return found


def replay_rows(
    turns: Sequence[tuple[Sequence[int], Sequence[int], Any]], fingerprint: str
) -> list[ReplayRow]:
    """Rows with advantages drawn at random."""
    rng = np.random.default_rng(0)
    rows = []
    for number, (prompt, completion, logps) in enumerate(turns):
        gain = np.full(len(completion), rng.normal(), np.float32)
        ids = np.asarray(prompt, np.int64), np.asarray(completion, np.int64)
        rows.append(
            ReplayRow(f"row {number}", *ids, np.asarray(logps, np.float32), gain, fingerprint)
        )
    return rows


def trained(
    base: Path, adapter: Path, rows: list[ReplayRow], config: GRPO, work: Path
) -> dict[str, Any]:
    """The integrity gate's figures on all rows, and those of one phase."""
    trainer = config.trainer(rows, Phase(base, adapter, adapter_sha256(adapter), work, 0))
    precision = precision_of(config.precision, base)
    log_ratios = [
        new - row.logged_logprobs for new, row in zip(trainer.score(rows), rows, strict=True)
    ]
    gate = measure(log_ratios, config.tolerance(precision))
    shown = {name: round(value, 5) for name, value in gate.to_dict().items()} | {
        "passed": gate.passed
    }
    return {"gate": shown, **train_phase(trainer, rows, precision)}


def bench(args: argparse.Namespace) -> str:
    """Serve, unless told not to, and train; one line of JSON a measurement.

    Raises
    ------
    UserError
        The directory holds no model, or vLLM is not installed.
    """
    lines: list[str] = []
    config = GRPO(
        batch_rows=args.batch_rows,
        batch_tokens=args.batch_tokens,
        gradient_checkpointing=args.checkpointing,
        learning_rate=1e-5,
        max_completion_tokens=args.tokens,
    )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        base = args.base or random_model(args.shape, work / args.shape)
        adapters = {
            name: create_adapter(base, work / name, rank=args.rank, alpha=2 * args.rank, seed=seed)
            for seed, name in enumerate(("first-v0", "second-v0"))
        }
        adapter, asked = adapters["first-v0"], chats(args.tasks)
        if args.no_serving:
            turns = generated(base, adapter, asked, args.each, args.tokens)
        else:
            report, replies = serving(
                base, adapters, asked, args.each, args.tokens, work / "server.log"
            )
            lines += [json.dumps(entry) for entry in report]
            turns = [(reply.prompt_ids, reply.completion_ids, reply.logprobs) for reply in replies]
        rows = replay_rows(turns, adapter_sha256(adapter))
        lines.append(json.dumps(trained(base, adapter, rows, config, work / "trainer")))
    return "\n".join(lines)


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--base", type=Path, help="directory of a model")
    model.add_argument(
        "--shape", choices=sorted(SHAPES), help="a model of this shape with random weights"
    )
    parser.add_argument(
        "--no-serving",
        action="store_true",
        help="transformers samples the rows, vLLM is not needed",
    )
    parser.add_argument("--tasks", type=int, default=64, help="chats")
    parser.add_argument("--each", type=int, default=8, help="replies to each chat")
    parser.add_argument("--tokens", type=int, default=32, help="maximum tokens of a reply")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--batch-rows", type=int, default=64)
    parser.add_argument(
        "--batch-tokens", type=int, default=16_384, help="maximum number of cells computed at once"
    )
    parser.add_argument(
        "--checkpointing", action="store_true", help="activations are computed again: less memory"
    )
    args = parser.parse_args()
    return run_study(lambda: bench(args))


if __name__ == "__main__":
    raise SystemExit(main())

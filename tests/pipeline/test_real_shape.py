"""The way of a real model's tokens, on a random one of Qwen's shape: chat prompts, line edits, the
warm start, and the memory of training with its vocabulary.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from transformers import AutoTokenizer

from marl_llm.core.precision import cpu_precision
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER, ROLES
from marl_llm.pipeline.warm_start import warm_start_stage
from marl_llm.proposals import parse_action
from marl_llm.rollout.executors.machines import ThisMachine
from marl_llm.trajectories import read_rows
from marl_llm.workspace.recipe import load_recipe
from marl_llm.workspace.run import RunDirectory
from tests.lent_sandbox import LentSandbox
from tests.qwen_like import OWN_SYSTEM, make_qwen_like
from tests.warm_python import warm_trainers

RECIPE = """
name: shape
model: {{path: {base}, rank: 4, alpha: 8}}
environment: {{steps: 1, cv_folds: 2, resamples: 100}}
prompts: {{style: chat, action_examples: false, engineer_answer: edits, engineer_examples: 0}}
warm_start: {{episodes: 2, proposals: 3, learning_rate: 0.01, warmup: 0, batch_rows: 4, epochs: 2}}
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_qwen_like(tmp_path_factory.mktemp("shape") / "base")


@pytest.fixture(scope="module")
def warmed(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunDirectory]:
    """A run whose warm start is done."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "recipe.yaml").write_text(RECIPE.format(base=base))
    recipe, run = load_recipe(folder / "recipe.yaml"), RunDirectory(folder / "run")
    run.prepare(recipe)
    with warm_trainers():
        warm_start_stage(recipe, run, ThisMachine(LentSandbox()))
    yield run


@pytest.fixture(scope="module")
def rows(warmed: RunDirectory) -> pd.DataFrame:
    return read_rows(warmed.warm_start / "trajectories")


def test_prompts_are_what_transformers_renders_and_hold_our_rules_alone(
    rows: pd.DataFrame, base: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    for row in rows.to_dict("records"):
        messages = json.loads(row["messages"])
        rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        assert list(row["prompt_ids"]) == rendered
        text = tokenizer.decode(row["prompt_ids"])
        assert text.startswith("<|im_start|>system\n") and OWN_SYSTEM not in text
        assert "Write one line like these" not in text


def test_replies_end_as_the_model_ends_them_and_are_read_back(
    rows: pd.DataFrame, base: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    for row in rows.to_dict("records"):
        *reply, end = row["completion_ids"]
        assert tokenizer.decode([end]) == "<|im_end|>" and tokenizer.decode(reply) == row["reply"]
    for text in rows.loc[rows["role"] == DATA_SCIENTIST, "reply"]:
        parse_action(text)
    engineer = rows[rows["role"] == ML_ENGINEER]
    assert len(engineer) and (engineer["compliance"] == 1).all()
    assert not engineer["reply"].str.contains("def build_pipeline").any(), "edits, not programs"


def test_both_adapters_learn_in_the_precision_of_this_machine(
    warmed: RunDirectory, base: Path
) -> None:
    for role in ROLES:
        metrics = json.loads((warmed.warm_start / f"{role}.json").read_text())
        assert metrics["precision"] == cpu_precision(base)
        assert metrics["loss"][-1] < metrics["loss"][0]
        assert metrics["shared_share"] > 0.3, "prompts of a group are computed once"


PHASE = """
import resource, sys, tempfile
from pathlib import Path
from marl_llm.algorithms import GRPO
from marl_llm.algorithms.phase_bench import random_rows
from marl_llm.training.adapters import adapter_sha256, create_adapter
from marl_llm.training.phase import Phase

base, role = Path(sys.argv[1]), sys.argv[2]
with tempfile.TemporaryDirectory() as folder:
    adapter = create_adapter(base, Path(folder) / "v0", rank=4, alpha=8, seed=0)
    rows = random_rows(role, 32, adapter_sha256(adapter))
    phase = Phase(base, adapter, adapter_sha256(adapter), Path(folder) / "work", 0)
    trainer = GRPO(batch_rows=32).trainer(rows, phase)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    trainer.train()
    print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_a_large_vocabulary_does_not_fill_the_memory(base: Path) -> None:
    """Of 32 rows in one piece, logits at every computed cell would be 1.4 GB in float32, their
    gradient the same.
    """
    command = [sys.executable, "-c", PHASE, str(base), DATA_SCIENTIST]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    before, after = map(int, done.stdout.split()[-2:])
    assert after - before < 900_000, "KiB"

"""Making the embedded model, in small: it learns, says how it came about, and comes out the same
from the same seed.
"""

from __future__ import annotations

import json
import math

import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.tiny.model import TinySize, new_model
from marl_llm.tiny.pretrain import Phase, PretrainConfig, pretrain, sharpen
from marl_llm.tiny.tokenizer import train_tokenizer

SMALL = PretrainConfig(
    size=TinySize(hidden=32, layers=2, intermediate=64, head=16),
    vocabulary=700,
    tasks=4,
    tokens_a_batch=256,
    phases=(
        Phase((ML_ENGINEER,), 28_000, 0.02, 0.01, 1.5e-3, 0.3),
        Phase((DATA_SCIENTIST, ML_ENGINEER), 28_000, 0.035, 0.008, 1.2e-3, 0.7),
    ),
)


def test_pretraining_learns_and_comes_out_the_same_again(tmp_path):
    records = [pretrain(tmp_path / name, SMALL) for name in ("one", "two")]
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys() and all((one[name] == two[name]).all() for name in one)
    kept = json.loads((tmp_path / "one" / "pretraining.json").read_text())
    assert kept["tokens"] == records[0]["tokens"] >= 56_000 and kept["config"]["tasks"] == 4
    model, tokenizer = (
        kind.from_pretrained(tmp_path / "one") for kind in (AutoModelForCausalLM, AutoTokenizer)
    )
    text = tokenizer.apply_chat_template([{"role": "user", "content": "x1 num"}], tokenize=False)
    ids = tokenizer(text, return_tensors="pt").input_ids
    loss = float(model(ids, labels=ids).loss.detach())
    assert math.isfinite(loss) and model.config.num_hidden_layers == 2
    first, last = records[0]["curve"][0], records[0]["curve"][-1]
    assert first["step"] == 100 and last["step"] >= 200
    assert last[ML_ENGINEER] < first[ML_ENGINEER] < math.log(700)


def test_sharpening_multiplies_logits_and_changes_no_order():
    tokenizer = train_tokenizer(["role: data scientist task: binary rows 240"] * 4, 300)
    model = new_model(tokenizer, SMALL.size, 0)
    ids = torch.arange(12)[None]
    before = model(ids).logits
    sharpen(model, 1.25)
    assert torch.allclose(model(ids).logits, before * 1.25, rtol=1e-4, atol=1e-6)

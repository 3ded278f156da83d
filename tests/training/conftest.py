"""A tiny random Qwen3 with its own tokenizer, an adapter, and rows sampled from the pair with
transformers alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from marl_llm.training.quiet import quiet_libraries

quiet_libraries()

WORDS = (
    "scale encode impute drop tune forest boost linear depth rate column target feature fold score"
)


@dataclass(frozen=True)
class Tiny:
    """Base model and adapter on disk."""

    base_dir: Path
    adapter_dir: Path
    sha256: str


@pytest.fixture(scope="session")
def base_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    directory = tmp_path_factory.mktemp("models") / "tiny-base"
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|endoftext|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    bpe.train_from_iterator([WORDS] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.save_pretrained(directory)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.2,  # wide enough for adapters and temperatures to make a difference
        eos_token_id=1,
        pad_token_id=0,
        bos_token_id=None,
    )
    Qwen3ForCausalLM(config).save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def tiny(base_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """An adapter whose B is not zero, so that it matters whether it is loaded."""
    import torch
    from safetensors.torch import load_file, save_file

    from marl_llm.training.adapters import WEIGHTS_FILE, adapter_sha256, create_adapter

    adapter = create_adapter(
        base_dir, tmp_path_factory.mktemp("adapters") / "ds-v0", rank=4, alpha=8, seed=1
    )
    generator = torch.Generator().manual_seed(2)
    weights = load_file(adapter / WEIGHTS_FILE)
    moved = {
        name: tensor + 0.05 * torch.randn(tensor.shape, generator=generator) * ("lora_B" in name)
        for name, tensor in weights.items()
    }
    save_file(moved, adapter / WEIGHTS_FILE, metadata={"format": "pt"})
    return Tiny(base_dir, adapter, adapter_sha256(adapter))


@pytest.fixture(scope="session")
def load(base_dir: Path) -> Callable[..., Any]:
    """Load base and adapter as anyone would with transformers and PEFT."""

    def _load(adapter_dir: Path) -> Any:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        return PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base_dir), str(adapter_dir)
        ).eval()

    return _load


@pytest.fixture(scope="session")
def sample(load: Callable[..., Any]) -> Callable[..., pd.DataFrame]:
    """Sample logged rows: `sample(adapter_dir, groups=, size=, temperature=, top_k=, top_p=, seed=,
    prompt_seed=)`.
    """

    def _sample(
        adapter_dir: Path,
        *,
        groups: int = 6,
        size: int = 4,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        prompt_seed: int | None = None,
        prompts: list[np.ndarray] | None = None,
        max_new: int = 12,
        model: Any = None,
    ) -> pd.DataFrame:
        import torch

        model = load(adapter_dir) if model is None else model
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed if prompt_seed is None else prompt_seed)
        rows = []
        for group in range(groups if prompts is None else len(prompts)):
            prompt = (
                rng.integers(2, 250, size=int(rng.integers(3, 20)))
                if prompts is None
                else prompts[group]
            )
            batch = torch.from_numpy(prompt)[None].repeat(size, 1)
            with torch.no_grad():
                out = model.generate(
                    input_ids=batch,
                    attention_mask=torch.ones_like(batch),
                    max_new_tokens=max_new,
                    do_sample=True,
                    temperature=temperature,
                    top_k=top_k,
                    top_p=top_p,
                    return_dict_in_generate=True,
                    output_scores=True,
                )
            completions = out.sequences[:, batch.shape[1] :]
            logps = (
                torch.stack(out.scores, dim=1)
                .float()
                .log_softmax(-1)
                .gather(2, completions[..., None])[..., 0]
            )
            for member, (ids, logp) in enumerate(
                zip(completions.tolist(), logps.tolist(), strict=True)
            ):
                length = ids.index(1) + 1 if 1 in ids else len(ids)  # 1 is the end-of-turn token
                rows.append(
                    {
                        "episode": f"e{group}",
                        "branch": f"1.d{member}",
                        "call": 0,
                        "role": "data_scientist",
                        "group": f"e{group}/1",
                        "prompt_ids": prompt.astype(np.int32),
                        "completion_ids": np.array(ids[:length], np.int32),
                        "logprobs": np.array(logp[:length], np.float32),
                        "advantage": float(rng.normal()),
                    }
                )
        return pd.DataFrame(rows)

    return _sample


@pytest.fixture(scope="session")
def logged(tiny: Tiny, sample: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """24 rows sampled from the tiny pair at temperature 1; tests take copies."""
    return sample(tiny.adapter_dir)

"""A random model that looks to the code as Qwen2.5-Coder does: architecture, storage in bfloat16, a
vocabulary of 151,936 of which the tokenizer knows the first, the way it cuts text into words, two
end tokens, and a chat template that adds a system message of its own where there is none.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

VOCABULARY = 151_936
OWN_SYSTEM = "You are a random model. You are of no help."
_TEMPLATE = f"""\
{{%- if messages[0]['role'] != 'system' %}}
    {{{{- '<|im_start|>system\\n{OWN_SYSTEM}<|im_end|>\\n' }}}}
{{%- endif %}}
{{%- for message in messages %}}
    {{{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}}}
{{%- endfor %}}
{{%- if add_generation_prompt %}}
    {{{{- '<|im_start|>assistant\\n' }}}}
{{%- endif %}}
"""
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| "
    r"?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""Qwen's, which transformers applies to every tokenizer of a Qwen2 model, whatever tokenizer.json
says.
"""
_CORPUS = (
    "propose_model est = RandomForestClassifier(n_estimators=300)\ntune "
    "max_depth=5\nfinish\nanalyze models",
    "def build_pipeline():\n    est = make_pipeline(prep, LogisticRegression(C=0.3))\n    "
    "return est\n",
    "You are a data scientist who improves a scikit-learn model in small steps. Answer with "
    "one line.",
)


def make_qwen_like(directory: Path) -> Path:
    """Save the model and its tokenizer."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    words = pre_tokenizers.Split(Regex(_WORDS), "isolated")
    encoded = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([words, encoded])
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator(_CORPUS, trainer)
    bpe.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = _TEMPLATE
    tokenizer.save_pretrained(str(directory))
    end, pad = bpe.token_to_id("<|im_end|>"), bpe.token_to_id("<|endoftext|>")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=pad,
        eos_token_id=end,
        pad_token_id=pad,
        initializer_range=0.1,
    )
    model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    model.generation_config = GenerationConfig(
        eos_token_id=[end, pad], pad_token_id=pad, do_sample=True
    )
    model.save_pretrained(str(directory))
    return directory

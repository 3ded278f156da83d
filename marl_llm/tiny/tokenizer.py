"""The embedded model's own tokenizer: byte-level BPE with a chat template, trained on the corpus it
will read.

Two rules make copying learnable for a small model: an alias (`x7`) is one token wherever it stands,
and a name before `=` is one token with it (`max_depth=`), so that the token before a value always
tells which value it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from marl_llm.agents.prompts import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
ALIASES = 64
_NAME = r"(?!x\d)[A-Za-z_][A-Za-z_0-9]*"
PATTERN = "|".join(
    (
        r"x\d+",  # an alias
        # the blank before a keyword stands alone, so that the keyword is one token everywhere
        rf" (?={_NAME}=)",
        rf'{_NAME}="?',
        r"[+-]?\d+\.\d+",
        r"[+-]?\d+",
        r" (?!x\d)[A-Za-z_]+",
        r"[A-Za-z_]+",
        r"[^A-Za-z0-9_]+?(?=[+-]?\d|x\d)",
        r"[^A-Za-z0-9_]+",
        r"\w",
    )
)
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] + '<|im_end|>' }}{% "
    "endgeneration %}{{ '\n' }}"
    "{% else %}{{ m['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def render(messages: list[Message], *, generation: bool) -> str:
    """The chat template in plain Python, for building training data fast; a test holds it against
    the template.
    """
    text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return text + ("<|im_start|>assistant\n" if generation else "")


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train the tokenizer.

    Parameters
    ----------
    texts : iterable of str
        Prompts and answers without chat markup.
    vocab_size : int
        Size of the vocabulary, special tokens and aliases included.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.pre_tokenizer = split  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    aliases = " ".join(f"x{i}" for i in range(ALIASES))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *([aliases] * 200)], trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
        model_max_length=2048,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.padding_side = "left"
    return wrapped


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write tokenizer, its configuration and the chat template into a model directory."""
    tokenizer.save_pretrained(str(folder))

"""From conversations to padded token batches: rows of like length together, loss on the answers
only.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from transformers import PreTrainedTokenizerFast

from marl_llm.tiny.corpus import Example
from marl_llm.tiny.tokenizer import render

POOL = 256
"""Examples sorted by length at a time."""


@dataclass(frozen=True)
class Encoded:
    """Token ids of one conversation and, for each, whether it is learned; plus the role for
    separate loss curves.
    """

    ids: list[int]
    learned: list[bool]
    role: str


@dataclass(frozen=True)
class Batch:
    """`ids` and `learned` have shape (rows, longest); `roles` one name a row; `tokens` counts real
    tokens.
    """

    ids: torch.Tensor
    learned: torch.Tensor
    roles: list[str]
    tokens: int


def encode(example: Example, tokenizer: PreTrainedTokenizerFast) -> Encoded:
    """Tokenise one example; further answers follow the first as if asked again after the same
    prompt.
    """

    def ids_of(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    end = tokenizer.eos_token_id
    ids = ids_of(render(example.messages[:-1], generation=True))
    learned = [False] * len(ids)
    again = ids_of("\n<|im_start|>assistant\n")
    for i, answer in enumerate([example.messages[-1]["content"], *example.extra_answers]):
        if i:
            ids += again
            learned += [False] * len(again)
        tokens = [*ids_of(answer), end]
        ids += tokens
        learned += [True] * len(tokens)
    return Encoded(ids, learned, example.role)


def _pad(rows: list[Encoded], pad: int) -> Batch:
    longest = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), longest), pad)
    learned = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        learned[i, : len(row.ids)] = torch.tensor(row.learned)
    return Batch(ids, learned, [row.role for row in rows], sum(len(row.ids) for row in rows))


def batches(
    stream: Iterator[Example], tokenizer: PreTrainedTokenizerFast, tokens_a_batch: int, seed: int
) -> Iterator[Batch]:
    """Endless batches of about `tokens_a_batch` tokens, padding included."""
    rng, pad = random.Random(seed), tokenizer.pad_token_id
    assert isinstance(pad, int), pad
    while True:
        pool = sorted(
            (encode(e, tokenizer) for e in islice(stream, POOL)), key=lambda row: len(row.ids)
        )
        grouped: list[list[Encoded]] = [[]]
        for row in pool:
            if grouped[-1] and len(row.ids) * (len(grouped[-1]) + 1) > tokens_a_batch:
                grouped.append([])
            grouped[-1].append(row)
        rng.shuffle(grouped)
        for rows in grouped:
            yield _pad(rows, pad)

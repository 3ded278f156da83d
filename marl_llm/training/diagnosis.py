"""Why logged and recomputed log-probabilities differ: what the rows and a few extra forward passes
can tell apart, strongest first.

Told apart: parameters recorded in the rows, some rows altered while others agree (a history that
was tokenised again spoils the later turns and not the first), another chat template, another
temperature, no adapter at all, truncated sampling. Not told apart: another base model, another
adapter without a fingerprint, prompts re-tokenised in every row.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from marl_llm.training.data import ReplayRow
from marl_llm.training.gate import ABS_FACTOR, measure

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

_PROBE_ROWS, _PROBE_TOKENS = 8, 64
_TEMPERATURES = np.round(np.arange(0.2, 2.01, 0.05), 2)
_TEMPLATE_TOKENS = 8
_ONE_SIDED_TOKENS, _ONE_SIDED_SHARE = 30, 0.002


def likely_causes(
    rows: Sequence[ReplayRow],
    log_ratios: list[np.ndarray],
    *,
    model: PeftModel,
    tokenizer: object,
    temperature: float,
    tolerance: float,
) -> list[str]:
    """Likely causes of a failed gate, each a clause for the message; never empty.

    Parameters
    ----------
    rows : sequence of ReplayRow
    log_ratios : list of ndarray, each of shape (T,)
        Recomputed minus logged log-probability, nats.
    model : PeftModel
        The policy in memory, for a few more forward passes.
    tokenizer : PreTrainedTokenizerBase
        The base model's, for its chat template.
    temperature, tolerance : float
        Of training and of the gate.
    """
    causes = recorded_causes(rows, temperature)
    partly = altered_rows(rows, log_ratios, tolerance)
    if partly:
        return [*causes, partly]
    if not causes:
        causes = foreign_template(rows, tokenizer)
    if not causes:
        causes = _probe(rows, model, temperature, tolerance)
    if not causes and one_sided(log_ratios, tolerance):
        causes = [
            "every logged log-probability is above the model's, the mark of truncated "
            "sampling (top_p, top_k or min_p)"
        ]
    return causes or [
        "another base model or adapter than the one that sampled, or prompts re-tokenised in every "
        "row; temperature, a missing adapter, truncated sampling and another chat template were "
        "tried and do not explain it"
    ]


def recorded_causes(rows: Sequence[ReplayRow], temperature: float) -> list[str]:
    """What the rows' recorded sampling parameters give away."""
    causes = []
    temperatures = sorted(
        {float(row.sampling["temperature"]) for row in rows if "temperature" in row.sampling}
    )
    if any(abs(value - temperature) > 1e-6 for value in temperatures):
        causes.append(
            f"the rows were sampled at temperature {temperatures[0]:g}, training is set to "
            f"{temperature:g}"
        )
    if any(row.sampling.get("top_p", 1.0) < 1.0 for row in rows):
        causes.append("the rows were sampled with top_p below 1, which cuts the distribution off")
    if any((row.sampling.get("top_k") or 0) > 0 for row in rows):
        causes.append("the rows were sampled with top_k, which cuts the distribution off")
    if any((row.sampling.get("min_p") or 0.0) > 0.0 for row in rows):
        causes.append("the rows were sampled with min_p, which cuts the distribution off")
    return causes


def altered_rows(rows: Sequence[ReplayRow], log_ratios: list[np.ndarray], tolerance: float) -> str:
    """A clause if some rows agree and others do not: then model, adapter and temperature are right
    and those rows were changed.
    """
    off = [not measure([ratio], tolerance).rows_agreeing for ratio in log_ratios]
    if not any(off) or all(off):
        return ""
    first = rows[off.index(True)].name
    return (
        f"{len(off) - sum(off)} of {len(off)} rows agree, so model, adapter and temperature are "
        f"right, and the prompt or completion ids of the other {sum(off)} were altered or "
        f"re-tokenised after sampling (first: {first})"
    )


def foreign_template(rows: Sequence[ReplayRow], tokenizer: Any) -> list[str]:
    """A clause if no prompt ends as the model's chat template begins a reply; none if the model has
    no template.

    The template may add a few tokens more by an option (an empty block of thoughts, say), so the
    mark is looked for near the end.
    """
    if not getattr(tokenizer, "chat_template", None):
        return []
    chat = [{"role": "user", "content": "?"}]
    closed = tokenizer.apply_chat_template(chat, tokenize=False)
    mark = tokenizer.apply_chat_template(
        chat, tokenize=False, add_generation_prompt=True
    ).removeprefix(closed)
    ids = np.array(tokenizer.encode(mark, add_special_tokens=False), np.int64)
    if not len(ids) or any(_ends_with(row.prompt_ids, ids) for row in rows):
        return []
    return [
        f"no prompt ends as the model's chat template begins a reply ({mark!r}), so they were "
        "rendered with another chat template, or none"
    ]


def one_sided(log_ratios: list[np.ndarray], tolerance: float) -> bool:
    """True if (nearly) no token is more probable under the model than logged, as when the sampler
    renormalised a truncated distribution.
    """
    flat = np.concatenate(log_ratios)
    return len(flat) >= _ONE_SIDED_TOKENS and float((flat > tolerance).mean()) <= _ONE_SIDED_SHARE


def _ends_with(prompt: np.ndarray, mark: np.ndarray) -> bool:
    tail = prompt[-len(mark) - _TEMPLATE_TOKENS :]
    return any(
        np.array_equal(tail[i : i + len(mark)], mark) for i in range(len(tail) - len(mark) + 1)
    )


def _probe(
    rows: Sequence[ReplayRow], model: PeftModel, temperature: float, tolerance: float
) -> list[str]:
    if _fit(rows, model, np.array([temperature]), base=True)[0] <= ABS_FACTOR * tolerance:
        return [
            "the rows fit the base model without any adapter: the server sampled from the "
            "base, not from the adapter"
        ]
    errors = _fit(rows, model, _TEMPERATURES, base=False)
    best = int(errors.argmin())
    here = _fit(rows, model, np.array([temperature]), base=False)[0]
    if errors[best] <= max(ABS_FACTOR * tolerance, 0.1 * here):
        return [
            f"the rows fit temperature {_TEMPERATURES[best]:g}, training is set to "
            f"{temperature:g} (if that is the "
            "sampling temperature, the server must run with --logprobs-mode processed_logprobs)"
        ]
    return []


def _fit(
    rows: Sequence[ReplayRow], model: PeftModel, temperatures: np.ndarray, *, base: bool
) -> np.ndarray:
    """Mean |log-ratio| over the first tokens of a few rows, at each temperature; shape of
    `temperatures`.
    """
    import torch

    training = model.training
    model.eval()
    errors = []
    with torch.no_grad(), model.disable_adapter() if base else nullcontext():
        for row in rows[:_PROBE_ROWS]:
            completion = row.completion_ids[:_PROBE_TOKENS]
            ids = torch.from_numpy(np.concatenate([row.prompt_ids, completion])).to(model.device)[
                None
            ]
            logits = model(input_ids=ids).logits[0, len(row.prompt_ids) - 1 : -1].float()  # (T, V)
            logged = torch.from_numpy(row.logged_logprobs[: len(completion)]).to(model.device)
            chosen = ids[0, len(row.prompt_ids) :, None]
            errors.append([_error(logits / float(t), chosen, logged) for t in temperatures])
    model.train(training)
    weights = [min(len(row.completion_ids), _PROBE_TOKENS) for row in rows[:_PROBE_ROWS]]
    return np.average(np.array(errors), axis=0, weights=weights)


def _error(logits: torch.Tensor, chosen: torch.Tensor, logged: torch.Tensor) -> float:
    return float((logits.log_softmax(-1).gather(1, chosen)[:, 0] - logged).abs().mean())

"""An independent way to score completions: one row at a time with transformers alone, no padding, numpy out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def completion_logps(model: Any, rows: pd.DataFrame, column: str = "completion_ids") -> list[np.ndarray]:
    """Log-probabilities (nats) of the tokens of `column` after `prompt_ids`; one array of shape (T,) a row."""
    return [token_logps(model, p, c) for p, c in zip(rows["prompt_ids"], rows[column], strict=True)]


def token_logps(model: Any, prompt: np.ndarray, completion: np.ndarray) -> np.ndarray:
    """Log-probabilities (nats) of `completion` after `prompt`, shape (T,)."""
    import torch

    ids = torch.from_numpy(np.concatenate([prompt, completion]).astype(np.int64))[None]
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0].double().numpy()
    logits = logits[len(prompt) - 1 : -1]
    normal = np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1)) + logits.max(-1)
    return logits[np.arange(len(completion)), np.asarray(completion)] - normal

"""A small model that answers in this process: for playing where nobody trains, half a minute sooner
than a server.

Numpy computes it, not transformers: importing torch and transformers takes 4 s on two idle cores,
and on busy ones it ended 11 s after `solve` began; all that is here takes 0.3 s. A model of this
size gains nothing by them, and a machine that only plays needs neither. Prompts, distribution,
tokens and log-probabilities are those of the server: tests hold them against vLLM, transformers and
PEFT.
"""

from __future__ import annotations

from marl_llm.serving.in_process.client import InProcessClient
from marl_llm.serving.in_process.model import InProcessModel
from marl_llm.serving.in_process.suitable import suits_in_process

__all__ = ["InProcessClient", "InProcessModel", "suits_in_process"]

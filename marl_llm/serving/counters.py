"""What a vLLM server has done since it started, from its Prometheus page (`/metrics`): pure, text
in, numbers out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

_SAMPLE = re.compile(r"^vllm:(\w+)_total(?:\{.*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Counters:
    """Totals since the server started, over all its models and engines.

    Attributes
    ----------
    prompt_tokens, sampled_tokens : float
        Tokens of prompts (cached ones included) and of completions, also of requests not answered
        yet.
    answered : float
        Completions that ended by themselves or at their limit.
    cache_queries, cache_hits : float
        Prompt tokens looked up in the prefix cache, and those of them found there.
    """

    prompt_tokens: float
    sampled_tokens: float
    answered: float
    cache_queries: float
    cache_hits: float

    @property
    def tokens(self) -> float:
        """All tokens; grows while the server works."""
        return self.prompt_tokens + self.sampled_tokens


def read_counters(page: str) -> Counters | None:
    """Read the page; None if it has no count of tokens (no vLLM, or one started with
    --disable-log-stats).
    """
    totals: defaultdict[str, float] = defaultdict(float)
    for name, value in _SAMPLE.findall(page):
        totals[name] += float(value)
    if "generation_tokens" not in totals:
        return None
    return Counters(
        totals["prompt_tokens"],
        totals["generation_tokens"],
        totals["request_success"],
        totals["prefix_cache_queries"],
        totals["prefix_cache_hits"],
    )

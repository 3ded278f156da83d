"""A policy whose replies a model can imitate: the scripted agent's, as the model's own tokens.

In: what a scripted agent says. Out: completions whose prompt and reply are token ids of the model's
template and tokenizer, as if it had said it itself; no model is asked. Log-probabilities are
unknown and written as 0.
"""

from __future__ import annotations

from dataclasses import replace

from marl_llm.rollout.policies import Ask, Policy, PolicyInfo
from marl_llm.serving import Completion
from marl_llm.serving.in_process.chat import ChatTokenizer


class Teacher:
    """A `Policy` that repeats another one's replies in a model's tokens."""

    def __init__(self, policy: Policy, tokenizer: ChatTokenizer) -> None:
        self._policy, self._tokenizer = policy, tokenizer

    @property
    def info(self) -> PolicyInfo:
        """The other policy's."""
        return self._policy.info

    async def reply(self, ask: Ask) -> Completion:
        """The other policy's reply."""
        said = await self._policy.reply(ask)
        ids = self._tokenizer.completion_ids(said.text)
        prompt = self._tokenizer.prompt_ids(ask.messages)
        return replace(said, prompt_ids=prompt, completion_ids=ids, logprobs=[0.0] * len(ids))

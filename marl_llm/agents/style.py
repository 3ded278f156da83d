"""How prompts are written: one place that knows both styles.

In: a situation. Out: the messages that open a turn, and what is said in the course of it. `compact`
is what the embedded model was taught, `chat` is for models that were not; a model whose chat
template knows no system role reads the rules at the head of the first message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from marl_llm.agents.chat.data_scientist import data_scientist_chat
from marl_llm.agents.chat.engineer import engineer_chat, repair_text
from marl_llm.agents.prompts import (
    Heard,
    Message,
    PromptConfig,
    Situation,
    answer_message,
    correction_message,
    data_scientist_prompt,
    engineer_prompt,
    repair_message,
)
from marl_llm.environment.memory import TokenCounter, rough_tokens
from marl_llm.proposals import Action, PipelineSpec


@dataclass(frozen=True)
class PromptStyle:
    """The recipe's way to write prompts, for one model.

    Attributes
    ----------
    config : PromptConfig
    count : TokenCounter
        The model's own, for budgets of tokens.
    system_role : bool
        Whether the model's chat template takes a system message.
    """

    config: PromptConfig
    count: TokenCounter = rough_tokens
    system_role: bool = True

    def data_scientist(
        self, now: Situation, heard: Sequence[Heard] = (), may_analyze: bool = True
    ) -> list[Message]:
        """What the Data Scientist reads; `heard` is what came before in its turn."""
        if self._chat:
            return self._allowed(
                data_scientist_chat(now, self.config, self.count, heard, may_analyze)
            )
        messages = [_user(data_scientist_prompt(now, self.config, self.count))]
        for one in heard:
            told = correction_message(one.told) if one.refused else answer_message(one.told)
            messages += [{"role": "assistant", "content": one.reply}, _user(told)]
        return messages

    def engineer(
        self, now: Situation, request: str, asked: Action, wanted: PipelineSpec
    ) -> list[Message]:
        """What opens a turn of the Engineer: `request` is the proposal in canonical form, `asked`
        the same as a typed action, `wanted` the pipeline it asks for.
        """
        if self._chat:
            return self._allowed(engineer_chat(now, request, asked, wanted, self.config))
        return [_user(engineer_prompt(now, request, self.config, self.count))]

    def repair(self, error: str) -> str:
        """What the Engineer reads after its code failed."""
        return repair_text(error, self.config) if self._chat else repair_message(error)

    @property
    def _chat(self) -> bool:
        return self.config.style == "chat"

    def _allowed(self, messages: list[Message]) -> list[Message]:
        if self.system_role:
            return messages
        rules, first, *rest = messages
        return [{**first, "content": f"{rules['content']}\n\n{first['content']}"}, *rest]


def _user(text: str) -> Message:
    return {"role": "user", "content": text}

"""The Data Scientist's chat: its role and rules, the situation in words, and examples of every kind
of answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from marl_llm.agents.chat.describing import data_lines, model_lines, past_lines
from marl_llm.agents.chat.examples import TOPICS, action_examples
from marl_llm.agents.prompts import Heard, Message, PromptConfig, Situation, harmless
from marl_llm.environment.memory import TokenCounter

_SYSTEM = f"""\
You are a data scientist who improves a scikit-learn model in small steps. Suggest the one change \
that will most likely improve its scores. Answer with one line and nothing else. It begins with \
one of:
propose_model est = NAME(parameter=value): another estimator
tune parameter=value: other hyperparameters of the current estimator
engineer_features OPERATION: another preparation of the columns
analyze models: how other estimators do; analyze TOPIC: {", ".join(TOPICS)}
finish: nothing more is to be gained"""
_REQUEST = "Your line, beginning with propose_model, tune, engineer_features, analyze or finish:"
_LONGEST_REPLY = 80
"""Characters of an earlier reply that are told."""
_LAST_REQUEST = (
    "Your suggestion, no more questions (propose_model, tune, engineer_features or finish), one "
    "line:"
)


def data_scientist_chat(
    now: Situation,
    config: PromptConfig,
    count: TokenCounter,
    heard: Sequence[Heard],
    may_analyze: bool,
) -> list[Message]:
    """The messages of one call of the Data Scientist.

    What came before in the turn is told, and not repeated as a conversation: a small model says
    once more what it reads that it has said.
    """
    lines = [
        *data_lines(now, config),
        *model_lines(now),
        *past_lines(now, config, count),
        *(line for one in heard for line in _analysis_lines(one)),
        *(_examples(_anew(now, heard), may_analyze) if config.action_examples else ()),
        _REQUEST if may_analyze else _LAST_REQUEST,
    ]
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": "\n".join(lines)}]


def _examples(now: Situation, may_analyze: bool) -> list[str]:
    shown = [one for one in action_examples(now) if may_analyze or not one.startswith("analyze")]
    return ["Write one line like these, which would be valid now:", *shown]


def _anew(now: Situation, heard: Sequence[Heard]) -> Situation:
    """The situation with other examples for each call."""
    return replace(now, draw=now.draw + len(heard))


def _analysis_lines(one: Heard) -> list[str]:
    """What came of an earlier call of the turn."""
    said = harmless(" ".join(one.reply.split())[:_LONGEST_REPLY])
    if one.refused:
        return [f"Not possible was `{said}`: {harmless(one.told)}"]
    return [f"Asked, {said}:", harmless(one.told)]

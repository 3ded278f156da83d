"""The Data Scientist's chat: its role and rules, the situation in words, and examples of every kind of answer."""

from __future__ import annotations

from dataclasses import replace

from marl_llm.agents.chat.describing import data_lines, model_lines, past_lines
from marl_llm.agents.chat.examples import TOPICS, action_examples
from marl_llm.agents.prompts import Message, PromptConfig, Situation, harmless
from marl_llm.environment.memory import TokenCounter

_SYSTEM = f"""\
You are a data scientist who improves a scikit-learn model in small steps. Suggest the one change that will most \
likely improve its scores. Answer with one line and nothing else. It begins with one of:
propose_model est = NAME(parameter=value): another estimator
tune parameter=value: other hyperparameters of the current estimator
engineer_features OPERATION: another preparation of the columns
analyze models: how other estimators do; analyze TOPIC: {", ".join(TOPICS)}
finish: nothing more is to be gained"""
_REQUEST = "Your suggestion, one line:"
_NO_CHANGE = ("analyze", "finish")
_LAST_REQUEST = "Now one change, no more questions (propose_model, tune, engineer_features or finish), one line:"


def data_scientist_chat(now: Situation, config: PromptConfig, count: TokenCounter) -> list[Message]:
    """The messages that open a turn of the Data Scientist."""
    lines = [
        *data_lines(now, config),
        *model_lines(now),
        *past_lines(now, config, count),
        "Lines that would be valid now, only to show the form:",
        *action_examples(now),
        _REQUEST,
    ]
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": "\n".join(lines)}]


def correction_text(now: Situation, problem: str) -> str:
    """What the Data Scientist reads after an invalid action: why, and changes that would be possible, drawn anew."""
    possible = [line for line in action_examples(replace(now, draw=now.draw + 1)) if not line.startswith(_NO_CHANGE)]
    lines = (f"That is not possible: {harmless(problem)}", "Possible would be, for example:", *possible, _REQUEST)
    return "\n".join(lines)


def answer_text(answer: str, left: int) -> str:
    """What the Data Scientist reads after an analysis; `left`: how many more it may ask for in this turn."""
    return f"{harmless(answer)}\n{_REQUEST if left else _LAST_REQUEST}"

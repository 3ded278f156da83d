"""The ML Engineer's chat: its role and rules, the program, worked requests on that very program,
and the request.
"""

from __future__ import annotations

from marl_llm.agents.answers import EngineerAnswer, fenced
from marl_llm.agents.chat.examples import worked_requests
from marl_llm.agents.edits import line_edits, numbered
from marl_llm.agents.prompts import Message, PromptConfig, Situation, harmless
from marl_llm.agents.rules import feature_constants
from marl_llm.proposals import Action, PipelineSpec
from marl_llm.proposals.ops.encode import ENCODE
from marl_llm.proposals.ops.scale import SCALE

_ROLE = (
    "You are a machine learning engineer. You change a scikit-learn program exactly as requested "
    "and nothing else."
)
_ANSWERS: dict[EngineerAnswer, str] = {
    "program": "Answer with the whole changed program in one ```python block.",
    "edits": "Answer with line edits only: `N = text` replaces line N by text, `N + text` inserts "
    "text after line N, `N -` deletes line N.",
}
_ENCODERS = ", ".join(method.code for method in ENCODE.methods)
_SCALERS = ", ".join(method.code for method in SCALE.methods if method.constants)
_NAMES = (
    "All names of scikit-learn are imported, and these: column selectors NUM, CAT; "
    f"encoders {_ENCODERS}; scaler {_SCALERS}; features {', '.join(feature_constants())}."
)
_ALONE = "Each request is about this program as it stands."


def engineer_chat(
    now: Situation, request: str, asked: Action, wanted: PipelineSpec, config: PromptConfig
) -> list[Message]:
    """The messages that open a turn of the Engineer.

    Parameters
    ----------
    now : Situation
        With the program that is to be changed.
    request : str
        The proposal in canonical form.
    asked : Action
        The same, typed.
    wanted : PipelineSpec
        The pipeline it asks for.
    config : PromptConfig
    """
    system = "\n".join((_ROLE, _ANSWERS[config.engineer_answer], _NAMES))
    program = numbered(now.code) if config.engineer_answer == "edits" else now.code
    before = "\n".join((*now.at_hand, "Program:", fenced(program), _ALONE, ""))
    messages: list[Message] = [{"role": "system", "content": system}]
    for worked in worked_requests(now, asked, wanted, config.engineer_examples):
        messages += [
            _user(f"{before}Request: {worked.request}"),
            _assistant(_answer(now, worked.program, config)),
        ]
        before = ""
    return [*messages, _user(f"{before}Request: {request}")]


def repair_text(error: str, config: PromptConfig) -> str:
    """What the Engineer reads after its code failed."""
    return f"That failed: {harmless(error)}\n{_ANSWERS[config.engineer_answer]}"


def _answer(now: Situation, program: str, config: PromptConfig) -> str:
    return line_edits(now.code, program) if config.engineer_answer == "edits" else fenced(program)


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}

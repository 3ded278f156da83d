"""Reading the Engineer's reply: line edits against the current code, or the whole code, fenced or bare."""

from __future__ import annotations

import re

from marl_llm.agents.edits import EditError, apply_edits, looks_like_edits

_FENCE = re.compile(r"```(?:python|py)?\s*\n(.*?)(?:```|\Z)", re.DOTALL)
_CODE = re.compile(r"^[ \t]*def build_pipeline", re.MULTILINE)
"""On a line of its own: `1 = def build_pipeline():` is an edit."""
MAX_CODE_CHARS = 20_000


class UnreadableReply(ValueError):
    """Neither edits nor code; the message is one short sentence for the Engineer."""


def read_code(reply: str, current: str) -> str:
    """The code an Engineer's reply asks for.

    Parameters
    ----------
    reply : str
        The model's text.
    current : str
        The current code, as it was numbered in the prompt.

    Returns
    -------
    str
        Text that should define `build_pipeline`; not checked further here.

    Raises
    ------
    UnreadableReply
        The reply holds neither applicable line edits nor a `build_pipeline`.
    """
    fenced = [block for block in _FENCE.findall(reply) if block.strip()]
    text = fenced[-1] if fenced else reply
    if len(text) > MAX_CODE_CHARS:
        raise UnreadableReply(f"the reply is longer than {MAX_CODE_CHARS} characters")
    if _CODE.search(text):
        return text[_start(text) :].rstrip() if not fenced else text.rstrip()
    lines = text.split("\n")
    first = next((i for i, line in enumerate(lines) if looks_like_edits(line)), None)
    if first is not None:
        try:
            return apply_edits(current, "\n".join(lines[first:]))
        except EditError as error:
            raise UnreadableReply(str(error)) from None
    raise UnreadableReply("the reply holds neither line edits nor a build_pipeline()")


def _start(text: str) -> int:
    """Where bare code begins: at an import before the function, else at the function."""
    match = re.search(r"^(?:import \w|from [\w.]+ import |def )", text, re.MULTILINE)
    return match.start() if match else 0

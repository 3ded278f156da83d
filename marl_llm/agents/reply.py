"""Reading the Engineer's reply: line edits against the current code, or the whole code, fenced or
bare.

The reply goes in, code comes out with the names of what was forgiven. What the plain reader takes
is kept as it is, unless that is no Python and a more lenient reading (`lenient_edits.py`,
`programs.py`) is; what it refuses is read leniently. The code is not run and not judged here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from marl_llm.agents.edits import EditError, apply_edits, looks_like_edits
from marl_llm.agents.lenient_edits import diff_edits, free_edits, lacks_sign
from marl_llm.agents.programs import is_python, program_start, trimmed, without_numbers
from marl_llm.core.forgiven import Forgiven, in_order

_FENCE = re.compile(r"```(?:python|py)?\s*\n(.*?)(?:```|\Z)", re.DOTALL)
_ANY_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_CODE = re.compile(r"^[ \t]*def build_pipeline", re.MULTILINE)
"""On a line of its own: `1 = def build_pipeline():` is an edit."""
MAX_CODE_CHARS = 20_000


class UnreadableReply(ValueError):
    """Neither edits nor code; the message is one short sentence for the Engineer."""


@dataclass(frozen=True)
class Written:
    """The code a reply asks for, and what its reader forgave, in the order of `Forgiven`."""

    code: str
    forgiven: tuple[Forgiven, ...] = ()


def read_code(reply: str, current: str) -> Written:
    """The code an Engineer's reply asks for.

    Parameters
    ----------
    reply : str
        The model's text.
    current : str
        The current code, as it was numbered in the prompt.

    Returns
    -------
    Written
        Text that should define `build_pipeline`; not checked further here. Nothing is forgiven
        where the reply is line edits alone, or one fenced program alone.

    Raises
    ------
    UnreadableReply
        The reply holds neither applicable line edits nor a `build_pipeline`.
    """
    try:
        plain = _plain(reply, current)
    except UnreadableReply as error:
        found = _lenient(reply, current)
        if found is None:
            raise error from None
        return found
    if is_python(plain.code):
        return plain
    found = _lenient(reply, current)
    return found if found is not None and is_python(found.code) else plain


def _plain(reply: str, current: str) -> Written:
    """Edits up to the end of the reply or of its last fence, or a whole program."""
    fenced = [block for block in _FENCE.findall(reply) if block.strip()]
    text = fenced[-1] if fenced else reply
    if len(text) > MAX_CODE_CHARS:
        raise UnreadableReply(f"the reply is longer than {MAX_CODE_CHARS} characters")
    if _CODE.search(text):
        code = text if fenced else text[program_start(text) :]
        return Written(code.rstrip(), _around(reply, text if fenced else code, program=True))
    lines = text.split("\n")
    first = next((i for i, line in enumerate(lines) if looks_like_edits(line)), None)
    if first is not None:
        if unsigned := next((line for line in lines[:first] if lacks_sign(line, current)), None):
            raise UnreadableReply(
                f"write every edit as `9 = text`, `9 + text` or `9 -`, not {unsigned.strip()!r:.60}"
            )
        edits = "\n".join(lines[first:])
        try:
            return Written(apply_edits(current, edits), _around(reply, edits, program=False))
        except EditError as error:
            raise UnreadableReply(str(error)) from None
    raise UnreadableReply("the reply holds neither line edits nor a build_pipeline()")


def _around(reply: str, used: str, *, program: bool) -> tuple[Forgiven, ...]:
    """What stands around the part of a reply that was used."""
    outside = re.sub(r"```\w*", "", reply.replace(used, "", 1))
    found = ({Forgiven.prose} if outside.strip() else set()) | _fencing(reply, program=program)
    return in_order(found | ({Forgiven.more_fences} if reply.count("```") > 2 else set()))


def _fencing(reply: str, *, program: bool) -> set[Forgiven]:
    """Edits belong outside of fences, a program into one."""
    if ("```" in reply) is program:
        return set()
    return {Forgiven.no_fence if program else Forgiven.fence}


Reader = Callable[[str, str], tuple[str, frozenset[Forgiven]] | None]


def _lenient(reply: str, current: str) -> Written | None:
    """The first reading beyond doubt of the parts of a reply, the likeliest first; None if there is
    none.
    """
    for text, around in _parts(reply):
        for reader in (_program, free_edits, diff_edits):
            found = reader(text, current) if len(text) <= MAX_CODE_CHARS else None
            if found is not None:
                code, forgiven = found
                return Written(
                    code, in_order(around | forgiven | _fencing(reply, program=reader is _program))
                )
    return None


def _parts(reply: str) -> Iterator[tuple[str, set[Forgiven]]]:
    """The fenced blocks, those with a program first and from the last to the first; else the whole
    reply.
    """
    blocks = [block for block in _ANY_FENCE.findall(reply) if block.strip()]
    around = {Forgiven.prose} if re.sub(r"```\w*", "", _ANY_FENCE.sub("", reply)).strip() else set()
    around |= {Forgiven.more_fences} if len(blocks) > 1 else set()
    backwards = blocks[::-1]
    for block in sorted(backwards, key=lambda block: "def build_pipeline" not in block):
        yield block.strip("\n"), around
    if not blocks:
        yield reply, set()


def _program(text: str, current: str) -> tuple[str, frozenset[Forgiven]] | None:
    """A whole program: without the numbers of its lines, and without the prose around it."""
    if (bare := without_numbers(text)) is not None:
        return bare, frozenset({Forgiven.line_numbers})
    return trimmed(text) if _CODE.search(text) else None

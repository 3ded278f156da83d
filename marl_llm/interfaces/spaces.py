"""Texts as a gymnasium space: a fixed alphabet, a bounded length, and how any prompt is made to
fit.

The space is the same for both agents and for every task, so that one policy can play them all. What
the alphabet does not hold is replaced, what is too long is cut in the middle; both depend on the
text alone.
"""

from __future__ import annotations

import unicodedata
from typing import ClassVar

import numpy as np
from gymnasium.spaces import Text

from marl_llm.agents.reply import MAX_CODE_CHARS

ALPHABET = "\n" + "".join(map(chr, (*range(0x20, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))))
"""Line feed and the printable characters of Latin-1: ASCII, and the letters of Western European
languages.
"""

MAX_CHARACTERS = MAX_CODE_CHARS
"""Longest text by default: as much as is read of a reply."""

_UNKNOWN = "?"
_CUT = "\n[{} characters left out]\n"
_LEAST = 64  # room for the mark of the cut and something around it


class Observation(str):
    """A prompt as an agent observes it: a string that also knows its dtype, as numpy's scalars do.

    PettingZoo's `api_test` compares the dtype of what is seen with that of the space.
    """

    __slots__ = ()
    dtype: ClassVar[np.dtype] = np.dtype(str)


def text_space(alphabet: str = ALPHABET, max_characters: int = MAX_CHARACTERS) -> Text:
    """All texts of at most `max_characters` characters of `alphabet`, the empty one included.

    Raises
    ------
    ValueError
        If the alphabet lacks characters of `ALPHABET`, or texts could not be told to be cut.
    """
    if missing := sorted(set(ALPHABET) - set(alphabet)):
        raise ValueError(
            f"the alphabet lacks {''.join(missing)!r}, which prompts are written with: "
            "extend ALPHABET"
        )
    if max_characters < _LEAST:
        raise ValueError(f"max_characters is {max_characters}, and must be at least {_LEAST}")
    return Text(max_characters, min_length=0, charset="".join(sorted(set(alphabet))))


def fit(text: str, space: Text) -> Observation:
    """The text as an element of the space.

    Line ends become line feeds and other white space a blank; of any other foreign character the
    plain letters or digits it is made of stay (a-breve becomes a), or a question mark. Marks such
    as `<` are never made out of other characters, so what was harmless to a chat template stays
    harmless. A text that is then too long keeps its first and last halves, because prompts say the
    rules first and the proposal or the error last; a line says how many characters are missing
    between them.
    """
    known = space.character_set
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    clean = "".join(c if c in known else _replaced(c, known) for c in lines)
    return Observation(clean if len(clean) <= space.max_length else _cut(clean, space.max_length))


def _replaced(character: str, known: frozenset[str]) -> str:
    if character.isspace():
        return " "
    parts = unicodedata.normalize("NFKD", character)
    return "".join(p for p in parts if p.isascii() and p.isalnum() and p in known) or _UNKNOWN


def _cut(text: str, limit: int) -> str:
    room = limit - len(_CUT.format(len(text)))
    head, tail = room - room // 2, room // 2
    return text[:head] + _CUT.format(len(text) - head - tail) + text[len(text) - tail :]

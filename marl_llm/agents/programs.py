"""Whole programs in a reply: text goes in, the program comes out without the numbers of its lines
or the prose around it. Nothing is run.
"""

from __future__ import annotations

import re
import textwrap

from marl_llm.core.forgiven import Forgiven
from marl_llm.core.syntax import parse

_NUMBERED = re.compile(r"\s*(\d{1,4})(?:[:.|)] ?| |$)(.*)$")
_MOST_ENDS = 40
"""Ends that are tried for a program with prose behind it."""


def program_start(text: str) -> int:
    """Where bare code begins: at an import before the function, else at the function."""
    match = re.search(r"^(?:import \w|from [\w.]+ import |def )", text, re.MULTILINE)
    return match.start() if match else 0


def is_python(code: str) -> bool:
    """True if the text can be parsed."""
    try:
        parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def is_statement(line: str) -> bool:
    """True for a line that is code, and no word of prose that happens to be Python."""
    return re.search(r"[=(]", line) is not None and is_python(line.strip())


def without_numbers(text: str) -> str | None:
    """A program whose lines all have their number before them, without these; None for any other
    text.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    found = [match for match in map(_NUMBERED.match, lines) if match]
    if len(found) < max(2, len(lines)) or "def build_pipeline" not in text:
        return None
    numbers = [int(match[1]) for match in found]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return None
    return textwrap.dedent("\n".join(match[2] for match in found))


def trimmed(text: str) -> tuple[str, frozenset[Forgiven]] | None:
    """The longest part that is Python, from where code begins to the end of a line before a line
    that is not indented; None if there is none that defines `build_pipeline`.
    """
    lines = text[program_start(text) :].rstrip().split("\n")
    ends = [i for i, line in enumerate(lines) if line.strip() and not line[0].isspace()]
    start = next((i for i, line in enumerate(lines) if "def build_pipeline" in line), len(lines))
    behind = [end for end in ends if end > start]
    for end in (len(lines), *behind[: -_MOST_ENDS - 1 : -1], *behind[:1]):
        code = "\n".join(lines[:end]).rstrip()
        if "def build_pipeline" in code and is_python(code):
            return code, frozenset(
                {Forgiven.prose}
            ) if code.strip() != text.strip() else frozenset()
    return None

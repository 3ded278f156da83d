"""The two forms of an Engineer's answer: line edits against the numbered program, or the whole
program in a fence.
"""

from __future__ import annotations

from typing import Literal

EngineerAnswer = Literal["edits", "program"]


def fenced(program: str) -> str:
    """A program as a Markdown block."""
    return f"```python\n{program}\n```"

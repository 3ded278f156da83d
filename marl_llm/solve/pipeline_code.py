"""`build_pipeline()` as it stands in a delivered file, and what it is made of.

The agents read and write the same code behind a prelude that imports everything they may name; a
delivered file has only what it uses, in lines that are formatted.
"""

from __future__ import annotations

import ast
import textwrap

from marl_llm.proposals import PipelineSpec, prelude_for
from marl_llm.solve.composing import Source
from marl_llm.solve.formatting import WIDTH, formatted, joined
from marl_llm.solve.versions import versions_for


def pipeline_source(code: str) -> Source:
    """The prelude of a code, and the code."""
    prelude = prelude_for(code)
    blocks = [
        formatted(source) if isinstance(node, ast.Assign) else source
        for node in ast.parse(prelude).body
        if (source := ast.get_source_segment(prelude, node))
    ]
    return Source("the pipeline", joined([*blocks, formatted(code)]))


def comment(lines: list[str]) -> str:
    """Comment lines, wrapped, each with its end."""
    wrapped = [part for line in lines for part in textwrap.wrap(_plain(line), WIDTH - 2) or [""]]
    return "".join(f"# {line}".rstrip() + "\n" for line in wrapped)


def needed(spec: PipelineSpec) -> str:
    """What is to be installed, with the versions that the model was found with."""
    return ", ".join(f"{name} {version}" for name, version in versions_for(spec).items())


def _plain(text: str) -> str:
    """Text that stays on its comment line."""
    indent = text[: len(text) - len(text.lstrip(" "))]
    return indent + " ".join("".join(c if c.isprintable() else " " for c in text).split())

"""Feature operations and analyses as models write them: like calls, with or without brackets,
quotes and semicolons. Text goes in, the grammar's spelling comes out with the names of what was
forgiven; that columns exist is not checked.
"""

from __future__ import annotations

import json
import re
import string

from marl_llm.core.forgiven import Forgiven
from marl_llm.proposals.arguments import closing, inside_brackets
from marl_llm.proposals.ops import OPERATIONS
from marl_llm.proposals.ops.preparation import OneWord
from marl_llm.proposals.synonyms import operation_word
from marl_llm.proposals.text import outside_quotes

_OPERATION = re.compile(r"\s*([A-Za-z][\w-]*)(?=[\s(\[:=])")
_ALIAS = re.compile(r"[xt]\d+", re.IGNORECASE)
_LETTERS = string.ascii_letters + string.digits


def operations(body: str, forgiven: set[Forgiven]) -> str | None:
    """The operations behind `engineer_features`; None where one of them is not clear."""
    ops = [_op(part, forgiven) for part in _op_parts(body, forgiven)]
    return None if not ops or None in ops else "; ".join(map(str, ops))


def _op_parts(body: str, forgiven: set[Forgiven]) -> list[str]:
    """The operations of a list, also where commas part them."""
    edges: list[int] = []
    for at in outside_quotes(body, ";,"):
        if body[at] == ";":
            edges.append(at)
        elif not inside_brackets(body, at) and _known_op(body[at + 1 :]):
            edges.append(at)
            forgiven.add(Forgiven.separator)
    starts = [0, *(at + 1 for at in edges)]
    parts = (body[a:b].strip() for a, b in zip(starts, [*edges, len(body)], strict=True))
    return [part for part in parts if part]


def _known_op(text: str) -> bool:
    found = _OPERATION.match(text)
    return found is not None and operation_word(found[1]) in OPERATIONS


def _op(part: str, forgiven: set[Forgiven]) -> str | None:
    found = _OPERATION.match(part)
    if found is None or not _known_op(part):
        return None
    op, rest = operation_word(found[1]), part[found.end() :].strip()
    if found[1] != found[1].lower():
        forgiven.add(Forgiven.case)
    if rest[:1] in ("=", ":"):
        rest = rest[1:].strip()
        forgiven.add(Forgiven.separator)
    if rest.startswith("(") and closing(rest, 0) == len(rest) - 1:
        rest = rest[1:-1].strip()
        forgiven.add(Forgiven.call)
    if keyword := re.match(
        r"(?:columns?|cols?|features?|strategy|method|k|variance|n_components)\s*=\s*", rest
    ):
        rest = rest[keyword.end() :]
        forgiven.add(Forgiven.call)
    if isinstance(OPERATIONS[op], OneWord):
        word = rest.strip("\"'` ")
        return f"{op} {word}" if re.fullmatch(r"[\w.-]+", word) else None
    columns = _columns(rest, forgiven)
    return f"{op} {json.dumps(columns)}" if columns else None


def _columns(text: str, forgiven: set[Forgiven]) -> list[str] | None:
    """Columns of a list with or without brackets and quotes; None where brackets remain."""
    text = text.strip()
    bracketed = text[:1] in ("[", "(", "{") and closing(text, 0) == len(text) - 1
    text = text[1:-1] if bracketed else text
    edges = [at for at in outside_quotes(text, ",") if not inside_brackets(text, at)]
    starts = [0, *(at + 1 for at in edges)]
    columns = [
        text[a:b].strip().strip("\"'`") for a, b in zip(starts, [*edges, len(text)], strict=True)
    ]
    spaced = [name for name in re.split(r"[\s,]+(?:and\s+)?", text.strip()) if name]
    if len(spaced) > len(columns) and all(_ALIAS.fullmatch(name) for name in spaced):
        columns = spaced
        forgiven.add(Forgiven.separator)
    columns = [name for name in columns if name]
    if bracketed and columns and len(outside_quotes(text, _LETTERS)):
        forgiven.add(Forgiven.quotes)
    return None if any(re.search(r"[\[\](){}]", name) for name in columns) else columns


def analysis(body: str, forgiven: set[Forgiven]) -> str | None:
    """The query and columns behind `analyze`; None where they are not clear."""
    found = re.match(r"""(["'`]?)([A-Za-z]+)\1\s*""", body)
    if found is None:
        return None
    query, rest = found[2].lower(), body[found.end() :].lstrip(":,").strip()
    if query == "code":
        return f"code {rest}"
    if query != found[2]:
        forgiven.add(Forgiven.case)
    if link := re.match(r"(?:of|on|for|in|columns?)\s*(?:=|\s)\s*", rest):
        rest = rest[link.end() :]
        forgiven.add(Forgiven.prose)
    columns = _columns(rest, forgiven)
    if columns is None:
        return None
    return f"{query} {json.dumps(columns)}" if columns else query

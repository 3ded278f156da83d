"""The last meaningful lines of a vLLM log: what a person should read first when the server has
died.
"""

from __future__ import annotations

import re
from pathlib import Path

_TAIL_BYTES = 64_000
_PREFIX = re.compile(
    r"^(\(\w+ pid=\d+\)\s*)?((INFO|WARNING|ERROR|CRITICAL)\s+[\d-]+ [\d:]+ \[[^\]]*\]\s*)?"
)
_TROUBLE = re.compile(
    r"^[\w.]*(Error|Exception|Interrupt)\b|error[:,] |exited unexpectedly|out of memory|^guard: "
)


def last_words(path: Path, lines: int = 3, since: int = 0) -> str:
    """Return the last `lines` different error lines of the log (any last lines if none is an
    error), joined by " | ".

    `since` is the byte from which on the log is about this server: earlier servers may have written
    before it. A missing or empty log gives a remark that says so; each line is cut to 300
    characters.
    """
    try:
        with path.open("rb") as log:
            log.seek(max(since, path.stat().st_size - _TAIL_BYTES))
            text = log.read().decode("utf-8", errors="replace")
    except OSError:
        return "(no log)"
    seen = [_PREFIX.sub("", line).strip()[:300] for line in text.splitlines()]
    seen = list(dict.fromkeys(filter(None, reversed(seen))))  # newest first, each once
    errors = [line for line in seen if _TROUBLE.search(line)]
    return " | ".join(reversed((errors or seen)[:lines])) or "(the log is empty)"

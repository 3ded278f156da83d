"""CPU time of a process and everything below it, from /proc (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

_PARENT, _TIMES = (
    1,
    slice(11, 15),
)  # fields after the command's closing bracket: ppid; utime, stime, cutime, cstime


def tree_cpu_seconds(root: int) -> float:
    """User and system seconds of a process, of its living descendants, and of those that any of
    them has waited for.

    0 where the process is gone. The sum falls when a descendant ends that nobody in the tree waits
    for.
    """
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        parents[int(entry.name)], ticks[int(entry.name)] = (
            int(fields[_PARENT]),
            sum(map(int, fields[_TIMES])),
        )
    below = {root}
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in below} - below
        below |= children
        grown = bool(children)
    return sum(ticks.get(pid, 0) for pid in below) / os.sysconf("SC_CLK_TCK")

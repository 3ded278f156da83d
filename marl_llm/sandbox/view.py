"""What the slots of this process see: found, copied and pinned once, and kept until the process
ends.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from marl_llm.core.atomic import write_text
from marl_llm.sandbox import mirror
from marl_llm.sandbox.bubblewrap import CODE_ROOT, CONSTANTS, NULL
from marl_llm.sandbox.mirror import Mirror
from marl_llm.sandbox.pinned import Pinned
from marl_llm.sandbox.visible import system_libraries, visible_files

INSIDE = Path(__file__).resolve().parent / "inside"


@dataclass(frozen=True)
class View:
    """A root for slots.

    Attributes
    ----------
    files : Mirror
        Interpreter, packages and libraries.
    code : Path
        The copy of `inside/`.
    pinned : Pinned
        The large files of `files`.
    """

    files: Mirror
    code: Path
    pinned: Pinned


@functools.cache
def view(packages: tuple[str, ...], environment: tuple[tuple[str, str], ...]) -> View:
    """The view with `visible.PACKAGES` and other packages, by import name.

    Raises
    ------
    SandboxUnavailable
        A package is not installed, or there is no place for a mirror.
    """
    files = visible_files(packages)
    files += _libraries(files, dict(environment))
    constants = [f"{folder}/{name}" for name, folder in CONSTANTS.items()]
    root = mirror.make(files, [*constants, NULL, f"{CODE_ROOT}/{INSIDE.name}/"])
    own = [path for path in INSIDE.rglob("*") if path.is_file()]
    code = mirror.make(own, [])
    return View(root, code.root / str(INSIDE)[1:], Pinned(root.bound))


def _libraries(files: list[Path], environment: Mapping[str, str]) -> list[Path]:
    """`system_libraries`, remembered beside the mirrors: finding them takes a third of a second."""
    stamps = [(str(f), f.stat().st_mtime_ns) for f in files if ".so" in f.name]
    digest = hashlib.blake2b(repr(stamps).encode()).hexdigest()[:24]
    note = mirror.default_home().base / f"{digest}.libraries"
    try:
        known = [Path(path) for path in json.loads(note.read_text())]
    except (OSError, ValueError):
        known = []
    if known and all(path.exists() for path in known):
        return known
    found = system_libraries(files, environment)
    write_text(note, json.dumps([str(path) for path in found]))
    return found

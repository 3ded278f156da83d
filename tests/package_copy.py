"""A project of links in which one room of the package is a copy: for trying out what a README says
to change.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def python_blocks(readme: str) -> list[str]:
    """The Python code of a README."""
    return re.findall(r"```python\n(.*?)```", readme, re.DOTALL)


def with_copied_room(root: Path, room: str) -> Path:
    """Make the project under `root`; returns the copied room, e.g. of "proposals"."""
    for name in ("tests", "data", "recipes"):
        (root / name).symlink_to(PROJECT / name)
    (root / "marl_llm").mkdir()
    for path in (PROJECT / "marl_llm").iterdir():
        if path.name not in (room, "__pycache__"):
            (root / "marl_llm" / path.name).symlink_to(path)
    return Path(shutil.copytree(PROJECT / "marl_llm" / room, root / "marl_llm" / room))


def insert(path: Path, before: str, text: str) -> None:
    """Put a text before the first place where another one stands."""
    old = path.read_text()
    assert before in old
    path.write_text(old.replace(before, text + before, 1))


def run_python(root: Path, *arguments: str) -> str:
    """Run Python in such a project; it must succeed. Returns what it printed."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "recipes" / "studies")]),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout

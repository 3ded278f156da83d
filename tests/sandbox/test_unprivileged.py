"""The sandbox of a user without privileges: where the tests run as root, of one made for them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NOBODY = 65_321
"""A user id that nothing else here has; it needs no entry in /etc/passwd."""
PROJECT = Path(__file__).parents[2]
NEEDED = dict.fromkeys(Path(one).resolve() for one in (sys.base_prefix, sys.prefix, PROJECT))


def command(level: str, room: Path) -> list[str]:
    """Evaluate at a level as this user; for root as `NOBODY`, in a mount namespace in which it may
    go where Python and the project are (a root's home is often its own).
    """
    python = [sys.executable, "-m", "tests.sandbox.as_nobody", level]
    if os.geteuid() != 0:
        return python
    steps, blocked = ["set -e"], {top for path in NEEDED if (top := _closed(path)) is not None}
    for number, path in enumerate(NEEDED):
        if _closed(path) in blocked:
            (room / str(number)).mkdir()
            steps.append(shlex.join(["mount", "--bind", str(path), str(room / str(number))]))
    steps += [shlex.join(["mount", "-t", "tmpfs", "-o", "mode=755", "t", str(t)]) for t in blocked]
    for number, path in enumerate(NEEDED):
        if _closed(path) in blocked:
            steps.append(shlex.join(["mkdir", "-p", str(path)]))
            steps.append(shlex.join(["mount", "--bind", str(room / str(number)), str(path)]))
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    steps.append("exec " + shlex.join([*become, "--inh-caps=-all", *python]))
    return ["unshare", "--mount", "sh", "-c", "\n".join(steps)]


def _closed(path: Path) -> Path | None:
    """The first directory on the way that others may not pass."""
    return next((p for p in [*path.parents][::-1] if not p.stat().st_mode & 0o001), None)


@pytest.mark.parametrize("level", ["bubblewrap", "landlock"])
def test_a_user_without_privileges_is_isolated_or_told_why_not(level: str, tmp_path: Path):
    if os.geteuid() == 0 and not (shutil.which("unshare") and shutil.which("setpriv")):
        pytest.skip("as root this needs unshare and setpriv of util-linux")
    done = subprocess.run(
        command(level, tmp_path),
        cwd=PROJECT,
        env=os.environ | {"HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["uid"] == (os.getuid() or NOBODY)
    if "refused" in found:
        assert "did not start" in found["refused"] or "not safe" in found["refused"]
        pytest.skip(f"no {level} for unprivileged users here: {found['refused'][:150]}")
    assert found["failed"] == [] and found["isolation"] == level
    assert (found["honest"], found["reads the host"]) == ("ok", "error")

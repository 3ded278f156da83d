"""The bubblewrap command line: which namespaces, which files, which rights a slot gets.

Inside there is a read-only root with what `view.py` found (the interpreter, packages and shared
libraries), /dev/null and the files of `inside/`; no /proc and /sys but five constants, no network,
no writable path, no data set that packages bring along.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from marl_llm.sandbox.results import SandboxUnavailable

MISSING = (
    "bubblewrap is not installed: apt-get install bubblewrap (or the package bubblewrap of your "
    "distribution), version 0.5 or newer"
)
CODE_ROOT = "/sandbox"
NULL = "/dev/null"
_HUGE_PAGES = "/sys/kernel/mm/transparent_hugepage"
CONSTANTS = {
    "statm": "/proc/self",
    "maps": "/proc/self",
    "online": "/sys/devices/system/cpu",
    "enabled": _HUGE_PAGES,
    "hpage_pmd_size": _HUGE_PAGES,
}
"""Files of `inside/` and the folders where they stand, the same on every machine, so that they tell
nothing. CatBoost does not train without the size of its process; threadpoolctl, which scikit-learn
asks, then reads the list of mapped libraries as well, here an empty one. And CatBoost starts a
thread for each CPU, whatever its thread count, which waits for ever where one cannot start (over
`Limits.threads`; without /proc/self/exe): inside there is one CPU. The C library asks of huge pages
before it uses them (`launch.py`).
"""
_NAMESPACES = (
    "--unshare-pid",
    "--unshare-net",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
)
_FOR_PID_NAMESPACES = "CAP_SYS_ADMIN"
"""The zygote makes a process namespace for each child, and children give this up before anything
else. Outside root's own sandbox it reaches no farther than the user namespace.
"""
_OLDEST, _WITH_DISABLE_USERNS = (0, 5), (0, 8)


def find() -> str:
    """Path of the `bwrap` executable.

    Raises
    ------
    SandboxUnavailable
        When it is missing or too old.
    """
    executable = shutil.which("bwrap")
    if executable is None or _version(executable) < _OLDEST:
        raise SandboxUnavailable(MISSING)
    return executable


def command(
    executable: str, environment: Mapping[str, str], root: Path, bound: Iterable[Path], code: Path
) -> list[str]:
    """Arguments up to and including the final "--".

    Parameters
    ----------
    executable : str
        Of `find`.
    environment : mapping
        The whole environment inside.
    root : Path
        The folder that is / inside. It holds an empty file or folder for everything that is bound.
    bound : iterable of Path
        Absolute paths of files to bind into it, read-only.
    code : Path
        The folder `inside`, bound below `CODE_ROOT`.
    """
    arguments = [
        executable,
        *_NAMESPACES,
        "--die-with-parent",
        "--new-session",
        "--as-pid-1",
        "--clearenv",
    ]
    arguments += _rights(executable)
    for name, value in environment.items():
        arguments += ["--setenv", name, value]
    binds = {str(root): "/", **{str(path): str(path) for path in bound}}
    binds |= {str(code / name): f"{folder}/{name}" for name, folder in CONSTANTS.items()}
    binds[str(code)] = f"{CODE_ROOT}/inside"
    for source, target in binds.items():
        arguments += ["--ro-bind", source, target]
    return [*arguments, "--dev-bind", NULL, NULL, "--chdir", "/", "--"]


def _rights(executable: str) -> list[str]:
    rights = ["--cap-drop", "ALL"]
    if (
        os.geteuid() == 0
    ):  # for one instant: the zygote becomes a user of its own before it imports anything
        added = ("CAP_SETUID", "CAP_SETGID", _FOR_PID_NAMESPACES)
        return [*rights, *(word for name in added for word in ("--cap-add", name))]
    closed = ["--disable-userns"] if _version(executable) >= _WITH_DISABLE_USERNS else []
    mapped = ["--unshare-user", *closed, "--uid", "1000", "--gid", "1000"]
    return [*rights, "--cap-add", _FOR_PID_NAMESPACES, *mapped]


def _version(executable: str) -> tuple[int, ...]:
    answer = subprocess.run(
        [executable, "--version"], capture_output=True, text=True, check=False
    ).stdout
    return tuple(int(number) for number in re.findall(r"\d+", answer)[:2])

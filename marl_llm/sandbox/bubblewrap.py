"""The bubblewrap command line: which namespaces, which files, which rights a slot gets.

Inside there is a read-only root with the interpreter, its packages, the system's shared libraries,
/dev/null and the files of `inside/`; no /proc and /sys but two constants, no network, no writable
path, no data set that packages bring along.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from marl_llm.sandbox.results import SandboxUnavailable

MISSING = (
    "bubblewrap is not installed: apt-get install bubblewrap (or the package bubblewrap of your "
    "distribution), version 0.5 or newer"
)
CODE_ROOT = "/sandbox"
_NULL = "/dev/null"
CONSTANTS = {"statm": "/proc/self", "maps": "/proc/self", "online": "/sys/devices/system/cpu"}
"""Files of `inside/` and the folders where they stand, the same on every machine, so that they tell
nothing. CatBoost does not train without the size of its process; threadpoolctl, which scikit-learn
asks, then reads the list of mapped libraries as well, here an empty one. And CatBoost starts a
thread for each CPU, whatever its thread count, which waits for ever where one cannot start (over
`Limits.threads`; without /proc/self/exe): inside there is one CPU.
"""
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/share/zoneinfo")
_LINKED_LIBRARIES = ("/lib", "/lib64")  # links into /usr on most systems
_NAMESPACES = (
    "--unshare-pid",
    "--unshare-net",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
)
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
    executable: str,
    environment: Mapping[str, str],
    visible: Iterable[str],
    hidden: Iterable[str],
    code: Path,
) -> list[str]:
    """Arguments up to and including the final "--".

    Parameters
    ----------
    executable : str
        Of `find`.
    environment : mapping
        The whole environment inside.
    visible, hidden : iterables of absolute paths
        Folders to bind read-only, and folders below them to cover with an empty one.
    code : Path
        The folder `inside`, bound below `CODE_ROOT`.
    """
    binds = _binds(visible, code)
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
    binds |= {str(code / name): f"{folder}/{name}" for name, folder in CONSTANTS.items()}
    for folder in _parents(
        [*binds.values(), _NULL]
    ):  # bubblewrap itself would make them private to root
        arguments += ["--perms", "0755", "--dir", folder]
    for source, target in binds.items():
        arguments += ["--ro-bind", source, target]
    arguments += _links()
    for folder in hidden:
        arguments += ["--tmpfs", folder, "--remount-ro", folder]
    return [*arguments, "--dev-bind", _NULL, _NULL, "--chdir", "/", "--remount-ro", "/", "--"]


def _rights(executable: str) -> list[str]:
    rights = ["--cap-drop", "ALL"]
    if (
        os.geteuid() == 0
    ):  # for one instant: the zygote becomes a user of its own before it imports anything
        return [*rights, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    closed = ["--disable-userns"] if _version(executable) >= _WITH_DISABLE_USERNS else []
    return [*rights, "--unshare-user", *closed, "--uid", "1000", "--gid", "1000"]


def _binds(visible: Iterable[str], code: Path) -> dict[str, str]:
    """Source to target, each path once and none below another one."""
    paths = [Path(path) for path in dict.fromkeys((*_LIBRARIES, *_LINKED_LIBRARIES, *visible))]
    real = [path for path in paths if path.is_dir() and not path.is_symlink()]
    outer = [str(path) for path in real if not any(other in path.parents for other in real)]
    return {**{path: path for path in outer}, str(code): f"{CODE_ROOT}/{code.name}"}


def _links() -> list[str]:
    links = [path for path in map(Path, _LINKED_LIBRARIES) if path.is_symlink()]
    return [
        argument for path in links for argument in ("--symlink", str(path.readlink()), str(path))
    ]


def _parents(paths: Iterable[str]) -> list[str]:
    folders = {
        str(parent): None for path in paths for parent in reversed(PurePosixPath(path).parents)
    }
    return [folder for folder in folders if folder != "/"]


def _version(executable: str) -> tuple[int, ...]:
    answer = subprocess.run(
        [executable, "--version"], capture_output=True, text=True, check=False
    ).stdout
    return tuple(int(number) for number in re.findall(r"\d+", answer)[:2])

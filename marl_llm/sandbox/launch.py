"""How a zygote is started at each isolation level: command line, environment, and what it may
read.
"""

from __future__ import annotations

import json
import os
import site
import sys
from pathlib import Path

from marl_llm.sandbox import bubblewrap
from marl_llm.sandbox.inside.zygote import Configuration
from marl_llm.sandbox.kernels import chosen_by
from marl_llm.sandbox.results import Level
from marl_llm.sandbox.view import View, view
from marl_llm.sandbox.visible import data_files, folders

_PACKAGE = Path(__file__).resolve().parent
_NOT_READ = ("dev", bubblewrap.CODE_ROOT.strip("/"))
_SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo")
_FIRST_UID, _UIDS, _SLOTS_PER_PROCESS = 61000, 4000, 8


def command(
    level: Level, control: int, slot: int, packages: tuple[str, ...] = ()
) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of a zygote.

    Parameters
    ----------
    level : Level
        Isolation.
    control : int
        The inherited descriptor of the control socket.
    slot : int
        Index of the slot, which with the process id gives its user id.
    packages : tuple of str
        Import names of packages besides `visible.PACKAGES` that can be imported.

    Raises
    ------
    SandboxUnavailable
        When bubblewrap is asked for and missing, or a package is not installed.
    """
    inside = level is Level.bubblewrap
    locked = level is not Level.none
    uid = _uid(slot) if os.geteuid() == 0 and level is not Level.none else None
    python = [sys.executable, "-s", "-B", "-P", "-m", "inside.zygote", str(control)]
    if not inside:
        locked = level is not Level.none
        configuration = (
            _unmirrored(packages, uid) if locked else Configuration(False, [], [], [], uid)
        )
        python.append(json.dumps(configuration._asdict()))
        return python, environment_inside(str(_PACKAGE))
    executable, seen = bubblewrap.find(), seen_inside(packages)
    environment = environment_inside(bubblewrap.CODE_ROOT)
    files = seen.files
    wrapper = bubblewrap.command(executable, environment, files.root, files.bound, seen.code)
    tops = [f"/{path.name}" for path in files.root.iterdir() if path.name not in _NOT_READ]
    python.append(json.dumps(Configuration(True, tops, [], [], uid)._asdict()))
    return wrapper + python, {}


def seen_inside(packages: tuple[str, ...]) -> View:
    """What slots in bubblewrap see; the first call takes a second."""
    return view(packages, tuple(environment_inside(bubblewrap.CODE_ROOT).items()))


def _unmirrored(packages: tuple[str, ...], uid: int | None) -> Configuration:
    """Without a root of its own: packages and system libraries where they lie, less data sets and
    this package itself.
    """
    roots = folders(packages)
    read = [*_SYSTEM, *map(str, roots)]
    hidden = [str(path) for path in (*data_files(roots), _PACKAGE.parent)]
    return Configuration(True, read, hidden, site.getsitepackages(), uid)


def environment_inside(code_root: str) -> dict[str, str]:
    """The whole environment of a zygote."""
    one_thread = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
    return {
        **chosen_by(
            os.environ
        ),  # so that the sandbox computes with the kernels that this machine was told to use
        "PATH": "/usr/bin",
        "HOME": "/",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONPATH": code_root,
        "PYTHONHASHSEED": "0",
        "JOBLIB_MULTIPROCESSING": "0",  # n_jobs=-1 works and runs in one thread
        "MALLOC_ARENA_MAX": "2",
        # A heap of huge pages: a fork copies, and the child's end takes away, one entry of a page
        # table where there were 512. And what was freed is kept: each page that a child gets anew
        # costs microseconds.
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
        **dict.fromkeys(one_thread, "1"),
    }


def _uid(slot: int) -> int:
    """A user id that slots of this process, and of processes started about the same time, do not
    share.
    """
    return _FIRST_UID + (os.getpid() * _SLOTS_PER_PROCESS + slot) % _UIDS


def explain(level: Level, last_words: str) -> str:
    """One sentence for a zygote that did not start: what it said, and what usually helps."""
    if level is not Level.bubblewrap:
        return (
            f"the sandbox ({level}) did not start: {last_words}; check that other users can read "
            f"{sys.base_prefix}"
        )
    return f"bubblewrap did not start: {last_words}; {_advice()}"


def _advice() -> str:
    restricted = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if restricted.exists() and restricted.read_text().strip() == "1":
        return f"allow user namespaces to bwrap with an AppArmor profile, or set {restricted} to 0"
    return (
        "allow user namespaces (in Docker: --security-opt seccomp=unconfined --security-opt "
        "apparmor=unconfined), or choose the weaker level landlock explicitly"
    )

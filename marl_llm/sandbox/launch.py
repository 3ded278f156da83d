"""How a zygote is started at each isolation level: command line, environment, and what it may
read.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from marl_llm.sandbox import bubblewrap
from marl_llm.sandbox.inside.zygote import Configuration
from marl_llm.sandbox.kernels import chosen_by
from marl_llm.sandbox.results import Level

_PACKAGE = Path(__file__).resolve().parent
_INSIDE = _PACKAGE / "inside"
_SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo")
# Folders of packages that hold public data sets: inside the sandbox they would be label files.
_DATA_SETS = (
    "sklearn/datasets/data",
    "sklearn/datasets/tests",
    "statsmodels/datasets",
    "seaborn",
    "vega_datasets",
)
_PACKAGES = ("lib*/python3*/*-packages", "local/lib*/python3*/*-packages")
_FIRST_UID, _UIDS, _SLOTS_PER_PROCESS = 61000, 4000, 8


def command(level: Level, control: int, slot: int) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of a zygote.

    Parameters
    ----------
    level : Level
        Isolation.
    control : int
        The inherited descriptor of the control socket.
    slot : int
        Index of the slot, which with the process id gives its user id.

    Raises
    ------
    SandboxUnavailable
        When bubblewrap is asked for and missing.
    """
    inside = level is Level.bubblewrap
    hidden = _data_sets()
    configuration = Configuration(
        locked=level is not Level.none,
        read=[*_SYSTEM, *_prefixes(), *(bubblewrap.CONSTANTS.values() if inside else ())],
        hidden=[] if inside else hidden,
        uid=_uid(slot) if os.geteuid() == 0 and level is not Level.none else None,
    )
    environment = _environment(bubblewrap.CODE_ROOT if inside else str(_PACKAGE))
    python = [sys.executable, "-s", "-B", "-P", "-m", "inside.zygote", str(control)]
    python.append(json.dumps(configuration._asdict()))
    if not inside:
        return python, environment
    wrapper = bubblewrap.command(bubblewrap.find(), environment, _prefixes(), hidden, _INSIDE)
    return wrapper + python, {}


def _environment(code_root: str) -> dict[str, str]:
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
        **dict.fromkeys(one_thread, "1"),
    }


def _prefixes() -> list[str]:
    """Where the interpreter and its packages live, by their own and by their resolved names."""
    named = [sys.base_prefix, sys.prefix]
    return list(dict.fromkeys([*named, *(os.path.realpath(path) for path in named)]))


def _data_sets() -> list[str]:
    """Folders that a candidate must not read: public data sets, and this package itself."""
    return [folder for prefix in _prefixes() for folder in _data_sets_below(Path(prefix))]


def _data_sets_below(prefix: Path) -> list[str]:
    names = (*_DATA_SETS, _PACKAGE.parent.name)
    packages = [folder for pattern in _PACKAGES for folder in prefix.glob(pattern)]
    found = [folder / name for folder in packages for name in names if (folder / name).is_dir()]
    by_identity = {
        os.path.realpath(folder): str(folder) for folder in reversed(found)
    }  # lib64 is a link to lib
    return list(by_identity.values())


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

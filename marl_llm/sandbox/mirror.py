"""A copy in memory of the files that slots see: the root of their file system.

On a disk's file system the kernel remembers every name that was ever looked up, found or not, and
every page that was read; whoever looks again is answered sooner, so that a fold could tell the next
one something. In a tmpfs all names and pages are there from the beginning. Small files are copied;
large ones are listed, to be bound one by one into the mirror and pinned (`pinned.py`).

Mirrors are kept for the next process, `marl-llm-UID/DIGEST` below /dev/shm or another tmpfs, and
removed an hour after their last use by whoever makes another one. Where there is no tmpfs with room
they lie in the directory for temporary files, and names can be told by time (`in_memory`).
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from marl_llm.sandbox.results import SandboxUnavailable

_LARGE = 256 << 10  # bytes; larger files are bound, not copied
_KEPT_S = 3600.0
_ROOM = 160 << 20  # bytes; a mirror takes about 100 MB
_FORMAT = "1"
_PLACES = ("/dev/shm", os.environ.get("XDG_RUNTIME_DIR", ""), "/run", "/tmp")


@dataclass(frozen=True)
class Mirror:
    """A copy of files.

    Attributes
    ----------
    root : Path
        The folder that stands for /.
    bound : tuple of Path
        Absolute paths of large files, empty in the mirror, to be bound over.
    in_memory : bool
        Whether it lies in a tmpfs.
    """

    root: Path
    bound: tuple[Path, ...]
    in_memory: bool


class Home(NamedTuple):
    """A folder for mirrors, and whether it lies in a tmpfs."""

    base: Path
    in_memory: bool


@dataclass(frozen=True)
class _Entry:
    path: str
    target: str | None  # of a link
    size: int = 0
    modified_ns: int = 0
    mode: int = 0


def make(files: Iterable[Path], empty: Iterable[str], home: Home | None = None) -> Mirror:
    """The mirror of some files, made where an earlier one does not serve.

    Parameters
    ----------
    files : iterable of Path
        Absolute; every link on the way to them is copied as a link, and what it leads to as well.
    empty : iterable of str
        Absolute paths of files to be bound over later, and of folders if they end in "/".
    home : Home, optional
        Where mirrors lie. Default: `default_home()`.

    Raises
    ------
    SandboxUnavailable
        When the place for it belongs to somebody else.
    """
    entries, added = _entries(files), sorted(set(empty))
    base, in_memory = home or default_home()
    _claim(base)
    bind_libraries = bool(os.statvfs(base).f_flag & os.ST_NOEXEC)
    bound = [e for e in entries if e.target is None and _is_bound(e, bind_libraries)]
    digest = hashlib.blake2b(repr((_FORMAT, entries, added, bind_libraries)).encode())
    root = base / digest.hexdigest()[:24]
    lock = _locked(root.with_suffix(".lock"))
    os.utime(lock)
    if not root.exists():
        _sweep(base, root)
        _build(root, entries, {entry.path for entry in bound}, added)
    _held.append(lock)
    return Mirror(root, tuple(Path(entry.path) for entry in bound), in_memory)


_held: list[int] = []  # locks that say "in use" for as long as this process lives


def _is_bound(entry: _Entry, libraries: bool) -> bool:
    return entry.size > _LARGE or (libraries and ".so" in Path(entry.path).name)


def _entries(files: Iterable[Path]) -> list[_Entry]:
    """What has to be there for the files to be found, each path once, sorted."""
    known: dict[Path, _Entry] = {}
    folders: dict[Path, Path] = {}  # as it is named: as it is called without links
    todo = list(files)
    while todo:
        file = todo.pop()
        if file.parent not in folders:
            folders[file.parent] = _plain(file.parent, known)
        path = folders[file.parent] / file.name
        if path in known:
            continue
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            known[path] = _Entry(str(path), str(path.readlink()))
            todo.append(_target(path))
        elif stat.S_ISREG(found.st_mode):
            mode = 0o755 if found.st_mode & 0o111 else 0o644
            known[path] = _Entry(str(path), None, found.st_size, found.st_mtime_ns, mode)
    return sorted(known.values(), key=lambda entry: entry.path)


def _plain(folder: Path, known: dict[Path, _Entry]) -> Path:
    """A folder's path without links; those that were followed are added to `known`."""
    plain = Path("/")
    for part in folder.parts[1:]:
        plain /= part
        if plain.is_symlink():
            known[plain] = _Entry(str(plain), str(plain.readlink()))
            plain = _plain(_target(plain), known)
    return plain


def _target(link: Path) -> Path:
    """Where a link leads, as an absolute path that may hold links itself."""
    return Path(os.path.normpath(link.parent / link.readlink()))


def _build(root: Path, entries: list[_Entry], bound: set[str], empty: list[str]) -> None:
    made = Path(tempfile.mkdtemp(prefix=f"{root.name}.", suffix=".tmp", dir=root.parent))
    try:
        made.chmod(0o755)
        for path in empty:
            target = made / path[1:]
            _folder(target if path.endswith("/") else target.parent)
            if not path.endswith("/"):
                target.touch(0o644)
        for entry in entries:
            target = made / entry.path[1:]
            _folder(target.parent)
            _copy(entry, target, entry.path in bound)
        made.rename(root)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        if not root.exists():  # somebody else was faster
            raise


def _folder(path: Path) -> None:
    if not path.is_dir():
        path.mkdir(parents=True, mode=0o755)


def _copy(entry: _Entry, target: Path, bound: bool) -> None:
    if entry.target is not None:
        target.symlink_to(entry.target)
        return
    if bound:
        target.touch(0o755)
        return
    shutil.copyfile(entry.path, target)
    target.chmod(entry.mode)
    os.utime(target, ns=(entry.modified_ns, entry.modified_ns))  # compiled files name it


@functools.cache
def default_home() -> Home:
    """`marl-llm-UID` in the first tmpfs with room, or else in the directory for temporary files."""
    name, in_memory = f"marl-llm-{os.geteuid()}", _tmpfs()
    for place in filter(None, _PLACES):
        base = Path(place, name)
        if os.path.realpath(place) not in in_memory or not os.access(place, os.W_OK):
            continue
        room = os.statvfs(place)
        if base.exists() or room.f_bavail * room.f_frsize >= _ROOM:
            return Home(base, True)
    return Home(Path(tempfile.gettempdir(), name), False)


def _tmpfs() -> set[str]:
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return {fields[1] for fields in mounts if fields[2] == "tmpfs"}


def _claim(base: Path) -> None:
    with contextlib.suppress(FileExistsError):
        base.mkdir(mode=0o700)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise SandboxUnavailable(
            f"{base} is not a folder that only you can write to: remove it, the sandbox keeps "
            "copies of packages there"
        )


def _locked(path: Path) -> int:
    """Open and lock a file, shared, such that it is still there afterwards."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        os.close(lock)


def _sweep(base: Path, kept: Path) -> None:
    """Remove mirrors that nobody uses and nobody used in the last hour, and half-made ones."""
    old = time.time() - _KEPT_S
    for path in base.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.suffix == ".tmp" and path.stat().st_mtime < old:
                shutil.rmtree(path, ignore_errors=True)
            elif path.suffix == ".lock" and path.stem != kept.name and path.stat().st_mtime < old:
                _remove(path)


def _remove(path: Path) -> None:
    lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        path.unlink()
    finally:
        os.close(lock)

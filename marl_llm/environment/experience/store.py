"""The experience store: one file of JSON lines that several processes fill at once.

A header line with the layout's version, then one line for each account of a data set; accounts of
the same data set are merged on reading. A line is appended under a lock, in one write, and only if
it tells something new. What a killed process or a full disk leaves is at most one torn line: it is
left out with a warning, the next line begins on its own, and all others count.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from pydantic import ValidationError

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.environment.experience.data_set import DataSet, merged
from marl_llm.environment.experience.view import Experience

logger = logging.getLogger(__name__)

VERSION = 1
STORE_FILE = "experience.jsonl"
"""Name of a store, where nobody chose another."""
_STORE = "marl_llm experience"
_HEADER = json.dumps({"store": _STORE, "version": VERSION}).encode() + b"\n"


class ExperienceStore:
    """What was found on each data set, in a file; thread-safe, and safe to fill from many
    processes.

    Parameters
    ----------
    path : Path
        Made with the first data set that is added.

    Raises
    ------
    UserError
        The file is something else, a store of another version, or not readable. It is left as it
        is.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._known: dict[str, DataSet] = {}
        self._inode = self._offset = 0
        try:
            self._read_file()
        except OSError as error:
            why = _why(error)
            raise UserError(
                f"{path}: the experience store cannot be read ({why}); name another file."
            ) from None

    def read(self) -> Experience:
        """What is known by now, of this and of other processes."""
        with self._lock:
            try:
                self._read_file()
            except OSError as error:
                logger.warning(
                    "%s: the experience store cannot be read any more (%s).",
                    self._path,
                    _why(error),
                )
            return Experience(tuple(self._known[key] for key in sorted(self._known)))

    def add(self, data_set: DataSet) -> None:
        """Keep what was found on a data set; what is known already is not written again.

        A disk that fails is one warning: what is being done here matters more than remembering it.
        """
        if not data_set.findings:
            return
        try:
            with self._lock, self._held() as file:
                self._catch_up(file)
                known = self._known.get(data_set.key)
                whole = merged(known, data_set)
                if whole != known:
                    self._append(file, whole)
                    self._catch_up(file)
        except OSError as error:
            logger.warning(
                "%s: the experience cannot be kept (%s); going on without.", self._path, _why(error)
            )

    def _read_file(self) -> None:
        """Catch up with the file if it exists."""
        if self._path.exists():
            with self._path.open("rb", buffering=0) as file:
                self._catch_up(file)

    @contextmanager
    def _held(self) -> Iterator[FileIO]:
        """The file, with no other process adding to it; closing it lets go of the lock."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _append(self, file: FileIO, data_set: DataSet) -> None:
        size = file.seek(0, os.SEEK_END)
        if size < len(_HEADER):  # new, or its maker was killed
            file.truncate(0)
            before = _HEADER
        else:
            file.seek(size - 1)
            before = b"" if file.read(1) == b"\n" else b"\n"
        content = before + data_set.model_dump_json().encode() + b"\n"
        if file.write(content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _catch_up(self, file: FileIO) -> None:
        """Read what was added since the last time; all of it if this is another file, or a shorter
        one.
        """
        found = os.fstat(file.fileno())
        if found.st_ino != self._inode or found.st_size < self._offset:
            self._inode, self._offset, self._known = found.st_ino, 0, {}
        file.seek(self._offset)
        lines = file.read().split(b"\n")
        tail = lines[-1]  # "" unless a writer was killed, or is at work
        begins = self._offset == 0
        if begins and not _header_is_there(lines, self._path):
            return
        self._offset = file.tell() - len(tail)
        parsed = [_data_set(line) for line in lines[begins:] if line]
        unreadable = parsed.count(None) - bool(tail and parsed[-1] is None)
        if unreadable:
            logger.warning(
                "%s: damaged lines of the experience store are left out (%d), the others count. "
                "Delete the file to begin anew.",
                self._path,
                unreadable,
            )
        for data_set in parsed:
            if data_set is not None:
                self._known[data_set.key] = merged(self._known.get(data_set.key), data_set)


def snapshot(store: Path, copy: Path) -> Experience:
    """The store as it was when `copy` was made: now, unless it exists.

    Whoever goes on with what was interrupted sees the same experience, whatever others have added
    since.

    Raises
    ------
    UserError
        One of the two files is no experience store of this version.
    RunFailed
        The copy cannot be written.
    """
    if not copy.is_file():
        known = ExperienceStore(store).read().data_sets
        temporary = copy.with_name(f".{copy.name}.tmp")
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(
                _HEADER + b"".join(d.model_dump_json().encode() + b"\n" for d in known)
            )
            temporary.replace(copy)
        except OSError as error:
            raise RunFailed(
                f"{copy}: cannot be written ({_why(error)}); free some space, run again."
            ) from None
    return ExperienceStore(copy).read()


def _header_is_there(lines: list[bytes], path: Path) -> bool:
    """True if the first line is the header; False for a file that is empty, or was killed in the
    making of it.
    """
    if len(lines) == 1 and _HEADER.startswith(lines[0]):
        return False
    try:
        header = json.loads(lines[0])
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("store") != _STORE:
        raise UserError(f"{path} is no experience store, or its first line is damaged: {_REMEDY}")
    if header.get("version") != VERSION:
        version = header.get("version")
        raise UserError(
            f"{path} is an experience store of version {version!r:.20}, this is {VERSION}: "
            f"{_REMEDY}"
        )
    return True


_REMEDY = "name another file (environment.experience, --experience), or delete this one."


def _data_set(line: bytes) -> DataSet | None:
    try:
        return DataSet.model_validate_json(line)
    except ValidationError:
        return None


def _why(error: OSError) -> str:
    return error.strerror or str(error)

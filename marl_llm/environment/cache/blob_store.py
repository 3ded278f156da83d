"""A bounded store of bytes in one SQLite file, shared between processes; the least recently used
entries go first.

Keys and bytes in, the same bytes or nothing out. Every write is one transaction of a write-ahead
log: a process that is killed leaves what it had committed, readers never wait for writers, and
writers wait for each other. Every entry carries a checksum. A store that fails later on (full disk,
lock that is never released, damaged file, a file system without locks) says so once and goes on in
memory. What the bytes mean is not known here.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from marl_llm.core.errors import UserError

logger = logging.getLogger(__name__)
T = TypeVar("T")

_APPLICATION = 0x6D61726C  # "marl", in the file's header
_LAYOUT = 1
_MAGIC = b"SQLite format 3\0"
_WAIT_S = 20.0  # for another process's write
_LOG_BYTES = 16 << 20  # the write-ahead log is cut back to this
_TABLE = (
    "CREATE TABLE IF NOT EXISTS entries "
    "(key TEXT PRIMARY KEY, used INTEGER NOT NULL, checksum BLOB NOT NULL, content BLOB NOT NULL)"
)
_INDEX = "CREATE INDEX IF NOT EXISTS by_use ON entries (used)"
_NEXT = "(SELECT coalesce(max(used), 0) + 1 FROM entries)"

_OPENING = threading.Lock()
_OPEN: Counter[Path] = Counter()
"""Connections of this process to each file. POSIX drops a process's locks on a file as soon as the
process closes any descriptor of it: a look into the file beside an open connection would let other
processes take its log away. See https://www.sqlite.org/howtocorrupt.html, section 2.2.
"""


class BlobStore:
    """A dictionary of bytes on disk, or in memory; thread-safe.

    Parameters
    ----------
    path : Path or None
        The file, made with its directory where it is missing; None for memory.
    most_bytes : int
        Size that the file's pages in use never exceed after a write (the log of at most 16 MiB
        comes on top).

    Raises
    ------
    UserError
        The path holds something else: it is left as it is.
    """

    def __init__(self, path: Path | None, most_bytes: int) -> None:
        self._path, self._most = path, most_bytes
        self._lock = threading.Lock()
        self._touched: dict[str, None] = {}  # read since the last write, in order
        self._closed = False
        try:
            self._connection = _memory() if path is None else _open(path)
        except (sqlite3.Error, OSError) as error:
            self._connection = self._leave_disk(error)

    def get(self, key: str) -> bytes | None:
        """The bytes of a key, None if there are none or they are damaged (those are dropped)."""

        def read() -> bytes | None:
            row = self._connection.execute(
                "SELECT content, checksum FROM entries WHERE key = ?", (key,)
            ).fetchone()
            if row is None:
                return None
            if not isinstance(row[0], bytes) or row[1] != _checksum(key, row[0]):
                logger.warning(
                    "%s: a damaged entry of the evaluation cache was dropped.", self._path
                )
                self._connection.execute("DELETE FROM entries WHERE key = ?", (key,))
                return None
            self._touched.pop(key, None)
            self._touched[key] = None
            return row[0]

        return self._guarded(read)

    def put(self, key: str, content: bytes) -> None:
        """Keep bytes, and let go of what was not used for longest where they need room.

        More than half of the store's size is not kept at all.
        """
        if 2 * len(content) > self._most:
            return

        def write() -> None:
            with _transaction(self._connection) as connection:
                self._record_use(connection)
                connection.execute(
                    f"INSERT OR REPLACE INTO entries VALUES (?, {_NEXT}, ?, ?)",
                    (key, _checksum(key, content), content),
                )
                _shrink(connection, self._most)
            self._touched.clear()

        self._guarded(write)

    def close(self) -> None:
        """Write down what was used, and let go of the file; from then on the store is empty. Safe
        to call twice.
        """

        def write() -> None:
            with _transaction(self._connection) as connection:
                self._record_use(connection)
            self._touched.clear()

        if self._touched:
            self._guarded(write)
        with self._lock:
            if not self._closed:
                self._closed = True
                self._let_go()

    def _record_use(self, connection: sqlite3.Connection) -> None:
        connection.executemany(
            f"UPDATE entries SET used = {_NEXT} WHERE key = ?", [(key,) for key in self._touched]
        )

    def _guarded(self, work: Callable[[], T]) -> T | None:
        """Do something with the connection; where the disk fails, do it again in memory. Nothing
        when closed.
        """
        with self._lock:
            if self._closed:
                return None
            try:
                return work()
            except sqlite3.Error as error:
                if self._path is None:
                    raise
                self._let_go()
                self._connection = self._leave_disk(error)
                return work()

    def _let_go(self) -> None:
        self._connection.close()
        if self._path is not None:
            with _OPENING:
                _OPEN[self._path.resolve()] -= 1

    def _leave_disk(self, error: Exception) -> sqlite3.Connection:
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        )
        remedy = "; delete it when no run uses it" if damaged else ""
        logger.warning(
            "%s: the evaluation cache cannot be used (%s); going on in memory%s.",
            self._path,
            error,
            remedy,
        )
        self._path = None
        self._touched.clear()
        return _memory()


def _checksum(key: str, content: bytes) -> bytes:
    return hashlib.blake2b(key.encode() + b"\0" + content, digest_size=16).digest()


def _memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _create(connection)
    return connection


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _OPENING:
        if not _OPEN[path.resolve()]:
            _refuse_other_files(path)
        connection = _connect(path)
        _OPEN[path.resolve()] += 1
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
    )
    try:
        _check_owner(connection, path)
        connection.execute(
            "PRAGMA journal_mode = WAL"
        )  # where that is impossible the usual journal serves
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            _create(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    with _transaction(connection):
        connection.execute(_TABLE)
        connection.execute(_INDEX)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {_LAYOUT}")


def _refuse_other_files(path: Path) -> None:
    """SQLite takes a short text file for an empty database and would overwrite it."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(len(_MAGIC))
    if start not in (b"", _MAGIC):
        raise _foreign(path)


def _check_owner(connection: sqlite3.Connection, path: Path) -> None:
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    layout = connection.execute("PRAGMA user_version").fetchone()[0]
    if tables and (owner, layout) != (_APPLICATION, _LAYOUT):
        raise _foreign(path)


def _foreign(path: Path) -> UserError:
    return UserError(
        f"{path} is no evaluation cache of this version of marl_llm: name another file in "
        "environment.cache, or delete this one."
    )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _shrink(connection: sqlite3.Connection, most_bytes: int) -> None:
    """Delete what was not used for longest until the pages in use fit, with a twentieth to
    spare.
    """
    excess = _used_bytes(connection) - most_bytes
    while excess > 0:
        room, oldest = excess + most_bytes // 20, []
        for key, size in connection.execute(
            "SELECT key, length(content) FROM entries ORDER BY used"
        ):
            oldest.append((key,))
            room -= size
            if room <= 0:
                break
        if not oldest:
            return
        connection.executemany("DELETE FROM entries WHERE key = ?", oldest)
        excess = _used_bytes(connection) - most_bytes


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size

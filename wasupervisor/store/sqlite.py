"""How SQLite is opened here, and what its errors mean."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

BUSY_SECONDS = 1.0
"""Nobody but us writes; a reader with the sqlite3 shell holds things up for a moment at the most."""
_CACHE_KIB = 1024
_WAL_LIMIT_BYTES = 4 << 20

# Not a fault of the file: the same call may succeed later.
_PASSING = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_IOERR: "the disk gives errors",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_BUSY: "another program holds it",
    sqlite3.SQLITE_LOCKED: "another program holds it",
    sqlite3.SQLITE_PROTOCOL: "another program holds it",
    sqlite3.SQLITE_PERM: "permission denied",
    sqlite3.SQLITE_NOMEM: "no memory",
    sqlite3.SQLITE_INTERRUPT: "interrupted",
}
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _primary(error: sqlite3.Error) -> int:
    """The primary result code; 0 for errors of the Python module itself (sqlite.org/rescode.html)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_passing(error: sqlite3.Error) -> bool:
    """Whether it is the world's fault and not the file's."""
    return _primary(error) in _PASSING


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file is broken."""
    return _primary(error) in _DAMAGE


def describe(error: sqlite3.Error) -> str:
    """The error in a few words for a person, with SQLite's name for it."""
    words = _PASSING.get(_primary(error), str(error))
    name = getattr(error, "sqlite_errorname", None)
    return f"{words} ({name})" if name else words


def connect_to_write(path: Path) -> sqlite3.Connection:
    """A connection to an existing file, which may be empty. Nothing is written to it yet."""
    return _connect(path, "mode=rw")


def make_durable(connection: sqlite3.Connection) -> None:
    """WAL, and each commit on the disk before it returns.

    Where the file system has no shared memory SQLite stays with its rollback journal, which is as safe.
    """
    if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
        # Works only before the first page is written (sqlite.org/pragma.html#pragma_auto_vacuum).
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    connection.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT_BYTES}")


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing, on a read-only file system or a full disk too.

    Raises:
        sqlite3.Error: it cannot be read so.
    """
    log = wal_path(path)
    log_is_empty = not log.exists() or log.stat().st_size == 0
    # sqlite.org/wal.html, 'Read-Only Databases': without a -shm that may be written, an existing one is enough, and
    # without any, `immutable`, which does not look at the log and so is right only when that is empty.
    ways = ["mode=ro", "mode=ro&readonly_shm=1"] + (["mode=ro&immutable=1"] if log_is_empty else [])
    for way in ways[:-1]:
        with contextlib.suppress(sqlite3.Error):
            return _readable(path, way)
    return _readable(path, ways[-1])


def _readable(path: Path, way: str) -> sqlite3.Connection:
    connection = _connect(path, way)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except (sqlite3.Error, UnicodeError):
        connection.close()
        raise
    return connection


def _connect(path: Path, way: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{way}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.text_factory = _text
    return connection


def _text(raw: bytes) -> str:
    """A flipped bit in a text must not hide the rest of the journal."""
    return raw.decode("utf-8", "replace")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing; afterwards the connection is usable either way."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have rolled back by itself already (full disk, I/O error).
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def wal_path(path: Path) -> Path:
    """SQLite's write-ahead log beside the database."""
    return path.with_name(f"{path.name}-wal")


def all_paths(path: Path) -> list[Path]:
    """The database and what SQLite keeps beside it, the database first."""
    return [path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal"))]

"""The tables of the state, and the steps from each version of them to the next."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path

from wasupervisor.store.errors import NewerState
from wasupervisor.store.sqlite import transaction

Steps = tuple[tuple[str, ...], ...]

STEPS: Steps = (
    (
        """CREATE TABLE memory (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            json BLOB NOT NULL,
            timeline REAL NOT NULL,
            boottime REAL NOT NULL,
            wall REAL NOT NULL,
            boot_id TEXT
        )""",
        """CREATE TABLE journal (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at REAL NOT NULL,
            timeline REAL NOT NULL,
            kind TEXT NOT NULL,
            session TEXT,
            reason TEXT NOT NULL,
            remedy TEXT,
            outcome TEXT,
            warn INTEGER NOT NULL,
            text TEXT NOT NULL
        )""",
        "CREATE INDEX journal_session ON journal (session, id)",
        "CREATE INDEX journal_at ON journal (at)",
    ),
    (
        """CREATE TABLE outbox (
            channel TEXT NOT NULL,
            id TEXT NOT NULL,
            event TEXT NOT NULL,
            queued REAL NOT NULL,
            session TEXT,
            reason TEXT NOT NULL,
            about TEXT NOT NULL,
            body BLOB NOT NULL,
            UNIQUE (channel, id)
        )""",
    ),
)
"""The statements that lead from version n (its index) to n + 1. One that was released is never changed."""

VERSION = len(STEPS)

_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_HIGHEST_BELIEVED = 9999
"""No release comes to such a version: bits have flipped."""


class Damaged(Exception):  # noqa: N818 - never leaves the room
    """The file is not a state that can be used."""


def check_header(path: Path, known: int = VERSION) -> None:
    """Look at the first bytes before SQLite opens the file, and so without changing anything.

    Raises:
        Damaged: this cannot be a database. SQLite itself takes some flipped bits here for a read-only file.
        NewerState: a later release wrote it.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header:
        return
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise Damaged("it is not a database")
    # sqlite.org/fileformat2.html, 1.3: bytes 18 and 19 are the versions needed to write and read, 60 the user version.
    if not {header[18], header[19]} <= {1, 2}:
        raise Damaged("its header is broken")
    _check_version(struct.unpack_from(">i", header, 60)[0], path, known)


def version_of(connection: sqlite3.Connection, path: Path, known: int = VERSION) -> int:
    """The version of the tables; 0: there are none yet.

    Raises:
        Damaged: a database, but not one of ours.
        NewerState: a later release wrote it.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    _check_version(version, path, known)
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise Damaged("it is a database of another program")
    return version


def _check_version(version: int, path: Path, known: int) -> None:
    if not 0 <= version <= _HIGHEST_BELIEVED:
        raise Damaged("its header is broken")
    if version > known:
        raise NewerState(path, version, known)


def migrate(connection: sqlite3.Connection, version: int, steps: Steps = STEPS) -> None:
    """Bring the tables from `version` to the newest, each step in a transaction of its own."""
    for number, statements in enumerate(steps[version:], version + 1):
        with transaction(connection):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={number}")

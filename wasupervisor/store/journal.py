"""The journal's rows: written, read and, when they are old or too many, removed."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import NamedTuple, TypeVar

from wasupervisor.model.journal import Entry, EntryKind, Recorded
from wasupervisor.model.sessions import Reason
from wasupervisor.store.sqlite import transaction

DEFAULT_LIMIT = 1000
_BATCH_ROWS = 2000
_BATCH_PAGES = 1000
_AIM = 0.95
"""Of the allowed size: what is pruned to, so that not every new line asks for another round."""

_COLUMNS = "at, timeline, kind, session, reason, remedy, outcome, warn, text"

_Code = TypeVar("_Code", bound=StrEnum)


class Line(NamedTuple):
    """An entry with its times."""

    at: float
    """Seconds since the epoch."""
    timeline: float
    entry: Entry


def check_columns(connection: sqlite3.Connection) -> None:
    """Ask for every column, so that a damaged schema shows at the start and not at the first line.

    Raises:
        sqlite3.OperationalError: one is missing.
    """
    connection.execute(f"SELECT id, {_COLUMNS} FROM journal LIMIT 0")  # noqa: S608 - no value stands in it


def insert(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    """Write the lines; inside the caller's transaction."""
    connection.executemany(
        f"INSERT INTO journal ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - no value stands in it
        [_row(line) for line in lines],
    )


def _row(line: Line) -> tuple[object, ...]:
    entry = line.entry
    texts = (entry.kind, entry.session, entry.reason, entry.remedy, entry.outcome)
    return (line.at, line.timeline, *map(_storable, texts), entry.warn, _storable(entry.text))


def _storable(text: str | None) -> str | None:
    """A lone surrogate (from a file name, from a gateway) cannot be stored, and must not cost us the commit."""
    return None if text is None else str(text).encode("utf-8", "replace").decode()


def select(
    connection: sqlite3.Connection,
    *,
    session: str | None = None,
    shared: bool = False,
    since: float | None = None,
    until: float | None = None,
    kinds: Collection[EntryKind] | None = None,
    limit: int = DEFAULT_LIMIT,
) -> list[Recorded]:
    """The newest `limit` entries that fit, the newest last.

    Args:
        connection: to the database.
        session: only of this session.
        shared: with what names no session and so concerns all of them.
        since: only from this time on, in seconds since the epoch.
        until: only before this time.
        kinds: only of these kinds.
        limit: how many at the most.
    """
    conditions: list[str] = []
    values: list[object] = []
    if session is not None:
        conditions.append("(session = ? OR session IS NULL)" if shared else "session = ?")
        values.append(session)
    if since is not None:
        conditions.append("at >= ?")
        values.append(since)
    if until is not None:
        conditions.append("at < ?")
        values.append(until)
    if kinds is not None:
        conditions.append(f"kind IN ({', '.join('?' * len(kinds))})")
        values.extend(kinds)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = connection.execute(
        "SELECT id, at, kind, session, reason, remedy, outcome, warn, text"  # noqa: S608 - no value stands in it
        f" FROM journal {where} ORDER BY id DESC LIMIT ?",
        (*values, max(0, limit)),
    ).fetchall()
    found = []
    for row in reversed(rows):
        # A damaged row hides itself and nothing else.
        with contextlib.suppress(TypeError, ValueError):
            found.append(_recorded(row))
    return found


def _recorded(row: tuple[object, ...]) -> Recorded:
    number, at, kind, session, reason, remedy, outcome, warn, text = row
    if not isinstance(number, int) or not isinstance(at, float) or not isinstance(text, str):
        raise TypeError
    entry = Entry(
        kind=_code(EntryKind, kind, EntryKind.SUPERVISOR),
        text=text,
        session=_optional(session),
        reason=_code(Reason, reason, Reason.NONE),
        remedy=_optional(remedy),
        outcome=_optional(outcome),
        warn=bool(warn),
    )
    return Recorded(id=number, at=at, entry=entry)


def _code(codes: type[_Code], found: object, otherwise: _Code) -> _Code:
    """A code of a later release is no reason to hide the sentence."""
    try:
        return codes(str(found))
    except ValueError:
        return otherwise


def _optional(found: object) -> str | None:
    return None if found is None else str(found)


def prune(connection: sqlite3.Connection, *, before: float, max_bytes: int) -> bool:
    """Remove a bounded number of the oldest lines, and give the room back to the disk.

    Args:
        connection: to the database.
        before: lines older than this go, in seconds since the epoch.
        max_bytes: what the file may hold; when it holds more the oldest lines go, whatever their age.

    Returns:
        Whether another call has more to do.
    """
    with transaction(connection):
        old = connection.execute(
            "DELETE FROM journal WHERE id IN (SELECT id FROM journal WHERE at < ? ORDER BY at LIMIT ?)",
            (before, _BATCH_ROWS),
        ).rowcount
        surplus = _remove_for_size(connection, max_bytes)
    freed = _shrink(connection)
    # How many lines make up a surplus of bytes is an estimate, so the next call looks again.
    return old >= _BATCH_ROWS or surplus > 0 or freed >= _BATCH_PAGES


def _remove_for_size(connection: sqlite3.Connection, max_bytes: int) -> int:
    used = _used_bytes(connection)
    if used <= max_bytes:
        return 0
    oldest, newest = connection.execute("SELECT min(id), max(id) FROM journal").fetchone()
    if oldest is None:
        return 0
    lines = newest - oldest + 1
    surplus = math.ceil((used - _AIM * max_bytes) / (used / lines))
    return connection.execute("DELETE FROM journal WHERE id < ?", (oldest + min(surplus, _BATCH_ROWS),)).rowcount


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _shrink(connection: sqlite3.Connection) -> int:
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    if free:
        # It frees a page with each step, and `execute` takes only one of a statement without columns.
        connection.executescript(f"PRAGMA incremental_vacuum({_BATCH_PAGES})")
        # Only a checkpoint makes the file shorter.
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    return min(free, _BATCH_PAGES)

"""Reading the state without writing a byte: for a state that cannot be written, and for those who only look."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from wasupervisor.model.journal import EntryKind, Recorded
from wasupervisor.store import journal
from wasupervisor.store.errors import StoreError
from wasupervisor.store.outbox import Message, select
from wasupervisor.store.schema import VERSION, Damaged, version_of
from wasupervisor.store.sqlite import connect_to_read, describe
from wasupervisor.store.timeline import Saved

DATABASE_NAME = "state.db"


@dataclass(frozen=True, slots=True)
class Opened:
    """What was found in the state directory."""

    memory: bytes | None = None
    """The decider's memory as it was last committed; None: there is none, or it could not be read."""
    saved: Saved | None = None
    """When it was committed."""
    moved_aside: Path | None = None
    """Where what could not be used was moved to."""
    why: str = ""
    """What was wrong with it, for a person."""
    trouble: str | None = None
    """Why the state cannot be written at present; it is tried again with each commit."""
    outbox: tuple[Message, ...] = ()
    """Messages to people that were not delivered."""


def read_state(directory: Path) -> Opened:
    """What is in the state of this directory, while a daemon may be writing it.

    Raises:
        NewerState: a later release wrote it.
        StoreError: it cannot be read.
    """
    with _reading(directory) as connection:
        return Opened() if connection is None else read_all(connection, directory / DATABASE_NAME)


def read_history(
    directory: Path,
    *,
    session: str | None = None,
    since: float | None = None,
    kinds: Collection[EntryKind] | None = None,
    limit: int = journal.DEFAULT_LIMIT,
) -> list[Recorded]:
    """The journal in this directory (`journal.select`), while a daemon may be writing it.

    Raises:
        NewerState: a later release wrote it.
        StoreError: it cannot be read.
    """
    with _reading(directory) as connection:
        if connection is None or version_of(connection, directory / DATABASE_NAME) == 0:
            return []
        return journal.select(connection, session=session, since=since, kinds=kinds, limit=limit)


@contextlib.contextmanager
def _reading(directory: Path) -> Iterator[sqlite3.Connection | None]:
    """A connection; None where nothing was written yet."""
    path = directory / DATABASE_NAME
    try:
        if is_absent(path):
            yield None
            return
        with contextlib.closing(connect_to_read(path)) as connection:
            yield connection
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from None
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be read: {describe(error)}") from None
    except (Damaged, UnicodeError) as damage:
        raise StoreError(f"{path} cannot be read: {damage}") from None


def is_absent(path: Path) -> bool:
    """Whether nothing was ever written there."""
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return True


def read_all(connection: sqlite3.Connection, path: Path, known: int = VERSION) -> Opened:
    """The memory and its moment, of tables that cannot be migrated now.

    Raises:
        Damaged: they are not of the kind that is written here.
        NewerState: a later release wrote them.
        StoreError: an older release wrote them.
    """
    version = version_of(connection, path, known)
    if 0 < version < known:
        raise StoreError(f"{path} is of an older release and cannot be brought up to date while it is not writable")
    return Opened() if version == 0 else replace(read_memory(connection), outbox=select(connection))


def read_memory(connection: sqlite3.Connection) -> Opened:
    """The memory and its moment, of tables of this release.

    Raises:
        Damaged: they are not of the kind that is written here.
    """
    row = connection.execute("SELECT json, timeline, boottime, wall, boot_id FROM memory WHERE id = 1").fetchone()
    if row is None:
        return Opened()
    memory, *times, boot_id = row
    if not isinstance(memory, bytes) or not all(isinstance(time, float) and math.isfinite(time) for time in times):
        raise Damaged("its memory is not readable")
    timeline, boottime, wall = times
    boot_id = boot_id if isinstance(boot_id, str) else None
    return Opened(memory=memory, saved=Saved(timeline=timeline, boottime=boottime, wall=wall, boot_id=boot_id))

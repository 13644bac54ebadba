"""The state on the disk: one SQLite file with the decider's memory and the journal, written together."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from wasupervisor.model.journal import Entry, EntryKind, Recorded
from wasupervisor.store import journal, outbox
from wasupervisor.store.directory import tighten_file, whose
from wasupervisor.store.errors import StateUnwritable, StoreError
from wasupervisor.store.journal import Line
from wasupervisor.store.outbox import Key, Message
from wasupervisor.store.reader import DATABASE_NAME, Opened, is_absent, read_all, read_memory
from wasupervisor.store.schema import STEPS, Damaged, Steps, check_header, migrate, version_of
from wasupervisor.store.sqlite import (
    all_paths,
    connect_to_read,
    connect_to_write,
    describe,
    is_damage,
    is_passing,
    make_durable,
    transaction,
)
from wasupervisor.store.timeline import Saved

logger = logging.getLogger(__name__)

_CHECK_WHOLE_BELOW_BYTES = 32 << 20
"""Above it only the memory is checked at the start: a large journal would delay READY, and its loss costs no safety."""
_MOST_MOVES = 3
"""In one run. A disk that damages each new file too must not be filled with copies."""

Decodes = Callable[[bytes], object]


class Database:
    """The connection that writes. Not for two threads at once; the caller sees to that, and holds the directory's lock.

    Args:
        directory: prepared by `prepare_directory`.
        decodes: raises when it is given a memory that the decider cannot use; asked at the first opening only, because
            from then on the memory of the running process is the truth.
        wall: the wall clock, for the names and journal lines of what is moved aside.
        steps: the schema's history.
    """

    def __init__(
        self,
        directory: Path,
        *,
        decodes: Decodes | None = None,
        wall: Callable[[], float] = time.time,
        steps: Steps = STEPS,
    ) -> None:
        self.path = directory / DATABASE_NAME
        self.notes: tuple[str, ...] = ()
        """What happened to the file in this run that a person should know; journaled too."""
        self._decodes = decodes
        self._wall = wall
        self._steps = steps
        self._connection: sqlite3.Connection | None = None
        self._written_file: tuple[int, int] | None = None
        """Device and inode of the file that is open for writing; None: none is."""
        self._posted: frozenset[Key] = frozenset()
        """The messages that stand in the open file's outbox."""
        self._untold: list[Line] = []
        """Notes that are not in the journal yet."""
        self._damage: str | None = None
        """What a later call found broken: the next commit begins a new file."""
        self._moves = 0

    def open(self) -> Opened:
        """Open the file, or begin one; what is damaged is moved aside. Called again, it tries anew.

        Raises:
            NewerState: a later release wrote it; it is left as it is.
            StoreError: our user may not read or write it.
        """
        self.close()
        try:
            opened = self._open()
        except StoreError:
            self.close()
            raise
        self._decodes = None
        return opened

    def commit(
        self,
        memory: bytes,
        moment: Saved,
        lines: Sequence[Line] = (),
        messages: Mapping[Key, Message] | None = None,
    ) -> None:
        """Write the memory and these lines in one transaction; when it returns they are on the disk.

        The outbox holds just these `messages` afterwards; None leaves it as it is.

        Raises:
            StateUnwritable: nothing was written. A later commit may succeed.
        """
        self._be_ready_to_write()
        if self._damage is None:
            try:
                self._write(memory, moment, lines, messages)
            except sqlite3.Error as error:
                self._learn_from(error)
                if self._damage is None:
                    raise StateUnwritable(self._cannot_write(describe(error))) from None
            else:
                return
        # The caller holds the memory, so that a new file can take it; only the journal of the old one is lost.
        opened = self._begin_anew(self._damage, _kept(memory, moment, messages), lines)
        if opened.trouble is not None:
            raise StateUnwritable(opened.trouble)

    def prune(self, *, before: float, max_bytes: int) -> bool:
        """As `journal.prune`.

        Raises:
            StateUnwritable: nothing was removed.
        """
        connection = self._be_ready_to_write()
        try:
            return journal.prune(connection, before=before, max_bytes=max_bytes)
        except sqlite3.Error as error:
            self._learn_from(error)
            raise StateUnwritable(self._cannot_write(describe(error))) from None

    def history(
        self,
        *,
        session: str | None = None,
        shared: bool = False,
        since: float | None = None,
        until: float | None = None,
        kinds: Collection[EntryKind] | None = None,
        limit: int = journal.DEFAULT_LIMIT,
    ) -> list[Recorded]:
        """As `journal.select`; nothing when there is no file to read.

        Raises:
            StoreError: the journal cannot be read.
        """
        if self._connection is None:
            return []
        try:
            return journal.select(
                self._connection,
                session=session,
                shared=shared,
                since=since,
                until=until,
                kinds=kinds,
                limit=limit,
            )
        except sqlite3.Error as error:
            self._learn_from(error)
            raise StoreError(f"the journal in {self.path} cannot be read: {describe(error)}") from None

    def close(self) -> None:
        """Close it; everything that was committed stays."""
        self._written_file = None
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _open(self) -> Opened:
        try:
            self._make_file()
            check_header(self.path, len(self._steps))
            opened = self._open_to_write()
        except (Damaged, UnicodeError) as damage:
            # Python raises UnicodeError where SQLite's own message quotes a broken name from the file.
            return self._begin_anew(str(damage), self._salvage())
        except sqlite3.Error as error:
            if is_passing(error):
                return self._open_to_read(describe(error))
            return self._begin_anew(describe(error), self._salvage())
        except OSError as error:
            return self._open_to_read(error.strerror or str(error))
        return self._usable(opened)

    def _make_file(self) -> None:
        """See to it that the file exists with mode 0600; SQLite gives the same to what it keeps beside it."""
        for path in all_paths(self.path):
            tighten_file(path)
            create = os.O_CREAT if path == self.path else 0
            try:
                os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | create, 0o600))
            except FileNotFoundError:
                if create:
                    raise
            except PermissionError:
                raise StoreError(f"{path} cannot be opened: {whose(path)}") from None
            except IsADirectoryError:
                raise StoreError(f"{path} is a directory: move it away, or set another state.directory") from None

    def _open_to_write(self) -> Opened:
        self._connection = connect_to_write(self.path)
        version = version_of(self._connection, self.path, len(self._steps))
        make_durable(self._connection)
        migrate(self._connection, version, self._steps)
        opened = replace(read_memory(self._connection), outbox=outbox.select(self._connection))
        self._posted = frozenset(one.key for one in opened.outbox)
        journal.check_columns(self._connection)
        _check_pages(self._connection, self.path)
        self._written_file = _identity(self.path)
        return opened

    def _open_to_read(self, why: str) -> Opened:
        """The file cannot be written now: load what is there."""
        self.close()
        trouble = self._cannot_write(why)
        try:
            if is_absent(self.path):
                return Opened(trouble=trouble)
            self._connection = connect_to_read(self.path)
            opened = read_all(self._connection, self.path, len(self._steps))
        except (Damaged, UnicodeError) as damage:
            return Opened(why=str(damage), trouble=f"{trouble}; and it is damaged ({damage})")
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {error.strerror}") from None
        except sqlite3.Error as error:
            if is_passing(error):
                raise StoreError(f"{self.path} cannot be read: {describe(error)}") from None
            return Opened(why=describe(error), trouble=f"{trouble}; and it is damaged ({describe(error)})")
        return replace(self._usable(opened), trouble=trouble)

    def _usable(self, opened: Opened) -> Opened:
        """Without the memory when the decider cannot use it; that is then kept in a file of its own."""
        if opened.memory is None or self._decodes is None:
            return opened
        try:
            self._decodes(opened.memory)
        except Exception as error:
            why = f"its memory cannot be used: {error}"
            try:
                aside = _free_name(self.path.with_name(f"memory.corrupt-{self._stamp()}.json"))
                aside.touch(mode=0o600)
                aside.write_bytes(opened.memory)
            except OSError:
                self._note(f"The state {self.path} was damaged ({why}) and is learnt anew.")
                return replace(opened, memory=None, why=why)
            self._note(f"The state {self.path} was damaged ({why}): it was kept as {aside} and is learnt anew.")
            return replace(opened, memory=None, moved_aside=aside, why=why)
        return opened

    def _salvage(self) -> Opened:
        """The memory of a damaged file where it can still be read: a bad page of the journal must not buy attempts."""
        if self._connection is None:
            return Opened()
        try:
            kept = self._usable(read_memory(self._connection))
        except (sqlite3.Error, Damaged, UnicodeError):
            return Opened()
        with contextlib.suppress(sqlite3.Error):
            kept = replace(kept, outbox=outbox.select(self._connection))
        return kept

    def _begin_anew(self, why: str, kept: Opened, lines: Sequence[Line] = ()) -> Opened:
        """Move the damaged file aside and begin a new one with what was kept."""
        self.close()
        if self._moves >= _MOST_MOVES:
            return replace(
                kept, why=why, trouble=self._cannot_write(f"damaged again and again ({why}); check the disk")
            )
        try:
            aside = self._move_aside()
        except OSError as error:
            return replace(kept, why=why, trouble=self._cannot_write(f"damaged ({why}), not moved: {error.strerror}"))
        self._moves += 1
        self._damage = None
        self._note(f"The state {self.path} was damaged ({why}): it was moved to {aside} and a new one was begun.")
        opened = replace(kept, moved_aside=aside, why=why)
        try:
            self._make_file()
            self._open_to_write()
            self._write(kept.memory, kept.saved, lines, {one.key: one for one in kept.outbox})
        except (sqlite3.Error, OSError, Damaged) as error:
            self.close()
            detail = describe(error) if isinstance(error, sqlite3.Error) else str(error)
            return replace(opened, trouble=self._cannot_write(detail))
        return opened

    def _learn_from(self, error: sqlite3.Error) -> None:
        if is_damage(error):
            self._damage = describe(error)

    def _move_aside(self) -> Path:
        """The database first: SQLite removes a log that it finds beside an absent or empty one."""
        aside = _free_name(self.path.with_name(f"{DATABASE_NAME}.corrupt-{self._stamp()}"))
        for path, target in zip(all_paths(self.path), all_paths(aside), strict=True):
            with contextlib.suppress(FileNotFoundError):
                path.rename(target)
        return aside

    def _be_ready_to_write(self) -> sqlite3.Connection:
        """Open the file again when it could not be written, or when the path leads to another one by now."""
        if self._written_file is None or self._written_file != _identity(self.path):
            if self._written_file is not None:
                self._note(f"The state {self.path} was taken away while it was open; it is written anew.")
            try:
                trouble = self.open().trouble
            except StoreError as error:
                raise StateUnwritable(str(error)) from None
            if trouble is not None:
                raise StateUnwritable(trouble)
        assert self._connection is not None
        return self._connection

    def _write(
        self,
        memory: bytes | None,
        moment: Saved | None,
        lines: Sequence[Line],
        messages: Mapping[Key, Message] | None,
    ) -> None:
        assert self._connection is not None
        with transaction(self._connection):
            if memory is not None and moment is not None:
                self._connection.execute(
                    "INSERT OR REPLACE INTO memory (id, json, timeline, boottime, wall, boot_id)"
                    " VALUES (1, ?, ?, ?, ?, ?)",
                    (memory, moment.timeline, moment.boottime, moment.wall, moment.boot_id),
                )
            timeline = 0.0 if moment is None else moment.timeline
            journal.insert(self._connection, [line._replace(timeline=timeline) for line in self._untold])
            journal.insert(self._connection, lines)
            if messages is not None:
                outbox.sync(self._connection, messages, self._posted)
        if messages is not None:
            self._posted = frozenset(messages)
        self._untold.clear()

    def _note(self, text: str) -> None:
        logger.warning("%s", text)
        self.notes = (*self.notes, text)
        entry = Entry(kind=EntryKind.SUPERVISOR, text=text, warn=True)
        self._untold.append(Line(at=self._wall(), timeline=0.0, entry=entry))

    def _cannot_write(self, why: str) -> str:
        return f"{self.path} cannot be written: {why}"

    def _stamp(self) -> str:
        return datetime.fromtimestamp(self._wall(), UTC).strftime("%Y%m%dT%H%M%SZ")


def _kept(memory: bytes, moment: Saved, messages: Mapping[Key, Message] | None) -> Opened:
    return Opened(memory=memory, saved=moment, outbox=tuple((messages or {}).values()))


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    scope = "" if path.stat().st_size <= _CHECK_WHOLE_BELOW_BYTES else "(memory)"
    verdict = connection.execute(f"PRAGMA quick_check{scope}").fetchone()
    if verdict is None or verdict[0] != "ok":
        raise Damaged(str(verdict[0]).splitlines()[-1] if verdict else "its pages do not fit together")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _free_name(path: Path) -> Path:
    """The name itself, or with a number behind it when something is there already."""
    names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, 100))]
    return next((name for name in names if not name.exists()), names[-1])

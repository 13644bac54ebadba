"""The store as the runtime uses it: no call waits longer than it was told to, whatever the disk does."""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from wasupervisor.model.journal import Entry, EntryKind, Recorded
from wasupervisor.store.database import Database, Decodes
from wasupervisor.store.directory import Free, is_low, prepare_directory
from wasupervisor.store.errors import StateUnwritable, StoreError
from wasupervisor.store.journal import DEFAULT_LIMIT, Line
from wasupervisor.store.lock import DirectoryLock
from wasupervisor.store.outbox import Key, Message, Outbox
from wasupervisor.store.reader import Opened
from wasupervisor.store.timeline import Saved, Timeline

logger = logging.getLogger(__name__)

TIMEOUT = 5.0
OPEN_TIMEOUT = 30.0
_MOST_WAITING = 2000
"""Lines that wait for a disk that can be written; later ones are in the log only."""

_T = TypeVar("_T")


class Store:
    """The state directory, held by this process: memory, journal, timeline and lock.

    All its work on the disk is done in a thread, one call at a time. A thread that hangs in the kernel cannot be ended:
    when `close` returns False the process has to leave by `os._exit`, or it waits for the disk.
    """

    def __init__(
        self,
        lock: DirectoryLock,
        database: Database,
        opened: Opened,
        timeline: Timeline,
        *,
        keep: float,
        max_bytes: int,
        wall_clock: Callable[[], float],
        free: Free = os.statvfs,
    ) -> None:
        self.opened = opened
        """What was found at the start."""
        self.timeline = timeline
        self.trouble: str | None = opened.trouble
        """Why the state cannot be written at present, as far as the last call knows."""
        self.keep = keep
        """How long lines of the journal are kept, in seconds."""
        self.max_bytes = max_bytes
        """What the file may hold; the write-ahead log beside it takes up to 4 MiB more."""
        self._lock = lock
        self._database = database
        self._wall = wall_clock
        self.outbox = Outbox(opened.outbox)
        """Messages to people; what is put into it or removed stands in the state with the next save."""
        self._newest: tuple[bytes, Saved, dict[Key, Message]] | None = None
        self._waiting: list[Line] = []
        self._unkept = 0
        self._unkept_told = 0
        self._turn = anyio.CapacityLimiter(1)
        self._at_work = threading.Lock()
        """Held by the thread that works, also by one that nobody waits for any more."""
        self._late_since: float | None = None
        """When the call began that outlasted its time limit."""
        self._closed = False
        self._free = free
        self.disk_low = False
        """Whether there was hardly any room left on its disk after the last call that wrote."""

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        keep: float,
        max_bytes: int,
        wall_clock: Callable[[], float],
        boottime: Callable[[], float],
        boot_id: str | None,
        decodes: Decodes | None = None,
        timeout: float = OPEN_TIMEOUT,
    ) -> Store:
        """Make the directory ours and load what is in it.

        Args:
            directory: `state.directory`.
            keep: how long lines of the journal are kept, in seconds.
            max_bytes: what the file may hold.
            wall_clock: seconds since the epoch.
            boottime: CLOCK_BOOTTIME in seconds.
            boot_id: names this boot (`read_boot_id`); None: not known.
            decodes: raises when the decider cannot use the memory that it is given.
            timeout: seconds.

        Raises:
            StateDirectoryInUse: another supervisor holds it.
            NewerState: a later release wrote it.
            StoreError: it cannot be used.
        """
        given_up = threading.Event()
        begin = functools.partial(_begin, directory, decodes, wall_clock, given_up)
        try:
            with anyio.fail_after(timeout):
                lock, database, opened = await anyio.to_thread.run_sync(begin, abandon_on_cancel=True)
        except TimeoutError:
            given_up.set()
            raise StoreError(
                f"state.directory {directory} has not answered for {timeout:g} s: does its disk hang?"
            ) from None
        except anyio.get_cancelled_exc_class():
            given_up.set()
            raise
        timeline = Timeline.resume(opened.saved, boot_id, boottime)
        store = cls(lock, database, opened, timeline, keep=keep, max_bytes=max_bytes, wall_clock=wall_clock)
        if opened.trouble is not None:
            logger.warning("%s", opened.trouble)
        return store

    @property
    def notes(self) -> tuple[str, ...]:
        """What happened to the state in this run that a person should know. It is journaled by the store itself."""
        return self._database.notes

    async def save(self, memory: bytes, entries: Sequence[Entry] = (), *, timeout: float = TIMEOUT) -> None:
        """Write the memory, the entries and the outbox in one transaction; when it returns they are on the disk.

        The entries get the time of this call. When it fails they wait here, in memory, for the next save that works:
        they must not be given again.

        Raises:
            StateUnwritable: they are not on the disk, or it is not known. After a time-out they may still get there.
        """
        moment = self.timeline.moment(self._wall())
        for entry in entries:
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.append(Line(at=moment.wall, timeline=moment.timeline, entry=entry))
            else:
                self._unkept += 1
        self._newest = memory, moment, self.outbox.snapshot()
        try:
            await self._in_thread(self._commit_newest, timeout)
        except StateUnwritable as error:
            self._learn(error.detail)
            raise
        finally:
            self.outbox.release()
        self._learn(None)

    async def history(
        self,
        *,
        session: str | None = None,
        shared: bool = False,
        since: float | None = None,
        until: float | None = None,
        kinds: Collection[EntryKind] | None = None,
        limit: int = DEFAULT_LIMIT,
        timeout: float = TIMEOUT,
    ) -> list[Recorded]:
        """The newest `limit` entries that fit, the newest last; `since` and `until` in seconds since the epoch.

        Raises:
            StoreError: the journal cannot be read, or not in time.
        """
        read = functools.partial(
            self._database.history, session=session, shared=shared, since=since, until=until, kinds=kinds, limit=limit
        )
        return await self._in_thread(read, timeout)

    async def prune(self, *, timeout: float = TIMEOUT) -> bool:
        """Remove a bounded number of lines that are too old or too many; True: another call has more to do.

        Raises:
            StateUnwritable: nothing was removed, or it is not known.
        """
        before = self._wall() - self.keep
        return await self._in_thread(
            functools.partial(self._database.prune, before=before, max_bytes=self.max_bytes), timeout
        )

    async def close(self, *, timeout: float = TIMEOUT) -> bool:
        """Close the file and let go of the directory, even when the caller is being cancelled.

        Returns:
            False: the disk did not answer; a thread still waits for it and the end of the process frees the directory.
        """
        if self._closed:
            return True
        with anyio.CancelScope(shield=True):
            try:
                await self._in_thread(self._close, timeout)
            except StateUnwritable as error:
                logger.warning("the state could not be closed: %s", error)
                return False
        return True

    async def _in_thread(self, work: Callable[[], _T], timeout: float) -> _T:
        if self._late_since is not None and self._at_work.locked():
            raise self._no_answer()
        self._late_since = None
        began = anyio.current_time()
        try:
            with anyio.fail_after(timeout):
                return await anyio.to_thread.run_sync(self._alone, work, abandon_on_cancel=True, limiter=self._turn)
        except TimeoutError:
            self._late_since = began
            raise self._no_answer() from None

    def _alone(self, work: Callable[[], _T]) -> _T:
        # The limiter does not count threads that were abandoned; this lock does.
        with self._at_work:
            if self._closed:
                raise StateUnwritable(f"{self._database.path} is closed")
            return work()

    def _no_answer(self) -> StateUnwritable:
        waited = anyio.current_time() - (self._late_since or 0.0)
        return StateUnwritable(f"{self._database.path}: the disk has not answered for {waited:.0f} s")

    def _commit_newest(self) -> None:
        """Whatever was given last, so that a call that comes late never writes an older memory over a newer one."""
        if self._newest is None:
            return
        memory, moment, messages = self._newest
        lines = self._waiting[:]
        unkept = self._unkept - self._unkept_told
        if unkept:
            text = f"{unkept} more lines of the journal could not be kept while the state was not writable."
            entry = Entry(kind=EntryKind.SUPERVISOR, text=text, warn=True)
            lines.append(Line(at=moment.wall, timeline=moment.timeline, entry=entry))
        self._database.commit(memory, moment, lines, messages)
        del self._waiting[: len(lines) - bool(unkept)]
        self._unkept_told += unkept
        self.disk_low = is_low(self._database.path.parent, self._free)

    def _close(self) -> None:
        self._database.close()
        self._lock.release()
        self._closed = True

    def _learn(self, trouble: str | None) -> None:
        """Told on change only; the words may differ from call to call (seconds)."""
        if (trouble is None) != (self.trouble is None):
            if trouble is None:
                logger.warning("the state can be written again")
            else:
                logger.warning("the state is not written: %s", trouble)
        self.trouble = trouble


def _begin(
    directory: Path, decodes: Decodes | None, wall: Callable[[], float], given_up: threading.Event
) -> tuple[DirectoryLock, Database, Opened]:
    prepare_directory(directory)
    lock = DirectoryLock.acquire(directory)
    database = Database(directory, decodes=decodes, wall=wall)
    try:
        opened = database.open()
    except BaseException:
        lock.release()
        raise
    if given_up.is_set():
        database.close()
        lock.release()
    return lock, database, opened

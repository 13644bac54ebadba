"""Writes decisions down: only when something changed, and never waiting for a disk that hangs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from wasupervisor.decide.memory import Memory, dump
from wasupervisor.model.alerts import Alert
from wasupervisor.model.journal import Entry
from wasupervisor.runtime.telling import Telling
from wasupervisor.store.errors import StateUnwritable
from wasupervisor.store.store import Store

SAVE_EVERY = 60.0
"""Seconds after which the memory is written though nothing changed: a reboot loses no more of the timeline."""


class StoreRecorder:
    """Remembers what is written already."""

    def __init__(
        self,
        store: Store,
        written: Memory | None,
        now: Callable[[], float],
        telling: Telling | None = None,
        count: Callable[[Iterable[Entry]], None] = lambda _entries: None,
    ) -> None:
        """`telling` gets the alerts into the same transaction; None: nobody is told. `count` gets each entry once."""
        self._store = store
        self._telling = telling
        self._count = count
        self._written = written
        self._now = now
        self._at = now()
        self._writable = True

    @property
    def disk_low(self) -> bool:
        """Whether the disk of the state is nearly full, as far as the last write knows."""
        return self._store.disk_low

    async def record(self, memory: Memory, entries: tuple[Entry, ...], alerts: tuple[Alert, ...] = ()) -> bool:
        """Write all in one transaction. False when it cannot be done: the store keeps entries and alerts."""
        if self._telling is None:
            return await self._write(memory, entries)
        self._telling.put(alerts)
        try:
            return await self._write(memory, (*self._telling.take_notes(), *entries))
        finally:
            self._telling.wake()

    async def _write(self, memory: Memory, entries: tuple[Entry, ...]) -> bool:
        self._count(entries)
        due = self._now() - self._at >= SAVE_EVERY or not self._writable
        if not entries and not due and memory == self._written:
            return True
        try:
            await self._store.save(dump(memory), entries)
        except StateUnwritable:
            self._writable = False
            return False
        self._writable, self._written, self._at = True, memory, self._now()
        return True

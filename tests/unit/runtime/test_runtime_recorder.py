"""Decisions are written on change only, and again as soon as the disk can be written."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from wasupervisor.decide.memory import Memory, load
from wasupervisor.model.health import Pause
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.runtime.recorder import SAVE_EVERY, StoreRecorder
from wasupervisor.store.errors import StateUnwritable

pytestmark = pytest.mark.anyio

PAUSED = Memory(paused=Pause(since=1.0))
ENTRY = Entry(kind=EntryKind.SUPERVISOR, text="hello")


class Disk:
    """A store that notes what it is given."""

    def __init__(self) -> None:
        self.writable = True
        self.now = 0.0
        self.saved: list[tuple[Memory, tuple[str, ...]]] = []

    async def save(self, memory: bytes, entries: Sequence[Entry] = ()) -> None:
        self.saved.append((load(memory), tuple(one.text for one in entries)))
        if not self.writable:
            raise StateUnwritable("no space left")

    def recorder(self, written: Memory | None = None) -> StoreRecorder:
        return StoreRecorder(self, written, lambda: self.now)  # type: ignore[arg-type]


async def test_a_cycle_that_changed_nothing_writes_nothing() -> None:
    disk = Disk()
    recorder = disk.recorder(Memory())
    assert await recorder.record(Memory(), ())
    assert disk.saved == []


async def test_a_change_and_a_line_are_written() -> None:
    disk = Disk()
    recorder = disk.recorder(Memory())
    assert await recorder.record(PAUSED, ())
    assert await recorder.record(PAUSED, ())
    assert await recorder.record(PAUSED, (ENTRY,))
    assert disk.saved == [(PAUSED, ()), (PAUSED, ("hello",))]


async def test_a_state_that_was_never_written_is_written_at_once() -> None:
    disk = Disk()
    assert await disk.recorder(None).record(Memory(), ())
    assert len(disk.saved) == 1


async def test_now_and_then_it_is_written_for_the_timelines_sake() -> None:
    disk = Disk()
    recorder = disk.recorder(Memory())
    disk.now = SAVE_EVERY - 1
    await recorder.record(Memory(), ())
    assert disk.saved == []
    disk.now = SAVE_EVERY
    await recorder.record(Memory(), ())
    await recorder.record(Memory(), ())
    assert len(disk.saved) == 1


async def test_a_line_that_could_not_be_written_is_tried_again_though_the_memory_did_not_change() -> None:
    disk = Disk()
    recorder = disk.recorder(Memory())
    disk.writable = False
    assert not await recorder.record(Memory(), (ENTRY,))
    assert not await recorder.record(Memory(), ())
    assert len(disk.saved) == 2


async def test_while_it_cannot_be_written_each_cycle_tries_and_no_line_is_given_twice() -> None:
    disk = Disk()
    recorder = disk.recorder(Memory())
    disk.writable = False
    assert not await recorder.record(PAUSED, (ENTRY,))
    assert not await recorder.record(PAUSED, ())
    disk.writable = True
    assert await recorder.record(PAUSED, ())
    assert await recorder.record(PAUSED, ())
    assert [texts for _memory, texts in disk.saved] == [("hello",), (), ()]

"""The store as the runtime uses it, also while the disk hangs."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from store_helpers import NOW, fill_state

from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.store import store as store_module
from wasupervisor.store.errors import NewerState, StateDirectoryInUse, StateUnwritable, StoreError
from wasupervisor.store.lock import DirectoryLock
from wasupervisor.store.reader import read_history, read_state
from wasupervisor.store.store import Store

pytestmark = pytest.mark.anyio


class World:
    """Clocks by hand."""

    def __init__(self) -> None:
        self.wall = NOW
        self.boottime = 1000.0
        self.boot_id: str | None = "boot"

    async def open(self, directory: Path, **options: object) -> Store:
        arguments = {
            "keep": 3600.0,
            "max_bytes": 1 << 30,
            "wall_clock": lambda: self.wall,
            "boottime": lambda: self.boottime,
            "boot_id": self.boot_id,
            **options,
        }
        return await Store.open(directory, **arguments)  # type: ignore[arg-type]

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.boottime += seconds


@pytest.fixture
def world() -> World:
    return World()


def entry(text: str) -> Entry:
    return Entry(kind=EntryKind.CONCLUDED, text=text)


async def texts(store: Store) -> list[str]:
    return [recorded.entry.text for recorded in await store.history()]


class Disk:
    """The store's database on a disk that can be made to hang."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.asked = 0
        self.is_asked = threading.Event()
        self._commit = store._database.commit
        monkeypatch.setattr(store._database, "commit", self.commit)

    def commit(self, *arguments: object) -> None:
        self.asked += 1
        self.is_asked.set()
        assert self.answers.wait(30)
        self._commit(*arguments)  # type: ignore[arg-type]


@pytest.fixture
def hung_disks() -> Iterator[list[Disk]]:
    disks: list[Disk] = []
    yield disks
    for disk in disks:
        disk.answers.set()


async def until_idle(store: Store) -> None:
    await anyio.to_thread.run_sync(store._at_work.acquire)
    store._at_work.release()


async def test_memory_journal_and_timeline_outlive_the_process(tmp_path: Path, world: World) -> None:
    place = tmp_path / "state"
    store = await world.open(place)
    assert store.opened.memory is None
    assert store.timeline.now() == 0.0
    world.passes(10)
    await store.save(b"one", [entry("a"), entry("b")])
    world.passes(5)
    await store.save(b"two")
    assert await store.close()
    assert await store.close()
    world.passes(100)
    store = await world.open(place)
    assert store.opened.memory == b"two"
    assert store.timeline.now() == 115.0
    recorded = await store.history()
    assert [(found.at, found.entry.text) for found in recorded] == [(NOW + 10, "a"), (NOW + 10, "b")]
    assert store.notes == ()
    assert store.trouble is None
    await store.close()


async def test_a_second_supervisor_on_the_directory_is_refused(tmp_path: Path, world: World) -> None:
    store = await world.open(tmp_path)
    with pytest.raises(StateDirectoryInUse):
        await world.open(tmp_path)
    await store.close()
    await (await world.open(tmp_path)).close()


async def test_a_start_that_fails_lets_go_of_the_directory(tmp_path: Path, world: World) -> None:
    (tmp_path / "state.db").mkdir()
    with pytest.raises(StoreError, match="is a directory"):
        await world.open(tmp_path)
    DirectoryLock.acquire(tmp_path).release()


async def test_a_memory_that_the_decider_cannot_use_is_told(tmp_path: Path, world: World) -> None:
    fill_state(tmp_path)
    store = await world.open(tmp_path, decodes=json.loads)
    assert store.opened.memory is None
    assert store.timeline.now() >= 59.0
    assert "cannot be used" in store.notes[0]
    await store.save(b"{}")
    assert (await texts(store))[-1] == store.notes[0]
    await store.close()


async def test_a_newer_state_is_refused(tmp_path: Path, world: World) -> None:
    fill_state(tmp_path)
    path = tmp_path / "state.db"
    content = bytearray(path.read_bytes())
    content[63] = 9
    path.write_bytes(content)
    with pytest.raises(NewerState):
        await world.open(tmp_path)
    assert path.read_bytes() == content


async def test_old_lines_are_pruned(tmp_path: Path, world: World) -> None:
    store = await world.open(tmp_path)
    await store.save(b"{}", [entry("old")])
    world.passes(3000)
    await store.save(b"{}", [entry("new")])
    world.passes(601)
    assert not await store.prune()
    assert await texts(store) == ["new"]
    store.keep = 1.0
    assert not await store.prune()
    assert await texts(store) == []
    await store.close()


async def test_lines_that_could_not_be_written_are_written_when_there_is_room(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "_MOST_WAITING", 3)
    store = await world.open(tmp_path)
    await store.save(b"one", [entry("a")])
    connection = store._database._connection
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}")
    with caplog.at_level(logging.INFO):
        for text in "bcdef":
            world.passes(1)
            with pytest.raises(StateUnwritable, match="the disk is full"):
                await store.save(b"x" * 10_000, [entry(text)])
    assert "the disk is full" in (store.trouble or "")
    assert len([record for record in caplog.records if "not written" in record.message]) == 1
    connection.execute(f"PRAGMA max_page_count={pages + 100}")
    await store.save(b"two", [])
    assert store.trouble is None
    found = await store.history()
    assert [recorded.entry.text for recorded in found][:4] == list("abcd")
    assert found[1].at == NOW + 1
    assert "2 more lines" in found[4].entry.text
    await store.save(b"three", [entry("g")])
    assert (await texts(store))[5:] == ["g"]
    await store.close()


async def test_a_disk_that_hangs_does_not_hold_up_the_loop(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch, hung_disks: list[Disk]
) -> None:
    store = await world.open(tmp_path)
    disk = Disk(store, monkeypatch)
    hung_disks.append(disk)
    await store.save(b"one", [entry("a")])
    disk.answers.clear()
    with pytest.raises(StateUnwritable, match="the disk has not answered for"):
        await store.save(b"two", [entry("b")], timeout=0.05)
    # While the first one hangs nothing is sent after it: each of these would take its whole time limit otherwise.
    with anyio.fail_after(20):
        with pytest.raises(StateUnwritable, match="the disk has not answered for"):
            await store.save(b"three", [entry("c")], timeout=30)
        with pytest.raises(StateUnwritable):
            await store.history(timeout=30)
        with pytest.raises(StateUnwritable):
            await store.prune(timeout=30)
        assert not await store.close(timeout=30)
    assert disk.asked == 2
    disk.answers.set()
    await until_idle(store)
    await store.save(b"four", [entry("d")])
    assert await texts(store) == ["a", "b", "c", "d"]
    assert await store.close()
    assert read_state(tmp_path).memory == b"four"


async def test_a_save_that_was_cancelled_is_waited_for_by_the_next_one(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch, hung_disks: list[Disk]
) -> None:
    store = await world.open(tmp_path)
    disk = Disk(store, monkeypatch)
    hung_disks.append(disk)
    disk.answers.clear()
    async with anyio.create_task_group() as cycle:
        cycle.start_soon(store.save, b"one", [entry("a")])
        await anyio.to_thread.run_sync(disk.is_asked.wait)
        cycle.cancel_scope.cancel()
    threading.Timer(0.05, disk.answers.set).start()
    await store.save(b"two", [entry("b")])
    assert await texts(store) == ["a", "b"]
    await store.close()
    assert read_state(tmp_path).memory == b"two"


async def test_a_late_call_never_writes_an_older_memory_over_a_newer_one(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch, hung_disks: list[Disk]
) -> None:
    store = await world.open(tmp_path)
    disk = Disk(store, monkeypatch)
    hung_disks.append(disk)
    disk.answers.clear()
    async with anyio.create_task_group() as cycle:
        # The first is abandoned at work; the second in its thread, waiting for the first.
        cycle.start_soon(store.save, b"one", [])
        await anyio.to_thread.run_sync(disk.is_asked.wait)
        cycle.cancel_scope.cancel()
    with pytest.raises(StateUnwritable):
        await store.save(b"two", [], timeout=0.05)
    with pytest.raises(StateUnwritable):
        await store.save(b"three", [], timeout=0.05)
    disk.answers.set()
    await until_idle(store)
    await store.save(b"four")
    await store.close()
    assert read_state(tmp_path).memory == b"four"


async def test_many_callers_at_once_take_turns(tmp_path: Path, world: World) -> None:
    store = await world.open(tmp_path)
    async with anyio.create_task_group() as callers:
        for number in range(20):
            callers.start_soon(store.save, b"%d" % number, [entry(str(number))])
            callers.start_soon(store.history)
    assert sorted(await texts(store), key=int) == [str(number) for number in range(20)]
    await store.close()
    assert read_state(tmp_path).memory == b"19"


async def test_closing_is_done_even_when_cancelled_and_nothing_is_written_afterwards(
    tmp_path: Path, world: World
) -> None:
    store = await world.open(tmp_path)
    await store.save(b"one")
    with anyio.CancelScope() as scope:
        scope.cancel()
        assert await store.close()
    with pytest.raises(StateUnwritable, match="is closed"):
        await store.save(b"two")
    assert read_state(tmp_path).memory == b"one"
    assert read_history(tmp_path) == []
    DirectoryLock.acquire(tmp_path).release()


@pytest.mark.parametrize("stopped", [False, True])
async def test_a_start_on_a_disk_that_hangs_is_told_and_holds_nothing_afterwards(
    stopped: bool, tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, answers, ended = threading.Event(), threading.Event(), threading.Event()
    release = DirectoryLock.release

    def hang(_directory: Path) -> None:
        begun.set()
        answers.wait(30)

    def tell(lock: DirectoryLock) -> None:
        release(lock)
        ended.set()

    monkeypatch.setattr(store_module, "prepare_directory", hang)
    monkeypatch.setattr(DirectoryLock, "release", tell)
    if stopped:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.open, tmp_path)
            await anyio.to_thread.run_sync(begun.wait, 30)
            tasks.cancel_scope.cancel()
    else:
        with pytest.raises(StoreError, match=r"has not answered for 0\.05 s: does its disk hang\?"):
            await world.open(tmp_path, timeout=0.05)
    answers.set()
    assert await anyio.to_thread.run_sync(ended.wait, 30)
    await (await world.open(tmp_path)).close()

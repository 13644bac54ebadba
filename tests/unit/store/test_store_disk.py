"""Full and read-only disks: nothing is lost, it is told, and it heals when there is room."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_helpers import CHILD, STAMP, database, line, moment, open_again

from wasupervisor.store.database import Database
from wasupervisor.store.directory import Free, is_low
from wasupervisor.store.errors import StateUnwritable
from wasupervisor.store.reader import read_state


def test_a_full_file_is_told_and_heals_when_there_is_room(tmp_path: Path) -> None:
    subject = database(tmp_path)
    subject.open()
    subject.commit(b"1", moment(1.0), [line("before")])
    assert subject._connection is not None
    (pages,) = subject._connection.execute("PRAGMA page_count").fetchone()
    subject._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StateUnwritable, match=r"state\.db cannot be written: the disk is full"):
        subject.commit(b"2" * 10_000, moment(2.0), [line("during")])
    assert [recorded.entry.text for recorded in subject.history()] == ["before"]
    subject._connection.execute(f"PRAGMA max_page_count={pages + 100}")
    subject.commit(b"3" * 10_000, moment(3.0), [line("after")])
    subject.close()
    opened, texts, _ = open_again(tmp_path)
    assert opened.memory == b"3" * 10_000
    assert texts == ["before", "after"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(place)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"may not mount: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            for size in (4096, 1):
                while True:
                    if file.write(b"x" * size) < size:
                        break
    except OSError:
        pass
    return ballast


def commit_five_and_be_killed(directory: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD, str(directory), "5"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        printed = [child.stdout.readline() for _ in range(5)]
        child.kill()
    assert printed[-1] == b"5\n"


def commit_until_refused(subject: Database) -> bytes | None:
    """What was committed last."""
    committed = None
    with contextlib.suppress(StateUnwritable):
        for number in range(200):
            memory = b"%d" % number * 20_000
            subject.commit(memory, moment())
            committed = memory
        pytest.fail("the disk is never full")
    return committed or read_state(subject.path.parent).memory


@pytest.mark.root
@needs_root
def test_a_full_disk_is_told_and_heals_when_there_is_room(small_disk: Path) -> None:
    subject = database(small_disk)
    subject.open()
    subject.commit(b"before", moment())
    ballast = fill(small_disk)
    committed = commit_until_refused(subject)
    with pytest.raises(StateUnwritable, match="the disk is full"):
        subject.commit(b"again" * 10_000, moment())
    assert read_state(small_disk).memory == committed
    ballast.unlink()
    subject.commit(b"after", moment())
    subject.close()
    assert open_again(small_disk)[0].memory == b"after"


@pytest.mark.root
@needs_root
@pytest.mark.parametrize("killed", [True, False])
def test_a_start_on_a_full_disk_loads_what_is_there(small_disk: Path, killed: bool) -> None:
    commit_five_and_be_killed(small_disk)
    if not killed:
        open_again(small_disk)
    ballast = fill(small_disk)
    subject = database(small_disk)
    opened = subject.open()
    assert opened.memory == b"5"
    commit_until_refused(subject)
    assert [recorded.entry.text for recorded in subject.history(limit=1)] == ["5"]
    ballast.unlink()
    subject.commit(b"after", moment())
    subject.close()
    assert open_again(small_disk)[0].memory == b"after"


@pytest.mark.root
@needs_root
def test_a_first_start_on_a_full_disk_runs_without_a_state_until_there_is_room(small_disk: Path) -> None:
    ballast = fill(small_disk)
    subject = database(small_disk)
    opened = subject.open()
    assert opened.memory is None
    assert opened.trouble is not None
    assert "the disk is full" in opened.trouble or "gives errors" in opened.trouble
    with pytest.raises(StateUnwritable):
        subject.commit(b"{}", moment())
    assert subject.history() == []
    ballast.unlink()
    subject.commit(b"{}", moment())
    subject.close()
    assert open_again(small_disk)[0].memory == b"{}"


@pytest.mark.root
@needs_root
@pytest.mark.parametrize("killed", [True, False])
def test_a_start_on_a_read_only_file_system_loads_what_is_there(small_disk: Path, killed: bool) -> None:
    commit_five_and_be_killed(small_disk)
    if not killed:
        open_again(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    subject = database(small_disk)
    opened = subject.open()
    assert opened.memory == b"5"
    assert opened.trouble is not None
    assert "Read-only file system" in opened.trouble
    assert subject.history()
    with pytest.raises(StateUnwritable, match="Read-only file system"):
        subject.commit(b"{}", moment())
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    subject.commit(b"{}", moment(), [line("goes on")])
    assert subject.history()[-1].entry.text == "goes on"
    subject.close()
    assert open_again(small_disk)[0].memory == b"{}"


@pytest.mark.root
@needs_root
def test_a_damaged_state_on_a_read_only_file_system_is_told_and_moved_aside_later(small_disk: Path) -> None:
    (small_disk / "state.db").write_bytes(b"rubbish" * 1000)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    subject = database(small_disk)
    opened = subject.open()
    assert opened.memory is None
    assert opened.moved_aside is None
    assert "not a database" in opened.why
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    subject.commit(b"{}", moment())
    assert (small_disk / f"state.db.corrupt-{STAMP}").exists()
    subject.close()


def disk(*, free: int, size: int) -> Free:
    """A disk that says so, in blocks of 4 KiB."""
    return lambda _: os.statvfs_result((4096, 4096, size // 4096, free // 4096, free // 4096, 9, 9, 9, 0, 255))


@pytest.mark.parametrize(
    ("free", "size", "low"),
    [
        pytest.param(63 << 20, 40 << 30, True, id="a large disk with no room for a log of the gateway"),
        pytest.param(65 << 20, 40 << 30, False, id="a large disk with some room"),
        pytest.param(8 << 20, 16 << 20, False, id="a small disk of its own, half full"),
        pytest.param(512 << 10, 16 << 20, True, id="a small disk of its own, full"),
    ],
)
def test_a_disk_that_is_nearly_full_is_low(tmp_path: Path, free: int, size: int, *, low: bool) -> None:
    assert is_low(tmp_path, disk(free=free, size=size)) is low


def test_a_disk_that_cannot_be_asked_is_not_known_to_be_low(tmp_path: Path) -> None:
    assert not is_low(tmp_path / "gone")

"""The state directory and its lock, with real processes and a real second user where we are root."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasupervisor.store.database import Database
from wasupervisor.store.directory import prepare_directory, tighten_file
from wasupervisor.store.errors import StateDirectoryInUse, StoreError
from wasupervisor.store.lock import DirectoryLock

HOLD = """
import sys
from pathlib import Path
from wasupervisor.store.lock import DirectoryLock
lock = DirectoryLock.acquire(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A directory of our own, seen as a user whose permissions count."""
    place = Path(tempfile.mkdtemp(prefix="wasupervisor-"))
    if os.geteuid() != 0:
        yield place
    else:
        os.chown(place, 65534, -1)
        os.seteuid(65534)
        try:
            yield place
        finally:
            os.seteuid(0)
    place.chmod(0o700)
    shutil.rmtree(place)


def take_and_open(directory: Path) -> None:
    DirectoryLock.acquire(directory).release()
    Database(directory).open()


def test_a_second_process_is_refused_and_told_the_pid_of_the_first(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StateDirectoryInUse) as refused:
            DirectoryLock.acquire(tmp_path)
        assert refused.value.pid == holder.pid
        assert str(holder.pid) in str(refused.value)
        assert str(tmp_path) in str(refused.value)
        assert "\n" not in str(refused.value)
        holder.kill()
        holder.wait()
        DirectoryLock.acquire(tmp_path).release()


def test_a_file_left_behind_by_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("123456789\n")
    (tmp_path / "lock").chmod(0o644)
    lock = DirectoryLock.acquire(tmp_path)
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    assert mode(tmp_path / "lock") == 0o600
    lock.release()
    lock.release()


def test_a_lock_without_a_readable_pid_still_refuses(tmp_path: Path) -> None:
    lock = DirectoryLock.acquire(tmp_path)
    (tmp_path / "lock").write_bytes(b"\xff\xfe")
    with pytest.raises(StateDirectoryInUse, match="another wasupervisor already runs") as refused:
        DirectoryLock.acquire(tmp_path)
    assert refused.value.pid is None
    lock.release()


def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = DirectoryLock.acquire(tmp_path)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        lock.release()
        DirectoryLock.acquire(tmp_path).release()
        assert child.stdin is not None
        child.stdin.close()


def test_a_missing_directory_is_made_for_us_alone_with_its_parents(tmp_path: Path) -> None:
    prepare_directory(tmp_path / "a" / "b")
    assert mode(tmp_path / "a") == 0o700
    assert mode(tmp_path / "a" / "b") == 0o700


def test_a_wide_directory_is_tightened(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "state.db").touch()
    prepare_directory(tmp_path)
    assert mode(tmp_path) == 0o700


def test_somebody_elses_directory_is_not_locked_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "dpkg").mkdir()
    with caplog.at_level(logging.WARNING):
        prepare_directory(tmp_path)
    assert mode(tmp_path) == 0o755
    assert "dpkg" in caplog.text


def test_files_are_tightened(tmp_path: Path) -> None:
    (tmp_path / "f").touch(0o644)
    tighten_file(tmp_path / "f")
    tighten_file(tmp_path / "absent")
    assert mode(tmp_path / "f") == 0o600


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(StoreError, match="is not a directory"):
        prepare_directory(tmp_path / "f")
    with pytest.raises(StoreError, match="cannot be created: a part of that path is a file"):
        prepare_directory(tmp_path / "f" / "state")


def test_a_directory_that_cannot_be_created_is_told(as_nobody: Path) -> None:
    as_nobody.chmod(0o500)
    with pytest.raises(StoreError, match=r"state\.directory .*/state cannot be created: Permission denied") as error:
        prepare_directory(as_nobody / "state")
    assert "\n" not in str(error.value)


def test_a_directory_that_we_may_not_write_is_told(as_nobody: Path) -> None:
    as_nobody.chmod(0o500)
    with pytest.raises(StoreError, match=r"is not writable: the mode of .* is 0500"):
        prepare_directory(as_nobody)
    with pytest.raises(StoreError, match="lock cannot be opened"):
        DirectoryLock.acquire(as_nobody)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to own a file as somebody else")
def test_a_directory_of_somebody_else_is_told_with_both_names(as_nobody: Path) -> None:
    os.seteuid(0)
    theirs = as_nobody / "state"
    theirs.mkdir(0o755)
    os.seteuid(65534)
    with pytest.raises(StoreError, match="/state belongs to root and wasupervisor runs as nobody"):
        prepare_directory(theirs)
    os.seteuid(0)
    shutil.rmtree(theirs)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to own a file as somebody else")
@pytest.mark.parametrize("name", ["state.db", "state.db-wal", "lock"])
def test_files_that_root_left_behind_are_told_with_what_to_do(as_nobody: Path, name: str) -> None:
    os.seteuid(0)
    (as_nobody / name).touch(0o600)
    os.seteuid(65534)
    with pytest.raises(StoreError, match=f"{name} belongs to root and wasupervisor runs as nobody; chown it"):
        take_and_open(as_nobody)

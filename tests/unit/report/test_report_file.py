"""The health file, with real readers beside it."""

from __future__ import annotations

import os
import resource
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wasupervisor.report.file import HealthFile


def test_it_is_written_readable_for_all_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "run" / "deep" / "health.json"
    before = os.umask(0o077)
    try:
        HealthFile(path).write(b"{}\n")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"{}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert listed(path.parent) == ["health.json"]


def test_its_mode_can_be_another(tmp_path: Path) -> None:
    HealthFile(tmp_path / "health.json", mode=0o600).write(b"")
    assert stat.S_IMODE((tmp_path / "health.json").stat().st_mode) == 0o600


def test_a_reader_never_sees_a_torn_file(tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    file = HealthFile(path)
    versions = {bytes([letter]) * 300_000 for letter in b"abcdef"}
    file.write(max(versions))
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(30):
        for version in versions:
            file.write(version)
    done.set()
    for reader in readers:
        reader.join()
    assert len(seen) > 1
    assert seen <= versions


def test_what_a_killed_run_left_half_written_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".health.json.abc123.new").write_bytes(b"{")
    for name in (".health.json", "health.json.new", ".other.json.x.new"):
        (tmp_path / name).write_bytes(b"mine")
    HealthFile(tmp_path / "health.json").write(b"{}")
    assert listed(tmp_path) == [".health.json", ".other.json.x.new", "health.json", "health.json.new"]


def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "www" / "status.json"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link = tmp_path / "health.json"
    link.symlink_to(target)
    HealthFile(link).write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert listed(target.parent) == ["status.json"]


def test_a_folder_that_was_removed_meanwhile_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "run" / "health.json"
    file = HealthFile(path)
    file.write(b"1")
    path.unlink()
    path.parent.rmdir()
    file.write(b"2")
    assert path.read_bytes() == b"2"


def test_what_cannot_be_written_is_an_os_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "health.json").mkdir()
    (tmp_path / "health.json" / "kept").touch()
    with pytest.raises(OSError, match="directory"):
        HealthFile(tmp_path / "health.json").write(b"{}")
    assert listed(tmp_path) == ["health.json"]


def test_a_file_where_a_folder_should_be_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"")
    with pytest.raises(OSError, match="run"):
        HealthFile(tmp_path / "run" / "health.json").write(b"{}")


def test_on_a_full_disk_the_file_before_stays(tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    file = HealthFile(path)
    file.write(b"old")
    with full_disk(), pytest.raises(OSError, match="too large"):
        file.write(b"x" * 8192)
    assert path.read_bytes() == b"old"
    assert listed(tmp_path) == ["health.json"]


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process grows beyond 4 KB: what a full disk does, without filling one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def listed(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())

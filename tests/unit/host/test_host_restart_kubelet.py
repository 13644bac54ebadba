"""A restart by the kubelet is a file, and it must not stay."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from host_theatre import until

from wasupervisor.host import restart_kubelet
from wasupervisor.host.restart_kubelet import KubeletRestarter
from wasupervisor.model.remedies import Outcome

pytestmark = pytest.mark.anyio


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "restart-wanted"


def there(file: Path) -> bool:
    return file.exists()


def put(file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.touch()


async def test_the_file_is_there_while_a_restart_is_wanted(file: Path) -> None:
    restarter = KubeletRestarter(file)
    done = await restarter.restart()
    assert (done.outcome, done.detail) == (Outcome.ACCEPTED, f"{file} is there for the liveness probe")
    assert there(file)
    assert restarter.wanted_for > 60.0
    await restarter.settle()
    assert not there(file)
    await restarter.settle()


async def test_what_an_earlier_run_left_is_taken_away(file: Path) -> None:
    put(file)
    await KubeletRestarter(file).settle()
    assert not there(file)


async def test_a_folder_that_is_not_there_is_told_with_the_key(file: Path) -> None:
    done = await KubeletRestarter(file / "deeper").restart()
    assert done.outcome is Outcome.REFUSED
    assert "cannot be made: No such file or directory; make its folder writable, or set recovery" in done.detail


async def test_a_file_that_cannot_be_taken_away_is_told(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(file / "something")
    with caplog.at_level(logging.ERROR):
        await KubeletRestarter(file).settle()
    assert "cannot be removed: Is a directory; remove it, or the gateway is killed for ever" in caplog.text


async def test_it_is_taken_away_also_when_we_are_cut_off(file: Path) -> None:
    restarter = KubeletRestarter(file)
    with anyio.CancelScope() as scope:
        await restarter.restart()
        scope.cancel()
        await restarter.settle()
    assert not there(file)


async def test_a_disk_that_hangs_makes_no_file_later(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart_kubelet, "DISK_WITHIN", 0.05)
    disk, touched, touch = threading.Event(), threading.Event(), Path.touch

    def slowly(path: Path) -> None:
        disk.wait()
        touch(path)
        touched.set()

    monkeypatch.setattr(Path, "touch", slowly)
    restarter = KubeletRestarter(file)
    done = await restarter.restart()
    await restarter.settle()
    disk.set()
    assert done.outcome is Outcome.REFUSED
    assert "its disk does not answer" in done.detail
    await to_thread.run_sync(touched.wait)
    await to_thread.run_sync(until, lambda: not file.exists())

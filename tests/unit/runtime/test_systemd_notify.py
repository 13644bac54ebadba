"""sd_notify over a real datagram socket."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasupervisor.runtime.systemd import Notifier, watchdog_seconds


class Manager:
    """The receiving end, as PID 1 binds it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)

    @property
    def environ(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.address}

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return messages


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    it = Manager(str(tmp_path / "notify"))
    yield it
    it.socket.close()


@pytest.fixture
def notifier(manager: Manager) -> Iterator[Notifier]:
    it = Notifier(manager.environ, clock=lambda: 12.5)
    yield it
    it.close()


def fill(manager: Manager) -> None:
    """Send until the manager's queue is full (net.unix.max_dgram_qlen)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other:
        for _ in range(100_000):
            try:
                other.sendto(b"X=1", manager.address)
            except BlockingIOError:
                return
    pytest.fail("the queue never filled up")


def test_each_verb_says_what_systemd_expects(notifier: Notifier, manager: Manager) -> None:
    notifier.ready()
    notifier.watchdog()
    notifier.reloading()
    notifier.stopping()
    assert manager.heard() == ["READY=1", "WATCHDOG=1", "RELOADING=1\nMONOTONIC_USEC=12500000", "STOPPING=1"]


def test_reloading_carries_the_clock_that_systemd_compares(manager: Manager) -> None:
    notifier = Notifier(manager.environ)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.close()
    assert before <= int(manager.heard()[0].rpartition("=")[2]) <= after


def test_the_watchdog_waits_longer_than_the_unit_says_when_looks_are_rare(manager: Manager) -> None:
    watched = Notifier({**manager.environ, "WATCHDOG_USEC": "90000000"})
    watched.wait_at_least(3600.0)
    watched.ready()
    watched.watchdog()
    watched.wait_at_least(45.0)
    watched.ready()
    watched.close()
    unwatched = Notifier(manager.environ)
    unwatched.wait_at_least(3600.0)
    unwatched.ready()
    unwatched.close()
    assert manager.heard() == [
        "READY=1\nWATCHDOG_USEC=3600000000",
        "WATCHDOG=1",
        "READY=1\nWATCHDOG_USEC=90000000",
        "READY=1",
    ]


def test_an_abstract_address_is_reached() -> None:
    manager = Manager(f"@wasupervisor-test-{os.getpid()}")
    notifier = Notifier(manager.environ)
    notifier.ready()
    assert manager.heard() == ["READY=1"]
    notifier.close()
    manager.socket.close()


def test_the_same_status_is_sent_once(notifier: Notifier, manager: Manager) -> None:
    for text in ("4 of 5 sessions", "4 of 5 sessions", "5 of 5 sessions"):
        notifier.status(text)
    assert manager.heard() == ["STATUS=4 of 5 sessions", "STATUS=5 of 5 sessions"]


def test_a_status_is_one_line_so_that_it_cannot_smuggle_a_state(notifier: Notifier, manager: Manager) -> None:
    notifier.status("session a\nSTOPPING=1\r\nb failed")
    assert manager.heard() == ["STATUS=session a STOPPING=1 b failed"]


def test_a_status_that_is_too_long_for_systemd_is_cut(notifier: Notifier, manager: Manager) -> None:
    notifier.status("\N{PILE OF POO}" * 5000)
    (message,) = manager.heard()
    assert len(message.encode()) < 4096


def test_a_status_that_is_no_text_is_sent_as_far_as_it_is(notifier: Notifier, manager: Manager) -> None:
    notifier.status("name \udcff")
    assert manager.heard() == ["STATUS=name ?"]


def test_a_full_queue_does_not_stop_the_loop_and_ready_is_not_lost(notifier: Notifier, manager: Manager) -> None:
    fill(manager)
    notifier.ready()
    notifier.status("looking")
    notifier.watchdog()
    assert not [message for message in manager.heard() if message != "X=1"]
    notifier.status("looking")
    assert manager.heard() == ["READY=1\nSTATUS=looking"]
    notifier.watchdog()
    assert manager.heard() == ["WATCHDOG=1"]


def test_a_manager_that_is_gone_is_named_once_at_debug(
    notifier: Notifier, manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="wasupervisor.runtime.systemd")
    Path(manager.address).unlink()
    for _ in range(3):
        notifier.watchdog()
    assert [(record.levelno, record.name) for record in caplog.records] == [
        (logging.DEBUG, "wasupervisor.runtime.systemd")
    ]


def test_a_manager_that_comes_back_is_told_again(notifier: Notifier, manager: Manager) -> None:
    Path(manager.address).unlink()
    notifier.ready()
    again = Manager(manager.address)
    notifier.watchdog()
    assert again.heard() == ["READY=1\nWATCHDOG=1"]
    again.socket.close()


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative", "/" + "x" * 200, "/with\0nul", "/dev/null"])
def test_a_useless_address_is_no_fault(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready()
    notifier.reloading()
    notifier.status("well")
    notifier.watchdog()
    notifier.stopping()
    notifier.close()


def test_outside_systemd_nothing_is_opened() -> None:
    before = {entry.name for entry in Path("/proc/self/fd").iterdir()}
    notifier = Notifier({})
    notifier.ready()
    assert {entry.name for entry in Path("/proc/self/fd").iterdir()} == before


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "90000000", "WATCHDOG_PID": "4711"}, 90.0),
        ({"WATCHDOG_USEC": "2500000"}, 2.5),
        ({"WATCHDOG_USEC": "90000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0", "WATCHDOG_PID": "4711"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_ours_only_with_our_pid(environ: dict[str, str], expected: float | None) -> None:
    assert watchdog_seconds(environ, pid=4711) == expected


def test_the_watchdogs_pid_is_by_default_this_process() -> None:
    assert watchdog_seconds({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}) == 1.0

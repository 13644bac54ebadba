"""Sockets that systemd passes: which are taken, which are refused, and what a child never sees."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wasupervisor.runtime import activation
from wasupervisor.runtime.activation import Passed, open_health, take_passed
from wasupervisor.runtime.startup import StartError


@pytest.fixture
def opened() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def listening(opened: contextlib.ExitStack, host: str = "127.0.0.1") -> tuple[int, int]:
    """A listening socket as systemd keeps one, and the copy of it that is passed: its number and its port."""
    kept = opened.enter_context(socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else 2))
    return os.dup(kept.fileno()), kept.getsockname()[1]


def test_what_is_passed_is_taken_once_and_no_child_inherits_it(opened: contextlib.ExitStack) -> None:
    """In a process of its own, for the files must be numbered from 3 on."""
    program = """
import os
import socket
import subprocess
import sys

from wasupervisor.runtime.activation import take_passed

os.environ["LISTEN_PID"] = str(os.getpid())
print(take_passed(os.environ), take_passed(os.environ))
print([name for name in os.environ if name.startswith("LISTEN")])
print(os.get_inheritable(3), os.get_inheritable(4))
look = "import os; print([number for number in (3, 4) if os.path.exists(f'/proc/self/fd/{number}')])"
subprocess.run([sys.executable, "-c", look], close_fds=False)
"""
    number, _ = listening(opened)
    other, _ = listening(opened)
    environ = {**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "health:other", "PYTHONUNBUFFERED": "1"}

    def pass_them() -> None:
        high = [os.dup2(one, 50 + place) for place, one in enumerate((number, other))]
        for place, one in enumerate(high):
            os.dup2(one, 3 + place)

    told = subprocess.run(
        [sys.executable, "-c", program],
        env=environ,
        close_fds=False,
        preexec_fn=pass_them,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    os.close(number)
    os.close(other)
    assert told.stdout.splitlines() == [
        "(Passed(name='health', number=3), Passed(name='other', number=4)) ()",
        "[]",
        "False False",
        "[]",
    ]


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "health"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "-1"},
        {"LISTEN_FDS": "1"},
    ],
    ids=["nothing", "for another process", "not a number", "less than none", "for nobody"],
)
def test_what_is_not_for_us_is_not_taken(environ: dict[str, str]) -> None:
    assert take_passed(environ) == ()
    assert environ == {}


def test_systemds_socket_is_used_and_listens_on_when_we_have_closed_it(opened: contextlib.ExitStack) -> None:
    number, port = listening(opened)
    health = open_health([Passed("health", number)], "127.0.0.1", port)
    assert (health.passed, health.entries) == (True, ())
    health.close()
    socket.create_connection(("127.0.0.1", port), timeout=30).close()


def test_without_one_we_listen_ourselves() -> None:
    with contextlib.closing(open_health([], "127.0.0.1", 0)) as health:
        assert not health.passed
        port = health.sockets[0].getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=30).close()


def test_another_address_than_the_configured_one_is_told(opened: contextlib.ExitStack) -> None:
    number, port = listening(opened)
    with contextlib.closing(open_health([Passed("health", number)], "127.0.0.2", 8090)) as health:
        (entry,) = health.entries
    assert entry.warn
    assert f"health.listen (127.0.0.2:8090) is not used: systemd listens on 127.0.0.1:{port}" in entry.text
    assert "ListenStream=" in entry.text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_name_of_the_same_address_is_the_same(host: str, opened: contextlib.ExitStack) -> None:
    number, port = listening(opened)
    with contextlib.closing(open_health([Passed("health", number)], host, port)) as health:
        assert health.entries == ()


@pytest.mark.parametrize(("only_ipv6", "told"), [(False, 0), (True, 1)])
def test_a_socket_for_both_families_is_what_the_ipv4_wildcard_asks_for(
    only_ipv6: bool, told: int, opened: contextlib.ExitStack
) -> None:
    """As `ListenStream=8090` makes one, and with `BindIPv6Only=ipv6-only`."""
    kept = opened.enter_context(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=not only_ipv6))
    passed = [Passed("health", os.dup(kept.fileno()))]
    with contextlib.closing(open_health(passed, "0.0.0.0", kept.getsockname()[1])) as health:
        assert len(health.entries) == told


def test_two_sockets_for_the_port_are_both_used(opened: contextlib.ExitStack) -> None:
    (one, port), (two, other) = listening(opened), listening(opened, "::1")
    passed = [Passed("health", one), Passed("health", two)]
    with contextlib.closing(open_health(passed, "::1", other)) as health:
        assert [each.getsockname()[1] for each in health.sockets] == [port, other]
        assert health.entries == ()


def test_a_file_of_another_name_is_closed_and_told(
    opened: contextlib.ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    number, _ = listening(opened)
    with contextlib.closing(open_health([Passed("waha.socket", number)], "127.0.0.1", 0)) as health:
        assert not health.passed
    assert "'waha.socket'" in caplog.text
    assert "FileDescriptorName=" in caplog.text
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach(), "ListenStream="),
        (lambda _: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).detach(), "an address and a port"),
        (lambda _: socket.socket(socket.AF_INET, socket.SOCK_STREAM).detach(), "Accept=no"),
        (lambda folder: os.open(folder, os.O_RDONLY), "cannot be used"),
        (lambda _: 1_000_000, "cannot be used"),
    ],
    ids=["a datagram socket", "a Unix socket", "one that does not listen", "no socket", "closed"],
)
def test_what_is_of_no_use_is_refused_with_what_to_do(
    make: Callable[[Path], int], why: str, tmp_path: Path, opened: contextlib.ExitStack
) -> None:
    good, _ = listening(opened)
    number = make(tmp_path)
    with pytest.raises(StartError, match=r"the socket unit") as refused:
        open_health([Passed("health", good), Passed("health", number)], "127.0.0.1", 8090)
    assert why in str(refused.value)
    assert activation.HEALTH in str(refused.value)
    with contextlib.suppress(OSError):
        os.close(number)

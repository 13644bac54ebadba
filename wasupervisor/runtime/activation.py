"""Sockets that systemd has opened for us (wasupervisor.socket): they listen on while the daemon restarts.

The protocol is three variables and needs no library: sd_listen_fds(3).
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, MutableMapping, Sequence
from typing import NamedTuple

from wasupervisor.config.texts import Address
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.runtime.startup import StartError, listen_tcp

log = logging.getLogger(__name__)

HEALTH = "health"
"""What FileDescriptorName= must say of the health port's socket."""

KEY = "health.listen"

_FIRST = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


class Passed(NamedTuple):
    """An open file that came with the process."""

    name: str
    """Empty where systemd gave none."""
    number: int


class HealthSockets(NamedTuple):
    """What the health port listens on."""

    sockets: tuple[socket.socket, ...]
    """At least one; the caller closes them."""
    passed: bool
    """By systemd: it listens on when the daemon has ended."""
    entries: tuple[Entry, ...] = ()
    """What the journal is to tell about it."""

    def close(self) -> None:
        """Close our hold of them; what systemd passed listens on."""
        for one in self.sockets:
            one.close()


def take_passed(environ: MutableMapping[str, str]) -> tuple[Passed, ...]:
    """What systemd passed to this process, taken once.

    The variables are removed and the files are closed on exec, so that no program that we start takes them for its own.
    """
    pid, count, names, _ = (environ.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()) or not count.isdecimal():
        return ()
    numbers = range(_FIRST, _FIRST + int(count))
    found = [Passed(*one) for one in zip([*names.split(":"), *[""] * len(numbers)], numbers, strict=False)]
    for one in found:
        with contextlib.suppress(OSError):  # it is closed: told when it is looked at
            os.set_inheritable(one.number, False)
    return tuple(found)


def open_health(passed: Sequence[Passed], host: str, port: int) -> HealthSockets:
    """The sockets of the health port: systemd's where it passed any, else one of our own for this address.

    Raises:
        StartError: what was passed for it is of no use, or the address cannot be had.
    """
    for stray in (one for one in passed if one.name != HEALTH):
        log.warning(
            "systemd passed a file named %r, and only %r is known: it is closed; correct FileDescriptorName= in the "
            "socket unit",
            stray.name,
            HEALTH,
        )
        with contextlib.suppress(OSError):
            os.close(stray.number)
    numbers = [one.number for one in passed if one.name == HEALTH]
    if not numbers:
        return HealthSockets((listen_tcp(host, port, KEY),), passed=False)
    with contextlib.ExitStack() as opened:
        sockets = tuple(opened.enter_context(_adopt(number)) for number in numbers)
        opened.pop_all()
    return HealthSockets(sockets, passed=True, entries=_disagreement(sockets, host, port))


UNFIT: tuple[tuple[Callable[[socket.socket], bool], str], ...] = (
    (lambda one: one.type != socket.SOCK_STREAM, "is no stream socket; write ListenStream="),
    (lambda one: one.family not in (socket.AF_INET, socket.AF_INET6), "has no port; write an address and a port there"),
    (lambda one: not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), "does not listen; write Accept=no"),
)
"""What makes a socket useless for the health port, each with what to do in the socket unit."""


def _adopt(number: int) -> socket.socket:
    what = f"the socket that systemd passed for the health port (file {number}, named {HEALTH!r})"
    try:
        adopted = socket.socket(fileno=number)
    except OSError as error:
        raise StartError(f"{what} cannot be used: {error.strerror}; correct the socket unit") from error
    for is_so, why in UNFIT:
        if is_so(adopted):
            adopted.close()
            raise StartError(f"{what} {why} in the socket unit")
    return adopted


def _disagreement(sockets: Sequence[socket.socket], host: str, port: int) -> tuple[Entry, ...]:
    """An entry where the configuration names another address than those that systemd listens on."""
    if any(_is_at(one, host, port) for one in sockets):
        return ()
    there = " and ".join(str(address_of(one)) for one in sockets)
    text = (
        f"{KEY} ({Address(host, port)}) is not used: systemd listens on {there} and passed that; write the same "
        f"address to {KEY} and to ListenStream= in the socket unit"
    )
    return (Entry(kind=EntryKind.SUPERVISOR, text=text, warn=True),)


def _is_at(listening: socket.socket, host: str, port: int) -> bool:
    there = address_of(listening)
    hosts = {there.host}
    # `ListenStream=8090`: ipv6(7), all addresses of IPv4 too unless IPV6_V6ONLY says otherwise.
    if there.host == "::" and not listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        hosts.add("0.0.0.0")  # noqa: S104
    try:
        # As bytes: a text would load the tables of IDNA, 0.4 MB.
        known = socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return False
    return port in (0, there.port) and not hosts.isdisjoint(address[0] for *_, address in known)


def address_of(listening: socket.socket) -> Address:
    """Where a TCP socket listens."""
    return Address(*listening.getsockname()[:2])

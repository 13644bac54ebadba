"""What systemd is told about the daemon: sd_notify(3) without a library, because no notification may block the loop.

libsystemd, systemd-python and sdnotify all send on a blocking socket; when PID 1 does not drain its queue
(net.unix.max_dgram_qlen, ten datagrams) the sender stands still. Here it gets EAGAIN and goes on.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

# systemd ignores a whole message above PIPE_BUF (4096 bytes); a character takes up to four, and other lines come along.
_STATUS_CHARACTERS = 900


def _address(text: str) -> str | None:
    """The socket's address, or None for what is no Unix socket ('vsock:' is for virtual machines' own PID 1)."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None


def watchdog_seconds(environ: Mapping[str, str], pid: int | None = None) -> float | None:
    """How long systemd waits for `Notifier.watchdog` before it kills the service; None where it does not watch.

    As sd_watchdog_enabled(3): WATCHDOG_PID, where set, must be our own (a child inherits the variables, not the duty).
    `pid` defaults to this process.
    """
    own = os.getpid() if pid is None else pid
    if environ.get("WATCHDOG_PID", str(own)) != str(own):
        return None
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 else None


class Notifier:
    """Tells systemd how the daemon is. Never blocks and never raises; without NOTIFY_SOCKET it does nothing.

    What could not be delivered (its queue was full) goes along with the next message, except a sign of life:
    a late one would vouch for a cycle that has not finished.
    """

    def __init__(self, environ: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic) -> None:
        """`environ` is the process's environment; `clock` gives seconds of CLOCK_MONOTONIC, which systemd compares."""
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._patience = watchdog_seconds(environ)
        self._clock = clock
        self._socket: socket.socket | None = None
        self._state = ""
        self._status = ""
        self._told = ""
        self._wait = ""
        self._complained = False

    def ready(self) -> None:
        """Start-up has finished, or a reload has."""
        self._state = "READY=1"
        self._send()

    def reloading(self) -> None:
        """The configuration is being read again; `ready` must follow."""
        self._state = f"RELOADING=1\nMONOTONIC_USEC={int(self._clock() * 1e6)}"
        self._send()

    def stopping(self) -> None:
        """Shutdown has begun."""
        self._state = "STOPPING=1"
        self._send()

    def status(self, text: str) -> None:
        """One line for `systemctl status`. The same text again is not sent again."""
        self._status = " ".join(text.split())[:_STATUS_CHARACTERS]
        if self._status != self._told:
            self._send()

    def wait_at_least(self, seconds: float) -> None:
        """Have systemd wait so long for a sign of life, where the unit's WatchdogSec is shorter. Goes with `ready`."""
        if self._patience is not None:
            self._wait = f"WATCHDOG_USEC={int(max(self._patience, seconds) * 1e6)}"

    def watchdog(self) -> None:
        """A sign of life. Called when a whole cycle has finished and at no other time."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Give the socket back. A later message opens a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        message = [self._state] if self._state else []
        if self._status != self._told:
            message.append(f"STATUS={self._status}")
        if self._wait:
            message.append(self._wait)
        message.extend(lines)
        try:
            if self._socket is None:
                kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
                self._socket = socket.socket(socket.AF_UNIX, kind)
            # Not connected: the address stays right when systemd re-executes itself and binds a new socket.
            self._socket.sendto("\n".join(message).encode(errors="replace"), self._address)
        except OSError as error:
            self._complain(error)
            return
        self._state, self._wait, self._told = "", "", self._status

    def _complain(self, error: OSError) -> None:
        """Once: a service manager that is away stays away for many cycles."""
        if not self._complained:
            self._complained = True
            log.debug("systemd could not be notified at %r: %s", self._address, error)

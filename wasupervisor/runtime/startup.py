"""What can go wrong before the first cycle: each ends in one clear line and exit status 2."""

from __future__ import annotations

import contextlib
import errno
import grp
import logging
import os
import socket
from pathlib import Path

log = logging.getLogger(__name__)

BACKLOG = 1024


class StartError(Exception):
    """The daemon cannot start; the text says what, where, why, and what to do."""


def listen_tcp(host: str, port: int, key: str) -> socket.socket:
    """Open a listening TCP socket.

    Args:
        host: a name or an address.
        port: 0 takes a free one.
        key: the configuration's key that asked for it, for the message.

    Raises:
        StartError: when the address cannot be had.
    """
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartError(f"cannot listen on {host}:{port} ({key}): {error.strerror or error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        advice = ": another program listens there; change the key or stop it" if error.errno == errno.EADDRINUSE else ""
        raise StartError(f"cannot listen on {host}:{port} ({key}): {error.strerror}{advice}") from error
    return listener


def listen_unix(path: Path, key: str) -> socket.socket:
    """Open the control socket, for the owner and the group `wasupervisor`. A stale file in its place is taken away.

    Raises:
        StartError: when the path cannot be had, or another daemon answers there.
    """
    if not _is_stale(path):
        raise StartError(f"cannot listen on {path} ({key}): another daemon answers there; stop it or change the key")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        previous = os.umask(0o117)
        try:
            listener.bind(str(path))
        finally:
            os.umask(previous)
        listener.listen(BACKLOG)
    except OSError as error:
        raise StartError(f"cannot listen on {path} ({key}): {error.strerror or error}") from error
    with contextlib.suppress(KeyError, OSError):
        os.chown(path, -1, grp.getgrnam("wasupervisor").gr_gid)
    return listener


def _is_stale(path: Path) -> bool:
    """Whether nobody answers at the path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return True
    return False

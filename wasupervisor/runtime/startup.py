"""What can go wrong before the first cycle: each ends in one clear line and exit status 2."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import socket
import stat
from pathlib import Path

from wasupervisor.config.texts import Address

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
        # As bytes: a text would load the tables of IDNA, 0.4 MB.
        family, kind, protocol, _name, address = socket.getaddrinfo(
            host.encode(), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise StartError(
            f"cannot listen on {Address(host, port)} ({key}): {error.strerror or error}{_advice(error)}"
        ) from error
    return listener


def _advice(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return ": write an address of this host, such as 127.0.0.1"
    texts = {
        errno.EADDRINUSE: ": another program listens there; change the key or stop it",
        errno.EADDRNOTAVAIL: ": this host has no such address; change the key",
        errno.EACCES: ": only root may take a port below 1024; take a higher one",
    }
    return texts.get(error.errno or 0, "")


def listen_unix(path: Path, key: str) -> socket.socket:
    """Open the control socket, for the owner and the group `wasupervisor`. A socket that nobody answers is replaced.

    Raises:
        StartError: when the path cannot be had, something else lies there, or another daemon answers.
    """
    try:
        hindrance = _make_room(path)
        if hindrance:
            raise StartError(f"cannot listen on {path} ({key}): {hindrance}, or change the key")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        previous = os.umask(0o117)
        try:
            listener.bind(os.fspath(path))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(previous)
    except OSError as error:
        where = f" ({error.filename})" if error.filename and Path(error.filename) != path else ""
        raise StartError(
            f"cannot listen on {path} ({key}): {error.strerror or error}{where}; change the key"
        ) from error
    with contextlib.suppress(KeyError, OSError):
        os.chown(path, -1, grp.getgrnam("wasupervisor").gr_gid)
    return listener


def _make_room(path: Path) -> str | None:
    """Make the folder, and take away the socket of a daemon that was killed; nothing else is ever taken away.

    Returns:
        What is in the way, and what to do about it.
    """
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISSOCK(mode):
        return "something that is no socket lies there; move it away"
    if _answers(path):
        return "another daemon answers there; stop it"
    path.unlink()
    return None


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # it is too busy to answer, or not ours to ask: in any case it is somebody's
            return True
    return True

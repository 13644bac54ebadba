"""Who may use the control socket: the kernel says who connected, whatever became of the file's mode since."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Awaitable
from pathlib import Path
from typing import NamedTuple

from wasupervisor.report.connection import Credentials, Request, Response
from wasupervisor.report.http import Handler

REFUSED = "permission denied; root, the daemon's own user and members of the socket's group may use it"


class Peers(NamedTuple):
    """Root, the daemon's own user, and one group."""

    uid: int
    group: int | None
    """None: no group may."""

    @classmethod
    def of(cls, listening: socket.socket) -> Peers:
        """As the file of a listening socket says now: its group, if that may write to it."""
        try:
            about = Path(os.fsdecode(listening.getsockname())).stat()
        except (OSError, ValueError):  # it is gone, or it has no file at all
            return cls(os.geteuid(), None)
        return cls(os.geteuid(), about.st_gid if about.st_mode & stat.S_IWGRP else None)

    def may(self, peer: Credentials | None) -> bool:
        """Whether this one may order anything."""
        if peer is None:
            return False
        return peer.uid in (0, self.uid) or (self.group is not None and self.group in (peer.gid, *peer.groups))


class SocketDoor:
    """The handler of the control socket: lets in whom it may, and tells the others why not."""

    def __init__(self, inside: Handler, peers: Peers) -> None:
        self._inside = inside
        self._peers = peers

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        """Answer."""
        if self._peers.may(request.peer):
            return self._inside(request)
        return Response.json(403, {"error": REFUSED}, (("Connection", "close"),))

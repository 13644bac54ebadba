"""The port that balancers probe. Where systemd holds its socket, the daemon comes and goes, and no probe is lost."""

from __future__ import annotations

import anyio

from wasupervisor.report.http import Server
from wasupervisor.runtime.activation import HealthSockets

FIRST_LOOK_WITHIN = 3.0
"""Seconds for which probes are left waiting at the start, so that their answer is not 'not looked yet'. A first look
takes 50 ms where the gateway is quick. With a stop and a start before it that is within the `timeout check` of
docs/load-balancers.md; who gives up sooner counts a failure, as with a 503."""

LEAVE_WITHIN = 0.3
"""Seconds at a stop for clients that are being served. An answer takes 1 ms; slow clients are not waited for."""


class HealthPort:
    """Serves, and lets go in order."""

    def __init__(self, sockets: HealthSockets, server: Server) -> None:
        self._sockets = sockets
        self._server = server
        self._looked = anyio.Event()
        self._left = anyio.Event()

    def looked(self) -> None:
        """A look has finished: there is something to answer."""
        self._looked.set()

    async def serve(self) -> None:
        """Answer until cancelled, or until `leave`. On a socket of our own from now on: nobody else would answer."""
        if self._sockets.passed:
            with anyio.move_on_after(FIRST_LOOK_WITHIN):
                await self._looked.wait()
        async with anyio.create_task_group() as tasks:
            for one in self._sockets.sockets:
                tasks.start_soon(self._server.serve, one)
        self._left.set()

    async def leave(self) -> None:
        """Take no more clients, when the next daemon will: those who come wait for it in systemd's socket.

        Nobody is told afterwards that the supervisor stops: a connection that was kept for the next probe is closed.
        """
        if self._sockets.passed:
            self._looked.set()
            self._server.retire()
            with anyio.move_on_after(LEAVE_WITHIN):
                await self._left.wait()
            self._server.hang_up()

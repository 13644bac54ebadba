"""A small HTTP server for the health port and the control socket: h11 for the protocol, the limits are ours.

Framework servers keep a client that never finishes its request for ever and take heads of 128 KB (measured: uvicorn,
aiohttp, http.server). A port that a load balancer probes needs a deadline, a limit and a cap more than a framework.
"""

from __future__ import annotations

import errno
import inspect
import logging
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio
import anyio.abc
from msgspec.structs import replace

from wasupervisor.report.connection import Connection, Credentials, Limits, Request, Response

__all__ = ["Credentials", "Handler", "Limits", "Request", "Response", "Server"]

log = logging.getLogger(__name__)

Handler = Callable[[Request], Response | Awaitable[Response]]

# One round of the loop takes so many new connections, so that neither they nor those at work wait for the others.
_ACCEPTED_AT_ONCE = 64
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_WHEN_OUT_OF_RESOURCES = 0.05


class Conversation(Protocol):
    """With one client, in whatever protocol."""

    scope: anyio.CancelScope
    busy: bool
    """The handler is at work: the client waits for us, and not the other way round."""

    async def exchange(self, handle: Callable[[Request], Awaitable[Response]]) -> bool:
        """Have one request answered; whether there may be another. Raises OSError: the client is gone."""
        ...

    def close(self) -> None:
        """Let go of the socket; may be called twice."""


class Server:
    """Answers HTTP on any number of listening sockets, which share one cap on connections.

    Above the cap the connection is closed that has waited longest for its client (to send, or to read), so that a
    probe gets through while slow clients hold all places. An exception of the handler becomes a 500; nothing that a
    client sends ends the server.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        limits: Limits | None = None,
        converse: Callable[[socket.socket, Limits], Conversation] = Connection,
    ) -> None:
        """`handler` is called once for each request, HEAD and OPTIONS included; their bodies are dropped here.

        `converse` begins to speak with a new client: HTTP, or what else the port is for.
        """
        self._handler = handler
        self._converse = converse
        self._limits = limits or Limits()
        # In the order in which they began to wait for their clients.
        self._connections: OrderedDict[Conversation, None] = OrderedDict()
        self._told_of_failure = False
        self._accepting: set[anyio.CancelScope] = set()
        self._retired = False

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def serve(self, listening: socket.socket) -> None:
        """Serve a listening socket, TCP or Unix, until cancelled or retired. The caller closes it afterwards."""
        # Plain sockets, read only when there is a use for the data: anyio's TCP stream reads on while we write, and
        # a client that sends without end would fill our memory.
        listening.setblocking(False)
        # Left to itself the kernel keeps 4 MB of answers for each client that reads none (tcp(7), tcp_wmem), and we
        # would go on writing them. Connections have what their listening socket has.
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            listening.setsockopt(socket.SOL_SOCKET, option, self._limits.buffer)
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as accepting:
                self._accepting.add(accepting)
                try:
                    if not self._retired:
                        await self._accept(listening, tasks)
                finally:
                    self._accepting.discard(accepting)

    def retire(self) -> None:
        """Take no more clients; `serve` ends when each that is being served has its answer, which says so."""
        self._retired = True
        for scope in self._accepting:
            scope.cancel()

    def hang_up(self) -> None:
        """Close each connection that waits for its client. Who keeps one for later asks again over another."""
        for connection in self._connections:
            if not connection.busy:
                connection.scope.cancel()

    async def _accept(self, listening: socket.socket, tasks: anyio.abc.TaskGroup) -> None:
        while True:
            await anyio.wait_readable(listening)
            taken = 0
            try:
                while taken < _ACCEPTED_AT_ONCE:
                    self._admit(listening.accept()[0], tasks)
                    taken += 1
            except BlockingIOError:
                continue
            except OSError as error:
                log.debug("A connection could not be accepted: %s", error)
                # The kernel looks for a free descriptor before it looks for a client: only the first accept is sure.
                if error.errno in _OUT_OF_RESOURCES and not taken:
                    self._drop_oldest()
                    await anyio.sleep(_PAUSE_WHEN_OUT_OF_RESOURCES)

    def _admit(self, client: socket.socket, tasks: anyio.abc.TaskGroup) -> None:
        if len(self._connections) >= self._limits.connections and not self._drop_oldest():
            client.close()
            return
        connection = self._converse(client, self._limits)
        self._connections[connection] = None
        tasks.start_soon(self._run, connection)

    def _drop_oldest(self) -> bool:
        """Close the connection that has waited longest for its client; False when each waits for our handler."""
        for connection in self._connections:
            if not connection.busy:
                log.debug("Too many connections: the one that waited longest for its client is closed")
                del self._connections[connection]
                connection.scope.cancel()
                return True
        return False

    async def _run(self, connection: Conversation) -> None:
        async def answer(request: Request) -> Response:
            connection.busy = True
            try:
                return await self._answer(request)
            finally:
                connection.busy = False

        try:
            with connection.scope:
                while await connection.exchange(answer):
                    if self._retired or connection not in self._connections:
                        return
                    self._connections.move_to_end(connection)
        except OSError as error:
            log.debug("A connection ended: %s", error)
        except Exception:
            # One connection never takes the others, or the daemon's task group, with it.
            log.debug("A connection failed", exc_info=True)
        finally:
            self._connections.pop(connection, None)
            connection.close()

    async def _answer(self, request: Request) -> Response:
        response = await self._handle(request)
        return replace(response, headers=(*response.headers, ("Connection", "close"))) if self._retired else response

    async def _handle(self, request: Request) -> Response:
        try:
            answer = self._handler(request)
            return await answer if inspect.isawaitable(answer) else answer
        except Exception:
            # A fault of ours that any client can repeat as often as it likes: told once.
            log.log(
                logging.DEBUG if self._told_of_failure else logging.ERROR,
                "An HTTP request could not be answered (told once): %s",
                request.method,
                exc_info=True,
            )
            self._told_of_failure = True
            return Response.text(500, "internal error, see the log")

"""A small HTTP/1.1 server on h11 and anyio, that can also answer wrongly on purpose.

Not for production: it exists because no well-behaved server can be told to hang, to lie or to break off.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

import anyio
import anyio.abc
import anyio.lowlevel
import h11

MAX_BODY = 1_000_000
CHUNK = 65_536


@dataclass(frozen=True)
class Request:
    """One request, read completely."""

    method: str
    target: str
    """Path and query, as sent."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path as sent, not decoded."""
        return urlsplit(self.target).path

    @property
    def segments(self) -> tuple[str, ...]:
        """The path's parts, each decoded; a slash at the end does not count, as in Express."""
        return tuple(unquote(part) for part in self.path.strip("/").split("/"))

    @property
    def query(self) -> dict[str, str]:
        """The query's values; the last one of a name counts."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass(frozen=True)
class Reply:
    """One answer. `body` is what is promised in Content-Length; the rest says how it is not kept."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    cut_after: int | None = None
    """Break the connection after so many bytes of the body."""
    endless: int = 0
    """Send so many bytes of rubbish instead of the body, in chunks."""


def json_reply(status: int, document: object, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """A JSON answer as Express writes it."""
    body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    return Reply(status, body, (("Content-Type", "application/json; charset=utf-8"), *headers))


Answer = Callable[[Request], Awaitable[Reply | None]]
"""Answers a request; None breaks the connection without an answer."""


Handler = Callable[[anyio.abc.ByteStream], Awaitable[None]]
"""Serves one connection."""


@dataclass
class Door:
    """A TCP port that stays ours while nobody listens on it, so that it refuses, and can be opened again."""

    host: str = "127.0.0.1"
    port: int = 0
    _placeholder: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        """Raises OSError when the port is taken."""
        self._placeholder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # Linux lets a second socket listen on the port of a bound one that does not listen, when both say this.
        self._placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._placeholder.bind((self.host, self.port))
        except OSError as error:
            self._placeholder.close()
            raise OSError(error.errno, f"cannot use port {self.port} of {self.host}: {error.strerror}") from None
        self.port = self._placeholder.getsockname()[1]

    async def serve(
        self,
        handler: Handler,
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen and hand each connection to `handler`, until cancelled; then all connections break."""
        # anyio sets SO_REUSEADDR too, without which the placeholder would be in the way.
        listener = await anyio.create_tcp_listener(local_host=self.host, local_port=self.port, backlog=512)

        async def guarded(stream: anyio.abc.ByteStream) -> None:
            try:
                await handler(stream)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
                pass
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(0.1):
                    await anyio.aclose_forcefully(stream)

        async with listener:
            task_status.started()
            await listener.serve(guarded)

    def close(self) -> None:
        """Give the port back."""
        self._placeholder.close()


async def converse(stream: anyio.abc.ByteStream, answer: Answer, *, idle: float) -> None:
    """Serve one connection: requests one after the other, closed after `idle` seconds without one."""
    connection = h11.Connection(h11.SERVER)
    while True:
        request = None
        with anyio.move_on_after(idle):
            request = await _receive(stream, connection)
        if request is None:
            return
        reply = await answer(request)
        if reply is None or not await _send(stream, connection, request, reply, idle):
            return
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return
        connection.start_next_cycle()


async def _receive(stream: anyio.abc.ByteStream, connection: h11.Connection) -> Request | None:
    head: h11.Request | None = None
    body = b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return None
        if event is h11.NEED_DATA:
            try:
                data = await stream.receive()
            except anyio.EndOfStream:
                data = b""
            connection.receive_data(data)
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                return None
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
            return Request(head.method.decode(), head.target.decode("latin-1"), headers, body)
        else:
            return None


async def _send(
    stream: anyio.abc.ByteStream, connection: h11.Connection, request: Request, reply: Reply, idle: float
) -> bool:
    """Send the answer; whether the connection may be used again."""
    headers = list(reply.headers)
    if reply.endless:
        headers.append(("Transfer-Encoding", "chunked"))
    else:
        headers.append(("Content-Length", str(len(reply.body))))
    if request.headers.get("connection", "").lower() == "close":
        headers.append(("Connection", "close"))
    else:
        headers += [("Connection", "keep-alive"), ("Keep-Alive", f"timeout={round(idle)}")]
    reason = HTTPStatus(reply.status).phrase if reply.status in HTTPStatus._value2member_map_ else ""
    head = h11.Response(status_code=reply.status, headers=headers, reason=reason)
    out = connection.send(head) or b""
    body = reply.body if request.method != "HEAD" else b""
    if reply.cut_after is not None:
        await stream.send(out + body[: reply.cut_after])
        return False
    if reply.endless:
        return await _flood(stream, connection, out, reply.endless)
    out += connection.send(h11.Data(data=body)) or b""
    out += connection.send(h11.EndOfMessage()) or b""
    await stream.send(out)
    return True


async def _flood(stream: anyio.abc.ByteStream, connection: h11.Connection, out: bytes, size: int) -> bool:
    await stream.send(out)
    chunk = b"[" * CHUNK
    while size > 0:
        piece = chunk[: min(size, CHUNK)]
        await stream.send(connection.send(h11.Data(data=piece)) or b"")
        size -= len(piece)
    await stream.send(connection.send(h11.EndOfMessage()) or b"")
    return True

"""One HTTP connection: requests in, answers out, each step with its deadline and its limit."""

from __future__ import annotations

import contextlib
import http
import re
import socket
import struct
import time
import urllib.parse
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import h11
import msgspec

# pid, uid and gid as the kernel gives them: unix(7), SO_PEERCRED.
_CREDENTIALS = struct.Struct("3i")
# Linux 4.13 and later; Python has no name for it. At most 1024 bytes can be asked for: 256 groups.
_PEER_GROUPS = 59
_MOST_GROUPS = 1024
# How long, and for how many reads, the rest of a refused request is thrown away. A close with unread input makes the
# kernel send a reset, and the client loses the answer that says why (RFC 9112, 9.6).
_LINGER = 1.0
_LINGER_READS = 128
_LINGER_READ = 65536
_CAN_ANSWER = (h11.IDLE, h11.SEND_RESPONSE)
# h11 quotes the line that it cannot read, and that may be one with a token in it.
_QUOTED = re.compile(r":?\s*(bytearray\(|b['\"]).*", re.DOTALL)


class Limits(msgspec.Struct, frozen=True):
    """What a client may ask of the server. Times in seconds, sizes in bytes."""

    connections: int = 512
    head: int = 8192
    body: int = 65536
    buffer: int = 65536
    """What the kernel keeps of a connection each way; it takes twice as much."""
    head_deadline: float = 5.0
    """For the whole head, and once more for the whole body."""
    write_deadline: float = 10.0
    """For the whole answer."""
    keep_alive: float = 75.0
    """Between two requests."""


class Credentials(msgspec.Struct, frozen=True):
    """Who stands at the other end of a Unix socket."""

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    """The further groups of the process; none where there are more than 256, or the kernel does not tell."""


class Request(msgspec.Struct, frozen=True):
    """One request, read completely."""

    method: str
    path: str
    """As sent, still percent-encoded: so that `%2F` in a session's name is not taken for a slash."""
    query: dict[str, list[str]]
    """Decoded; `?verbose` gives `{"verbose": [""]}`."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    peer: Credentials | None
    """None on TCP."""
    address: str | None = None
    """The client's, on TCP; empty for one that is gone already."""

    def __repr__(self) -> str:
        """Without what may be a token."""
        return f"Request({self.method} {self.path})"


class Response(msgspec.Struct, frozen=True):
    """One answer. `Content-Length`, `Date` and `Cache-Control: no-store` are added."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def text(cls, status: int, line: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        """Plain text; a line end is added."""
        return cls(status, f"{line}\n".encode(), "text/plain; charset=utf-8", headers)

    @classmethod
    def json(cls, status: int, value: object, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        """`value` as JSON."""
        return cls(status, msgspec.json.encode(value) + b"\n", headers=headers)


class _Refused(Exception):  # noqa: N818 - the client's error, not ours
    """The request is not taken."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.response = Response.text(status, line, (("Connection", "close"),))


class Connection:
    """One client. `exchange` answers one request and says whether there may be another."""

    def __init__(self, client: socket.socket, limits: Limits) -> None:
        self.scope = anyio.CancelScope()
        self.busy = False
        self._socket = client
        self._limits = limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head)
        self._served = False
        client.setblocking(False)
        self._peer = _credentials(client) if client.family == socket.AF_UNIX else None
        self._address = None if self._peer else _prepare(client)

    async def exchange(self, handle: Callable[[Request], Awaitable[Response]]) -> bool:
        """Read a request, have it answered, send the answer. False when the connection is done.

        Raises:
            OSError: the client went away, or does not read.
        """
        try:
            head = await self._read_head()
            if head is None:
                return False
            request = self._request(head, await self._read_body(head))
        except _Refused as refused:
            await self._send("", refused.response)
            await self._linger()
            return False
        response = await handle(request)
        await self._send(request.method, response)
        if not (self._http.our_state is h11.DONE and self._http.their_state is h11.DONE):
            return False
        self._http.start_next_cycle()
        self._served = True
        return True

    def close(self) -> None:
        """Let go of the socket; may be called twice."""
        self._socket.close()

    async def _read_head(self) -> h11.Request | None:
        """The next request's head; None when the client is gone or stays silent."""
        if self._served and not self._has_begun():
            with anyio.move_on_after(self._limits.keep_alive) as silent:
                await self._receive()
            if silent.cancelled_caught:
                return None
        with anyio.move_on_after(self._limits.head_deadline) as slow:
            while (event := self._event()) is h11.NEED_DATA:
                await self._receive()
        if slow.cancelled_caught:
            if not self._has_begun():
                return None
            raise _Refused(408, f"the head of the request was not complete after {self._limits.head_deadline:g} s")
        if not isinstance(event, h11.Request):
            return None
        if not event.http_version.startswith(b"1."):
            raise _Refused(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        # h11 looks at the size only while the head is incomplete: one that arrives in a single read gets past it.
        if len(event.target) + sum(len(name) + len(value) + 4 for name, value in event.headers) > self._limits.head:
            raise self._head_too_large()
        return event

    async def _read_body(self, head: h11.Request) -> bytes:
        headers = dict(head.headers)
        if b"content-length" in headers and b"transfer-encoding" in headers:
            # A proxy before us may have believed the other one, and what follows is a request hidden from it
            # (RFC 9112, 6.3).
            raise _Refused(400, "no valid HTTP request: both Content-Length and Transfer-Encoding")
        if int(headers.get(b"content-length", b"0")) > self._limits.body:
            raise self._body_too_large()
        body = bytearray()
        with anyio.move_on_after(self._limits.head_deadline) as slow:
            while not isinstance(event := self._event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    await self._continue()
                    await self._receive()
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > self._limits.body:
                        raise self._body_too_large()
        if slow.cancelled_caught:
            raise _Refused(408, f"the body of the request was not complete after {self._limits.head_deadline:g} s")
        return bytes(body)

    def _request(self, head: h11.Request, body: bytes) -> Request:
        path, _, query = _origin_form(head.target.decode("ascii")).partition("?")
        headers: dict[str, str] = {}
        for name, value in head.headers:
            key, text = name.decode("ascii"), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        return Request(
            method=head.method.decode("ascii"),
            path=path,
            query=urllib.parse.parse_qs(query, keep_blank_values=True),
            headers=headers,
            body=body,
            peer=self._peer,
            address=self._address,
        )

    def _has_begun(self) -> bool:
        """Whether part of a request has arrived that was not looked at yet."""
        return bool(self._http.trailing_data[0])

    def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
                raise self._head_too_large() from None
            raise _Refused(error.error_status_hint, f"no valid HTTP request: {_QUOTED.sub('', str(error))}") from None

    def _head_too_large(self) -> _Refused:
        return _Refused(431, f"the head of the request is larger than {self._limits.head} bytes")

    def _body_too_large(self) -> _Refused:
        return _Refused(413, f"the body of the request is larger than {self._limits.body} bytes")

    async def _receive(self) -> None:
        # Waits even when data is there: so each client gets its turn, however much another one sends.
        await anyio.wait_readable(self._socket)
        with contextlib.suppress(BlockingIOError):
            self._http.receive_data(self._socket.recv(self._limits.head))

    async def _continue(self) -> None:
        """Tell a client that asked first (curl does, for a large body) to go on."""
        if self._http.they_are_waiting_for_100_continue:
            await self._write(
                self._http.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            )

    async def _send(self, method: str, response: Response) -> None:
        """`method` decides about the body: HEAD and OPTIONS get none."""
        if self._http.our_state not in _CAN_ANSWER:
            return
        body = b"" if method == "OPTIONS" else response.body
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())),
            *response.headers,
        ]
        reason = http.HTTPStatus(response.status).phrase.encode()
        head = self._http.send(h11.Response(status_code=response.status, headers=headers, reason=reason))
        content = b"" if method == "HEAD" else self._http.send(h11.Data(body))
        end = self._http.send(h11.EndOfMessage())
        await self._write(b"".join((head or b"", content or b"", end or b"")))

    async def _write(self, data: bytes | None) -> None:
        await send_all(self._socket, data or b"", self._limits.write_deadline)

    async def _linger(self) -> None:
        with anyio.move_on_after(_LINGER):
            self._socket.shutdown(socket.SHUT_WR)
            for _ in range(_LINGER_READS):
                await anyio.wait_readable(self._socket)
                if not self._socket.recv(_LINGER_READ):
                    return


async def send_all(client: socket.socket, data: bytes, within: float) -> None:
    """Send it on a non-blocking socket.

    Raises:
        OSError: the client is gone, or has not read it within so many seconds.
    """
    with anyio.fail_after(within):
        # A client that sends many requests at once must not keep the loop for itself.
        await anyio.lowlevel.checkpoint()
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[client.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(client)


def _credentials(client: socket.socket) -> Credentials:
    """Who stands at the other end of a Unix socket."""
    pid, uid, gid = _CREDENTIALS.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    groups = b""
    with contextlib.suppress(OSError):
        groups = client.getsockopt(socket.SOL_SOCKET, _PEER_GROUPS, _MOST_GROUPS)
    return Credentials(pid, uid, gid, struct.unpack(f"{len(groups) // 4}I", groups))


def _prepare(client: socket.socket) -> str:
    """Have small answers sent without delay on TCP, and give the client's address."""
    with contextlib.suppress(OSError):  # it is gone already: its first read says so
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return str(client.getpeername()[0])
    return ""


def _origin_form(target: str) -> str:
    """The path and query of a target, which a server must also take as a whole URL (RFC 9112, 3.2.2)."""
    if not target.lower().startswith("http://"):
        return target
    _, slash, rest = target[len("http://") :].partition("/")
    return slash + rest or "/"

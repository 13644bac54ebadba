"""The HTTP server on real sockets: what it answers, and what it does not put up with."""

from __future__ import annotations

import logging
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import anyio
import anyio.abc
import anyio.lowlevel
import h11
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wasupervisor.report.connection import Connection
from wasupervisor.report.http import Handler, Limits, Request, Response, Server

pytestmark = pytest.mark.anyio

IMPATIENT = Limits(head_deadline=0.1, keep_alive=0.1, write_deadline=0.1)
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
LAST_GET = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Client:
    """A client that sends bytes as they are and reads answers with h11."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self.stream = stream
        self._seen = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def answer(self, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """The next answer, read exactly as far as it goes."""
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        parser.send(h11.EndOfMessage())
        if self._seen:
            parser.receive_data(self._seen)
        head, body = None, b""
        while not isinstance(event := parser.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                try:
                    parser.receive_data(await self.stream.receive())
                except anyio.EndOfStream:
                    parser.receive_data(b"")
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
        self._seen = parser.trailing_data[0]
        assert head is not None
        return head.status_code, {name.decode(): value.decode() for name, value in head.headers}, body

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        data = self._seen
        try:
            while True:
                data += await self.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return data


def echo(request: Request) -> Response:
    return Response.json(
        200, {"method": request.method, "path": request.path, "query": request.query, "body": request.body.decode()}
    )


class Place:
    """A server under way, and how to reach it."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            yield Client(stream)

    async def get(self, data: bytes = LAST_GET) -> tuple[int, dict[str, str], bytes]:
        async with self.client() as client:
            await client.send(data)
            return await client.answer()


@asynccontextmanager
async def serving(handler: Handler = echo, limits: Limits | None = None) -> AsyncIterator[Place]:
    server = Server(handler, limits=limits)
    with listening() as sock:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, sock)
            yield Place(server, sock.getsockname()[1])
            tasks.cancel_scope.cancel()


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=1024)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await anyio.sleep(0.005)


async def test_a_get_has_its_body_and_no_word_of_the_software() -> None:
    async with serving() as place:
        status, headers, body = await place.get(b"GET /a/b?x=1&x=2&verbose HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 200
    assert msgspec.json.decode(body) == {
        "method": "GET",
        "path": "/a/b",
        "query": {"x": ["1", "2"], "verbose": [""]},
        "body": "",
    }
    assert headers["content-length"] == str(len(body))
    assert headers["cache-control"] == "no-store"
    assert headers["content-type"] == "application/json"
    assert abs((parsedate_to_datetime(headers["date"]) - datetime.now(UTC)).total_seconds()) < 3600
    assert "server" not in headers


async def test_a_connection_serves_many_requests_until_the_client_says_close() -> None:
    async with serving() as place, place.client() as client:
        for _ in range(3):
            await client.send(GET)
            status, headers, _ = await client.answer()
            assert (status, headers.get("connection")) == (200, None)
        await client.send(LAST_GET)
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.rest() == b""


async def test_requests_sent_at_once_are_answered_in_their_order() -> None:
    async with serving() as place, place.client() as client:
        await client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(300)) + b"GET /last HT")
        paths = [msgspec.json.decode((await client.answer())[2])["path"] for _ in range(300)]
        assert paths == [f"/{n}" for n in range(300)]
        await client.send(b"TP/1.1\r\nHost: x\r\n\r\n")
        assert msgspec.json.decode((await client.answer())[2])["path"] == "/last"


async def test_http_1_0_is_answered_and_closed() -> None:
    async with serving() as place, place.client() as client:
        await client.send(b"GET /livez HTTP/1.0\r\n\r\n")
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.rest() == b""


async def test_a_client_that_closes_its_side_after_the_request_is_still_answered() -> None:
    async with serving() as place, place.client() as client:
        await client.send(GET)
        await client.stream.send_eof()
        assert (await client.answer())[0] == 200
        assert await client.rest() == b""


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
async def test_head_and_options_have_the_status_and_no_body(method: str) -> None:
    async with serving(lambda _: Response.text(503, "not ready")) as place, place.client() as client:
        await client.send(f"{method} /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert body == b""
    assert (b"Content-Length: 10" if method == "HEAD" else b"Content-Length: 0").lower() in head.lower()


async def test_a_whole_url_as_the_target_is_understood() -> None:
    async with serving() as place:
        _, _, body = await place.get(b"GET http://proxy.example/livez?a=b HTTP/1.1\r\nHost: x\r\n\r\n")
        assert msgspec.json.decode(body)["path"] == "/livez"
        _, _, body = await place.get(b"GET http://proxy.example HTTP/1.1\r\nHost: x\r\n\r\n")
        assert msgspec.json.decode(body)["path"] == "/"


async def test_a_path_stays_encoded_so_that_a_slash_in_a_name_is_none_in_the_path() -> None:
    async with serving() as place:
        _, _, body = await place.get(b"GET //a%2Fb HTTP/1.1\r\nHost: x\r\n\r\n")
    assert msgspec.json.decode(body)["path"] == "//a%2Fb"


async def test_a_body_arrives_whole_by_length_and_in_chunks() -> None:
    async with serving() as place, place.client() as client:
        await client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
        await client.send(b"cde")
        assert msgspec.json.decode((await client.answer())[2])["body"] == "abcde"
        await client.send(
            b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
        )
        assert msgspec.json.decode((await client.answer())[2])["body"] == "abc"
        await client.send(GET)
        assert (await client.answer())[0] == 200


async def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on() -> None:
    async with serving() as place, place.client() as client:
        await client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await client.stream.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"ok")
        assert msgspec.json.decode((await client.answer())[2])["body"] == "ok"


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 128 * 1024 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 8 * 1024 * 1024,
        b"GET /" + b"a" * 8200 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 1500 + b"\r\n",
    ],
    ids=["9 KB", "128 KB", "8 MB without end", "long path", "many lines"],
)
async def test_a_head_above_8_kb_is_431(head: bytes) -> None:
    async with serving() as place, place.client() as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_send_what_is_taken, client, head)
            status, headers, body = await client.answer()
            tasks.cancel_scope.cancel()
        assert (status, headers["connection"]) == (431, "close")
        assert body == b"the head of the request is larger than 8192 bytes\n"
        assert (await place.get())[0] == 200


async def _send_what_is_taken(client: Client, data: bytes) -> None:
    with suppress(anyio.BrokenResourceError):
        await client.send(data)


async def test_a_head_that_arrives_in_one_read_after_another_request_is_measured_too() -> None:
    limits = Limits(head=256)
    async with serving(limits=limits) as place, place.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 180)
        assert (await client.answer())[0] == 200
        await client.send(b"a" * 80 + b"\r\n\r\n")
        assert (await client.answer())[0] == 431


async def test_a_head_of_just_below_8_kb_is_taken() -> None:
    async with serving() as place:
        status, _, _ = await place.get(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 8100 + b"\r\n\r\n")
    assert status == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n" + b"a" * 65537,
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + b"a" * 10_000_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + (b"4000\r\n" + b"a" * 0x4000 + b"\r\n") * 6,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\nExpect: 100-continue\r\n\r\n",
    ],
    ids=["by length", "10 MB", "in chunks", "asked before"],
)
async def test_a_body_above_64_kb_is_413(request_bytes: bytes) -> None:
    async with serving() as place, place.client() as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_send_what_is_taken, client, request_bytes)
            status, headers, body = await client.answer()
            tasks.cancel_scope.cancel()
        assert (status, headers["connection"]) == (413, "close")
        assert body == b"the body of the request is larger than 65536 bytes\n"
        assert (await place.get())[0] == 200


async def test_a_client_that_sends_everything_before_it_reads_still_learns_why_it_was_refused() -> None:
    async with serving() as place, place.client() as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n")
        for _ in range(40):
            await client.send(b"a" * 100_000)
        assert (await client.answer())[0] == 413


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)) + b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization Bearer hush\r\n\r\n",
        b"GET / hush HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_http_gets_a_400_of_one_line(garbage: bytes) -> None:
    async with serving() as place:
        status, headers, body = await place.get(garbage)
        assert (status, headers["connection"]) == (400, "close")
        assert body.count(b"\n") == 1
        assert b"Traceback" not in body
        assert b"hush" not in body
        assert (await place.get())[0] == 200


async def test_another_version_of_http_is_505() -> None:
    async with serving() as place:
        status, headers, _ = await place.get(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert (status, headers["connection"]) == (505, "close")


async def test_a_head_that_is_not_complete_in_time_is_408_though_bytes_keep_coming() -> None:
    async with serving(limits=IMPATIENT) as place, place.client() as client, anyio.create_task_group() as tasks:

        async def drip() -> None:
            for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 4000:
                await _send_what_is_taken(client, bytes([byte]))
                await anyio.sleep(0.01)

        tasks.start_soon(drip)
        status, headers, body = await client.answer()
        tasks.cancel_scope.cancel()
    assert (status, headers["connection"]) == (408, "close")
    assert body == b"the head of the request was not complete after 0.1 s\n"


async def test_a_body_that_is_not_complete_in_time_is_408() -> None:
    async with serving(limits=IMPATIENT) as place:
        status, _, _ = await place.get(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
    assert status == 408


@pytest.mark.parametrize("before", [b"", GET], ids=["fresh", "after a request"])
async def test_a_silent_client_is_closed_without_a_word(before: bytes) -> None:
    async with serving(limits=IMPATIENT) as place, place.client() as client:
        if before:
            await client.send(before)
            await client.answer()
        assert await client.rest() == b""


async def test_the_deadline_of_a_later_request_begins_with_its_first_byte() -> None:
    async with serving(limits=Limits(head_deadline=0.3, keep_alive=30)) as place, place.client() as client:
        await client.send(GET)
        await client.answer()
        await anyio.sleep(0.35)
        await client.send(b"GET /")
        assert (await client.answer())[0] == 408


async def test_a_client_that_does_not_read_is_let_go() -> None:
    async with serving(lambda _: Response(200, b"a" * 30_000_000), limits=IMPATIENT) as place, place.client() as client:
        await client.send(GET)
        await until(lambda: place.server.connections == 1)
        await until(lambda: place.server.connections == 0)


async def test_a_client_that_reads_late_gets_a_large_answer_whole() -> None:
    async with serving(lambda _: Response(200, b"a" * 10_000_000)) as place:
        _, _, body = await place.get()
    assert len(body) == 10_000_000


async def test_a_client_that_sends_without_end_and_does_not_read_does_not_fill_our_memory() -> None:
    limits = Limits(write_deadline=30)
    async with serving(lambda _: Response(200, b"a" * 30_000_000), limits=limits) as place, place.client() as client:
        sent = 0
        with anyio.move_on_after(0.5):
            while True:
                await client.send(GET * 1000)
                sent += len(GET) * 1000
    # What the kernel buffers on both sides; anyio's own stream took gigabytes.
    assert sent < 64 * 1024 * 1024


async def test_the_kernel_keeps_little_for_a_client_that_does_not_read() -> None:
    kept: list[int] = []

    def converse(client: socket.socket, limits: Limits) -> Connection:
        kept.extend(client.getsockopt(socket.SOL_SOCKET, one) for one in (socket.SO_SNDBUF, socket.SO_RCVBUF))
        return Connection(client, limits)

    with listening() as sock:
        server = Server(echo, converse=converse)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, sock)
            assert (await Place(server, sock.getsockname()[1]).get())[0] == 200
            tasks.cancel_scope.cancel()
    assert kept == [2 * Limits().buffer] * 2


async def test_a_probe_is_answered_beside_500_clients_that_never_finish_their_request() -> None:
    async with serving(limits=Limits(head_deadline=60)) as place:
        slow = [await anyio.connect_tcp("127.0.0.1", place.port) for _ in range(500)]
        try:
            for one in slow:
                await one.send(b"GET /livez HT")
            await until(lambda: place.server.connections == 500)
            for _ in range(20):
                assert (await place.get())[0] == 200
            assert place.server.connections >= 500
        finally:
            for one in slow:
                await one.aclose()


async def test_above_the_cap_the_one_that_waited_longest_makes_room() -> None:
    async with (
        serving(limits=Limits(connections=3)) as place,
        place.client() as kept,
        place.client() as oldest,
        place.client() as other,
    ):
        await kept.send(GET)
        await kept.answer()
        await oldest.send(b"GET")
        await other.send(b"GET")
        await until(lambda: place.server.connections == 3)
        await kept.send(GET)  # so it is younger now than the two others
        await kept.answer()
        async with place.client() as late:
            await late.send(GET)
            assert (await late.answer())[0] == 200
            assert await oldest.rest() == b""
            assert place.server.connections == 3
            await other.send(b" / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await other.answer())[0] == 200
            await kept.send(GET)
            assert (await kept.answer())[0] == 200


async def test_a_probe_gets_through_when_all_places_are_held_by_slow_clients() -> None:
    async with serving(limits=Limits(connections=16)) as place:
        slow = [await anyio.connect_tcp("127.0.0.1", place.port) for _ in range(16)]
        try:
            await until(lambda: place.server.connections == 16)
            for _ in range(40):
                assert (await place.get())[0] == 200
                assert place.server.connections <= 16
        finally:
            for one in slow:
                await one.aclose()


async def test_who_waits_for_our_own_answer_is_not_closed_for_a_newcomer() -> None:
    arrived, go = anyio.Event(), anyio.Event()

    async def handler(request: Request) -> Response:
        arrived.set()
        await go.wait()
        return echo(request)

    async with serving(handler, Limits(connections=1)) as place, place.client() as first:
        await first.send(LAST_GET)
        await arrived.wait()
        async with place.client() as second:
            assert await second.rest() == b""
        go.set()
        assert (await first.answer())[0] == 200


async def test_without_free_file_descriptors_the_server_lives_on() -> None:
    async with serving() as place, place.client() as idle:
        await until(lambda: place.server.connections == 1)
        client = socket.socket()
        client.setblocking(False)
        with no_free_descriptors():
            client.connect_ex(("127.0.0.1", place.port))
            assert await idle.rest() == b""  # it made room
            await anyio.wait_writable(client)
            client.send(LAST_GET)
            await anyio.wait_readable(client)
            assert client.recv(12) == b"HTTP/1.1 200"
        client.close()
        assert (await place.get())[0] == 200


@contextmanager
def no_free_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    hog = [os.dup(0)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hog[0] + 1, before[1]))
        with suppress(OSError):
            while True:
                hog.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for fd in hog:
            os.close(fd)


async def test_a_fault_of_ours_is_a_500_of_one_line_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def handler(_: Request) -> Response:
        raise RuntimeError("secret detail")

    with caplog.at_level(logging.INFO):
        async with serving(handler) as place, place.client() as client:
            for _ in range(3):
                await client.send(GET)
                status, _, body = await client.answer()
                assert (status, body) == (500, b"internal error, see the log\n")
    assert len(caplog.records) == 1


async def test_noise_of_clients_is_not_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with serving(limits=IMPATIENT) as place:
            await place.get(b"garbage\r\n\r\n")
            async with place.client() as client:
                await client.send(b"GET /")
                raw = client.stream.extra(anyio.abc.SocketAttribute.raw_socket)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            await until(lambda: place.server.connections == 0)
    assert caplog.records == []


async def test_a_handler_may_wait() -> None:
    async def handler(request: Request) -> Response:
        await anyio.lowlevel.checkpoint()
        return echo(request)

    async with serving(handler) as place:
        assert (await place.get())[0] == 200


async def test_headers_of_the_same_name_are_joined() -> None:
    seen: list[Request] = []

    def handler(request: Request) -> Response:
        seen.append(request)
        return Response.text(200, "ok")

    async with serving(handler) as place:
        await place.get(b"GET / HTTP/1.1\r\nHost: x\r\nAccept: a\r\nACCEPT: b\r\n\r\n")
    assert seen[0].headers["accept"] == "a, b"
    assert seen[0].peer is None
    assert seen[0].address == "127.0.0.1"


async def test_a_unix_socket_tells_who_calls(tmp_path: Path) -> None:
    seen: list[Request] = []

    def handler(request: Request) -> Response:
        seen.append(request)
        return Response.text(200, "ok")

    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Server(handler).serve, sock)
            async with await anyio.connect_unix(path) as stream:
                client = Client(stream)
                await client.send(b"POST /pause HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
                assert (await client.answer())[0] == 200
            tasks.cancel_scope.cancel()
    assert (seen[0].method, seen[0].path, seen[0].body) == ("POST", "/pause", b"{}")
    peer = seen[0].peer
    assert peer is not None
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.getuid(), os.getgid())
    assert sorted(peer.groups) == sorted(os.getgroups())
    assert seen[0].address is None


async def test_two_listening_sockets_share_one_cap() -> None:
    server = Server(echo, limits=Limits(connections=1))
    with listening() as one, listening() as two:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, one)
            tasks.start_soon(server.serve, two)
            ports = [it.getsockname()[1] for it in (one, two)]
            async with Place(server, ports[0]).client() as first, Place(server, ports[1]).client() as second:
                await second.send(GET)
                assert (await second.answer())[0] == 200
                assert await first.rest() == b""
            tasks.cancel_scope.cancel()


async def test_the_end_of_the_server_closes_every_connection() -> None:
    async with serving() as place:
        idle = await anyio.connect_tcp("127.0.0.1", place.port)
        await until(lambda: place.server.connections == 1)
    async with idle:
        assert await Client(idle).rest() == b""
    assert place.server.connections == 0


_PIECES = st.sampled_from(
    b"GET |/livez| HTTP/1.1|\r\n|\n|Host: x\r\n|Content-Length: |5|\r\n\r\n|\0|Transfer-Encoding: chunked\r\n"
    b"|Expect: 100-continue\r\n|Upgrade: h2c\r\n|CONNECT x:1|0\r\n\r\n".split(b"|")
)


@settings(max_examples=150, deadline=None)
@given(chunks=st.lists(st.one_of(st.binary(max_size=64), st.lists(_PIECES, max_size=12).map(b"".join)), max_size=6))
async def test_whatever_is_sent_the_server_goes_on_answering(chunks: list[bytes]) -> None:
    async with serving() as place:
        async with place.client() as client:
            for chunk in chunks:
                await _send_what_is_taken(client, chunk)
            with suppress(anyio.BrokenResourceError):
                await client.stream.send_eof()
            answer = await client.rest()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
        assert b"HTTP/1.1 500" not in answer
        assert (await place.get())[0] == 200

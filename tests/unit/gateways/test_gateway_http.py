"""Whatever a gateway does to a call, it ends as a typed value."""

from __future__ import annotations

import asyncio
import gzip
import logging
import resource
import socket
import ssl
from collections.abc import AsyncIterator

import anyio
import httpcore
import pytest
from gateway_wire import Asked, always, free_port, hang, http, wired

from wasupervisor.gateways.address import address_of
from wasupervisor.gateways.base import fits, open_gateway
from wasupervisor.gateways.http import LIST_LIMIT, Failure, HttpClient, Progress, Reply
from wasupervisor.model.observation import Trouble

pytestmark = pytest.mark.anyio

SECRET = "s3cr3t-k3y"  # not a real one
URL_SECRET = "url-p4ssw0rd"


@pytest.fixture
async def ends() -> AsyncIterator[list[HttpClient]]:
    clients: list[HttpClient] = []
    yield clients
    for client in clients:
        await client.aclose()


def client_for(url: str, ends: list[HttpClient]) -> HttpClient:
    client = HttpClient(url, {"X-Api-Key": SECRET})
    ends.append(client)
    return client


async def ask(url: str, ends: list[HttpClient], timeout: float = 5.0, limit: int = 1000) -> Reply | Failure:
    return await client_for(url, ends).ask("GET", "/x", timeout=timeout, limit=limit)


async def test_an_answer_comes_with_status_and_body(ends: list[HttpClient]) -> None:
    async with wired(always(http(503, b"busy"))) as wire:
        assert await ask(wire.url, ends) == Reply(503, b"busy")
        (asked,) = wire.asked
        assert str(asked) == "GET /x"
        assert asked.headers["x-api-key"] == SECRET
        assert asked.headers["accept-encoding"] == "identity"


async def test_nobody_listens(ends: list[HttpClient]) -> None:
    answer = await ask(f"http://127.0.0.1:{free_port()}", ends)
    assert answer == Failure(Trouble.REFUSED, "nobody listens on the port", Progress.NOT_SENT)


async def test_localhost_with_nobody_on_either_address_is_refused(ends: list[HttpClient]) -> None:
    answer = await ask(f"http://localhost:{free_port()}", ends)
    assert isinstance(answer, Failure)
    assert answer.trouble is Trouble.REFUSED


async def test_a_host_that_is_not_known(ends: list[HttpClient], monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    answer = await ask("http://gateway.invalid:3000", ends)
    assert isinstance(answer, Failure)
    assert (answer.trouble, answer.progress) == (Trouble.UNRESOLVED, Progress.NOT_SENT)


async def test_a_hung_process_accepts_and_never_answers(ends: list[HttpClient]) -> None:
    async with wired(hang) as wire:
        answer = await ask(wire.url, ends, timeout=0.1)
    assert answer == Failure(Trouble.TIMED_OUT, "no answer in time", Progress.SENT)


async def test_an_answer_that_drips_for_ever_is_timed_out_as_a_whole(ends: list[HttpClient]) -> None:
    async def drip(_: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with wired(drip) as wire:
        answer = await ask(wire.url, ends, timeout=0.15, limit=10**6)
    assert isinstance(answer, Failure)
    assert (answer.trouble, answer.progress) == (Trouble.TIMED_OUT, Progress.ANSWERED)


async def test_a_connection_closed_without_an_answer(ends: list[HttpClient]) -> None:
    async with wired(always(None)) as wire:
        answer = await ask(wire.url, ends)
        assert wire.connections == 1
    assert isinstance(answer, Failure)
    assert (answer.trouble, answer.progress) == (Trouble.DROPPED, Progress.SENT)


async def test_a_connection_dropped_in_the_middle_of_the_body(ends: list[HttpClient]) -> None:
    async def half(_: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\nhalf")
        await writer.drain()
        return None

    async with wired(half) as wire:
        answer = await ask(wire.url, ends)
    assert isinstance(answer, Failure)
    assert (answer.trouble, answer.answered) == (Trouble.DROPPED, True)


async def test_something_that_is_not_http(ends: list[HttpClient]) -> None:
    async with wired(always(b"220 smtp ready\r\n\r\n")) as wire:
        answer = await ask(wire.url, ends)
    assert isinstance(answer, Failure)
    assert (answer.trouble, answer.answered) == (Trouble.DROPPED, False)


async def test_a_body_of_100_mb_is_not_read_to_its_end(ends: list[HttpClient]) -> None:
    sent = 0

    async def flood(_: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b"[" * 65536 + b"\r\n"
        for _piece in range(1600):
            writer.write(piece)
            await writer.drain()
            sent += 65536
        return b"0\r\n\r\n"

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with wired(flood) as wire:
        answer = await ask(wire.url, ends, limit=1 << 20)
    assert answer == Failure(Trouble.BAD_BODY, "answered 200 with more than 1024 kB", Progress.ANSWERED)
    assert sent < 50 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30 << 10


async def test_a_body_that_is_announced_as_too_long_is_not_read_at_all(ends: list[HttpClient]) -> None:
    async with wired(always(b"HTTP/1.1 200 X\r\ncontent-length: 104857600\r\n\r\n")) as wire:
        answer = await ask(wire.url, ends, limit=LIST_LIMIT)
    assert answer == Failure(Trouble.BAD_BODY, "answered 200 with more than 16384 kB", Progress.ANSWERED)


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "deflate, gzip"])
async def test_a_compressed_body_is_refused_so_that_no_bomb_is_unpacked(encoding: str, ends: list[HttpClient]) -> None:
    bomb = gzip.compress(b"[" * 1_000_000)
    async with wired(always(http(200, bomb, content_encoding=encoding))) as wire:
        answer = await ask(wire.url, ends, limit=LIST_LIMIT)
    assert answer == Failure(Trouble.BAD_BODY, "answered 200 with a compressed body", Progress.ANSWERED)


async def test_a_redirect_is_not_followed(ends: list[HttpClient]) -> None:
    async with wired(always(http(302, b"", location="http://127.0.0.1:1/elsewhere"))) as wire:
        assert await ask(wire.url, ends) == Reply(302, b"")
        assert len(wire.asked) == 1


@pytest.mark.parametrize("status", [200, 204, 304, 418, 500, 599])
async def test_any_status_is_an_answer(status: int, ends: list[HttpClient]) -> None:
    async with wired(always(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())) as wire:
        assert await ask(wire.url, ends) == Reply(status)


async def test_strange_headers_do_no_harm(ends: list[HttpClient]) -> None:
    odd = b"HTTP/1.1 200 X\r\nx: \xff\xfe\r\nset-cookie: =;;;\r\ncontent-type: ;;/\r\ncontent-length: 2\r\n\r\n[]"
    async with wired(always(odd)) as wire:
        assert await ask(wire.url, ends) == Reply(200, b"[]")


async def test_polls_keep_one_connection(ends: list[HttpClient]) -> None:
    async with wired(always(http(200, b"[]"))) as wire:
        client = client_for(wire.url, ends)
        for _ in range(5):
            assert await client.ask("GET", "/x", timeout=5.0) == Reply(200, b"[]")
        assert wire.connections == 1


async def test_a_kept_connection_that_is_reset_when_used_again_is_asked_once_more(ends: list[HttpClient]) -> None:
    """WAHA and Evolution close after 5 s of idling: just then the next poll was lost."""

    async def second_time_closes(asked: Asked, _: asyncio.StreamWriter) -> bytes | None:
        seen = sum(1 for one in wire.asked if one.connection == asked.connection)
        return http(200, b"[]") if seen == 1 else None

    async with wired(second_time_closes) as wire:
        client = client_for(wire.url, ends)
        assert await client.ask("GET", "/x", timeout=5.0) == Reply(200, b"[]")
        assert await client.ask("GET", "/x", timeout=5.0) == Reply(200, b"[]")
        assert [one.connection for one in wire.asked] == [1, 1, 2]


async def test_a_new_connection_that_breaks_is_not_asked_again(ends: list[HttpClient]) -> None:
    async with wired(always(None)) as wire:
        client = client_for(wire.url, ends)
        for _ in range(2):
            assert isinstance(await client.ask("GET", "/x", timeout=5.0), Failure)
        assert len(wire.asked) == 2


async def test_an_action_has_its_own_connection_and_is_never_made_twice(ends: list[HttpClient]) -> None:
    async def polls_only(asked: Asked, _: asyncio.StreamWriter) -> bytes | None:
        return http(200, b"[]") if asked.method == "GET" else None

    async with wired(polls_only) as wire:
        client = client_for(wire.url, ends)
        await client.ask("GET", "/x", timeout=5.0)
        answer = await client.act("POST", "/restart", timeout=5.0)
        assert [(one.method, one.connection) for one in wire.asked] == [("GET", 1), ("POST", 2)]
    assert isinstance(answer, Failure)
    assert answer.trouble is Trouble.DROPPED


async def test_a_poll_does_not_wait_for_an_action(ends: list[HttpClient]) -> None:
    acting = anyio.Event()

    async def slow_action(asked: Asked, _: asyncio.StreamWriter) -> bytes | None:
        if asked.method == "POST":
            acting.set()
            await asyncio.sleep(3600)
        return http(200, b"[]")

    async with wired(slow_action) as wire:
        client = client_for(wire.url, ends)
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: client.act("POST", "/restart", timeout=60.0))
            await acting.wait()
            assert await client.ask("GET", "/x", timeout=5.0) == Reply(200, b"[]")
            group.cancel_scope.cancel()


async def test_cancellation_passes_and_the_client_still_works(ends: list[HttpClient]) -> None:
    first = True

    async def hangs_once(_: Asked, __: asyncio.StreamWriter) -> bytes | None:
        nonlocal first
        if first:
            first = False
            await asyncio.sleep(3600)
        return http(200, b"[]")

    async with wired(hangs_once) as wire:
        client = client_for(wire.url, ends)
        with anyio.move_on_after(0.1) as scope:
            await client.ask("GET", "/x", timeout=60.0)
        assert scope.cancelled_caught
        assert await client.ask("GET", "/x", timeout=5.0) == Reply(200, b"[]")


async def test_a_pool_that_never_gives_a_connection_is_replaced(ends: list[HttpClient]) -> None:
    async with wired(always(http(200, b"[]"))) as wire:
        client = client_for(wire.url, ends)
        client._polls = httpcore.AsyncConnectionPool(max_connections=0)
        answer = await client.ask("GET", "/x", timeout=0.05)
        assert answer == Failure(Trouble.TIMED_OUT, "no answer in time", Progress.NOT_SENT)
        assert await client.ask("GET", "/x", timeout=5.0) == Reply(200, b"[]")


async def test_https_where_http_is_spoken(ends: list[HttpClient]) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        answer = await ask(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", ends)
    assert isinstance(answer, Failure)
    assert (answer.trouble, answer.progress) == (Trouble.BAD_BODY, Progress.NOT_SENT)
    assert "TLS cannot be agreed" in answer.detail


def test_http_loads_no_certificates_and_https_verifies() -> None:
    assert HttpClient("http://x", {})._tls is None
    tls = HttpClient("https://x", {})._tls
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname


ERRORS = [
    (httpcore.ConnectTimeout("x"), Trouble.TIMED_OUT),
    (httpcore.ReadTimeout("x"), Trouble.TIMED_OUT),
    (httpcore.WriteTimeout("x"), Trouble.TIMED_OUT),
    (httpcore.PoolTimeout("x"), Trouble.TIMED_OUT),
    (httpcore.ConnectError("x"), Trouble.TIMED_OUT),
    (httpcore.ReadError("x"), Trouble.DROPPED),
    (httpcore.WriteError("x"), Trouble.DROPPED),
    (httpcore.RemoteProtocolError("x"), Trouble.DROPPED),
    (httpcore.ProxyError("x"), Trouble.DROPPED),
    (httpcore.LocalProtocolError(SECRET), Trouble.BAD_STATUS),
    (httpcore.UnsupportedProtocol("x"), Trouble.BAD_STATUS),
    (RuntimeError(SECRET), Trouble.BAD_BODY),
    (ExceptionGroup("x", [ValueError(SECRET)]), Trouble.BAD_BODY),
]


@pytest.mark.parametrize(("error", "trouble"), ERRORS, ids=lambda value: type(value).__name__)
async def test_whatever_the_library_raises_ends_as_a_value(
    error: Exception, trouble: Trouble, ends: list[HttpClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(httpcore.AsyncConnectionPool, "stream", broken)
    client = client_for("http://127.0.0.1:1", ends)
    for answer in (await client.ask("GET", "/x", timeout=1.0), await client.act("POST", "/x", timeout=1.0)):
        assert isinstance(answer, Failure)
        assert answer.trouble is trouble
        assert SECRET not in answer.detail


def test_every_error_of_the_library_is_tested() -> None:
    known = {type(error) for error, _ in ERRORS}

    announced = {one for one in vars(httpcore).values() if isinstance(one, type) and issubclass(one, Exception)}
    leaves = {one for one in announced if not any(other in announced for other in one.__subclasses__())}
    # ConnectionNotAvailable is caught by the pool itself.
    assert leaves - known == {httpcore.ConnectionNotAvailable}


@pytest.mark.parametrize("key", ["bad\r\nkey " + SECRET, SECRET + "\x00", "schlüssel-" + SECRET, "\udcff" + SECRET])
async def test_a_key_that_http_forbids_is_no_crash_and_is_not_shown(key: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with wired(always(http(200, b"[]"))) as wire:
        gateway = open_gateway("waha", wire.url, key, timeout=1.0, action_timeout=1.0, clock=lambda: 0.0)
        look = await gateway.look()
        answer = await gateway.restart_session("default")
        await gateway.aclose()
    for text in (repr(look), repr(answer), caplog.text):
        assert SECRET not in text
    if set(key) & set("\r\n\x00"):
        assert look.sightings is None
        assert "gateway.api_key" in look.detail


async def test_neither_keys_nor_urls_get_into_the_log(ends: list[HttpClient], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with wired(always(http(200, b"[]"))) as wire:
        client = client_for(wire.url.replace("//", f"//user:{URL_SECRET}@"), ends)
        assert await client.ask("GET", "/api/sessions/4915112345678", timeout=5.0) == Reply(200, b"[]")
        assert wire.asked[0].headers["authorization"].startswith("basic ")
    assert "httpcore" not in caplog.text
    for secret in (SECRET, URL_SECRET, "4915112345678"):
        assert secret not in caplog.text
    assert SECRET not in repr(client)


def test_the_body_does_not_show_in_the_repr() -> None:
    assert repr(Reply(200, b"token")) == "Reply(status=200, 5 bytes)"


async def test_a_path_in_the_address_is_kept(ends: list[HttpClient]) -> None:
    async with wired(always(http(200, b"[]"))) as wire:
        await ask(f"{wire.url}/waha/?x=1#y", ends)
        assert str(wire.asked[0]) == "GET /waha/x"


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("http://gateway", b"gateway", b"/x"),
        ("HTTPS://Gateway:3000/", b"gateway:3000", b"/x"),
        ("http://u:p@10.0.0.1:80/a", b"10.0.0.1:80", b"/a/x"),
        ("http://[fd00::1]:3000", b"[fd00::1]:3000", b"/x"),
        ("http://[fd00::1]", b"[fd00::1]", b"/x"),
        ("http://bücher.example/ä b", b"xn--bcher-kva.example", b"/%C3%A4%20b/x"),
        (" http://x/a%20b?c=1#d ", b"x", b"/a%20b/x"),
    ],
)
def test_an_address_is_called_as_it_is_meant(url: str, host: bytes, target: bytes) -> None:
    address = address_of(url)
    assert (address.headers[b"Host"], address.url("/x").target) == (host, target)


def test_user_and_password_of_the_address_are_sent_as_they_are_meant() -> None:
    assert address_of("http://us%40er:p%C3%A4ss@x").headers[b"Authorization"] == b"Basic dXNAZXI6cMOkc3M="


BAD_URLS = [
    "http://a b",
    "http://a\nb",
    "http://x:0",
    "http://[::1",
    "http://" + "ä" * 99,
    "",
    "localhost:3000",
    "ftp://x",
    "http://",
    "//x",
    f"http://u:{URL_SECRET}@x:port",
    "http://x:99999999",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_an_address_that_cannot_be_used_is_a_clear_error(url: str) -> None:
    with pytest.raises(ValueError, match=r"cannot use gateway\.url") as caught:
        open_gateway("waha", url, None, timeout=1.0, action_timeout=1.0, clock=lambda: 0.0)
    assert URL_SECRET not in str(caught.value)


def test_an_unknown_kind_is_a_clear_error() -> None:
    with pytest.raises(ValueError, match=r"none of waha, evolution"):
        open_gateway("telegram", "http://x", None, timeout=1.0, action_timeout=1.0, clock=lambda: 0.0)


@pytest.mark.parametrize("name", ["default", "49 151", "a/b", "naïve", "..x", "日本", "a?b#c&d=%2F"])
def test_names_that_fit(name: str) -> None:
    assert fits(name)


UNFIT: list[object] = ["", ".", "..", "a\nb", "a\x00", "\x7f", "a\u2028b", "\ud800", "x" * 257, None, 5, b"x"]


@pytest.mark.parametrize("name", UNFIT)
def test_names_that_do_not_fit(name: object) -> None:
    assert not fits(name)

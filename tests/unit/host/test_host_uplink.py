"""The uplink, against stand-ins on 127.0.0.1."""

from __future__ import annotations

import resource
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream, Listener, SocketAttribute
from anyio.streams.tls import TLSListener

from wasupervisor.host.uplink import UplinkWatch
from wasupervisor.model.observation import UplinkState

pytestmark = pytest.mark.anyio

UP, DOWN, UNKNOWN = UplinkState.UP, UplinkState.DOWN, UplinkState.UNKNOWN
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
NEVER = 30.0


@dataclass
class StandIn:
    """A server that answers each request with the same bytes and remembers what it was asked."""

    answer: bytes | None
    """None: takes the request and says nothing."""
    close: bool = False
    """Hang up after the answer."""
    drips: bool = False
    """Go on with one blank after the other."""
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    gone: anyio.Event = field(default_factory=anyio.Event)
    """The client has closed."""
    let_go: anyio.Event | None = None
    """Answer only after this."""

    async def serve(self, stream: ByteStream) -> None:
        async with stream:
            with suppress(anyio.BrokenResourceError, anyio.EndOfStream):
                await self._converse(stream)
            self.gone.set()

    async def _converse(self, stream: ByteStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive()
        self.requests.append(request)
        if self.let_go is not None:
            await self.let_go.wait()
        if self.answer is not None:
            await stream.send(self.answer)
        while self.drips:
            await stream.send(b" ")
            await anyio.sleep(0.01)
        if not self.close:
            await stream.receive()


@asynccontextmanager
async def standing(
    answer: bytes | None = SWITCHING, *, close: bool = False, drips: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncIterator[StandIn]:
    listener: Listener[ByteStream] = await anyio.create_tcp_listener(local_host="127.0.0.1")
    stand_in = StandIn(answer, close, drips, port=listener.extra(SocketAttribute.local_port))
    if tls is not None:
        listener = TLSListener(listener, tls, standard_compatible=False)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, stand_in.serve)
        yield stand_in
        group.cancel_scope.cancel()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def watch(port: int, timeout: float = NEVER, **more: object) -> UplinkWatch:
    return UplinkWatch("127.0.0.1", port, timeout=timeout, clock=Clock(), **more)  # type: ignore[arg-type]


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class TestUpgrade:
    async def test_101_is_good_and_the_connection_is_closed_at_once(self) -> None:
        async with standing() as whatsapp:
            reading = await watch(whatsapp.port).ask(0)
            await whatsapp.gone.wait()
        assert (reading.state, reading.detail) == (UP, f"127.0.0.1:{whatsapp.port} accepted the websocket")

    async def test_it_asks_for_what_a_gateway_asks_for(self) -> None:
        async with standing() as whatsapp:
            await watch(whatsapp.port).ask(0)
        head = whatsapp.requests[0].decode().lower().split("\r\n")
        assert head[0] == "get /ws/chat http/1.1"
        assert {"upgrade: websocket", "connection: upgrade", "origin: https://web.whatsapp.com"} <= set(head)
        assert any(line.startswith("sec-websocket-key: ") for line in head)
        assert not any(line.startswith("user-agent") for line in head)

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(http("503 Service Unavailable"), id="WhatsApp or a proxy is overloaded"),
            pytest.param(http("302 Found", b"", "Location: http://login.example/"), id="captive portal, redirecting"),
            pytest.param(http("200 OK", b"<html>Welcome to our hotel</html>"), id="captive portal"),
            pytest.param(http("403 Forbidden"), id="filtered"),
            pytest.param(http("426 Upgrade Required"), id="not a websocket"),
        ],
    )
    async def test_any_other_answer_is_down(self, answer: bytes) -> None:
        async with standing(answer) as portal:
            reading = await watch(portal.port).ask(0)
        assert reading.state is DOWN
        assert reading.refused
        assert f"answered {answer[9:12].decode()} to the websocket upgrade, not 101" in reading.detail
        assert len(portal.requests) == 1

    async def test_an_endless_body_is_not_read(self) -> None:
        endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096
        async with standing(endless) as portal:
            assert (await watch(portal.port).ask(0)).state is DOWN

    async def test_a_black_hole_that_accepts_is_down_when_the_time_is_over(self) -> None:
        async with standing(None) as hole:
            reading = await watch(hole.port, timeout=0.1).ask(0)
        assert (reading.state, reading.detail) == (DOWN, f"127.0.0.1:{hole.port} did not answer in 0.1 s")
        assert not reading.refused

    async def test_an_answer_in_drips_does_not_outlast_the_time_for_the_whole(self) -> None:
        async with standing(b"HTTP/1.1 101 Switching", drips=True) as peer:
            assert (await watch(peer.port, timeout=0.1).ask(0)).state is DOWN

    @pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00" * 64, b"HTTP/1.1 101"])
    async def test_a_peer_that_hangs_up_or_talks_something_else_is_down(self, answer: bytes) -> None:
        async with standing(answer, close=True) as peer:
            reading = await watch(peer.port).ask(0)
        assert reading.state is DOWN
        assert "could not be reached" in reading.detail
        assert "\n" not in reading.detail

    async def test_refused(self) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            port = silent.getsockname()[1]
            reading = await watch(port).ask(0)
        assert (reading.state, reading.detail) == (DOWN, f"127.0.0.1:{port} could not be reached: Connection refused")

    async def test_a_proxy_of_the_environment_is_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        async with standing() as whatsapp:
            assert (await watch(whatsapp.port).ask(0)).state is UP

    async def test_a_name_that_does_not_resolve_is_down(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unresolved(*_: object, **__: object) -> object:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unresolved)  # no test waits for a name server
        reading = await UplinkWatch("web.whatsapp.com", clock=Clock()).ask(0)
        assert reading.state is DOWN
        assert reading.detail == "the name web.whatsapp.com could not be resolved: Name or service not known"

    async def test_out_of_file_descriptors_nothing_is_known_of_the_uplink(self) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            one = watch(silent.getsockname()[1])
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                reading = await one.ask(0)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert (reading.state, "Too many open files" in reading.detail) == (UNKNOWN, True)
            assert (await one.ask(0)).state is DOWN


class TestOthers:
    async def test_tcp_is_content_with_a_connection(self) -> None:
        async with standing(None) as hole:
            reading = await watch(hole.port, check="tcp").ask(0)
        assert (reading.state, reading.detail) == (UP, f"127.0.0.1:{hole.port} accepted the connection")

    async def test_tls_is_not_content_with_a_peer_that_does_not_speak_it(self) -> None:
        async with standing(http("400 Bad Request"), close=True) as plain:
            reading = await watch(plain.port, check="tls", timeout=0.1).ask(0)
        assert reading.state is DOWN

    @pytest.mark.parametrize("check", ["tls", "upgrade"])
    async def test_a_certificate_of_nobody_is_down(self, tmp_path: Path, check: str) -> None:
        async with standing(tls=certificate(tmp_path)) as impostor:
            reading = await watch(impostor.port, check=check, tls=True).ask(0)
        assert reading.state is DOWN
        assert "its certificate is not accepted (self-signed certificate)" in reading.detail

    @pytest.mark.parametrize("check", ["tls", "upgrade"])
    async def test_a_certificate_that_the_operator_trusts_is_good(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str
    ) -> None:
        context = certificate(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        async with standing(tls=context) as whatsapp:
            reading = await watch(whatsapp.port, check=check, tls=True).ask(0)
        assert reading.state is UP

    async def test_without_its_list_of_authorities_nothing_is_known(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        empty = tmp_path / "empty.pem"
        empty.touch()
        monkeypatch.setenv("SSL_CERT_FILE", str(empty))
        reading = await UplinkWatch(clock=Clock()).ask(0)
        assert reading.state is UNKNOWN
        assert "certificates to trust cannot be loaded" in reading.detail


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate of its own for 127.0.0.1."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl, to make a certificate")
    pem, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-keyout", key, "-out", pem),
            *("-subj", "/CN=stand-in", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return context


class TestMemory:
    async def test_before_the_first_question_it_is_unknown(self) -> None:
        assert (watch(1).last.state, watch(1).last.detail) == (UNKNOWN, "not asked yet")

    async def test_a_young_reading_serves_and_an_old_one_does_not(self) -> None:
        clock = Clock()
        async with standing() as whatsapp:
            uplink = UplinkWatch("127.0.0.1", whatsapp.port, timeout=NEVER, clock=clock)
            await uplink.ask(30)
            clock.now += 29
            young = await uplink.ask(30)
            assert (young.age_seconds, len(whatsapp.requests)) == (29, 1)
            clock.now += 1
            new = await uplink.ask(30)
            assert (new.age_seconds, len(whatsapp.requests)) == (0, 2)
            await uplink.ask(0)
            assert len(whatsapp.requests) == 3
            clock.now += 7
            assert (uplink.last.state, uplink.last.age_seconds) == (UP, 7)

    async def test_who_asks_during_a_check_gets_its_result(self) -> None:
        async with standing() as whatsapp:
            whatsapp.let_go = anyio.Event()
            uplink = watch(whatsapp.port)
            states: list[UplinkState] = []

            async def ask() -> None:
                states.append((await uplink.ask(0)).state)

            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(ask)
                while not whatsapp.requests:
                    await anyio.lowlevel.checkpoint()
                whatsapp.let_go.set()
        assert states == [UP] * 5
        assert len(whatsapp.requests) == 1

    async def test_a_check_that_was_called_off_leaves_the_next_one_free(self) -> None:
        async with standing() as whatsapp:
            whatsapp.let_go = anyio.Event()
            uplink = watch(whatsapp.port)
            async with anyio.create_task_group() as group:
                group.start_soon(uplink.ask, 0)
                while not whatsapp.requests:
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            assert uplink.last.state is UNKNOWN
            whatsapp.let_go.set()
            assert (await uplink.ask(0)).state is UP

    async def test_the_log_tells_changes_and_nothing_else(self, caplog: pytest.LogCaptureFixture) -> None:
        async with standing() as whatsapp:
            uplink = watch(whatsapp.port)
            with caplog.at_level("INFO", "wasupervisor.host"):
                for _ in range(3):
                    await uplink.ask(0)
                whatsapp.answer = http("503 Service Unavailable")
                for _ in range(3):
                    await uplink.ask(0)
        ours = [record.getMessage() for record in caplog.records if record.name.startswith("wasupervisor")]
        assert [line.split(":")[0] for line in ours] == ["the uplink is up", "the uplink is down"]


@pytest.mark.parametrize(
    ("host", "port", "tls"),
    [
        ("web.whatsapp.com", 443, True),
        ("web.whatsapp.com", 5222, True),
        ("127.0.0.1", 443, True),
        ("127.0.0.1", 8080, False),
        ("localhost", 8080, False),
        ("::1", 8080, False),
        ("192.0.2.1", 8080, True),
    ],
)
def test_only_a_stand_in_in_a_lab_is_spoken_to_without_tls(host: str, port: int, *, tls: bool) -> None:
    assert UplinkWatch(host, port)._tls is tls

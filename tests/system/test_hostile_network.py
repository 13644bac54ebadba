"""The real daemon among clients that nobody wants: its probes are answered right, and its work goes on.

No test here looks at a clock: how fast it is meanwhile is printed by `make bench ARGS="--only hostile"`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from hostile import HALF, RESET_AT_CLOSE, DrippingClients, Siege, deaf_client, descriptors, get
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage import Gateway, Supervisor, wait_until

pytestmark = pytest.mark.timeout(180)

Gateways = Callable[..., Gateway]
Supervisors = Callable[..., Supervisor]

TOKEN = "0123456789abcdef" * 4
CAP = 512
FLOOD = 2500
"""Connections at once: as many as fill the daemon's places, the kernel's queue before it, and as many again."""
OWN = 100
"""Sockets beside those of clients: listening ones, the gateway's, and those that are being closed."""


def with_token(supervisor: Supervisor, token: str = TOKEN) -> None:
    """Let commands be taken on the health port."""
    file = supervisor.folder.with_suffix(".token")
    file.touch(mode=0o600)
    file.write_text(token)
    text = supervisor.config.read_text()
    supervisor.config.write_text(text.replace("control.sock}", f"control.sock, token_file: {file}}}"))


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    """One daemon for all of them: what one does to it, the next would see."""
    gateway = Gateway()
    supervisor = Supervisor(tmp_path_factory.mktemp("siege"), gateway)
    try:
        with_token(supervisor)
        # The flood and the gateway share the CPUs: a look that took its time is none of its faults here.
        supervisor.config.write_text(supervisor.config.read_text().replace(" timeout: 2s", " timeout: 20s"))
        supervisor.start()
        for name in ("s1", "s2", "s3"):
            supervisor.until_condition(name, "healthy")
        yield Siege(supervisor, gateway)
    finally:
        supervisor.close()
        gateway.close()


@pytest.fixture
def siege(besieged: Siege) -> Iterator[Siege]:
    """Afterwards the daemon has let go of everybody, has logged nothing and done nothing, and goes on."""
    before = besieged.supervisor.logged()
    yield besieged
    wait_until("all connections are gone", lambda: besieged.sockets < OWN)
    besieged.cycles_go_on()
    assert besieged.supervisor.logged() == before
    assert besieged.gateway.count("POST *") == 0
    assert besieged.supervisor.document()["paused"] is None


HOST = b"Host: x\r\n"
FIRST = b"GET /livez HTTP/1.1\r\n"
POSTED = b"POST /livez HTTP/1.1\r\n" + HOST
TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2

BAD: dict[str, tuple[bytes, int]] = {
    "no request line": (b"\r\n\r\n\r\n\r\n", 400),
    "one word": (b"hello\r\n\r\n", 400),
    "four words": (b"GET /livez now HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "HTTP/0.9": (b"GET /livez\r\n\r\n", 400),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/3.0": (b"GET /livez HTTP/3.0\r\n" + HOST + b"\r\n", 505),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", 400),
    "a TLS hello": (TLS_HELLO, 400),
    "a NUL in the path": (b"GET /livez\0 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a NUL in a header": (FIRST + HOST + b"X: a\0b\r\n\r\n", 400),
    "a NUL in a header's name": (FIRST + HOST + b"X\0: a\r\n\r\n", 400),
    "a bare CR": (FIRST + HOST + b"X: a\rY: b\r\n\r\n", 400),
    "a space before the colon": (FIRST + b"Host : x\r\n\r\n", 400),
    "a folded line at the start": (FIRST + b" folded: x\r\n" + HOST + b"\r\n", 400),
    "a header without a colon": (FIRST + HOST + b"Authorization Bearer hush\r\n\r\n", 400),
    "no Host": (FIRST + b"\r\n", 400),
    "two Hosts": (FIRST + HOST + HOST + b"\r\n", 400),
    "a path beyond ASCII": (b"GET /\xc3\xa4 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "both lengths": (POSTED + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (POSTED + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "a negative length": (POSTED + b"Content-Length: -1\r\n\r\n", 400),
    "a length of many digits": (POSTED + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n", 400),
    "an unknown encoding": (POSTED + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    "a chunk of no size": (POSTED + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "a body that ends early": (POSTED + b"Content-Length: 9\r\n\r\nab", 400),
    "a head of 9 KB": (FIRST + HOST + b"X: " + b"a" * 9000 + b"\r\n\r\n", 431),
    "a path of 9 KB": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 431),
    "thousands of headers": (FIRST + HOST + b"X: a\r\n" * 5000 + b"\r\n", 431),
    "a head of 1 MB": (FIRST + HOST + b"X: " + b"a" * 2**20, 431),
    "a body of 70 KB": (POSTED + b"Content-Length: 70000\r\n\r\n" + b"a" * 70000, 413),
    "a body of 70 KB in chunks": (
        POSTED + b"Transfer-Encoding: chunked\r\n\r\n" + (b"4000\r\n" + b"a" * 0x4000 + b"\r\n") * 5,
        413,
    ),
    "a body that is announced to be of 1 PB": (POSTED + b"Content-Length: 1000000000000000\r\n\r\n", 413),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_http_gets_its_status_in_one_line_and_is_closed(siege: Siege, name: str) -> None:
    data, status = BAD[name]
    head, _, body = siege.say(data, more_to_come=False).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nconnection: close" in head.lower()
    assert body.count(b"\n") == 1
    assert b"hush" not in body


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (FIRST + HOST + b"X: a\r\n\tfolded\r\n\r\n", 200),
        (b"GET /livez HTTP/1.0\r\n\r\n", 200),
        (FIRST.replace(b"\r", b"") + b"Host: x\n\n", 200),
        (FIRST + HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n", 200),
        (FIRST + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200),
        (b"CONNECT example.org:443 HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (b"get /livez HTTP/1.1\r\n" + HOST + b"\r\n", 405),
        (b"TRACE /livez HTTP/1.1\r\n" + HOST + b"\r\n", 405),
        (b"GET /../livez HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ],
)
def test_what_is_odd_and_still_http_is_answered_for_what_it_says(siege: Siege, data: bytes, status: int) -> None:
    answer = siege.say(data, more_to_come=False)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"access-control-" not in answer.lower()
    assert b"upgrade:" not in answer.lower()


def test_many_requests_at_once_are_answered_one_after_the_other(siege: Siege) -> None:
    paths = ["/livez", "/nothing", "/readyz", "/health/sessions/s1", "/health/sessions/s9"] * 100
    with siege.probed(), siege.connect() as client:
        sender = threading.Thread(target=client.sendall, args=(b"".join(map(get, paths)),))
        sender.start()
        expected = [b"200", b"404", b"200", b"200", b"404"] * 100
        found: list[bytes] = []
        told = b""
        while len(found) < len(expected):
            told += client.recv(65536)
            *whole, told = told.split(b"HTTP/1.1 ")
            found += [one[:3] for one in whole if one]
            if len(found) == len(expected) - 1 and told.endswith(b"\n"):
                found.append(told[:3])
            else:
                told = b"HTTP/1.1 " + told
        sender.join()
    assert found == expected


def test_slow_senders_and_readers_are_sent_away_while_probes_are_answered(siege: Siege) -> None:
    dripping = DrippingClients(siege, 20)
    with siege.probed(300):
        dripping.start()
        deaf = [deaf_client(siege, 4000) for _ in range(4)]
        assert siege.keeps(deaf) == 4
        dripping.join()
        wait_until("those that do not read were let go", lambda: siege.keeps(deaf) == 0)
        for client in deaf:
            client.close()
    assert {answer.partition(b"\r\n")[0] for answer in dripping.answers} == {b"HTTP/1.1 408 Request Timeout"}
    assert len(dripping.answers) == 20


def test_five_hundred_half_open_connections_cost_no_probe(siege: Siege) -> None:
    with descriptors(1000), siege.probed(300) as probes, contextlib.ExitStack() as held:
        for _ in range(500):
            held.enter_context(client := siege.connect())
            client.sendall(HALF)
        wait_until("it holds them all", lambda: siege.sockets >= 500)
        wait_until("probes were answered meanwhile", lambda: probes.count >= 200 or probes.wrong)
    assert probes.most_sockets < CAP + OWN


def test_a_flood_far_above_the_cap_costs_no_probe_and_no_more_than_the_cap(siege: Siege) -> None:
    with descriptors(FLOOD + 500), siege.probed(300) as probes, contextlib.ExitStack() as held:
        for number in range(FLOOD):
            held.enter_context(client := siege.connect_soon())
            if number % 3:
                with contextlib.suppress(OSError):
                    client.send(HALF)
        wait_until("the cap is reached", lambda: siege.sockets >= CAP)
        wait_until("probes were answered meanwhile", lambda: probes.count >= 200 or probes.wrong)
    assert probes.most_sockets < CAP + OWN


def test_clients_that_come_and_go_as_fast_as_they_can_cost_no_probe(siege: Siege) -> None:
    over = threading.Event()

    def come_and_go(last_words: bytes) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), siege.connect() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
                client.sendall(last_words)

    flooding = [threading.Thread(target=come_and_go, args=(one,), daemon=True) for one in (b"", HALF, get("/health"))]
    with siege.probed() as probes:
        for one in flooding:
            one.start()
        wait_until("probes were answered meanwhile", lambda: probes.count >= 100 or probes.wrong)
        over.set()
        for one in flooding:
            one.join()


_PIECES = st.sampled_from(
    b"GET |POST |/livez|/health|/pause|/sessions/s1/restart|/gateway/restart|/sessions/s1/qr| HTTP/1.1|\r\n|\n|\0"
    b"|Host: x\r\n|Content-Length: |5|\r\n\r\n|Transfer-Encoding: chunked\r\n|Expect: 100-continue\r\n|0\r\n\r\n|{}"
    b"|Authorization: Bearer |Authorization: Basic |Connection: close\r\n|\x16\x03\x01|PRI * HTTP/2.0".split(b"|")
)
_BYTES = st.one_of(st.binary(max_size=200), st.lists(_PIECES, max_size=20).map(b"".join))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(_BYTES, max_size=5))
def test_whatever_bytes_arrive_the_next_probe_is_answered(siege: Siege, chunks: list[bytes]) -> None:
    answer = siege.say(b"".join(chunks), more_to_come=False)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 500" not in answer
    assert b"HTTP/1.1 202" not in answer
    assert siege.ask("/livez")[0] == 200


def test_who_guesses_at_the_token_is_slowed_down_and_who_has_it_comes_through(besieged: Siege) -> None:
    before = besieged.supervisor.logged()
    wrong = "Authorization: Bearer " + "f" * 64
    with besieged.probed(100):
        for method, path in (("POST", "/pause"), ("GET", "/sessions/s1/qr")):
            told = [besieged.ask(path, method, wrong)[0] for _ in range(100)]
            assert set(told) <= {401, 429}
            assert 429 in told
    right = f"Authorization: Bearer {TOKEN}"
    wait_until("the right one is heard", lambda: besieged.ask("/resume", "POST", right)[0] == 202)
    assert besieged.gateway.count("POST *") == 0
    lines = [json.loads(line) for line in besieged.supervisor.logged().removeprefix(before).splitlines()]
    guessed = [line for line in lines if "guesses" in line["message"]]
    assert len(guessed) == 1
    written = [path.read_bytes() for path in besieged.supervisor.folder.rglob("*") if path.is_file()]
    assert not [one for one in written if TOKEN.encode() in one or b"f" * 64 in one]

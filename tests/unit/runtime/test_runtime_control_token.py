"""The verbs on the health port: who has the token, who has not, and who guesses."""

from __future__ import annotations

import hmac
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from control_scenes import Answer, Daemon, daemon, exchange

from wasupervisor.config.secret import Secret
from wasupervisor.model.remedies import OrderKind
from wasupervisor.report.connection import Request, Response
from wasupervisor.report.http import Server
from wasupervisor.runtime.control_token import TokenDoor

pytestmark = pytest.mark.anyio

TOKEN = "9f2c" * 7 + "0d1b"
RIGHT = f"Authorization: Bearer {TOKEN}".encode()
WRONG = b"Authorization: Bearer " + b"0" * 32

VERBS = (
    ("POST", "/sessions/s1/recover"),
    ("POST", "/sessions/s1/restart"),
    ("POST", "/sessions/s1/park"),
    ("POST", "/gateway/restart"),
    ("POST", "/pause"),
    ("POST", "/resume"),
    ("POST", "/reload"),
    ("POST", "/queue/retry-failed"),
    ("POST", "/redis/check"),
    ("POST", "/redis/repair"),
    ("POST", "/redis/undo"),
    ("POST", "/redis/purge"),
    ("GET", "/redis/quarantine"),
    ("GET", "/sessions/s1/qr"),
    ("GET", "/history"),
)


class Port:
    """A health port with a token, in front of a daemon."""

    def __init__(self, behind: Daemon, number: int) -> None:
        self.behind = behind
        self.number = number
        self.now = 0.0
        self.token: Secret | None = Secret(TOKEN)

    async def call(self, method: str, path: str, *headers: bytes) -> Answer:
        return await to_thread.run_sync(self._call, method, path, headers)

    def _call(self, method: str, path: str, headers: Sequence[bytes]) -> Answer:
        with socket.create_connection(("127.0.0.1", self.number), timeout=30) as client:
            return exchange(client, method, path, None, *headers)

    @property
    def untouched(self) -> bool:
        return self.behind.orders == [] and self.behind.asked == []


@asynccontextmanager
async def port(folder: Path) -> AsyncIterator[Port]:
    def read_only(request: Request) -> Response:
        return Response.json(404, {"error": f"read-only {request.path}"})

    async with daemon(folder) as behind, anyio.create_task_group() as tasks:
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
            it = Port(behind, listening.getsockname()[1])
            door = TokenDoor(behind.control, read_only=read_only, token=lambda: it.token, clock=lambda: it.now)
            tasks.start_soon(Server(door).serve, listening)
            yield it
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize(("method", "path"), VERBS)
async def test_without_a_token_file_no_verb_exists_on_the_port(tmp_path: Path, method: str, path: str) -> None:
    async with port(tmp_path) as it:
        it.token = None
        answer = await it.call(method, path, RIGHT)
    assert (answer.status, answer.json["error"]) == (404, f"read-only {path}")
    assert it.untouched


@pytest.mark.parametrize(("method", "path"), VERBS)
async def test_every_verb_wants_the_token_and_is_answered_as_on_the_socket_with_it(
    tmp_path: Path, method: str, path: str
) -> None:
    async with port(tmp_path) as it:
        answer = await it.call(method, path)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="wasupervisor"')
        assert it.untouched
        with_token = await it.call(method, path, RIGHT)
        on_socket = await it.behind.call(method, path)
    assert (with_token.status, with_token.body) == (on_socket.status, on_socket.body)
    assert with_token.status in (200, 202, 409)
    assert with_token.headers["Cache-Control"] == "no-store"


async def test_an_order_names_the_address_that_it_came_from(tmp_path: Path) -> None:
    async with port(tmp_path) as it:
        await it.call("POST", "/pause", RIGHT)
    assert [(one.kind, one.by) for one in it.behind.orders] == [(OrderKind.PAUSE, "the token, from 127.0.0.1")]


@pytest.mark.parametrize(
    "headers",
    [
        [WRONG],
        [b"Authorization: " + TOKEN.encode()],
        [b"Authorization: Bearer"],
        [b"Authorization: Bearer  "],
        [b"Authorization: Basic dTpw"],
        [b"Authorization: Token " + TOKEN.encode()],
        [RIGHT[:-1]],
        [RIGHT + b"0"],
        [RIGHT + b" x"],
        [RIGHT.upper()],
        [RIGHT, RIGHT],
        [WRONG, RIGHT],
        [b"Authorization: Bearer \xff\xfe" + TOKEN.encode()],
        [b"Cookie: token=" + TOKEN.encode()],
        [b"X-API-Key: " + TOKEN.encode()],
    ],
)
async def test_what_is_not_the_token_orders_nothing_and_is_not_repeated(tmp_path: Path, headers: list[bytes]) -> None:
    async with port(tmp_path) as it:
        answer = await it.call("POST", f"/pause?access_token={TOKEN}&token={TOKEN}", *headers)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert it.untouched
    assert TOKEN.encode() not in answer.body


async def test_the_kind_of_authorization_is_read_in_any_case(tmp_path: Path) -> None:
    async with port(tmp_path) as it:
        assert (await it.call("POST", "/pause", b"authorization: bearer " + TOKEN.encode())).status == 202


async def test_a_token_opens_no_path_that_is_no_verb(tmp_path: Path) -> None:
    async with port(tmp_path) as it:
        for path in ("/health", "/vault/list", "/sessions/a/b/restart", "/pause/", "//pause", "/Pause", "/"):
            answer = await it.call("POST", path, RIGHT)
            assert (answer.status, answer.json["error"]) == (404, f"read-only {path}")
    assert it.untouched


async def test_another_method_needs_the_token_too_before_it_is_told(tmp_path: Path) -> None:
    async with port(tmp_path) as it:
        assert (await it.call("GET", "/pause")).status == 401
        answer = await it.call("GET", "/pause", RIGHT)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        assert (await it.call("HEAD", "/sessions/s1/qr", RIGHT)).status == 405
    assert it.untouched


async def test_a_page_of_another_site_is_not_allowed_to_send_anything(tmp_path: Path) -> None:
    origin, asks = b"Origin: https://evil.example", b"Access-Control-Request-Headers: authorization"
    async with port(tmp_path) as it:
        asked = await it.call("OPTIONS", "/pause", origin, b"Access-Control-Request-Method: POST", asks)
        simple = await it.call("POST", "/pause", origin, b"Content-Type: text/plain")
        allowed = await it.call("POST", "/resume", origin, RIGHT)
    assert (asked.status, simple.status, allowed.status) == (401, 401, 202)
    names = [name.lower() for answer in (asked, simple, allowed) for name in answer.headers]
    assert not [name for name in names if name.startswith("access-control-")]


async def test_who_guesses_is_slowed_down_and_not_for_good(tmp_path: Path) -> None:
    async with port(tmp_path) as it:
        told = [(await it.call("POST", "/pause", WRONG)).status for _ in range(20)]
        assert told == [401] * 20
        answer = await it.call("POST", "/pause", WRONG)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        # Not even the right one: otherwise nobody would have to wait to learn whether it is.
        assert (await it.call("POST", "/pause", RIGHT)).status == 429
        assert it.untouched
        it.now += 0.1
        assert (await it.call("POST", "/pause", RIGHT)).status == 202
        assert (await it.call("POST", "/pause", WRONG)).status == 401
        assert (await it.call("POST", "/pause", WRONG)).status == 429


async def test_a_guess_that_is_not_looked_at_costs_no_further_wait(tmp_path: Path) -> None:
    async with port(tmp_path) as it:
        for _ in range(60):
            await it.call("POST", "/pause", WRONG)
        it.now += 0.1
        assert (await it.call("POST", "/pause", RIGHT)).status == 202


async def test_who_sends_no_token_at_all_is_no_guess(tmp_path: Path) -> None:
    async with port(tmp_path) as it:
        for _ in range(40):
            assert (await it.call("POST", "/pause")).status == 401
        assert (await it.call("POST", "/pause", RIGHT)).status == 202


async def test_guesses_are_told_once_an_hour_with_no_token_in_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with port(tmp_path) as it:
        with caplog.at_level(logging.INFO):
            for _ in range(30):
                await it.call("POST", "/pause", WRONG)
            it.now = 3599.0
            for _ in range(30):
                await it.call("POST", "/pause", WRONG)
            assert len(caplog.records) == 1
            it.now = 3601.0
            for _ in range(30):
                await it.call("POST", "/pause", WRONG)
    assert len(caplog.records) == 2
    assert "from 127.0.0.1" in caplog.text
    assert "0" * 32 not in caplog.text


async def test_it_is_compared_in_constant_time_as_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    async with port(tmp_path) as it:
        assert (await it.call("POST", "/pause", b"Authorization: Bearer \xe4x")).status == 401
    assert compared == [(b"\xe4x", TOKEN.encode())]


async def test_a_new_token_counts_from_the_next_request_on(tmp_path: Path) -> None:
    async with port(tmp_path) as it:
        it.token = Secret("another" * 5)
        assert (await it.call("POST", "/pause", RIGHT)).status == 401
        assert (await it.call("POST", "/pause", b"Authorization: Bearer " + b"another" * 5)).status == 202


def test_a_request_shows_no_header_and_no_body() -> None:
    request = Request("POST", "/pause", {}, {"authorization": f"Bearer {TOKEN}"}, TOKEN.encode(), None, "192.0.2.1")
    assert repr(request) == str(request) == "Request(POST /pause)"

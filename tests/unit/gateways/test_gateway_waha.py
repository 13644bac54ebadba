"""WAHA's adapter: what is asked when, and how it bears what no recording shows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpcore
import httpx
import pytest
import respx
from gateway_wire import Asked, always, free_port, hang, http, wired

from wasupervisor.gateways.http import Failure
from wasupervisor.gateways.waha import LIST_SHARE, PING_SHARE, WahaGateway, read_list, sight
from wasupervisor.model.observation import Trouble
from wasupervisor.model.remedies import Outcome
from wasupervisor.model.sessions import Reason, State

pytestmark = pytest.mark.anyio

URL = "http://waha.test:3000"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def api() -> Any:
    with respx.mock(base_url=URL, assert_all_called=False) as router:
        yield router


@pytest.fixture
async def waha(clock: Clock) -> AsyncIterator[WahaGateway]:
    gateway = WahaGateway(URL, "key", timeout=2.0, action_timeout=2.0, clock=clock)
    yield gateway
    await gateway.aclose()


def entry(name: object = "default", status: object = "WORKING", me: object = None) -> dict[str, object]:
    return {"name": name, "status": status, "me": me}


def listing(*entries: object) -> httpx.Response:
    return httpx.Response(200, json=list(entries))


class Server:
    """Answers list, status and version, and counts."""

    def __init__(self, api: Any) -> None:
        self.list: httpx.Response | Exception = listing(entry())
        self.started: object = 1795258508825
        self.lists = api.get("/api/sessions").mock(side_effect=self._list)
        self.statuses = api.get("/api/server/status").mock(side_effect=self._status)
        self.versions = api.get("/api/server/version").mock(
            side_effect=lambda _: httpx.Response(200, json={"version": "2026.6.1", "engine": "GOWS"})
        )
        self.pings = api.get("/ping").mock(side_effect=lambda _: httpx.Response(200, json={"message": "pong"}))

    def _list(self, _: httpx.Request) -> httpx.Response:
        if isinstance(self.list, Exception):
            raise self.list
        return httpx.Response(self.list.status_code, content=self.list.content)

    def _status(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"startTimestamp": self.started})

    @property
    def calls(self) -> tuple[int, int, int]:
        return self.lists.call_count, self.statuses.call_count, self.versions.call_count


@pytest.fixture
def server(api: Any) -> Server:
    return Server(api)


async def test_a_quiet_poll_is_one_call(waha: WahaGateway, server: Server, clock: Clock) -> None:
    for _ in range(11):
        look = await waha.look()
        clock.now += 5
    assert server.calls == (11, 1, 1)
    assert (look.run, look.version, look.engine) == ("1795258508825", "2026.6.1", "GOWS")


async def test_the_run_is_asked_again_after_a_minute(waha: WahaGateway, server: Server, clock: Clock) -> None:
    await waha.look()
    clock.now += 60
    server.started = 1795258599999
    look = await waha.look()
    assert look.run == "1795258599999"
    assert server.calls == (2, 2, 2)


async def test_the_run_is_asked_at_once_when_a_session_changed(waha: WahaGateway, server: Server) -> None:
    before = await waha.look()
    server.started, server.list = 1795258599999, listing(entry(status="STOPPED"))
    after = await waha.look()
    assert before.run != after.run == "1795258599999"


async def test_the_run_is_asked_at_once_after_a_look_that_failed(waha: WahaGateway, server: Server) -> None:
    await waha.look()
    server.list = httpcore.ConnectError("gone")
    assert (await waha.look()).run is None
    server.list, server.started = listing(entry()), 5
    assert (await waha.look()).run == "5"


@pytest.mark.parametrize("status", [401, 404, 422, 500, 302])
async def test_a_waha_that_does_not_tell_its_run_is_seen_all_the_same(
    status: int, waha: WahaGateway, server: Server
) -> None:
    for route in (server.statuses, server.versions):
        route.mock(side_effect=lambda _: httpx.Response(status, json={"message": "no"}))
    for _ in range(3):
        look = await waha.look()
        assert (look.run, look.version, look.engine, look.reachable) == (None, None, None, True)
        assert look.sightings is not None
    assert server.calls == (3, 1, 1)


async def test_a_run_that_cannot_be_read_any_more_is_unknown(waha: WahaGateway, server: Server, clock: Clock) -> None:
    await waha.look()
    server.statuses.mock(side_effect=httpcore.ReadTimeout("slow"))
    clock.now += 60
    assert (await waha.look()).run is None


@pytest.mark.parametrize(
    ("status", "linked", "state", "reason", "paired"),
    [
        ("WORKING", True, State.WORKING, Reason.NONE, True),
        ("WORKING", False, State.WORKING, Reason.NONE, None),
        ("STARTING", True, State.STARTING, Reason.RECONNECTING, True),
        ("STARTING", False, State.STARTING, Reason.RECONNECTING, None),
        ("SCAN_QR_CODE", False, State.NEEDS_HUMAN, Reason.QR_WANTED, False),
        ("SCAN_QR_CODE", True, State.NEEDS_HUMAN, Reason.QR_WANTED, True),
        ("PASSKEY_REQUIRED", True, State.NEEDS_HUMAN, Reason.PASSKEY_WANTED, True),
        ("PASSKEY_CONFIRMATION_REQUIRED", False, State.NEEDS_HUMAN, Reason.PASSKEY_WANTED, None),
        ("FAILED", True, State.FAILED, Reason.UNEXPLAINED, True),
        ("FAILED", False, State.NEEDS_HUMAN, Reason.QR_EXPIRED, False),
        ("STOPPED", False, State.STOPPED, Reason.STOPPED, None),
        ("SOMETHING_NEW", True, State.UNKNOWN, Reason.UNREADABLE, True),
        ("working", True, State.UNKNOWN, Reason.UNREADABLE, True),
        ("", True, State.UNKNOWN, Reason.UNREADABLE, True),
        (None, False, State.UNKNOWN, Reason.UNREADABLE, None),
        (7, False, State.UNKNOWN, Reason.UNREADABLE, None),
        (["WORKING"], False, State.UNKNOWN, Reason.UNREADABLE, None),
    ],
)
def test_a_status_has_its_state(
    status: object, linked: bool, state: State, reason: Reason, paired: bool | None
) -> None:
    sighting = sight("x", status, linked=linked)
    assert (sighting.state, sighting.reason, sighting.paired) == (state, reason, paired)


def test_a_status_that_is_not_a_word_is_not_shown() -> None:
    assert sight("x", "<script>4915112345678</script>", linked=False).claim == "unreadable"


@pytest.mark.parametrize(
    ("me", "linked"),
    [({"id": "1@c.us"}, True), ({"id": "1@c.us", "lid": "2@lid", "pushName": "x"}, True), ({}, False), (None, False),
     ({"id": None}, False), ({"id": ""}, False), ("1@c.us", False), ([1], False), (5, False)],
)  # fmt: skip
def test_an_account_of_any_shape_leaves_the_session_in_the_list(me: object, linked: bool) -> None:
    read = read_list(json.dumps([entry(status="FAILED", me=me)]).encode())
    assert not isinstance(read, Failure)
    assert read.sightings[0].paired is linked


def test_the_fields_of_2025_and_2026_are_borne() -> None:
    newer = {
        **entry(me={"id": "1@c.us", "lid": "2@lid", "jid": "x", "reachoutTimelock": None, "messageCapping": {}}),
        "config": {"webhooks": [{"url": "http://x", "hmac": {"key": "s3cr3t"}}], "noweb": {"store": {}}},
        "presence": "offline", "timestamps": {"activity": 1795258508825}, "assignedWorker": "w", "apps": [{}],
    }  # fmt: skip
    read = read_list(json.dumps([newer]).encode())
    assert not isinstance(read, Failure)
    assert read.sightings[0].state is State.WORKING
    assert "s3cr3t" not in repr(read)


def test_entries_that_cannot_be_read_are_left_out_and_told() -> None:
    names: list[object] = [None, 5, "", "..", "x\ny"]
    entries: list[object] = [entry("a"), None, 5, [], "x", {}, *(entry(name) for name in names), entry("b")]
    read = read_list(json.dumps(entries).encode())
    assert not isinstance(read, Failure)
    assert [one.name for one in read.sightings] == ["a", "b"]
    assert read.notes == (
        "10 entries of the gateway's list are left out: without a name that can be used, or of another shape",
    )


def test_of_two_entries_with_one_name_the_first_counts() -> None:
    read = read_list(json.dumps([entry("a", "WORKING"), entry("a", "FAILED")]).encode())
    assert not isinstance(read, Failure)
    assert [one.state for one in read.sightings] == [State.WORKING]
    assert read.notes == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"null",
        b"{}",
        b"5",
        b'"x"',
        b"<html>busy</html>",
        b"\xff\xfe",
        b'[{"name":"a","status":"WOR',
        b"[" * 5000,
        b'[{"id":"a"},{"id":"b"}]',
        b"[null]",
        b"[{}]",
        b'{"sessions":[{"name":"a"}]}',
        b"[1e999]",
    ],
    ids=lambda body: str(body[:12]),
)
def test_what_is_no_list_is_never_a_gateway_without_sessions(body: bytes) -> None:
    read = read_list(body)
    assert isinstance(read, Failure)
    assert (read.trouble, read.answered) == (Trouble.BAD_BODY, True)


@pytest.mark.parametrize("status", [204, 302, 400, 404, 422, 500, 502, 503, 504])
async def test_any_other_status_is_reachable_and_unreadable(status: int, waha: WahaGateway, server: Server) -> None:
    server.list = httpx.Response(status, json={"exception": {"stack": "4915112345678"}, "message": ["x"]})
    look = await waha.look()
    assert (look.reachable, look.sightings) == (True, None)
    assert look.trouble in (Trouble.BAD_STATUS, Trouble.BAD_BODY)
    assert "4915112345678" not in repr(look)
    assert server.pings.call_count == 0
    assert ("gateway.url" in look.detail) is (status == 302)


async def test_nobody_at_the_port_is_told() -> None:
    gateway = WahaGateway(f"http://127.0.0.1:{free_port()}", None, timeout=2.0, action_timeout=2.0, clock=lambda: 0.0)
    look = await gateway.look()
    await gateway.aclose()
    assert (look.reachable, look.trouble, look.sightings) == (False, Trouble.REFUSED, None)
    assert look.detail == "WAHA's session list: nobody listens on the port"


async def test_a_hung_waha_is_asked_twice_within_the_time_of_a_look() -> None:
    async with wired(hang) as wire:
        gateway = WahaGateway(wire.url, None, timeout=0.4, action_timeout=2.0, clock=anyio.current_time)
        look = await gateway.look()
        await gateway.aclose()
        assert [str(one) for one in wire.asked] == ["GET /api/sessions?all=true", "GET /ping"]
    assert (look.reachable, look.trouble) == (False, Trouble.TIMED_OUT)
    assert LIST_SHARE + PING_SHARE < 1.0


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (httpx.Response(200, json={"name": "x"}), Outcome.ACCEPTED),
        (httpx.Response(200), Outcome.REFUSED),  # WAHA says 201; what says 200 and nothing stands in between
        (httpx.Response(201, content=b""), Outcome.ACCEPTED),
        (httpx.Response(201, content=b"<html>"), Outcome.ACCEPTED),
        (httpx.Response(200, content=b"\n<!DOCTYPE html><html>"), Outcome.REFUSED),
        (httpx.Response(422, json={"message": "Session 'x' is already started."}), Outcome.ALREADY),
        (httpx.Response(422, json={"error": ["Session 'x' is already started."]}), Outcome.ALREADY),
        (httpx.Response(422, json={"error": "Session status is not as expected."}), Outcome.REFUSED),
        (httpx.Response(400, json={"message": ["x"]}), Outcome.REFUSED),
        (httpx.Response(302), Outcome.REFUSED),
        (httpx.Response(401), Outcome.REFUSED),
        (httpx.Response(403), Outcome.REFUSED),
        (httpx.Response(500, json={"exception": {}}), Outcome.REFUSED),
        (httpx.Response(502), Outcome.DROPPED),
        (httpx.Response(504), Outcome.TIMED_OUT),
        (httpcore.ReadTimeout("x"), Outcome.TIMED_OUT),
        (httpcore.ConnectTimeout("x"), Outcome.UNREACHABLE),
        (httpcore.ConnectError("x"), Outcome.UNREACHABLE),
        (httpcore.RemoteProtocolError("x"), Outcome.DROPPED),
        (httpcore.ReadError("x"), Outcome.DROPPED),
    ],
)
async def test_an_action_has_its_outcome(
    answer: httpx.Response | Exception, outcome: Outcome, api: Any, waha: WahaGateway
) -> None:
    api.post("/api/sessions/x/start").mock(side_effect=[answer])
    assert (await waha.start_session("x")).outcome is outcome


async def test_a_session_that_killed_the_process_is_told_as_a_dropped_connection() -> None:
    """A restart of a session whose socket is connecting: no answer, and WAHA is gone (2024.10.8)."""
    async with wired(always(None)) as wire:
        gateway = WahaGateway(wire.url, None, timeout=2.0, action_timeout=2.0, clock=lambda: 0.0)
        answer = await gateway.restart_session("default")
        await gateway.aclose()
        assert len(wire.asked) == 1
    assert answer.outcome is Outcome.DROPPED


@pytest.mark.parametrize(
    ("name", "path"),
    [("a/b", "/api/sessions/a%2Fb/restart"), ("x?y#z", "/api/sessions/x%3Fy%23z/restart"),
     ("%2e%2e", "/api/sessions/%252e%252e/restart"), ("ü", "/api/sessions/%C3%BC/restart")],
)  # fmt: skip
async def test_a_name_cannot_leave_its_place_in_the_path(name: str, path: str) -> None:
    async with wired(always(http(201))) as wire:
        gateway = WahaGateway(wire.url, None, timeout=2.0, action_timeout=2.0, clock=lambda: 0.0)
        await gateway.restart_session(name)
        await gateway.aclose()
        assert [one.path for one in wire.asked] == [path]


@pytest.mark.parametrize("name", [".", "..", "", "a\nb"])
async def test_a_name_that_would_become_another_call_is_refused(name: str) -> None:
    asked: list[Asked] = []

    async def nothing(one: Asked, _: object) -> bytes:
        asked.append(one)
        return http(201)

    async with wired(nothing) as wire:
        gateway = WahaGateway(wire.url, None, timeout=2.0, action_timeout=2.0, clock=lambda: 0.0)
        assert (await gateway.restart_session(name)).outcome is Outcome.REFUSED
        assert (await gateway.start_session(name)).outcome is Outcome.REFUSED
        await gateway.aclose()
    assert asked == []


async def test_the_restart_of_an_old_core_was_taken_for_its_operators_stop(
    waha: WahaGateway, server: Server, clock: Clock
) -> None:
    """A poll within the 3 s of the shutdown sees STOPPED in the old run, and the next one STOPPED in the new run."""
    await waha.look()
    clock.now += 5
    server.list = listing(entry(status="STOPPED"))
    shutting_down = await waha.look()
    clock.now += 5
    server.started = 1795258599999
    started_anew = await waha.look()
    assert shutting_down.run == "1795258508825"
    assert started_anew.run == "1795258599999"

"""The simulated gateway on a real port: faults in its HTTP, its calls, its port, and the stand-in for WhatsApp."""

from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from wasupervisor.simulator import faults
from wasupervisor.simulator.control import Control
from wasupervisor.simulator.kinds import Kind, make_world
from wasupervisor.simulator.script import Script, Step, play
from wasupervisor.simulator.server import SimulatedGateway, serve
from wasupervisor.simulator.world import UplinkState

pytestmark = pytest.mark.anyio

SPEED = 100.0
LIST = "/api/sessions?all=true"
SOON = httpx.Timeout(20.0, read=0.05)  # a busy machine may take longer to connect


@asynccontextmanager
async def simulated(
    kind: Kind = "waha", sessions: int = 2, **options: object
) -> AsyncIterator[tuple[SimulatedGateway, httpx.AsyncClient]]:
    world = make_world(kind, sessions, speed=SPEED)
    async with (
        serve(world, **options) as gateway,
        httpx.AsyncClient(base_url=gateway.url, trust_env=False, verify=False, timeout=10) as client,
    ):
        yield gateway, client


async def becomes(client: httpx.AsyncClient, name: str, status: str) -> None:
    """Poll until WAHA shows that status; the test's time-out bounds it."""
    await until(lambda: _has_status(client, name, status))


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that will come true; the test's time-out bounds it."""
    while True:
        if await true():
            return
        await anyio.sleep(0.005)


async def _has_status(client: httpx.AsyncClient, name: str, status: str) -> bool:
    answer = await client.get(f"/api/sessions/{name}")
    return bool(answer.json()["status"] == status)


async def test_a_failed_session_is_healed_by_the_restart_and_every_call_is_counted() -> None:
    async with simulated() as (gateway, client):
        gateway.apply(faults.Failed(session="s1"))
        assert [row["status"] for row in (await client.get(LIST)).json()] == ["FAILED", "WORKING"]
        assert (await client.post("/api/sessions/s1/restart")).status_code == 201
        await becomes(client, "s1", "WORKING")
        assert gateway.count("POST */restart") == 1
        assert gateway.count("GET /api/sessions?all=true") == 1
        assert gateway.count("DELETE *") == 0
        assert gateway.calls[0].status == 200
        assert gateway.world.harm == []


async def test_session_names_may_hold_anything() -> None:
    name = "büro /?#&%41"
    async with serve(make_world("waha", [name])) as gateway, httpx.AsyncClient(trust_env=False, verify=False) as client:
        answer = await client.get(gateway.url + "/api/sessions/b%C3%BCro%20%2F%3F%23%26%2541")
    assert answer.json()["name"] == name


async def test_a_thousand_sessions_are_listed() -> None:
    async with simulated(sessions=1000) as (_, client):
        assert len((await client.get(LIST)).json()) == 1000


async def test_lies_end_when_they_were_told_often_enough() -> None:
    async with simulated() as (gateway, client):
        gateway.apply(faults.Http(answer="status", status=503, path="/api/*", times=2))
        assert (await client.get("/ping")).status_code == 200
        assert [(await client.get(LIST)).status_code for _ in range(3)] == [503, 503, 200]


@pytest.mark.parametrize(
    ("answer", "status", "start"),
    [("html", 200, "<!DOCTYPE html>"), ("empty", 200, ""), ("redirect", 302, ""), ("status", 500, "<!DOCTYPE")],
)
async def test_garbage_is_served(answer: str, status: int, start: str) -> None:
    async with simulated() as (gateway, client):
        gateway.apply(faults.parse({"fault": "http", "answer": answer}))
        got = await client.get(LIST)
        assert got.status_code == status
        assert got.text.startswith(start)
        assert bool(got.text) == bool(start)
        gateway.apply(faults.HttpCalm())
        assert (await client.get(LIST)).json()[0]["name"] == "s1"


@pytest.mark.parametrize(("answer", "words"), [("truncated", "incomplete"), ("drop", "without sending a response")])
async def test_the_connection_breaks_off(answer: str, words: str) -> None:
    async with simulated() as (gateway, client):
        gateway.apply(faults.parse({"fault": "http", "answer": answer}))
        with pytest.raises(httpx.RemoteProtocolError, match=f"{words}|complete message"):
            await client.get(LIST)
        assert gateway.count("GET *") == 1


async def test_a_huge_body_never_seems_to_end() -> None:
    async with simulated() as (gateway, client):
        gateway.apply(faults.Http(answer="huge", size=50_000_000))
        got = 0
        async with client.stream("GET", LIST) as answer:
            async for chunk in answer.aiter_raw():
                got += len(chunk)
                if got > 1_000_000:
                    break
        gateway.apply(faults.HttpCalm())
        assert (await client.get("/ping")).status_code == 200


async def test_a_hang_answers_nobody_and_loses_what_was_asked() -> None:
    async with simulated() as (gateway, client):
        gateway.apply(faults.Http(answer="hang"))
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/api/sessions/s1/restart", timeout=SOON)
        assert gateway.calls[-1].status is None
        gateway.apply(faults.HttpCalm())
        assert (await client.get("/ping")).status_code == 200
        assert gateway.world.sessions["s1"].restarts == 0


async def test_a_hang_for_one_call_lets_the_next_one_through() -> None:
    async with simulated() as (gateway, client):
        gateway.apply(faults.Http(answer="hang", times=1))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_breaks_off, client)
            while gateway.count("GET /health") == 0:  # noqa: ASYNC110 - nobody tells when a call came in
                await anyio.sleep(0.001)
            assert (await client.get("/ping")).status_code == 200
            gateway.apply(faults.HttpCalm())


async def _breaks_off(client: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/health")


async def test_a_frozen_process_carries_out_later_what_timed_out() -> None:
    async with simulated() as (gateway, client):
        gateway.apply(faults.Process(action="freeze"))
        for _ in range(2):
            with pytest.raises(httpx.ReadTimeout):
                await client.post("/api/sessions/s1/restart", timeout=SOON)
        assert gateway.world.sessions["s1"].restarts == 0
        gateway.apply(faults.Process(action="thaw"))
        await becomes(client, "s1", "STOPPED")
        await becomes(client, "s1", "WORKING")

        async def both_were_made() -> bool:
            return gateway.world.sessions["s1"].restarts == 2

        await until(both_were_made)


async def test_slow_answers_come_in_the_end() -> None:
    async with simulated() as (gateway, client):
        gateway.apply(faults.Http(answer="slow", seconds=0.1, times=1))
        with pytest.raises(httpx.ReadTimeout):
            await client.get(LIST, timeout=SOON)
        gateway.apply(faults.Http(answer="slow", seconds=0.02, times=1))
        assert (await client.get(LIST)).status_code == 200


async def test_a_crash_breaks_the_call_and_refuses_until_the_keeper_has_started_it() -> None:
    async with simulated() as (gateway, client):
        gateway.apply(faults.Uplink(state=UplinkState.UPGRADE_503))
        await becomes(client, "s1", "STARTING")
        first = (await client.get("/api/server/status")).json()["startTimestamp"]
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/api/sessions/s1/restart")
        with pytest.raises(httpx.ConnectError):
            await client.get("/ping")
        await until(lambda: _answers(client))
        assert (await client.get("/api/server/status")).json()["startTimestamp"] > first
        assert [harm.what for harm in gateway.world.harm] == ["crash"]


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/ping")).status_code == 200
    except httpx.ConnectError:
        return False


async def test_a_port_without_a_process_stays_its_own() -> None:
    async with simulated() as (gateway, client):
        gateway.apply(faults.Process(action="kill", back_after=3600))
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(httpx.ConnectError):
            await client.get("/ping")
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", gateway.port))


async def test_open_connections_break_when_the_process_is_killed() -> None:
    async with simulated() as (gateway, client), await anyio.connect_tcp("127.0.0.1", gateway.port) as stream:
        await client.get("/ping")
        gateway.apply(faults.Process(action="kill"))
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await stream.receive()


async def test_an_idle_connection_is_closed_as_the_real_ones_do() -> None:
    async with simulated(idle=0.02) as (gateway, _), await anyio.connect_tcp("127.0.0.1", gateway.port) as stream:
        await stream.send(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"pong" in await stream.receive()
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()


async def test_rubbish_on_the_wire_closes_the_connection_only() -> None:
    async with simulated() as (gateway, client):
        async with await anyio.connect_tcp("127.0.0.1", gateway.port) as stream:
            await stream.send(b"\x16\x03\x01 this is TLS\r\n\r\n")
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
        assert (await client.get("/ping")).status_code == 200


async def test_evolution_hangs_for_redis_only_where_the_real_one_does() -> None:
    async with simulated("evolution") as (gateway, client):
        gateway.apply(faults.Store(redis="down"))
        for method, path in (("GET", "/metrics"), ("POST", "/verify-creds"), ("GET", "/instance/fetchInstances")):
            assert (await client.request(method, path)).status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/instance/connectionState/s1", timeout=SOON)


async def test_a_taken_port_is_told() -> None:
    async with simulated() as (gateway, _):
        with pytest.raises(OSError, match=f"cannot use port {gateway.port}"):
            SimulatedGateway(make_world("waha", 1), port=gateway.port)


# The stand-in for WhatsApp

UPGRADE = (
    b"GET /ws/chat HTTP/1.1\r\nHost: web.whatsapp.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def upgrade(gateway: SimulatedGateway) -> bytes:
    async with await anyio.connect_tcp("127.0.0.1", gateway.uplink.door.port) as stream:
        await stream.send(UPGRADE)
        return await stream.receive()


async def test_whatsapp_follows_the_world() -> None:
    async with simulated() as (gateway, _):
        answer = await upgrade(gateway)
        assert answer.startswith(b"HTTP/1.1 101 ")
        # The example of RFC 6455, section 1.3.
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer
        gateway.apply(faults.Uplink(state=UplinkState.UPGRADE_503))
        await anyio.wait_all_tasks_blocked()
        assert (await upgrade(gateway)).startswith(b"HTTP/1.1 503 ")
        gateway.apply(faults.Uplink(state=UplinkState.REFUSED))
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(OSError, match="connection attempts failed"):
            await upgrade(gateway)
        gateway.apply(faults.Uplink(state=UplinkState.BLACK_HOLE))
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(TimeoutError), anyio.fail_after(0.05):
            await upgrade(gateway)
        assert gateway.uplink.upgrades == 3


# The script and the control port


async def test_a_script_happens_and_is_told() -> None:
    steps = (Step(0.0, "all is well"), Step(0.01, "it fails", faults.Failed(session="s1")))
    told: list[str] = []
    async with simulated() as (gateway, _):
        await play(Script(steps, ("s1",), 0.02), gateway, lambda step: told.append(step.says))
        assert gateway.world.state_of(gateway.world.sessions["s1"])["healthy"] is False  # type: ignore[arg-type]
    assert told == ["all is well", "it fails"]


@asynccontextmanager
async def controlled() -> AsyncIterator[tuple[SimulatedGateway, httpx.AsyncClient, Control]]:
    async with simulated() as (gateway, client), anyio.create_task_group() as tasks:
        control = Control(gateway)
        await tasks.start(control.run)
        client.base_url = httpx.URL(f"http://127.0.0.1:{control.door.port}")
        yield gateway, client, control
        tasks.cancel_scope.cancel()


async def test_the_control_port_makes_faults_and_tells_the_truth() -> None:
    async with controlled() as (gateway, client, control):
        ok = await client.post("/_simulator/fault", json={"fault": "failed", "session": "s1"})
        assert ok.json() == {"ok": True}
        both = [{"fault": "uplink", "state": "refused", "cut": False}, {"fault": "http", "answer": "empty"}]
        await client.post("/_simulator/fault", json=both)
        world = (await client.get("/_simulator/world")).json()
        assert (world["sessions"]["s1"]["status"], world["uplink"], world["harm"]) == ("FAILED", "refused", [])
        async with httpx.AsyncClient(trust_env=False, verify=False) as other:
            assert (await other.get(gateway.url + LIST)).text == ""
        (call,) = (await client.get("/_simulator/calls", params={"match": "GET /api/*"})).json()
        assert (call["method"], call["path"], call["status"]) == ("GET", LIST, 200)
        assert (await client.get("/_simulator/calls", params={"match": "POST *"})).json() == []
        await client.delete("/_simulator/calls")
        assert gateway.calls == []
        await client.post("/_simulator/exit")
        assert control.exit.is_set()


async def test_the_control_port_plays_a_script() -> None:
    async with controlled() as (gateway, client, _):
        rows = [{"at": 0.01, "fault": {"fault": "logged_out", "session": "s2"}}]
        assert (await client.post("/_simulator/script", json=rows)).status_code == 200

        async def is_unlinked() -> bool:
            return gateway.world.sessions["s2"].unlinked == 401

        await until(is_unlinked)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/_simulator/fault", '{"fault": "nonsense"}', "nonsense"),
        ("/_simulator/fault", '{"fault": "drop", "session": "zz"}', "has no session 'zz'"),
        ("/_simulator/fault", '{"fault": "store", "redis": "down"}', "nothing like it"),
        ("/_simulator/fault", "{", "Expecting"),
        ("/_simulator/script", "{}", "a script is a list"),
    ],
)
async def test_the_control_port_says_what_is_wrong(path: str, body: str, words: str) -> None:
    async with controlled() as (_, client, _control):
        answer = await client.post(path, content=body)
        assert answer.status_code == 400
        assert words in answer.json()["error"]
        assert (await client.get("/_simulator/nothing")).status_code == 404


def test_the_rfc_s_accept_key_is_what_we_think() -> None:
    digest = hashlib.sha1(b"dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False)
    assert base64.b64encode(digest.digest()) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

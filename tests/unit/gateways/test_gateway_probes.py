"""Probes and activity: what no recording shows, and that an account's number never leaves the adapter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from gateway_wire import Asked, Script, Wire, free_port, http, wired

from wasupervisor.gateways.base import Gateway, open_gateway
from wasupervisor.gateways.evolution_answers import read_rows
from wasupervisor.gateways.waha import Listing, read_list
from wasupervisor.model.observation import Proof
from wasupervisor.model.sessions import Reason, State

pytestmark = pytest.mark.anyio

NUMBER = "12025550100"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def gateway(kind: str, script: Script, clock: Clock | None = None) -> AsyncIterator[tuple[Gateway, Wire]]:
    async with wired(script) as wire:
        opened = open_gateway(kind, wire.url, "key", timeout=2.0, action_timeout=2.0, clock=clock or Clock())
        yield opened, wire
        await opened.aclose()


def by_start(answers: dict[str, bytes]) -> Script:
    async def script(asked: Asked, _: Any) -> bytes | None:
        return next((answer for start, answer in answers.items() if asked.path.startswith(start)), http(404))

    return script


def entry(**more: object) -> dict[str, object]:
    return {"name": "a", "status": "WORKING", "me": {"id": f"{NUMBER}@c.us"}, **more}


def listing(*entries: dict[str, object]) -> Listing:
    read = read_list(json.dumps(entries).encode())
    assert isinstance(read, Listing)
    return read


# WAHA


@pytest.mark.parametrize(
    ("me", "number"),
    [
        ({"id": f"{NUMBER}@c.us", "lid": "1@lid"}, NUMBER),
        ({"id": f"{NUMBER}:17@s.whatsapp.net"}, NUMBER),
        ({"id": "123456789012345@lid"}, None),
        ({"id": f"{NUMBER}@c.us&phone=1"}, None),
        ({"id": "1202555O1OO@c.us"}, None),
        ({"id": 12025550100}, None),
        ({"id": None}, None),
        ("me", None),
        (None, None),
    ],
)
async def test_only_a_phone_number_is_asked_for(me: object, number: str | None) -> None:
    assert listing(entry(me=me)).numbers.get("a") == number


async def test_without_a_number_nobody_is_asked() -> None:
    async with gateway("waha", by_start({"/api/sessions": http(200, [entry(me=None)])})) as (waha, wire):
        await waha.look()
        for name in ("a", "nobody", ".."):
            result = await waha.probe(name, 1.0)
            assert (result.session, result.proof) == (name, Proof.UNKNOWN)
        assert not [one for one in wire.asked if "check-exists" in one.path]


@pytest.mark.parametrize(
    ("answer", "proof"),
    [
        (http(200, {"numberExists": False}), Proof.ANSWERED),
        (http(200, {"chatId": "x"}), Proof.UNKNOWN),
        (http(200, b"<html>"), Proof.UNKNOWN),
        (http(200), Proof.UNKNOWN),
        (http(500, {"exception": {"message": "Timed Out"}}), Proof.MISSED),
        (http(500, {"exception": {"message": "x"}, "request": {"path": f"/api/?phone={NUMBER}"}}), Proof.UNKNOWN),
        (http(503), Proof.UNKNOWN),
        (http(302, location=f"/?phone={NUMBER}"), Proof.UNKNOWN),
        (None, Proof.UNKNOWN),
    ],
)
async def test_only_silence_is_a_miss_and_the_number_is_never_told(
    answer: bytes | None, proof: Proof, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    async def script(asked: Asked, _: Any) -> bytes | None:
        return answer if "check-exists" in asked.path else http(200, [entry()])

    async with gateway("waha", script) as (waha, wire):
        look = await waha.look()
        result = await waha.probe("a", 1.0)
        assert result.proof is proof
        assert any(NUMBER in one.path for one in wire.asked)
        assert NUMBER not in f"{look!r} {result!r} {waha.__dict__!r} {listing(entry())!r} {caplog.text}"


async def test_nobody_at_the_port_is_no_miss() -> None:
    async with gateway("waha", by_start({"/api/sessions": http(200, [entry()])})) as (waha, _):
        await waha.look()
    again = open_gateway("waha", f"http://127.0.0.1:{free_port()}", None, timeout=1, action_timeout=1, clock=Clock())
    again._numbers = waha._numbers  # type: ignore[attr-defined]
    result = await again.probe("a", 1.0)
    assert result.proof is Proof.UNKNOWN
    assert "nobody listens" in result.detail


async def test_polls_do_not_wait_behind_probes_that_hang() -> None:
    many = [entry(name=f"s{at}") for at in range(20)]

    async def script(asked: Asked, _: Any) -> bytes | None:
        if "check-exists" in asked.path:
            await asyncio.sleep(3600)
        return http(200, many)

    async with gateway("waha", script) as (waha, _):
        await waha.look()
        proofs: list[Proof] = []

        async def probe(name: str) -> None:
            proofs.append((await waha.probe(name, 0.5)).proof)

        async with anyio.create_task_group() as tasks:
            for at in range(20):
                tasks.start_soon(probe, f"s{at}")
            await anyio.sleep(0.1)
            assert (await waha.look()).sightings is not None
            assert proofs == []
        assert proofs == [Proof.MISSED] * 20


@pytest.mark.parametrize(
    ("timestamps", "activity"),
    [
        ({"activity": 1767225600123}, 1767225600123),
        ({"activity": 1767225600123.5}, 1767225600123),
        ({"activity": None}, None),
        ({"activity": True}, None),
        ({"activity": -5}, None),
        ({"activity": 1e300}, None),
        ({"activity": "1767225600123"}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
async def test_the_activity_of_2025_is_read_and_borne_in_any_shape(timestamps: object, activity: int | None) -> None:
    (sighting,) = listing(entry(timestamps=timestamps)).sightings
    assert sighting.activity == activity
    assert sighting.state is State.WORKING


async def test_a_change_of_activity_alone_causes_no_call() -> None:
    now = 1767225600000

    async def script(asked: Asked, _: Any) -> bytes | None:
        nonlocal now
        now += 1000
        return http(200, [entry(timestamps={"activity": now})])

    async with gateway("waha", script) as (waha, wire):
        await waha.look()
        wire.asked.clear()
        for _ in range(3):
            await waha.look()
        assert [one.path for one in wire.asked] == ["/api/sessions?all=true"] * 3


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        ({"state": "CONFLICT"}, Reason.REPLACED),
        ({"state": "UNPAIRED"}, Reason.LOGGED_OUT),
        ({"state": "DEPRECATED_VERSION"}, Reason.OUTDATED),
        ({"state": "TOS_BLOCK"}, Reason.BANNED),
        ({"state": "TIMEOUT"}, Reason.UNEXPLAINED),
        ({"state": "CONNECTED"}, Reason.UNEXPLAINED),
        ({"state": ["CONFLICT"]}, Reason.UNEXPLAINED),
        ({"engine": "NOWEB"}, Reason.UNEXPLAINED),
        ("WEBJS", Reason.UNEXPLAINED),
        (None, Reason.UNEXPLAINED),
    ],
)
async def test_a_failed_session_of_webjs_may_tell_why(engine: object, reason: Reason) -> None:
    (sighting,) = listing(entry(status="FAILED", engine=engine)).sightings
    assert (sighting.state, sighting.reason) == (State.FAILED, reason)


async def test_what_the_engine_says_of_a_session_that_works_is_nothing() -> None:
    (sighting,) = listing(entry(engine={"state": "CONFLICT"})).sightings
    assert (sighting.state, sighting.reason) == (State.WORKING, Reason.NONE)


# Evolution


def row(**more: object) -> dict[str, object]:
    return {"name": "a", "connectionStatus": "open", "integration": "WHATSAPP-BAILEYS", "Setting": None, **more}


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([row(Setting={"alwaysOnline": True})], "alwaysOnline is set"),
        ([row(integration="WHATSAPP-BUSINESS")], "no socket"),
        ([{"name": "a", "connectionStatus": "open"}], "does not tell"),
        ([{"instance": {"instanceName": "a", "status": "open"}}], "does not tell"),
        ([row(name="b")], "not told"),
        (None, "not told"),
    ],
)
async def test_an_instance_that_is_not_to_be_probed_is_not(rows: list[object] | None, why: str) -> None:
    answers = {"/instance/fetchInstances": http(500) if rows is None else http(200, rows)}
    async with gateway("evolution", by_start(answers)) as (evolution, wire):
        await evolution.look()
        result = await evolution.probe("a", 1.0)
        assert result.proof is Proof.UNKNOWN
        assert why in result.detail
        assert not [one for one in wire.asked if "setPresence" in one.path]


@pytest.mark.parametrize(
    ("answer", "proof"),
    [
        (http(201, {"presence": "unavailable"}), Proof.ANSWERED),
        (http(400, {"response": {"message": ["Error: Connection Closed"]}}), Proof.MISSED),
        (http(400, {"response": {"message": ["instance requires property presence"]}}), Proof.UNKNOWN),
        (http(500, {"response": {"message": ["Error: Connection Closed"]}}), Proof.UNKNOWN),
        (http(200, b"<html>"), Proof.UNKNOWN),
        (http(404, {"response": {"message": ["Cannot POST /instance/setPresence/a"]}}), Proof.UNKNOWN),
        (None, Proof.UNKNOWN),
    ],
)
@pytest.mark.parametrize("setting", [None, {"alwaysOnline": False}, {}], ids=str)
async def test_only_a_closed_connection_is_a_miss(answer: bytes | None, proof: Proof, setting: object) -> None:
    async def script(asked: Asked, _: Any) -> bytes | None:
        return answer if "setPresence" in asked.path else http(200, [row(Setting=setting)])

    async with gateway("evolution", script) as (evolution, wire):
        await evolution.look()
        assert (await evolution.probe("a", 1.0)).proof is proof
        assert [str(one) for one in wire.asked if "setPresence" in one.path] == ["POST /instance/setPresence/a"]


async def test_an_evolution_that_hangs_is_no_miss() -> None:
    async def script(asked: Asked, _: Any) -> bytes | None:
        if "setPresence" in asked.path:
            await asyncio.sleep(3600)
        return http(200, [row()])

    async with gateway("evolution", script) as (evolution, _):
        await evolution.look()
        assert (await evolution.probe("a", 0.2)).proof is Proof.UNKNOWN


async def test_the_count_of_messages_is_told_and_forgotten_when_it_cannot_be_read() -> None:
    clock, status = Clock(), 200

    async def script(asked: Asked, _: Any) -> bytes | None:
        if "connectionState" in asked.path:
            return http(200, {"instance": {"state": "open"}})
        return http(status, [row(_count={"Message": 42})]) if "fetchInstances" in asked.path else http(404)

    async with gateway("evolution", script, clock) as (evolution, _):
        (sighting,) = (await evolution.look()).sightings or ()
        assert sighting.activity == 42
        status = 500
        for _ in range(3):
            clock.now += 61.0
            (sighting,) = (await evolution.look()).sightings or ()
        assert (sighting.state, sighting.activity) == (State.WORKING, None)


@pytest.mark.parametrize("counts", [None, [], {}, {"Message": None}, {"Message": "7"}, {"Message": True}], ids=str)
async def test_a_count_of_another_shape_is_none(counts: object) -> None:
    rows = read_rows(json.dumps([row(_count=counts)]).encode())
    assert rows is not None
    assert rows.by_name["a"].activity is None


@pytest.mark.parametrize(
    ("closed", "written", "code"),
    [
        ("2026-11-21T11:00:00.000Z", "2026-11-21T11:00:05.000Z", 403),
        ("2026-11-21T11:00:00.000Z", "2026-11-21T12:00:00.000Z", None),
        ("2026-11-21T11:00:00.000Z", None, 403),
        (None, "2026-11-21T12:00:00.000Z", 403),
        ("yesterday", "2026-11-21T12:00:00.000Z", 403),
        (5, 7, 403),
    ],
)
async def test_the_code_of_a_close_that_is_long_ago_is_history(
    closed: object, written: object, code: int | None
) -> None:
    entry = row(connectionStatus="close", disconnectionReasonCode=403, disconnectionAt=closed, updatedAt=written)
    rows = read_rows(json.dumps([entry]).encode())
    assert rows is not None
    assert rows.by_name["a"].code == code

"""The health document: the keys and types that others have built upon, and names that must not be in it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasupervisor.model.health import Breakers, Connections, Health, Incident, Pause, SessionHealth, Status
from wasupervisor.model.observation import ProcessReading
from wasupervisor.model.sessions import Condition, Reason, State
from wasupervisor.model.usage import Browser, Container, Host, Pressure, Usage
from wasupervisor.report.document import BEFORE_FIRST_LOOK, Documents, Facts, GatewayPart, rfc3339
from wasupervisor.report.health_json import encode_health_json
from wasupervisor.report.names import HashedNames, Names

# DESIGN.md 4.4, word for word: the example with its keys in their order.
DESIGNED = json.loads("""
    {"status": "degraded",
     "uptime": 3600,
     "connections": {"total": 5, "active": 4, "failed": 1, "recovering": 0, "needs_human": 0, "stopped": 0},
     "queue": {"waiting": 0, "active": 2, "failed": 0},
     "resources": {"cpu": 45, "memory": {"percentage": 62, "rss_bytes": 650117120, "limit_bytes": 1048576000}},
     "version": "0.1.0", "written_at": "...", "expires_at": "...", "ready": true, "paused": null,
     "gateway": {"kind": "waha", "reachable": true, "latency_seconds": 0.03, "version": "...", "pid": 4711},
     "redis": {"status": "pass", "wrongtype_errors": 0, "mistyped_keys": 0},
     "breakers": {"open": 1, "half_open": 0, "held": 0},
     "incident": null,
     "sessions": [{"name": "default", "state": "failed", "condition": "failing", "reason": "connection_lost", "since": "...",
                   "next": "restart_session in 12 s (attempt 2 of 5)", "needs_qr": false}],
     "notes": ["..."]}
""")  # noqa: E501

FAILING = SessionHealth(
    name="default",
    state=State.FAILED,
    condition=Condition.FAILING,
    reason=Reason.CONNECTION_LOST,
    since=940.0,
    group="failed",
    expected=True,
    claim="FAILED",
    next="restart_session in 12 s (attempt 2 of 5)",
)
HEALTH = Health(
    status=Status.DEGRADED,
    why="not active: default",
    connections=Connections(total=5, active=4, failed=1),
    ready=True,
    ready_why="4 of 5 expected sessions usable, any needed",
    sessions=(FAILING,),
    breakers=Breakers(open=1),
    notes=("a note",),
)
FACTS = Facts(
    version="0.1.0",
    uptime=3600.04,
    now=1000.0,
    written_at=1_700_000_000.0,
    expires_after=45.0,
    gateway=GatewayPart(kind="waha", reachable=True, latency_seconds=0.0300001, version="2024.10.8", pid=4711),
    process=ProcessReading(
        exists=True, pid=4711, cpu_percent=45.04, rss_bytes=650117120, memory_percent=62.0, limit_bytes=1048576000
    ),
)
NOTHING_KNOWN = Facts(
    version="0.1.0", uptime=0, now=0, written_at=0, expires_after=45, gateway=GatewayPart(kind="evolution")
)


UNKNOWN_PRESSURE = dict.fromkeys(
    ("cpu_some_avg10", "memory_some_avg10", "memory_full_avg10", "io_some_avg10", "io_full_avg10")
)
UNKNOWN_MEMORY = dict.fromkeys(("percentage", "rss_bytes", "limit_bytes", "used_bytes", "pss_bytes", "full_in_seconds"))
UNKNOWN_RESOURCES: dict[str, Any] = {
    "cpu": None,
    "memory": UNKNOWN_MEMORY,
    "loop": None,
    "stopped": None,
    "threads": None,
    "fds": {"open": None, "limit": None},
    "children": None,
    "orphans": None,
    "oom_kills": None,
    "pressure": UNKNOWN_PRESSURE,
    "browsers": [],
    "host": {
        "memory_available_bytes": None,
        "disk_free_bytes": None,
        "gateway_disk_free_bytes": None,
        "pressure": UNKNOWN_PRESSURE,
    },
    "container": None,
}


def told(health: Health = HEALTH, facts: Facts = FACTS, names: Names | None = None) -> Any:
    return json.loads(Documents(names).build(health, facts).encode())


def shape(value: Any) -> Any:
    """Keys in their order and kinds of values; a number is a number."""
    if isinstance(value, dict):
        return [(key, shape(one)) for key, one in value.items()]
    if isinstance(value, list):
        return [shape(one) for one in value]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def test_the_keys_their_order_and_their_types_are_those_of_the_design() -> None:
    document = told()
    additions = {"why": "not active: default", "ready_why": HEALTH.ready_why}
    assert {key: document.pop(key) for key in additions} == additions
    session_additions = {"claim": "FAILED", "advice": "", "expected": True, "usable": False}
    assert {key: document["sessions"][0].pop(key) for key in session_additions} == session_additions
    resources = document["resources"]
    for key in set(UNKNOWN_RESOURCES) - set(DESIGNED["resources"]):
        del resources[key]
    for key in set(UNKNOWN_MEMORY) - set(DESIGNED["resources"]["memory"]):
        del resources["memory"][key]
    designed = {**DESIGNED, "queue": None, "redis": None}
    assert shape(document) == shape(designed)


def test_the_status_is_in_the_first_bytes() -> None:
    assert Documents().build(HEALTH, FACTS).encode().startswith(b'{"status":"degraded",')


def test_the_whole_document_with_an_incident_and_a_pause() -> None:
    health = msgspec.structs.replace(
        HEALTH,
        incident=Incident(since=970.0, cause="connection_lost", sessions=("default",), canary="default"),
        paused=Pause(since=990.0, until=1060.0, reason="maintenance", by="root"),
    )
    assert told(health, msgspec.structs.replace(FACTS, notes=("of the runtime", "a note"))) == {
        "status": "degraded",
        "uptime": 3600.0,
        "connections": {"total": 5, "active": 4, "failed": 1, "recovering": 0, "needs_human": 0, "stopped": 0},
        "queue": None,
        "resources": {
            **UNKNOWN_RESOURCES,
            "orphans": 0,
            "cpu": 45.0,
            "memory": {**UNKNOWN_MEMORY, "percentage": 62.0, "rss_bytes": 650117120, "limit_bytes": 1048576000},
        },
        "version": "0.1.0",
        "written_at": "2023-11-14T22:13:20.000Z",
        "expires_at": "2023-11-14T22:14:05.000Z",
        "ready": True,
        "paused": {
            "since": "2023-11-14T22:13:10Z",
            "until": "2023-11-14T22:14:20Z",
            "reason": "maintenance",
            "by": "root",
        },
        "gateway": {"kind": "waha", "reachable": True, "latency_seconds": 0.03, "version": "2024.10.8", "pid": 4711},
        "redis": None,
        "breakers": {"open": 1, "half_open": 0, "held": 0},
        "incident": {
            "since": "2023-11-14T22:12:50Z",
            "cause": "connection_lost",
            "sessions": ["default"],
            "canary": "default",
        },
        "sessions": [
            {
                "name": "default",
                "state": "failed",
                "condition": "failing",
                "reason": "connection_lost",
                "since": "2023-11-14T22:12:20Z",
                "next": "restart_session in 12 s (attempt 2 of 5)",
                "needs_qr": False,
                "claim": "FAILED",
                "advice": "",
                "expected": True,
                "usable": False,
            }
        ],
        "notes": ["a note", "of the runtime"],
        "why": "not active: default",
        "ready_why": "4 of 5 expected sessions usable, any needed",
    }


def test_what_the_gateway_uses_and_what_its_host_has_left() -> None:
    process = msgspec.structs.replace(
        FACTS.process, loop_percent=99.96, stopped=False, memory_bytes=501_000_000, oom_kills=2
    )
    usage = Usage(
        threads=114,
        open_files=26,
        open_files_limit=1024,
        children=2,
        orphans=(812, 813),
        pss_bytes=501_000_000,
        browsers=(Browser("491700000001", 815, 312_000_000), Browser(None, 816, 305_000_000)),
        pressure=Pressure(cpu_some=0.5, memory_some=12.25, memory_full=3.0),
        host=Host(
            memory_available_bytes=1, disk_free_bytes=2, gateway_disk_free_bytes=3, pressure=Pressure(io_full=4.0)
        ),
        container=Container("waha", "running", 3, oom_killed=False, health="healthy"),
    )
    facts = msgspec.structs.replace(FACTS, process=process, usage=usage)
    assert told(msgspec.structs.replace(HEALTH, memory_full_in=10800.04), facts)["resources"] == {
        "cpu": 45.0,
        "memory": {
            "percentage": 62.0,
            "rss_bytes": 650117120,
            "limit_bytes": 1048576000,
            "used_bytes": 501_000_000,
            "pss_bytes": 501_000_000,
            "full_in_seconds": 10800.0,
        },
        "loop": 100.0,
        "stopped": False,
        "threads": 114,
        "fds": {"open": 26, "limit": 1024},
        "children": 2,
        "orphans": 2,
        "oom_kills": 2,
        "pressure": {
            "cpu_some_avg10": 0.5,
            "memory_some_avg10": 12.25,
            "memory_full_avg10": 3.0,
            "io_some_avg10": None,
            "io_full_avg10": None,
        },
        "browsers": [
            {"session": "491700000001", "pid": 815, "rss_bytes": 312_000_000},
            {"session": None, "pid": 816, "rss_bytes": 305_000_000},
        ],
        "host": {
            "memory_available_bytes": 1,
            "disk_free_bytes": 2,
            "gateway_disk_free_bytes": 3,
            "pressure": {**UNKNOWN_PRESSURE, "io_full_avg10": 4.0},
        },
        "container": {"name": "waha", "status": "running", "restarts": 3, "oom_killed": False, "health": "healthy"},
    }
    # A browser is named by a session's folder, and that is often a phone number.
    hashed = Documents(HashedNames()).build(HEALTH, facts).encode()
    assert b"491700000001" not in hashed


def test_what_is_unknown_is_null_and_its_key_is_there() -> None:
    document = told(BEFORE_FIRST_LOOK, NOTHING_KNOWN)
    assert list(document)[: len(DESIGNED)] == list(DESIGNED)
    assert document["status"] == "starting"
    assert document["ready"] is False
    assert document["resources"] == UNKNOWN_RESOURCES
    assert document["gateway"] == {
        "kind": "evolution",
        "reachable": None,
        "latency_seconds": None,
        "version": None,
        "pid": None,
    }
    assert document["paused"] is None


@pytest.mark.parametrize(
    ("epoch", "text"),
    [(0, "1970-01-01T00:00:00Z"), (-5, "1970-01-01T00:00:00Z"), (1e18, "9999-12-31T23:59:59Z")],
)
def test_a_pause_of_a_billion_hours_has_an_end_that_can_be_written(epoch: float, text: str) -> None:
    assert rfc3339(epoch) == text


def test_the_draft_form_has_its_words() -> None:
    stopped = msgspec.structs.replace(
        FAILING, name="old", condition=Condition.STOPPED, reason=Reason.STOPPED, group="stopped", expected=False
    )
    well = msgspec.structs.replace(FAILING, name="well", condition=Condition.HEALTHY, group="active")
    stray = msgspec.structs.replace(FAILING, name="stray", expected=False, next=None, advice="look at it")
    health = msgspec.structs.replace(HEALTH, sessions=(FAILING, stopped, well, stray))
    form = json.loads(encode_health_json(Documents().build(health, FACTS)))
    time = "2023-11-14T22:13:20.000Z"
    assert form.pop("checks") == {
        "gateway:reachable": [{"status": "pass", "time": time, "componentType": "component", "observedValue": True}],
        "gateway:responseTime": [_measured(0.03, "s", "component")],
        "cpu:utilization": [_measured(45.0, "percent", "system")],
        "memory:utilization": [_measured(62.0, "percent", "system")],
        "memory:rss": [_measured(650117120, "bytes", "system")],
        "uptime": [_measured(3600.0, "s", "system")],
        "session:condition": [
            _condition("fail", "default", "failing", "connection_lost; restart_session in 12 s (attempt 2 of 5)"),
            _condition("pass", "old", "stopped"),
            _condition("pass", "well", "healthy"),
            _condition("warn", "stray", "failing", "connection_lost; look at it"),
        ],
    }
    assert form == {
        "status": "warn",
        "releaseId": "0.1.0",
        "description": "health of the waha gateway and its sessions",
        "notes": ["a note"],
        "output": "not active: default",
    }


def _measured(value: float, unit: str, kind: str) -> dict[str, object]:
    return {
        "status": "pass",
        "time": "2023-11-14T22:13:20.000Z",
        "componentType": kind,
        "observedValue": value,
        "observedUnit": unit,
    }


def _condition(status: str, name: str, condition: str, output: str | None = None) -> dict[str, object]:
    return {
        "status": status,
        "time": "2023-11-14T22:13:20.000Z",
        "componentType": "component",
        "componentId": name,
        "observedValue": condition,
        **({} if output is None else {"output": output}),
    }


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (Status.HEALTHY, "pass"),
        (Status.DEGRADED, "warn"),
        (Status.UNHEALTHY, "fail"),
        (Status.STARTING, "fail"),
        (Status.STOPPING, "fail"),
        (Status.STOPPED, "fail"),
    ],
)
def test_the_draft_has_three_words_for_our_six(status: Status, word: str) -> None:
    document = Documents().build(msgspec.structs.replace(HEALTH, status=status), NOTHING_KNOWN)
    form = json.loads(encode_health_json(document))
    assert form["status"] == word
    assert ("output" in form) is (word != "pass")
    assert "gateway:reachable" not in form["checks"]


def _everywhere(name: str) -> Health:
    """A health that tells the name wherever a text can."""
    session = msgspec.structs.replace(
        FAILING,
        name=name,
        next=f"restart_session after {name}",
        claim=f"memory close of {name}",
        advice=f"Scan the QR of '{name}'.",
    )
    return Health(
        status=Status.DEGRADED,
        why=f"not active: {name}",
        connections=Connections(total=1, failed=1),
        ready=False,
        ready_why=f"{name}: not ready",
        sessions=(session,),
        incident=Incident(since=0, cause=f"{name} and others", sessions=(name, "5511000000001"), canary=name),
        paused=Pause(since=0, reason=f"hands off {name}", by=f"owner-of-{name}"),
        notes=(f"{name}: needs a person", f"({name})", f"{name}@s.whatsapp.net", "5511000000001, gone"),
    )


PHONES = st.integers(10**9, 10**14).map(str)
MARKED = st.text(max_size=12).map(lambda text: f"Zq9{text}")


@given(name=PHONES | MARKED, key=st.just(b"") | st.binary(min_size=16, max_size=64))
def test_a_hashed_name_stands_nowhere_in_the_document(name: str, key: bytes) -> None:
    facts = msgspec.structs.replace(FACTS, written_at=0, notes=(f"the gateway said no to {name}",))
    document = Documents(HashedNames(key)).build(_everywhere(name), facts)
    for data in (document.encode(), encode_health_json(document)):
        texts = list(_strings(json.loads(data)))
        assert not [text for text in texts if name in text or "5511000000001" in text]
    assert document.sessions[0].name == HashedNames(key).name(name)
    assert document.sessions[0].name in document.why


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(text for one in value.values() for text in _strings(one))]
    if isinstance(value, list):
        return [text for one in value for text in _strings(one)]
    return [value] if isinstance(value, str) else []


def test_a_hashed_name_stands_not_in_a_url_either() -> None:
    names = HashedNames().over(["my shop/1"])
    assert names.text("GET /instance/connectionState/my%20shop%2F1: 500") == (
        f"GET /instance/connectionState/{names.name('my shop/1')}: 500"
    )


def test_short_names_leave_the_sentences_readable() -> None:
    names = HashedNames().over(["a", "in"])
    assert names.text("restart of a in 12 s: again in_a") == (
        f"restart of {names.name('a')} {names.name('in')} 12 s: again {names.name('in')}_{names.name('a')}"
    )


def test_the_longer_of_two_names_is_replaced_whole() -> None:
    names = HashedNames().over(["client", "client-2"])
    assert names.text("client-2, client") == f"{names.name('client-2')}, {names.name('client')}"


def test_a_hash_is_the_same_after_a_restart_and_another_with_another_key() -> None:
    assert HashedNames().name("5511999887766") == "a4754df6f1ce"
    assert HashedNames(b"k" * 16).name("5511999887766") != HashedNames().name("5511999887766")


def test_names_are_learnt_anew_when_they_change() -> None:
    documents = Documents(HashedNames())
    documents.build(_everywhere("5511999887766"), FACTS)
    assert b"5511000000077" not in documents.build(_everywhere("5511000000077"), FACTS).encode()

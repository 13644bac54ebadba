"""The metrics, as Prometheus' own client reads them."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from wasupervisor.model.health import Breakers, Connections, Health, Incident, Pause, SessionHealth, Status
from wasupervisor.model.observation import ProcessReading
from wasupervisor.model.sessions import Condition, Reason, State
from wasupervisor.model.usage import Container, Host, Usage
from wasupervisor.report.board import Board, Snapshot
from wasupervisor.report.connection import Request, Response
from wasupervisor.report.counts import Counted, Counts
from wasupervisor.report.document import (
    BEFORE_FIRST_LOOK,
    Documents,
    Facts,
    GatewayPart,
    OneQueuePart,
    QueuePart,
    RedisPart,
    SweepPart,
)
from wasupervisor.report.names import HashedNames, Names
from wasupervisor.report.probes import Probes
from wasupervisor.report.series import AGE, PREFIX, ROWS

EXPIRES_AFTER = 45.0
REDIS = RedisPart("warn", 3, 1, "left as found", 20, SweepPart("2026-01-31T12:00:00Z", 1.25, 1_000_000))
QUEUE = OneQueuePart("a b|c", "bull", 5, 1, 2, None, 7, 12.5, paused=True)
COUNTS = Counts({(Counted.MADE, "restart_session"): 4, (Counted.BREAKER_TRIPS, ""): 2}, keys_set_aside=20)
FACTS = Facts(
    version="0.1.0",
    uptime=50.0,
    now=0.0,
    written_at=1_700_000_000.0,
    expires_after=EXPIRES_AFTER,
    gateway=GatewayPart("waha", reachable=True, latency_seconds=0.03, version="2026.1"),
    process=ProcessReading(
        exists=True,
        cpu_percent=45.0,
        loop_percent=12.5,
        stopped=False,
        rss_bytes=900,
        memory_bytes=700,
        limit_bytes=1000,
        oom_kills=2,
    ),
    usage=Usage(
        threads=11,
        open_files=30,
        open_files_limit=1024,
        children=2,
        orphans=(7,),
        pss_bytes=800,
        host=Host(disk_free_bytes=10**9, gateway_disk_free_bytes=2 * 10**9),
        container=Container("waha", "running", restarts=3),
    ),
    redis=REDIS,
    queue=QueuePart(5, 1, None, (QUEUE,)),
    notes=("a note",),
)


def session(name: str, *, group: str = "active", expected: bool = True, needs_qr: bool = False) -> SessionHealth:
    return SessionHealth(
        name,
        State.UNKNOWN,
        Condition.HEALTHY,
        Reason.NONE,
        since=0.0,
        group=group,
        expected=expected,
        needs_qr=needs_qr,
    )


HEALTH = Health(
    status=Status.DEGRADED,
    why="one is down",
    connections=Connections(total=3, active=2, needs_human=1),
    ready=True,
    ready_why="",
    sessions=(session("a"), session("b", group="needs_human", needs_qr=True), session("c", expected=False)),
    breakers=Breakers(held=1),
    incident=Incident(since=0.0, cause="x", sessions=("a", "b")),
    paused=Pause(since=0.0),
    memory_full_in=10_800.0,
)


class Desk:
    """The probes on a board whose clock stands still until it is moved."""

    def __init__(self, names: Names | None = None) -> None:
        self.now = 100.0
        self._documents = Documents(names)
        bare = msgspec.structs.replace(FACTS, redis=None, queue=None, process=ProcessReading(), usage=Usage())
        self.board = Board(self._snapshot(BEFORE_FIRST_LOOK, bare, Counts()), clock=lambda: self.now)
        self._probes = Probes(self.board)

    def _snapshot(self, health: Health, facts: Facts, counts: Counts) -> Snapshot:
        document = self._documents.build(health, facts)
        return Snapshot.of(document, taken=self.now, expires_after=EXPIRES_AFTER, poll_every=5.0, counts=counts)

    def publish(self, health: Health = HEALTH, facts: Facts = FACTS, counts: Counts = COUNTS) -> None:
        self.board.publish(self._snapshot(health, facts, counts))

    def ask(self, method: str = "GET") -> Response:
        return self._probes(Request(method, "/metrics", {}, {}, b"", None))

    def scrape(self) -> dict[str, float]:
        """Each series as `name{label=value}`, without the prefix."""
        response = self.ask()
        assert (response.status, response.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
        return parsed(response.body.decode())


def parsed(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            key = sample.name.removeprefix(PREFIX) + (f"{{{labels}}}" if labels else "")
            assert key not in found, "told twice"
            found[key] = sample.value
    return found


@pytest.fixture
def desk() -> Desk:
    """A desk with a look of just now."""
    it = Desk()
    it.publish()
    return it


EVERYTHING = {
    "cycle_age_seconds": 0.0,
    "up": 1,
    "build_info{version=0.1.0}": 1,
    "uptime_seconds": 50,
    **{f"status{{status={one}}}": one == "degraded" for one in Status},
    "ready": 1,
    "paused": 1,
    **{
        f"remedies_{what}_total{{remedy={remedy}}}": 4 * (what == "made" and remedy == "restart_session")
        for what in ("made", "healed", "not_healed", "withheld")
        for remedy in ("start_session", "restart_session", "park_session", "restart_gateway")
    },
    "breaker_trips_total": 2,
    "alerts_told_total": 0,
    "alerts_failed_total": 0,
    "gateway_info{kind=waha,version=2026.1}": 1,
    "gateway_reachable": 1,
    "gateway_latency_seconds": 0.03,
    "sessions{group=active}": 2,
    "sessions{group=failed}": 0,
    "sessions{group=recovering}": 0,
    "sessions{group=needs_human}": 1,
    "sessions{group=stopped}": 0,
    "session_usable{session=a}": 1,
    "session_usable{session=b}": 0,
    "session_usable{session=c}": 1,
    "session_expected{session=a}": 1,
    "session_expected{session=b}": 1,
    "session_expected{session=c}": 0,
    "session_needs_qr{session=a}": 0,
    "session_needs_qr{session=b}": 1,
    "session_needs_qr{session=c}": 0,
    "breakers{state=open}": 0,
    "breakers{state=half_open}": 0,
    "breakers{state=held}": 1,
    "incident_sessions": 2,
    "notes": 1,
    "gateway_cpu_ratio": 0.45,
    "gateway_event_loop_ratio": 0.125,
    "gateway_stopped": 0,
    "gateway_memory_bytes{of=used}": 700,
    "gateway_memory_bytes{of=rss}": 900,
    "gateway_memory_bytes{of=pss}": 800,
    "gateway_memory_limit_bytes": 1000,
    "gateway_memory_full_in_seconds": 10_800,
    "gateway_oom_kills_total": 2,
    "gateway_threads": 11,
    "gateway_children": 2,
    "gateway_orphans": 1,
    "gateway_open_fds": 30,
    "gateway_max_fds": 1024,
    "gateway_container_restarts_total": 3,
    "gateway_disk_free_bytes": 2e9,
    "state_disk_free_bytes": 1e9,
    "redis_status{status=pass}": 0,
    "redis_status{status=warn}": 1,
    "redis_status{status=fail}": 0,
    "redis_wrongtype_errors_total": 3,
    "redis_mistyped_keys": 1,
    "redis_keys_set_aside_total": 20,
    "redis_quarantined_keys": 20,
    "redis_last_sweep_timestamp_seconds": 1_769_860_800,
    "redis_last_sweep_duration_seconds": 1.25,
    "redis_last_sweep_keys": 1_000_000,
    "queue_jobs{queue=a b|c,state=waiting}": 5,
    "queue_jobs{queue=a b|c,state=active}": 1,
    "queue_jobs{queue=a b|c,state=delayed}": 2,
    "queue_jobs{queue=a b|c,state=completed}": 7,
    "queue_oldest_waiting_seconds{queue=a b|c}": 12.5,
    "queue_paused{queue=a b|c}": 1,
}


def test_everything_that_a_look_found_is_there(desk: Desk) -> None:
    assert desk.scrape() == EVERYTHING


def test_each_row_of_the_table_is_among_it() -> None:
    assert {one.partition("{")[0] for one in EVERYTHING} == {row.name for row in (AGE, *ROWS)}


def test_names_are_by_the_conventions() -> None:
    for row in (AGE, *ROWS):
        assert re.fullmatch(r"[a-z][a-z_]*[a-z]", row.name)
        assert (row.kind == "counter") is row.name.endswith("_total")
        assert not re.search(r"percent|millis|minutes", row.name)
        assert row.help.endswith(".")
        assert not set(row.help) & {"\n", "\\"}


def test_each_series_stands_under_its_head_and_its_type(desk: Desk) -> None:
    types = {one.name: one.type for one in text_string_to_metric_families(desk.ask().body.decode())}
    assert types == {f"{PREFIX}{row.name}".removesuffix("_total"): row.kind for row in (AGE, *ROWS)}


def test_what_is_unknown_has_no_series() -> None:
    desk = Desk()
    bare = msgspec.structs.replace(
        FACTS, process=ProcessReading(), usage=Usage(), redis=None, queue=None, gateway=GatewayPart("waha")
    )
    desk.publish(msgspec.structs.replace(HEALTH, memory_full_in=None), bare, Counts())
    assert {one for one in desk.scrape() if one.startswith(("redis", "queue", "gateway"))} == {
        "gateway_info{kind=waha,version=}"
    }


def lasting() -> set[str]:
    names = {row.name for row in (AGE, *ROWS) if row.lasting}
    return {one for one in EVERYTHING if one.partition("{")[0] in names}


def test_before_the_first_look_it_tells_only_of_itself() -> None:
    desk = Desk()
    desk.now += 3
    found = desk.scrape()
    assert set(found) == lasting()
    assert (found["up"], found["cycle_age_seconds"], found["ready"]) == (0, 3.0, 0)
    assert found["status{status=starting}"] == 1


def test_a_look_that_is_too_old_is_not_told_any_more_and_comes_back(desk: Desk) -> None:
    desk.now += EXPIRES_AFTER
    assert desk.scrape() == {**EVERYTHING, "cycle_age_seconds": EXPIRES_AFTER}
    desk.now += 1
    found = desk.scrape()
    assert set(found) == lasting()
    assert (found["up"], found["cycle_age_seconds"], found["ready"]) == (0, EXPIRES_AFTER + 1, 0)
    assert (found["status{status=unhealthy}"], found["breaker_trips_total"]) == (1, 2)
    desk.publish()
    assert desk.scrape() == EVERYTHING


def test_a_supervisor_that_stops_says_so_and_what_it_saw_last(desk: Desk) -> None:
    desk.board.set_stopping()
    found = desk.scrape()
    assert (found["up"], found["ready"], found["status{status=stopping}"]) == (1, 0, 1)
    assert found["session_usable{session=a}"] == 1
    desk.now += EXPIRES_AFTER + 1
    assert set(desk.scrape()) == lasting()


def test_readiness_that_is_held_back_is_told(desk: Desk) -> None:
    assert desk.scrape()["ready"] == 1
    desk.board.hold("draining")
    assert desk.scrape()["ready"] == 0
    desk.board.hold(None)
    assert desk.scrape()["ready"] == 1


def test_hashed_names_are_hashed_here_too() -> None:
    desk = Desk(HashedNames(b"k" * 16))
    desk.publish()
    named = [one for one in desk.scrape() if one.startswith("session_usable")]
    assert len(named) == 3
    for one in named:
        assert re.fullmatch(r"session_usable\{session=[0-9a-f]{12}\}", one)


@given(name=st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1))
def test_any_name_comes_through(name: str) -> None:
    desk = Desk()
    desk.publish(msgspec.structs.replace(HEALTH, sessions=(session(name),)))
    (family,) = (
        one for one in text_string_to_metric_families(desk.ask().body.decode()) if one.name == f"{PREFIX}session_usable"
    )
    assert [one.labels for one in family.samples] == [{"session": name}]


def test_each_session_more_is_three_series_more(desk: Desk) -> None:
    before = len(desk.scrape())
    many = tuple(session(f"s{number}") for number in range(1000))
    desk.publish(msgspec.structs.replace(HEALTH, sessions=many))
    assert len(desk.scrape()) - before == 3 * 1000 - 3 * 3


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("OPTIONS", 200), ("POST", 405), ("DELETE", 405)])
def test_methods_are_those_of_the_other_routes(desk: Desk, method: str, status: int) -> None:
    response = desk.ask(method)
    assert response.status == status
    allow: Any = dict(response.headers).get("Allow")
    assert allow == (None if method == "HEAD" else "GET, HEAD, OPTIONS")

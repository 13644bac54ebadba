"""Evolution's adapter: what is asked when, and how it bears what no recording shows."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpcore
import httpx
import pytest
import respx
from gateway_wire import Asked, free_port, hang, http, wired

from wasupervisor.gateways.evolution import EvolutionGateway
from wasupervisor.gateways.evolution_answers import read_rows
from wasupervisor.model.observation import Look, Trouble
from wasupervisor.model.remedies import Outcome
from wasupervisor.model.sessions import Reason, Sighting, State

pytestmark = pytest.mark.anyio

URL = "http://evolution.test:8080"
TOKEN = "t0ken-of-an-instance"  # not a real one


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """Evolution as the adapter sees it: a page, rows, states. Counts the calls."""

    def __init__(self, api: Any, clock: Clock) -> None:
        self.clock = clock
        self.memory: dict[str, str | None] = {"alpha": "open", "beta": "open"}
        self.database: dict[str, Any] = {"alpha": "open", "beta": "open"}
        self.codes: dict[str, Any] = {}
        self.integrations: dict[str, str] = {}
        self.metrics: int | Exception | bytes = 200
        self.rows_status: int | Exception = 200
        self.rows_take = self.state_takes = 0.0
        self.hung: set[str] = set()
        self.dead = False
        self.calls: Counter[str] = Counter()
        self.asked: list[str] = []
        self.authorization = ""
        api.route().mock(side_effect=self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.dead:
            raise httpcore.ConnectError("gone")
        calls = {"metrics": self._metrics, "fetchInstances": self._rows, "connectionState": self._state}
        kind = next((call for call in calls if f"/{call}" in request.url.path), "")
        return calls.get(kind, self._verify)(request)

    def _metrics(self, request: httpx.Request) -> httpx.Response:
        self.calls["metrics"] += 1
        self.authorization = request.headers.get("authorization", "")
        if isinstance(self.metrics, Exception):
            raise self.metrics
        if isinstance(self.metrics, bytes):
            return httpx.Response(200, content=self.metrics)
        if self.metrics != 200:
            return httpx.Response(self.metrics, json={"response": {"message": ["Cannot GET /metrics"]}})
        return httpx.Response(200, content=page(self.memory, self.integrations))

    def _rows(self, request: httpx.Request) -> httpx.Response:
        self.calls["rows"] += 1
        self.clock.now += self.rows_take
        if isinstance(self.rows_status, Exception):
            raise self.rows_status
        if self.rows_status != 200:
            return httpx.Response(self.rows_status, json={"response": {"message": "no"}})
        only = request.url.params.get("instanceName")
        return httpx.Response(200, json=[self.row(name) for name in self.database if only in (None, name)])

    def row(self, name: str) -> dict[str, Any]:
        return {
            "id": f"id-of-{name}",
            "name": name,
            "connectionStatus": self.database[name],
            "disconnectionReasonCode": self.codes.get(name),
            "integration": self.integrations.get(name, "WHATSAPP-BAILEYS"),
            "ownerJid": "5511900000001@s.whatsapp.net",
            "token": TOKEN,
        }

    def _state(self, request: httpx.Request) -> httpx.Response:
        self.calls["state"] += 1
        self.clock.now += self.state_takes
        name = request.url.path.rsplit("/", 1)[-1]
        self.asked.append(name)
        if name in self.hung:
            raise httpcore.ReadTimeout("slow")
        if name not in self.memory:
            return httpx.Response(404, json={"response": {"message": [f'The "{name}" instance does not exist']}})
        return httpx.Response(200, json={"instance": {"instanceName": name, "state": self.memory[name]}})

    def _verify(self, _: httpx.Request) -> httpx.Response:
        self.calls["verify"] += 1
        return httpx.Response(401)


def page(memory: dict[str, str | None], integrations: dict[str, str] | None = None, total: int | None = None) -> bytes:
    lines = [
        "# TYPE evolution_environment_info gauge",
        'evolution_environment_info{version="2.3.6",clientName="evolution",serverUrl="http://x"} 1',
        f"evolution_instances_total {len(memory) if total is None else total}",
    ]
    for name, state in memory.items():
        quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        kind = (integrations or {}).get(name, "WHATSAPP-BAILEYS")
        lines.append(f'evolution_instance_up{{instance="{quoted}",integration="{kind}"}} {int(state == "open")}')
        lines.append(f'evolution_instance_state{{instance="{quoted}",integration="{kind}",state="{state}"}} 1')
    return ("\n".join(lines) + "\n").encode()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Any:
    with respx.mock(base_url=URL, assert_all_called=False) as router:
        yield Server(router, clock)


@pytest.fixture
async def evolution(clock: Clock) -> AsyncIterator[EvolutionGateway]:
    gateway = EvolutionGateway(URL, "key", timeout=10.0, action_timeout=2.0, metrics_auth=None, clock=clock)
    yield gateway
    await gateway.aclose()


def by_name(look: Look) -> dict[str, Sighting]:
    assert look.sightings is not None
    return {one.name: one for one in look.sightings}


async def polls(evolution: EvolutionGateway, clock: Clock, count: int, every: float = 5.0) -> list[Look]:
    looks = []
    for _ in range(count):
        looks.append(await evolution.look())
        clock.now += every
    return looks


async def test_a_quiet_minute_is_one_page_each_poll_and_the_database_once(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    looks = await polls(evolution, clock, 12)
    assert server.calls == {"metrics": 12, "rows": 1}
    assert looks[1].sightings is looks[-1].sightings
    await evolution.look()
    assert server.calls == {"metrics": 13, "rows": 2}


async def test_right_before_a_restart_of_the_gateway_the_database_is_asked_though_it_was_a_moment_ago(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    await polls(evolution, clock, 2)
    evolution.read_anew()
    await polls(evolution, clock, 2)
    assert server.calls["rows"] == 2


async def test_the_database_is_asked_when_memory_says_something_else_but_not_more_than_each_10_s(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    await evolution.look()
    server.memory["beta"] = "connecting"
    looks = await polls(evolution, clock, 12)
    assert server.calls["rows"] == 1 + 5
    assert by_name(looks[-1])["beta"].reason is Reason.RECONNECTING


@pytest.mark.parametrize(("memory", "database"), [("close", "close"), ("connecting", "connecting")])
async def test_an_instance_that_waits_for_its_person_for_weeks_does_not_count_messages_each_10_s(
    memory: str, database: str, evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    server.memory["beta"] = server.database["beta"] = memory
    await polls(evolution, clock, 12)
    assert server.calls["rows"] == 1
    server.memory["beta"] = "open"
    assert by_name(await evolution.look())["beta"].state is State.WORKING


async def test_a_database_that_takes_long_is_asked_less_often(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    server.memory["beta"], server.rows_take = "close", 3.0
    await evolution.look()
    await polls(evolution, clock, 5)
    assert server.calls["rows"] == 1
    await polls(evolution, clock, 2)
    assert server.calls["rows"] == 2


async def test_a_new_and_a_deleted_instance_are_noticed(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    await evolution.look()
    server.memory["gamma"] = server.database["gamma"] = "open"
    del server.memory["beta"], server.database["beta"]
    clock.now += 10
    look = await evolution.look()
    assert {name: one.state for name, one in by_name(look).items()} == {"alpha": State.WORKING, "gamma": State.WORKING}


@pytest.mark.parametrize("metrics", [200, 404])
async def test_each_sighting_has_the_id_of_the_instance_also_while_the_database_is_down(
    metrics: int, evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    server.metrics = metrics
    expected = {"alpha": "id-of-alpha", "beta": "id-of-beta"}
    for status in (200, 500, 500, 500):
        server.rows_status = status
        look = await evolution.look()
        assert {name: one.identity for name, one in by_name(look).items()} == expected
        clock.now += 60
    server.rows_status = 200
    close = await evolution.look_closely("beta")
    assert close.sighting is not None
    assert close.sighting.identity == "id-of-beta"


async def test_what_only_memory_shows_has_no_id(evolution: EvolutionGateway, server: Server) -> None:
    server.memory["gamma"] = "open"
    assert by_name(await evolution.look())["gamma"].identity is None


@pytest.mark.parametrize("identity", [None, "", 7, [], "a:b", "a b", "*", "a\n", "x" * 65])
def test_an_id_that_is_none_is_not_taken(identity: object) -> None:
    rows = read_rows(json.dumps([{"id": identity, "name": "alpha", "connectionStatus": "open"}]).encode())
    assert rows is not None
    assert rows.by_name["alpha"].identity is None


async def test_a_database_outage_is_known_and_memory_judges_on(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    await evolution.look()
    server.rows_status = 500
    clock.now += 60
    look = await evolution.look()
    assert (look.reachable, look.store_ok, look.trouble) == (True, False, None)
    assert by_name(look)["alpha"].state is State.WORKING
    server.memory["beta"] = "connecting"
    clock.now += 5
    look = await evolution.look()
    assert by_name(look)["beta"].claim == "memory connecting, database unknown"
    assert by_name(look)["beta"].state is State.STARTING
    assert by_name(look)["beta"].paired is True
    server.rows_status = 200
    server.database["beta"] = "connecting"
    clock.now += 5
    look = await evolution.look()
    assert (look.store_ok, by_name(look)["beta"].reason) == (True, Reason.QR_WANTED)


@pytest.mark.parametrize("failure", [httpcore.ReadTimeout("slow"), httpcore.RemoteProtocolError("gone"), 401, 404])
async def test_what_tells_nothing_of_the_database_leaves_it_unknown(
    failure: Exception | int, evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    await evolution.look()
    server.rows_status = failure
    clock.now += 60
    look = await evolution.look()
    assert (look.store_ok, len(by_name(look))) == (None, 2)
    assert look.trouble is (Trouble.UNAUTHORIZED if failure == 401 else None)
    assert ("instance's own token" in look.detail) is (failure == 401)


async def test_metrics_that_are_switched_off_are_asked_again_after_ten_minutes(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    server.metrics = 404
    await polls(evolution, clock, 120)
    assert server.calls["metrics"] == 1
    server.metrics = 200
    look = await evolution.look()
    assert server.calls["metrics"] == 2
    assert (look.notes, look.version) == ((), "2.3.6")


async def test_metrics_are_asked_again_when_the_gateway_comes_back(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    server.metrics = 404
    await evolution.look()
    clock.now += 5
    server.dead = True
    clock.now += 60
    look = await evolution.look()
    assert (look.reachable, look.sightings) == (False, None)
    server.dead, server.metrics = False, 200
    clock.now += 5
    assert (await evolution.look()).version == "2.3.6"


@pytest.mark.parametrize(
    ("status", "words", "again"),
    [
        (401, "gateway.metrics_auth", 600),
        (403, "METRICS_ALLOWED_IPS", 600),
        (500, "answered 500", 60),
        (302, "302", 60),
    ],
)
async def test_metrics_that_refuse_tell_the_operator_what_to_set(
    status: int, words: str, again: float, evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    server.metrics = status
    look = await evolution.look()
    assert words in look.notes[0]
    assert by_name(look)["alpha"].state is State.WORKING
    clock.now += again - 1
    await evolution.look()
    assert server.calls["metrics"] == 1
    clock.now += 1
    await evolution.look()
    assert server.calls["metrics"] == 2


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"\xff\xfe", page({"alpha": "open"}, total=2), page({"alpha": "open"})[:-40],
     b"evolution_instances_total x\n", b"evolution_instances_total 1\nevolution_instance_state{ 1\n"],
    ids=lambda body: str(body[-12:]),
)  # fmt: skip
async def test_a_page_that_is_cut_off_or_of_somebody_else_loads_nobody_out(
    body: bytes, evolution: EvolutionGateway, server: Server
) -> None:
    server.metrics = body
    look = await evolution.look()
    assert {one.state for one in by_name(look).values()} == {State.WORKING}
    assert "cannot be read" in look.notes[0]


async def test_metrics_with_a_user_are_asked_with_it(clock: Clock, server: Server) -> None:
    gateway = EvolutionGateway(URL, "key", timeout=10.0, action_timeout=2.0, metrics_auth="me:pässword", clock=clock)
    await gateway.look()
    await gateway.aclose()
    assert base64.b64decode(server.authorization.removeprefix("Basic ")).decode() == "me:pässword"


async def test_a_page_that_hangs_while_the_gateway_answers_is_left_out_for_a_minute(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    server.metrics = httpcore.ReadTimeout("slow")
    look = await evolution.look()
    assert (look.reachable, look.sightings, look.trouble) == (True, None, Trouble.TIMED_OUT)
    clock.now += 5
    assert by_name(await evolution.look())["alpha"].state is State.WORKING
    assert server.calls["metrics"] == 1


async def test_label_escapes_are_undone(evolution: EvolutionGateway, server: Server) -> None:
    odd = 'a "b" \\n c}, instance="x'
    server.memory = server.database = {odd: "open"}
    look = await evolution.look()
    assert by_name(look)[odd].state is State.WORKING


@pytest.mark.parametrize("word", ["unknown", "refusing", "Open", "5511900000001", "x" * 99])
async def test_a_word_that_nobody_knows_is_unknown(word: str, evolution: EvolutionGateway, server: Server) -> None:
    server.memory = {"alpha": word}
    server.database = {"alpha": "open"}
    sighting = by_name(await evolution.look())["alpha"]
    assert (sighting.state, sighting.reason) == (State.UNKNOWN, Reason.UNREADABLE)
    assert "5511900000001" not in sighting.claim


@pytest.mark.parametrize(
    ("word", "state"), [("open", State.WORKING), ("close", State.UNKNOWN), ("connecting", State.UNKNOWN)]
)
async def test_an_instance_of_the_cloud_api_has_no_socket_to_lose(
    word: str, state: State, evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    server.integrations = {"alpha": "WHATSAPP-BUSINESS"}
    server.memory["alpha"] = word
    looks = await polls(evolution, clock, 12)
    assert by_name(looks[-1])["alpha"].state is state
    assert server.calls["rows"] == 1


async def test_no_token_is_kept(evolution: EvolutionGateway, server: Server) -> None:
    look = await evolution.look()
    assert TOKEN not in repr(look)
    assert TOKEN not in repr(evolution._database.rows)


async def test_rows_of_v1_are_read(evolution: EvolutionGateway, server: Server) -> None:
    """Unverified: the shape is that of the source of 1.8.2."""
    rows = [
        {"instance": {"instanceName": "alpha", "owner": "1@s.whatsapp.net", "status": "open", "apikey": TOKEN}},
        {"instance": {"instanceName": "beta", "status": "connecting", "apikey": TOKEN}},
    ]
    server.metrics = 404
    server.memory["beta"] = "connecting"
    server.row = lambda name: rows[name == "beta"]  # type: ignore[method-assign]
    seen = by_name(await evolution.look())
    assert (seen["alpha"].state, seen["beta"].reason) == (State.WORKING, Reason.QR_WANTED)
    assert TOKEN not in repr(evolution._database.rows)


# Without /metrics.


def many(server: Server, count: int) -> None:
    server.metrics = 404
    server.memory = {f"s{number}": "open" for number in range(count)}
    server.database = dict(server.memory)


async def test_at_first_all_are_asked_and_then_each_once_in_30_s(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    many(server, 50)
    await evolution.look()
    assert server.calls["state"] == 50
    clock.now += 5
    looks = await polls(evolution, clock, 6)
    assert server.calls["state"] == 50 + 6 * 10
    assert set(server.asked[50:100]) == set(server.memory)
    for look in looks:
        fresh = [one for one in by_name(look).values() if one.fresh]
        assert len(fresh) == 10
        assert {one.state for one in by_name(look).values()} == {State.WORKING}


async def test_those_that_are_not_well_are_asked_each_time(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    many(server, 50)
    server.memory["s7"] = "connecting"
    looks = await polls(evolution, clock, 7)
    assert server.asked.count("s7") == 7
    assert all(by_name(look)["s7"].fresh for look in looks)


async def test_with_a_slow_poll_all_are_asked_each_time(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    many(server, 20)
    looks = await polls(evolution, clock, 3, every=60.0)
    assert server.calls["state"] == 60
    assert all(one.fresh for look in looks for one in by_name(look).values())


async def test_a_redis_outage_costs_one_call_each_poll_and_nothing_is_guessed(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    """Mode A: every call of an instance hangs, and is carried out when Redis is back."""
    many(server, 20)
    await evolution.look()
    server.hung = set(server.memory)
    server.calls.clear()
    clock.now += 5
    looks = await polls(evolution, clock, 7)
    assert server.calls["state"] == 7
    assert "Redis" in looks[-1].detail
    assert all(look.reachable and look.store_ok for look in looks)
    first, last = by_name(looks[0]), by_name(looks[-1])
    assert Counter(one.state for one in first.values()) == {State.WORKING: 19, State.UNKNOWN: 1}
    assert not any(one.fresh for one in first.values() if one.state is State.WORKING)
    assert {one.state for one in last.values()} == {State.UNKNOWN}
    server.hung = set()
    assert {one.state for one in by_name(await evolution.look()).values()} == {State.WORKING}


async def test_redis_failing_in_the_middle_of_a_round_leaves_no_more_calls_than_are_under_way(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    many(server, 40)
    server.hung = {f"s{number}" for number in range(1, 40)}
    look = await evolution.look()
    assert server.calls["state"] <= 1 + 8
    assert {one.state for name, one in by_name(look).items() if name != "s0"} == {State.UNKNOWN}


async def test_after_the_gateway_fell_silent_all_are_asked_anew(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    many(server, 40)
    await evolution.look()
    server.dead = True
    clock.now += 5
    assert (await evolution.look()).reachable is False
    server.dead = False
    clock.now += 5
    assert all(one.fresh for one in by_name(await evolution.look()).values())


async def test_a_round_that_runs_out_of_time_goes_on_in_the_next(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    many(server, 30)
    server.state_takes = 1.0
    first = by_name(await evolution.look())
    assert 0 < sum(one.fresh and one.state is State.WORKING for one in first.values()) < 30
    clock.now += 1
    second = by_name(await evolution.look())
    asked_first = [name for name, one in first.items() if one.state is State.WORKING]
    assert not any(second[name].fresh for name in asked_first)
    assert {second[name].state for name in asked_first} == {State.WORKING}


async def test_an_instance_of_its_own_trouble_does_not_hide_the_others(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    many(server, 5)
    server.hung = {"s0"}
    looks = await polls(evolution, clock, 5)
    worked = {name for look in looks for name, one in by_name(look).items() if one.state is State.WORKING}
    assert worked == {"s1", "s2", "s3", "s4"}


async def test_not_loaded_needs_a_database_that_is_well(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    many(server, 2)
    del server.memory["s1"]
    assert by_name(await evolution.look())["s1"].state is State.NOT_LOADED
    server.rows_status = 500
    clock.now += 60
    assert by_name(await evolution.look())["s1"].state is State.UNKNOWN


async def test_a_gateway_without_instances_is_reachable_by_the_call_that_needs_nothing(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    many(server, 0)
    looks = await polls(evolution, clock, 2)
    assert [(look.reachable, look.sightings) for look in looks] == [(True, ()), (True, ())]
    assert server.calls["verify"] == 1


async def test_rows_that_were_never_read_are_not_a_gateway_without_instances(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    server.metrics, server.rows_status = 404, 500
    looks = await polls(evolution, clock, 3)
    assert [(look.reachable, look.sightings, look.store_ok) for look in looks] == [(True, None, False)] * 3
    assert server.calls == {"metrics": 1, "rows": 2, "verify": 1}
    assert "GET" not in looks[0].detail


async def test_no_more_than_8_calls_are_under_way() -> None:
    under_way = most = 0

    async def count(asked: Asked, _: object) -> bytes | None:
        nonlocal under_way, most
        if asked.path == "/metrics":
            return http(404)
        if asked.path == "/instance/fetchInstances":
            return http(200, [{"name": f"s{number}", "connectionStatus": "open"} for number in range(40)])
        under_way += 1
        most = max(most, under_way)
        await anyio.sleep(0.005)
        under_way -= 1
        return http(200, {"instance": {"state": "open"}})

    async with wired(count) as wire:
        gateway = EvolutionGateway(
            wire.url, None, timeout=20.0, action_timeout=2.0, metrics_auth=None, clock=anyio.current_time
        )
        look = await gateway.look()
        await gateway.aclose()
        assert wire.connections <= 8
    assert {one.state for one in by_name(look).values()} == {State.WORKING}
    assert 1 < most <= 8


async def test_a_hung_process_is_asked_twice_within_the_time_of_a_look() -> None:
    async with wired(hang) as wire:
        gateway = EvolutionGateway(
            wire.url, None, timeout=0.4, action_timeout=2.0, metrics_auth=None, clock=anyio.current_time
        )
        look = await gateway.look()
        await gateway.aclose()
        assert [str(one) for one in wire.asked] == ["GET /metrics", "POST /verify-creds"]
    assert (look.reachable, look.sightings, look.trouble) == (False, None, Trouble.TIMED_OUT)


async def test_nobody_at_the_port_is_told() -> None:
    gateway = EvolutionGateway(
        f"http://127.0.0.1:{free_port()}", None, timeout=2.0, action_timeout=2.0, metrics_auth=None, clock=lambda: 0.0
    )
    look = await gateway.look()
    close = await gateway.look_closely("alpha")
    answer = await gateway.restart_session("alpha")
    await gateway.aclose()
    assert (look.reachable, look.trouble, look.sightings) == (False, Trouble.REFUSED, None)
    assert (close.sighting, close.store_ok) == (None, None)
    assert answer.outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (httpx.Response(200, json={"error": True}), Outcome.REFUSED),
        (httpx.Response(200, json={"error": False, "instance": {}}), Outcome.ACCEPTED),
        (httpx.Response(201, content=b""), Outcome.ACCEPTED),
        (httpx.Response(200, content=b"<html>"), Outcome.ACCEPTED),
        (httpx.Response(200, json=[1]), Outcome.ACCEPTED),
        (httpx.Response(401), Outcome.REFUSED),
        (httpx.Response(500), Outcome.REFUSED),
        (httpcore.ReadTimeout("x"), Outcome.TIMED_OUT),
        (httpcore.RemoteProtocolError("x"), Outcome.DROPPED),
        (httpcore.ConnectError("x"), Outcome.UNREACHABLE),
    ],
)
async def test_a_restart_has_its_outcome(
    answer: httpx.Response | Exception, outcome: Outcome, evolution: EvolutionGateway
) -> None:
    with respx.mock(base_url=URL) as api:
        api.post("/instance/restart/alpha").mock(side_effect=[answer])
        assert (await evolution.restart_session("alpha")).outcome is outcome


async def test_there_is_no_start(evolution: EvolutionGateway, server: Server) -> None:
    answer = await evolution.start_session("alpha")
    assert answer.outcome is Outcome.REFUSED
    assert "no start" in answer.detail
    assert server.calls == {}


@pytest.mark.parametrize("name", ["..", "", "a\nb"])
async def test_a_name_that_would_become_another_call_is_refused(
    name: str, evolution: EvolutionGateway, server: Server
) -> None:
    assert (await evolution.restart_session(name)).outcome is Outcome.REFUSED
    assert (await evolution.look_closely(name)).sighting is None
    assert server.calls == {}


async def test_others_are_known_from_the_last_look_where_there_is_no_page(
    evolution: EvolutionGateway, server: Server, clock: Clock
) -> None:
    many(server, 2)
    await evolution.look()
    assert (await evolution.look_closely("s0")).others_working is True
    server.memory["s1"] = "close"
    clock.now += 30
    await evolution.look()
    assert (await evolution.look_closely("s0")).others_working is False
    clock.now += 31
    assert (await evolution.look_closely("s0")).others_working is None

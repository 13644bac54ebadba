"""Evolution's adapter against what Evolution API 2.3.6 really answered."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpcore
import httpx
import pytest
import respx

from wasupervisor.gateways.evolution import EvolutionGateway
from wasupervisor.gateways.evolution_answers import read_connection_state, read_metrics, read_rows
from wasupervisor.gateways.evolution_truths import ABSENT
from wasupervisor.model.observation import Proof, Trouble
from wasupervisor.model.remedies import Outcome
from wasupervisor.model.sessions import Reason, State, Truths

FOLDER = Path(__file__).parent / "recordings" / "evolution-2.3.6"
RECORDINGS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_bytes()) for path in sorted(FOLDER.glob("*.json"))
}
URL = "http://evolution.test:8080"
KEY = "secret-key-of-evolution"


def replay(name: str) -> httpx.Response | Exception:
    """What the recorded Evolution did, as the HTTP library shows it."""
    recording = RECORDINGS[name]
    if recording["status"] is None:
        return httpcore.ReadTimeout("slow")
    return httpx.Response(recording["status"], content=body_of(name))


def body_of(name: str) -> bytes:
    body = RECORDINGS[name]["body"]
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


@pytest.fixture
def api() -> Any:
    with respx.mock(base_url=URL, assert_all_called=False) as router:
        yield router


@pytest.fixture
async def evolution() -> AsyncIterator[EvolutionGateway]:
    gateway = EvolutionGateway(URL, KEY, timeout=2.0, action_timeout=2.0, metrics_auth=None, clock=lambda: 0.0)
    yield gateway
    await gateway.aclose()


def serve(api: Any, *, metrics: str, rows: str, states: dict[str, str] | None = None, verify: str = "") -> Any:
    """Answer with recordings: each call as often as it is made."""
    for path, name in (("/metrics", metrics), ("/instance/fetchInstances", rows), ("/verify-creds", verify)):
        if name:
            api.route(path=path).mock(side_effect=lambda _, name=name: _raise_or_give(name))
    for session, name in (states or {}).items():
        path = f"/instance/connectionState/{session}"
        api.get(path).mock(side_effect=lambda _, name=name: _raise_or_give(name))
    return api


def _raise_or_give(name: str) -> httpx.Response:
    answer = replay(name)
    if isinstance(answer, Exception):
        raise answer
    return answer


ROWS = {
    "blackhole-fetchInstances": [],
    "fetchInstances-empty": [],
    "fetchInstances-one": [("alpha", "close", None, False)],
    "fetchInstances-by-name": [("alpha", "close", None, False)],
    "fetchInstances-by-instance-token": [("alpha", "close", None, False)],
    "fetchInstances-connecting": [("alpha", "connecting", None, False)],
    "fetchInstances-open": [("alpha", "open", None, True)],
    "fetchInstances-false-open-db-says-open": [("beta", "open", None, True)],
    "false-open-after-pg-outage-fetchInstances": [("gamma", "open", None, True)],
    # Codes of closes minutes before the row was written last are history, here and with Redis down.
    "healthy-fetchInstances": [
        ("beta", "open", None, True),
        ("gamma", "open", None, True),
        ("alpha", "open", None, True),
    ],
    "qrlimit-fetchInstances": [("delta", "connecting", None, False)],
    "redisdown-fetchInstances": [
        ("beta", "open", None, True),
        ("gamma", "open", None, True),
        ("alpha", "open", None, True),
    ],
    "dbonly-fetchInstances-all": [
        ("beta", "open", 406, True),
        ("gamma", "open", None, True),
        ("alpha", "open", None, True),
        ("ghost", "open", None, False),
    ],
    "wrongtype-fetchInstances": [("alpha", "open", None, True)],
}
NO_ROWS = [
    "dbonly-fetchInstances-by-name",
    "fetchInstances-401-no-key",
    "fetchInstances-401-wrong-key",
    "fetchInstances-by-instanceId-404",
    "fetchInstances-by-name-404",
    "fetchInstances-by-number-404",
    "pgdown-fetchInstances",
    "pgdown-fetchInstances-wrong-key",
]
PAGES = {
    "blackhole-metrics": {},
    "metrics-empty": {},
    "metrics-one": {"alpha": "close"},
    "metrics-connecting": {"alpha": "connecting"},
    "metrics-open": {"alpha": "open"},
    "metrics-stuck-connecting": {"alpha": "open", "beta": "connecting", "gamma": "open"},
    "metrics-wrong-key-ignored": {"alpha": "open", "beta": "open", "gamma": "open"},
    "healthy-metrics": {"alpha": "open", "beta": "open", "gamma": "open"},
    "pgdown-metrics": {"alpha": "open", "beta": "open", "gamma": "open"},
    "redisdown-metrics": {"alpha": "open", "beta": "open", "gamma": "open"},
    "false-open-after-pg-outage-metrics": {"alpha": "open", "beta": "open", "gamma": "open"},
}
STATES = {
    "blackhole-connectionState": "close",
    "connectionState-after-connect-offline": "close",
    "connectionState-close": "close",
    "connectionState-connecting": "connecting",
    "connectionState-instance-token": "close",
    "connectionState-open": "open",
    "connectionState-stuck-connecting": "connecting",
    "false-open-after-pg-outage-connectionState": "open",
    "healthy-connectionState": "open",
    "modeB-dbonly-connectionState": ABSENT,
    "modeB-redisdown-connectionState": "connecting",
    "pgdown-connectionState-global-key": "open",
    "pgdown-false-open-connectionState": "open",
    "qrlimit-connectionState": "connecting",
    "redisdown-connectionState-answers-when-redis-returns": "open",
    "sigstop-answer-after-sigcont": "open",
    "wrongtype-connectionState": "open",
    "wrongtype-repaired-connectionState": "open",
}
ACTIONS = {
    "dbonly-restart": (Outcome.REFUSED, "has not loaded the instance"),
    "false-open-restart": (Outcome.ACCEPTED, "200"),
    "modeB-dbonly-restart": (Outcome.REFUSED, "nothing was restarted"),
    "modeB-redisdown-restart": (Outcome.ACCEPTED, "200"),
    "modeB-wrongtype-restart": (Outcome.ACCEPTED, "200"),
    "pgdown-restart": (Outcome.ACCEPTED, "200"),
    "pgdown-restart-of-healthy-instance": (Outcome.ACCEPTED, "200"),
    "qrlimit-restart": (Outcome.ACCEPTED, "200"),
    "redis-error-on-hget-restart": (Outcome.ACCEPTED, "200"),
    "redisdown-restart": (Outcome.TIMED_OUT, "no answer in time"),
    "restart-404-unknown": (Outcome.REFUSED, "has not loaded the instance"),
    "restart-close": (Outcome.REFUSED, "nothing was restarted"),
    "restart-open": (Outcome.ACCEPTED, "200"),
    "restart-stuck-connecting": (Outcome.ACCEPTED, "200"),
    "wrongtype-repaired-restart": (Outcome.ACCEPTED, "200"),
    "wrongtype-restart": (Outcome.ACCEPTED, "200"),
}


@pytest.mark.parametrize(("name", "expected"), ROWS.items(), ids=str)
def test_each_recorded_list_of_rows_is_read(name: str, expected: list[tuple[Any, ...]]) -> None:
    rows = read_rows(body_of(name))
    assert rows is not None
    assert rows.unreadable == 0
    assert [(name, row.database, row.code, row.paired) for name, row in rows.by_name.items()] == expected
    assert {row.integration for row in rows.by_name.values()} <= {"WHATSAPP-BAILEYS"}
    assert {(row.always_online, row.activity) for row in rows.by_name.values()} <= {(False, 0)}
    assert all(row.identity is not None and UUID(row.identity) for row in rows.by_name.values())
    assert "<token>" not in repr(rows)


@pytest.mark.parametrize("name", NO_ROWS)
def test_no_recorded_error_is_taken_for_rows(name: str) -> None:
    assert read_rows(body_of(name)) is None


@pytest.mark.parametrize(("name", "expected"), PAGES.items(), ids=str)
def test_each_recorded_page_of_metrics_is_read(name: str, expected: dict[str, str]) -> None:
    page = read_metrics(body_of(name))
    assert page is not None
    assert page.states == expected
    assert page.version == "2.3.6"


@pytest.mark.parametrize(("name", "expected"), STATES.items(), ids=str)
def test_each_recorded_state_of_memory_is_read(name: str, expected: str) -> None:
    assert read_connection_state(body_of(name)) == expected


@pytest.mark.anyio
@pytest.mark.parametrize(("name", "expected"), ACTIONS.items(), ids=str)
async def test_each_recorded_restart_has_its_outcome(
    name: str, expected: tuple[Outcome, str], api: Any, evolution: EvolutionGateway
) -> None:
    path = RECORDINGS[name]["request"]["path"]
    route = api.post(path).mock(side_effect=[replay(name)])
    answer = await evolution.restart_session(path.rsplit("/", 1)[-1])
    outcome, words = expected
    assert answer.outcome is outcome
    assert words in answer.detail
    assert route.call_count == 1
    assert route.calls[0].request.headers["apikey"] == KEY


@pytest.mark.anyio
async def test_v1_restarts_with_put_and_that_is_remembered(api: Any, evolution: EvolutionGateway) -> None:
    # The recording is of the opposite: v2 asked with v1's method. Its v1 twin is not recorded.
    refused = json.loads(body_of("restart-PUT-404-v1-method").replace(b"PUT", b"POST"))
    post = api.post("/instance/restart/alpha").mock(return_value=httpx.Response(404, json=refused))
    put = api.put("/instance/restart/alpha").mock(side_effect=lambda _: _raise_or_give("restart-open"))
    for _ in range(2):
        assert (await evolution.restart_session("alpha")).outcome is Outcome.ACCEPTED
    assert (post.call_count, put.call_count) == (1, 2)


@pytest.mark.anyio
async def test_a_gateway_that_has_neither_way_to_restart_refuses(api: Any, evolution: EvolutionGateway) -> None:
    api.route(path="/instance/restart/alpha").mock(side_effect=lambda _: _raise_or_give("restart-PUT-404-v1-method"))
    assert (await evolution.restart_session("alpha")).outcome is Outcome.REFUSED
    assert [call.request.method for call in api.calls] == ["POST", "PUT"]


WORKING = (State.WORKING, Reason.NONE, "open", "open")
WANTS_QR = (State.NEEDS_HUMAN, Reason.QR_WANTED)
LOST = (State.FAILED, Reason.CONNECTION_LOST, "close")
MOVES = (State.STARTING, Reason.RECONNECTING, "connecting")
NOT_LOADED = (State.NOT_LOADED, Reason.NOT_LOADED, ABSENT, "open")
ALL_WORK = {"alpha": WORKING, "beta": WORKING, "gamma": WORKING}
LOOKS: list[tuple[str, str, dict[str, Any]]] = [
    ("metrics-open", "fetchInstances-open", {"alpha": WORKING}),
    ("metrics-one", "fetchInstances-open", {"alpha": (*LOST, "open")}),
    ("metrics-one", "fetchInstances-one", {"alpha": (*WANTS_QR, "close", "close")}),
    (
        "metrics-one",
        "fetchInstances-connecting",
        {"alpha": (State.NEEDS_HUMAN, Reason.QR_EXPIRED, "close", "connecting")},
    ),
    ("metrics-connecting", "fetchInstances-open", {"alpha": (*MOVES, "open")}),
    ("metrics-connecting", "fetchInstances-connecting", {"alpha": (*WANTS_QR, "connecting", "connecting")}),
    ("metrics-connecting", "fetchInstances-one", {"alpha": (*WANTS_QR, "connecting", "close")}),
    ("metrics-empty", "fetchInstances-open", {"alpha": NOT_LOADED}),
    ("metrics-open", "pgdown-fetchInstances", {"alpha": (State.WORKING, Reason.NONE, "open", None)}),
    ("metrics-one", "pgdown-fetchInstances", {"alpha": (*LOST, None)}),
    ("metrics-connecting", "pgdown-fetchInstances", {"alpha": (*MOVES, None)}),
    ("healthy-metrics", "healthy-fetchInstances", ALL_WORK),
    ("metrics-stuck-connecting", "healthy-fetchInstances", {**ALL_WORK, "beta": (*MOVES, "open")}),
    ("healthy-metrics", "dbonly-fetchInstances-all", {**ALL_WORK, "ghost": NOT_LOADED}),
    ("metrics-empty", "fetchInstances-empty", {}),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("metrics", "rows", "expected"), LOOKS)
async def test_memory_and_database_give_a_state_together(
    metrics: str, rows: str, expected: dict[str, Any], api: Any, evolution: EvolutionGateway
) -> None:
    serve(api, metrics=metrics, rows=rows)
    look = await evolution.look()
    assert (look.reachable, look.trouble, look.version) == (True, None, "2.3.6")
    assert look.sightings is not None
    assert {one.name: (one.state, one.reason, *truths(one.truths)) for one in look.sightings} == expected
    assert look.store_ok is (not rows.startswith("pgdown"))
    assert ("cannot reach its database" in look.detail) is rows.startswith("pgdown")
    assert look.notes == ((look.detail,) if look.detail else ())


def truths(kept: Truths | None) -> tuple[str | None, str | None]:
    assert kept is not None
    return kept.memory, kept.database


@pytest.mark.anyio
@pytest.mark.parametrize("rows", ["pgdown-fetchInstances", "fetchInstances-401-wrong-key"])
async def test_an_empty_page_without_the_database_is_never_a_gateway_without_instances(
    rows: str, api: Any, evolution: EvolutionGateway
) -> None:
    serve(api, metrics="metrics-empty", rows=rows)
    look = await evolution.look()
    assert (look.reachable, look.sightings) == (True, None)
    assert look.trouble is (Trouble.BAD_STATUS if rows.startswith("pgdown") else Trouble.UNAUTHORIZED)


@pytest.mark.anyio
async def test_a_wrong_key_is_told_although_the_page_needs_none(api: Any, evolution: EvolutionGateway) -> None:
    serve(api, metrics="metrics-wrong-key-ignored", rows="fetchInstances-401-wrong-key")
    look = await evolution.look()
    assert look.trouble is Trouble.UNAUTHORIZED
    assert "gateway.api_key" in look.detail
    assert look.notes == (look.detail,)
    assert look.sightings is not None
    assert [one.state for one in look.sightings] == [State.WORKING] * 3
    assert look.store_ok is None


@pytest.mark.anyio
async def test_without_metrics_each_instance_is_asked_and_the_operator_is_told(
    api: Any, evolution: EvolutionGateway
) -> None:
    states = {
        "alpha": "connectionState-open",
        "beta": "connectionState-stuck-connecting",
        "gamma": "connectionState-close",
    }
    serve(api, metrics="metrics-disabled", rows="healthy-fetchInstances", states=states)
    look = await evolution.look()
    assert look.sightings is not None
    assert {one.name: one.state for one in look.sightings} == {
        "alpha": State.WORKING,
        "beta": State.STARTING,
        "gamma": State.FAILED,
    }
    assert (look.reachable, look.store_ok, look.version) == (True, True, None)
    assert "PROMETHEUS_METRICS=true" in look.notes[0]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("state", "rows", "expected"),
    [
        ("dbonly-connectionState", "fetchInstances-open", State.NOT_LOADED),
        ("modeB-dbonly-connectionState", "fetchInstances-open", State.NOT_LOADED),
        ("pgdown-connectionState-instance-key", "fetchInstances-open", State.UNKNOWN),
        ("connectionState-401-wrong-key", "fetchInstances-open", State.UNKNOWN),
        ("no-such-route-404", "fetchInstances-open", State.UNKNOWN),
        ("pgdown-connectionState-unknown", "fetchInstances-open", State.NOT_LOADED),
        ("connectionState-404-unknown", "fetchInstances-open", State.NOT_LOADED),
        ("connectionState-404-unknown-wrong-key", "fetchInstances-open", State.NOT_LOADED),
        ("modeB-redisdown-connectionState-unknown", "fetchInstances-open", State.NOT_LOADED),
        ("redisdown-connectionState", "fetchInstances-open", State.UNKNOWN),
        ("redisdown-connectionState-unknown", "fetchInstances-open", State.UNKNOWN),
        ("sigstop-connectionState-timeout", "fetchInstances-open", State.UNKNOWN),
    ],
)
async def test_each_recorded_answer_without_a_state_has_its_meaning(
    state: str, rows: str, expected: State, api: Any, evolution: EvolutionGateway
) -> None:
    serve(api, metrics="metrics-disabled", rows=rows, states={"alpha": state})
    look = await evolution.look()
    assert look.sightings is not None
    (sighting,) = look.sightings
    assert sighting.state is expected
    assert look.reachable is True


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("verify", "reachable"),
    [
        ("redisdown-verify-creds", True),
        ("pgdown-verify-creds", True),
        ("verify-creds", True),
        ("verify-creds-401", True),
        ("sigstop-metrics-timeout", False),
    ],
)
async def test_a_hung_process_is_told_by_the_call_that_needs_nothing(
    verify: str, reachable: bool, api: Any, evolution: EvolutionGateway
) -> None:
    serve(api, metrics="sigstop-metrics-timeout", rows="fetchInstances-open", verify=verify)
    look = await evolution.look()
    assert (look.reachable, look.sightings, look.trouble) == (reachable, None, Trouble.TIMED_OUT)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("rows", "state", "sighted", "well", "detail"),
    [
        ("fetchInstances-by-name", "connectionState-close", State.NEEDS_HUMAN, True, ""),
        ("wrongtype-fetchInstances", "connectionState-open", State.WORKING, True, ""),
        ("wrongtype-fetchInstances", "connectionState-connecting", State.STARTING, True, ""),
        ("fetchInstances-connecting", "connectionState-connecting", State.NEEDS_HUMAN, True, ""),
        ("wrongtype-fetchInstances", "redisdown-connectionState", None, True, "no answer"),
        ("wrongtype-fetchInstances", "dbonly-connectionState", None, True, "memory does not show"),
        ("wrongtype-fetchInstances", "modeB-dbonly-connectionState", None, True, "memory does not show"),
        ("wrongtype-fetchInstances", "connectionState-401-wrong-key", None, True, "memory does not show"),
        ("fetchInstances-false-open-db-says-open", "connectionState-open", None, True, "database does not list"),
        ("fetchInstances-empty", "connectionState-open", None, True, "database does not list"),
        ("pgdown-fetchInstances", "pgdown-connectionState-global-key", None, False, "cannot reach its database"),
        ("dbonly-fetchInstances-by-name", "dbonly-connectionState", None, None, "404"),
        ("fetchInstances-401-wrong-key", "connectionState-401-wrong-key", None, None, "gateway.api_key"),
    ],
)
async def test_the_look_right_before_a_remedy_needs_database_and_memory(
    rows: str,
    state: str,
    sighted: State | None,
    well: bool | None,
    detail: str,
    api: Any,
    evolution: EvolutionGateway,
) -> None:
    serve(api, metrics="healthy-metrics", rows=rows, states={"alpha": state})
    look = await evolution.look_closely("alpha")
    assert (look.sighting and look.sighting.state) == sighted
    assert look.store_ok is well
    assert detail in look.detail
    assert api.calls[0].request.url.params["instanceName"] == "alpha"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("metrics", "others"),
    [("healthy-metrics", True), ("metrics-open", False), ("metrics-disabled", None), ("sigstop-metrics-timeout", None)],
)
async def test_whether_others_work_is_read_with_it(
    metrics: str, others: bool | None, api: Any, evolution: EvolutionGateway
) -> None:
    serve(api, metrics=metrics, rows="wrongtype-fetchInstances", states={"alpha": "connectionState-open"})
    look = await evolution.look_closely("alpha")
    assert look.others_working is others


def test_every_recorded_answer_stands_in_a_table_above() -> None:
    text = Path(__file__).read_text()
    asked = r"GET /instance/(fetchInstances|connectionState)|GET /metrics|POST /instance/restart/|POST /verify"
    ours = re.compile(asked)
    for name, recording in RECORDINGS.items():
        request = recording.get("request", {})
        after_delete = name.startswith(("delete-", "logout-"))
        if not after_delete and ours.match(f"{request.get('method')} {request.get('path')}"):
            assert f'"{name}"' in text


PROBES = {
    "probe-true-open-setPresence": ("alpha", Proof.ANSWERED, "201"),
    "probe-false-open-setPresence": ("gamma", Proof.MISSED, "its connection is closed"),
    "no-such-route-404": ("alpha", Proof.UNKNOWN, "404"),
    "fetchInstances-401-wrong-key": ("alpha", Proof.UNKNOWN, "401"),
    "pgdown-restart-of-healthy-instance": ("alpha", Proof.UNKNOWN, "200"),
    "blackhole-root-timeout": ("alpha", Proof.UNKNOWN, "no answer in time"),
}
"""Those of other calls stand for what any call may be answered."""


@pytest.mark.parametrize(("name", "expected"), PROBES.items(), ids=str)
@pytest.mark.anyio
async def test_each_recorded_answer_to_a_probe_has_its_proof(
    name: str, expected: tuple[str, Proof, str], api: Any, evolution: EvolutionGateway
) -> None:
    session, proof, words = expected
    serve(api, metrics="healthy-metrics", rows="healthy-fetchInstances")
    await evolution.look()
    route = api.post(f"/instance/setPresence/{session}").mock(side_effect=lambda _: _raise_or_give(name))
    result = await evolution.probe(session, 2.0)
    assert (result.session, result.proof) == (session, proof)
    assert words in result.detail
    if name.endswith("setPresence"):
        request = route.calls.last.request
        assert json.loads(request.content) == RECORDINGS[name]["request"]["body"]
        assert request.headers["content-type"] == "application/json"

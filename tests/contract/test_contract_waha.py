"""WAHA's adapter against what WAHA 2024.10.8 really answered. Each recording is used, so that none is only for show."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
import respx

from wasupervisor.gateways.http import Failure, Reply
from wasupervisor.gateways.waha import WahaGateway, read_list, read_run, read_version
from wasupervisor.model.observation import Proof, Trouble
from wasupervisor.model.remedies import Outcome
from wasupervisor.model.sessions import Reason, Sighting, State

FOLDER = Path(__file__).parent / "recordings" / "waha-2024.10.8"
RECORDINGS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_bytes()) for path in sorted(FOLDER.glob("*.json"))
}
URL = "http://waha.test:3000"
KEY = "secret-key-of-waha"


def replay(name: str) -> httpx.Response | Exception:
    """What the recorded WAHA did, as the HTTP library shows it."""
    recording = RECORDINGS[name]
    if recording["status"] is None:
        broke = recording["error"].startswith("RemoteDisconnected")
        return httpcore.RemoteProtocolError("gone") if broke else httpcore.ReadTimeout("slow")
    body = recording["body"]
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    headers = {"content-type": recording["headers"].get("content-type", "text/plain")}
    return httpx.Response(recording["status"], content=content, headers=headers)


@pytest.fixture
def api() -> Any:
    with respx.mock(base_url=URL, assert_all_called=False) as router:
        yield router


@pytest.fixture
async def waha() -> AsyncIterator[WahaGateway]:
    gateway = WahaGateway(URL, KEY, timeout=2.0, action_timeout=2.0, clock=lambda: 0.0)
    yield gateway
    await gateway.aclose()


def answer_identity(api: Any) -> None:
    api.get("/api/server/status").mock(side_effect=[replay("core-server-status")])
    api.get("/api/server/version").mock(side_effect=[replay("core-server-version")])


DEFAULT_STOPPED = (Sighting("default", State.STOPPED, Reason.STOPPED, "STOPPED"),)
BOTH_WORKING = (
    Sighting("default", State.WORKING, claim="WORKING", paired=True),
    Sighting("second", State.WORKING, claim="WORKING", paired=True),
)
LISTS = {
    "core-sessions": (),
    "core-sessions-all": DEFAULT_STOPPED,
    "core-sessions-all-slash": DEFAULT_STOPPED,
    "core-sessions-all-removed": (),
    "sessions": BOTH_WORKING,
    "sessions-all": BOTH_WORKING,
}
NO_LISTS = {
    "core-sessions-all-bad": (True, Trouble.BAD_STATUS, "answered 400 Bad Request"),
    "core-sessions-nokey": (True, Trouble.UNAUTHORIZED, "gateway.api_key"),
    "core-sessions-wrongkey": (True, Trouble.UNAUTHORIZED, "gateway.api_key"),
    "sigstop-sessions": (False, Trouble.TIMED_OUT, "no answer in time"),
}
SESSIONS = {
    "core-session-default-starting": (State.STARTING, Reason.RECONNECTING, None),
    "core-session-default-stopped": (State.STOPPED, Reason.STOPPED, None),
    "session-failed": (State.FAILED, Reason.UNEXPLAINED, True),
    "session-noanswer": (State.WORKING, Reason.NONE, True),
    "session-scanqr": (State.NEEDS_HUMAN, Reason.QR_WANTED, False),
    "session-starting-nonet": (State.STARTING, Reason.RECONNECTING, True),
    "session-stopped": (State.STOPPED, Reason.STOPPED, None),
    "session-working": (State.WORKING, Reason.NONE, True),
}
UNKNOWN_SESSIONS = {"core-session-default-removed", "core-session-unknown", "session-unknown"}
ACTIONS = {
    "core-restart-unknown": (Outcome.REFUSED, "serves no session but `default`"),
    "core-restart-when-starting": (Outcome.ACCEPTED, "201"),
    "core-restart-when-stopped": (Outcome.ACCEPTED, "201"),
    "core-start-removed": (Outcome.REFUSED, "WAHA does not know the session"),
    "core-start-unknown": (Outcome.REFUSED, "serves no session but `default`"),
    "core-start-when-started": (Outcome.ALREADY, "already started"),
    "core-start-when-stopped": (Outcome.ACCEPTED, "201"),
    "restart-after-restore": (Outcome.ACCEPTED, "201"),
    "restart-after-restore2": (Outcome.ACCEPTED, "201"),
    "restart-for-ws": (Outcome.ACCEPTED, "201"),
    "restart-unknown": (Outcome.REFUSED, "WAHA does not know the session"),
    "restart-when-failed": (Outcome.ACCEPTED, "201"),
    "restart-when-scanqr": (Outcome.ACCEPTED, "201"),
    "restart-when-starting": (Outcome.DROPPED, "the connection broke"),
    "restart-when-stuck-starting": (Outcome.ACCEPTED, "201"),
    "restart-when-working": (Outcome.ACCEPTED, "201"),
    "restart-while-connecting": (Outcome.DROPPED, "the connection broke"),
    "restart-with-empty-creds": (Outcome.ACCEPTED, "201"),
    "restart-with-half-creds": (Outcome.ACCEPTED, "201"),
    "second-restart": (Outcome.ACCEPTED, "201"),
    "start-after-creds-restored": (Outcome.ACCEPTED, "201"),
    "start-after-failed-stop": (Outcome.ACCEPTED, "201"),
    "start-unknown": (Outcome.REFUSED, "WAHA does not know the session"),
    "start-when-failed": (Outcome.ALREADY, "already started"),
    "start-when-starting": (Outcome.ALREADY, "already started"),
    "start-when-stopped": (Outcome.ACCEPTED, "201"),
    "start-when-working": (Outcome.ALREADY, "already started"),
    "start-with-empty-creds-file": (Outcome.ACCEPTED, "201"),
}


@pytest.mark.parametrize(("name", "expected"), LISTS.items(), ids=str)
@pytest.mark.anyio
async def test_a_recorded_list_gives_its_sightings(
    name: str, expected: tuple[Sighting, ...], api: Any, waha: WahaGateway
) -> None:
    route = api.get("/api/sessions", params={"all": "true"}).mock(side_effect=[replay(name)])
    answer_identity(api)
    look = await waha.look()
    assert (look.reachable, look.trouble, look.sightings) == (True, None, expected)
    assert (look.version, look.engine, look.run) == ("2024.10.8", "NOWEB", "1795258508825")
    assert look.store_ok is None
    assert route.calls[0].request.headers["X-Api-Key"] == KEY
    assert route.calls[0].request.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(("name", "expected"), NO_LISTS.items(), ids=str)
@pytest.mark.anyio
async def test_a_recorded_refusal_is_never_a_list_without_sessions(
    name: str, expected: tuple[bool, Trouble, str], api: Any, waha: WahaGateway
) -> None:
    api.get("/api/sessions").mock(side_effect=[replay(name)])
    ping = api.get("/ping").mock(side_effect=[replay("sigstop-ping")])
    look = await waha.look()
    reachable, trouble, words = expected
    assert (look.reachable, look.trouble, look.sightings) == (reachable, trouble, None)
    assert words in look.detail
    assert ping.called is (not reachable)


@pytest.mark.parametrize(
    ("ping", "reachable"), [("core-ping", True), ("core-ping-nokey", True), ("sigstop-ping", False)]
)
@pytest.mark.anyio
async def test_a_list_that_hangs_is_told_from_a_process_that_hangs_by_ping(
    ping: str, reachable: bool, api: Any, waha: WahaGateway
) -> None:
    api.get("/api/sessions").mock(side_effect=[replay("sigstop-sessions")])
    api.get("/ping").mock(side_effect=[replay(ping)])
    look = await waha.look()
    assert (look.reachable, look.trouble, look.sightings) == (reachable, Trouble.TIMED_OUT, None)


@pytest.mark.parametrize(("name", "expected"), SESSIONS.items(), ids=str)
def test_each_recorded_state_of_a_session_is_known(name: str, expected: tuple[State, Reason, bool | None]) -> None:
    body = json.dumps([RECORDINGS[name]["body"]]).encode()
    listing = read_list(body)
    assert not isinstance(listing, Failure)
    (sighting,) = listing.sightings
    assert (sighting.state, sighting.reason, sighting.paired) == expected
    assert sighting.claim == RECORDINGS[name]["body"]["status"]


@pytest.mark.parametrize(("name", "expected"), ACTIONS.items(), ids=str)
@pytest.mark.anyio
async def test_each_recorded_action_has_its_outcome(
    name: str, expected: tuple[Outcome, str], api: Any, waha: WahaGateway
) -> None:
    method, path = RECORDINGS[name]["request"]["method"], RECORDINGS[name]["request"]["path"]
    session, verb = path.split("/")[-2:]
    route = api.route(method=method, path=path).mock(side_effect=[replay(name)])
    answer = await (waha.start_session(session) if verb == "start" else waha.restart_session(session))
    outcome, words = expected
    assert answer.outcome is outcome
    assert words in answer.detail
    assert route.call_count == 1


NO_LIST_AT_ALL = [
    name
    for name, recording in RECORDINGS.items()
    if recording.get("status") and not isinstance(recording["body"], list)
]


@pytest.mark.parametrize("name", NO_LIST_AT_ALL)
def test_no_recorded_answer_to_anything_else_is_taken_for_a_list(name: str) -> None:
    answer = replay(name)
    assert isinstance(answer, httpx.Response)
    listing = read_list(answer.content)
    assert isinstance(listing, Failure)
    assert listing.trouble is Trouble.BAD_BODY


@pytest.mark.parametrize("name", ["core-health", "core-unknown-route", "core-ping", "core-sessions-nokey"])
def test_where_the_run_is_not_told_it_is_unknown(name: str) -> None:
    answer = replay(name)
    assert isinstance(answer, httpx.Response)
    reply = Reply(answer.status_code, answer.content)
    assert read_run(reply) is None
    assert read_version(reply) == (None, None)


def test_the_old_version_call_has_the_same_answer() -> None:
    body = json.dumps(RECORDINGS["core-version-old"]["body"]).encode()
    assert read_version(Reply(200, body)) == ("2024.10.8", "NOWEB")


@pytest.mark.parametrize(
    ("name", "sighted", "others", "detail"),
    [
        ("sessions-all", State.WORKING, True, ""),
        ("core-sessions-all", State.STOPPED, False, ""),
        ("core-sessions-all-removed", None, False, "does not list"),
        ("core-sessions-nokey", None, None, "gateway.api_key"),
        ("sigstop-sessions", None, None, "no answer"),
    ],
)
@pytest.mark.anyio
async def test_the_look_right_before_a_remedy(
    name: str, sighted: State | None, others: bool | None, detail: str, api: Any, waha: WahaGateway
) -> None:
    api.get("/api/sessions").mock(side_effect=[replay(name)])
    look = await waha.look_closely("default")
    assert (look.sighting and look.sighting.state) == sighted
    assert look.others_working is others
    assert detail in look.detail
    assert look.store_ok is None


def test_every_recorded_list_state_and_action_stands_in_a_table_above() -> None:
    used = {*LISTS, *NO_LISTS, *SESSIONS, *UNKNOWN_SESSIONS, *ACTIONS}
    ours = re.compile(r"(GET /api/sessions/?([?].*)?|GET /api/sessions/[^/?]+|POST /api/sessions/[^/]+/(re)?start)")
    for name, recording in RECORDINGS.items():
        request = recording.get("request", {})
        if ours.fullmatch(f"{request.get('method')} {request.get('path')}"):
            assert name in used


PROBES = {
    "check-exists-working": (Proof.ANSWERED, "WhatsApp answered"),
    "check-exists-noanswer": (Proof.MISSED, "no answer within 2 s"),
    "check-exists-failed": (Proof.UNKNOWN, "422"),
    "check-exists-scanqr": (Proof.UNKNOWN, "422"),
    "check-exists-noparam-500": (Proof.UNKNOWN, "500"),
    "core-check-exists-starting": (Proof.UNKNOWN, "422"),
    "core-unknown-route": (Proof.UNKNOWN, "404"),
    "core-sessions-wrongkey": (Proof.UNKNOWN, "401"),
    "restart-when-starting": (Proof.UNKNOWN, "the connection broke"),
    "core-root-nokey": (Proof.UNKNOWN, "something else"),
}
"""Those of other calls stand for what any call may be answered."""


@pytest.mark.parametrize(("name", "expected"), PROBES.items(), ids=str)
@pytest.mark.anyio
async def test_each_recorded_answer_to_a_probe_has_its_proof(
    name: str, expected: tuple[Proof, str], api: Any, waha: WahaGateway
) -> None:
    api.get("/api/sessions").mock(side_effect=[replay("sessions-all")])
    answer_identity(api)
    await waha.look()
    route = api.get("/api/contacts/check-exists").mock(side_effect=[replay(name)])
    result = await waha.probe("second", 2.0)
    proof, words = expected
    assert (result.session, result.proof) == ("second", proof)
    assert words in result.detail
    assert "1202" not in repr(result)
    assert dict(route.calls[0].request.url.params) == {"phone": "12025550101", "session": "second"}


def test_every_recorded_probe_stands_in_the_table() -> None:
    assert {name for name in RECORDINGS if "check-exists" in name} <= PROBES.keys()


STOPS = {
    "stop-a": Outcome.ACCEPTED,
    "stop-b": Outcome.ACCEPTED,
    "stop-when-failed": Outcome.ACCEPTED,
    "stop-when-stopped": Outcome.ACCEPTED,
    "stop-when-working": Outcome.ACCEPTED,
    "core-stop-when-starting": Outcome.ACCEPTED,
    "core-stop-when-stopped": Outcome.ACCEPTED,
    "stop-unknown": Outcome.ACCEPTED,
    "core-stop-unknown": Outcome.REFUSED,
}


@pytest.mark.parametrize(("name", "outcome"), STOPS.items(), ids=str)
@pytest.mark.anyio
async def test_each_recorded_stop_has_its_outcome(name: str, outcome: Outcome, api: Any, waha: WahaGateway) -> None:
    recorded = RECORDINGS[name]["request"]
    route = api.route(method=recorded["method"], path=recorded["path"]).mock(side_effect=[replay(name)])
    answer = await waha.park_session(recorded["path"].split("/")[-2])
    assert answer.outcome is outcome
    assert route.call_count == 1

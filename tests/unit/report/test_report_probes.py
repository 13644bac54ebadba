"""The read-only routes, asked as a load balancer asks them, with time in our hands."""

from __future__ import annotations

import json
import socket
import urllib.parse
from collections.abc import Sequence
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from wasupervisor.model.health import Connections, Health, SessionHealth, Status
from wasupervisor.model.sessions import Condition, Reason, State
from wasupervisor.report.board import Board, Snapshot
from wasupervisor.report.connection import Request, Response
from wasupervisor.report.document import BEFORE_FIRST_LOOK, Documents, Facts, GatewayPart
from wasupervisor.report.http import Server
from wasupervisor.report.names import HashedNames, Names
from wasupervisor.report.probes import Probes

EXPIRES_AFTER = 45.0


class Desk:
    """A board with its probes, and a clock that stands still until it is moved."""

    def __init__(self, names: Names | None = None) -> None:
        self.now = 100.0
        self._documents = Documents(names)
        self.board = Board(self._snapshot(BEFORE_FIRST_LOOK, True), clock=lambda: self.now)
        self.probes = Probes(self.board)

    def _snapshot(self, health: Health, reachable: bool | None) -> Snapshot:
        facts = Facts(
            version="0.1.0",
            uptime=self.now,
            now=self.now,
            written_at=1_700_000_000 + self.now,
            expires_after=EXPIRES_AFTER,
            gateway=GatewayPart(kind="waha", reachable=reachable),
        )
        document = self._documents.build(health, facts)
        return Snapshot.of(document, taken=self.now, expires_after=EXPIRES_AFTER, poll_every=4.2)

    def publish(self, health: Health, *, reachable: bool | None = True) -> None:
        self.board.publish(self._snapshot(health, reachable))

    def ask(self, target: str, method: str = "GET", accept: str = "*/*") -> Response:
        path, _, query = target.partition("?")
        parsed = urllib.parse.parse_qs(query, keep_blank_values=True)
        return self.probes(Request(method, path, parsed, {"accept": accept}, b"", None))

    def status(self, target: str) -> int:
        return self.ask(target).status


def session(name: str, condition: Condition = Condition.HEALTHY, *, expected: bool = True) -> SessionHealth:
    groups = {Condition.HEALTHY: "active", Condition.SETTLING: "active", Condition.STOPPED: "stopped"}
    return SessionHealth(
        name=name,
        state=State.UNKNOWN,
        condition=condition,
        reason=Reason.NONE if condition is Condition.HEALTHY else Reason.CONNECTION_LOST,
        since=100.0,
        group=groups.get(condition, "failed"),
        expected=expected,
    )


def health(
    sessions: Sequence[SessionHealth] = (session("default"),),
    status: Status = Status.HEALTHY,
    *,
    ready: bool = True,
    why: str = "1 expected session active",
    ready_why: str = "1 of 1 expected session usable, any needed",
) -> Health:
    return Health(
        status=status,
        why=why,
        connections=Connections(total=len(sessions)),
        ready=ready,
        ready_why=ready_why,
        sessions=tuple(sessions),
    )


FOUR_OF_FIVE = (*(session(f"s{n}") for n in range(4)), session("s4", Condition.FAILING))


@pytest.fixture
def desk() -> Desk:
    """A desk with a healthy snapshot of just now."""
    it = Desk()
    it.publish(health())
    return it


def body(response: Response) -> Any:
    return json.loads(response.body)


def header(response: Response, name: str) -> str | None:
    return dict(response.headers).get(name)


def test_before_the_first_look_only_the_loop_is_well() -> None:
    desk = Desk()
    desk.now += 3
    answers = {path: desk.status(path) for path in ("/livez", "/readyz", "/startupz", "/health", "/healthz")}
    assert answers == {"/livez": 200, "/readyz": 503, "/startupz": 503, "/health": 503, "/healthz": 503}
    assert body(desk.ask("/health"))["status"] == "starting"
    assert desk.status("/health/sessions/default") == 503
    assert desk.ask("/readyz").body == (
        b"not ready: the first look has not finished yet, after 3 s; the first look has not finished yet\n"
    )


def test_a_first_look_that_never_finishes_ends_the_liveness() -> None:
    desk = Desk()
    desk.now += EXPIRES_AFTER
    assert desk.status("/livez") == 200
    desk.now += 0.1
    response = desk.ask("/livez")
    assert (response.status, response.body) == (503, b"the first look has not finished yet, after 45 s\n")
    assert body(desk.ask("/health"))["status"] == "unhealthy"


def test_after_a_look_that_found_all_well_everything_is_200(desk: Desk) -> None:
    paths = ("/livez", "/readyz", "/startupz", "/health", "/healthz", "/health/sessions/default")
    assert {path: desk.status(path) for path in paths} == dict.fromkeys(paths, 200)
    assert desk.ask("/readyz").body == b"ready: the last look is 0 s old; 1 of 1 expected session usable, any needed\n"
    assert desk.ask("/health").body is desk.board.snapshot.body


@pytest.mark.parametrize(
    "path",
    [
        "/livez/",
        "/Livez",
        "/",
        "*",
        "/metrics/",
        "/health/",
        "/health/sessions",
        "/health/sessions/",
        "//livez",
        "/health/sessions/default/",
        "/health/sessions/a/b",
        "/%6civez",
        "/health/session/default",
        "/pause",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_built_does_not_exist(desk: Desk, path: str, method: str) -> None:
    response = desk.ask(path, method)
    assert response.status == 404
    assert body(response) == {"error": "there is nothing at this path"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get"])
def test_other_methods_are_405_and_told_which_are_not(desk: Desk, method: str) -> None:
    response = desk.ask("/livez", method)
    assert (response.status, header(response, "Allow")) == (405, "GET, HEAD, OPTIONS")
    assert "error" in body(response)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz", "/health", "/health/sessions/default", "/none"])
@pytest.mark.parametrize("published", [False, True])
def test_head_and_options_have_the_status_of_get(path: str, published: bool) -> None:
    desk = Desk()
    if published:
        desk.publish(health())
    assert {desk.status(path)} == {desk.ask(path, method).status for method in ("HEAD", "OPTIONS")}


def test_options_tells_what_is_allowed(desk: Desk) -> None:
    assert header(desk.ask("/livez", "OPTIONS"), "Allow") == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Status.STARTING, 503),
        (Status.HEALTHY, 200),
        (Status.DEGRADED, 200),
        (Status.UNHEALTHY, 503),
        (Status.STOPPING, 503),
        (Status.STOPPED, 503),
    ],
)
@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_health_is_200_for_healthy_and_degraded(desk: Desk, status: Status, code: int, path: str) -> None:
    desk.publish(health(status=status))
    assert desk.status(path) == code


def test_the_draft_form_is_given_to_who_asks_for_it(desk: Desk) -> None:
    response = desk.ask("/health", accept="application/health+json, application/json;q=0.5")
    assert response.content_type == "application/health+json"
    assert body(response)["status"] == "pass"
    plain = desk.ask("/health", accept="application/json")
    assert plain.content_type == "application/json"
    assert body(plain)["status"] == "healthy"


def test_a_look_that_is_too_old_speaks_for_nothing_any_more(desk: Desk) -> None:
    desk.now += EXPIRES_AFTER
    assert desk.status("/health") == 200
    desk.now += 2
    told = "the last look is 47 s old"
    for path in ("/livez", "/readyz", "/readyz?policy=0%", "/readyz?session=default", "/health/sessions/default"):
        response = desk.ask(path)
        assert response.status == 503
        assert told in response.body.decode()
    document = body(desk.ask("/health"))
    assert (desk.status("/health"), document["status"], document["ready"]) == (503, "unhealthy", False)
    assert (document["why"], document["ready_why"]) == (told, told)
    assert desk.status("/startupz") == 200
    draft = body(desk.ask("/health", accept="application/health+json"))
    assert (draft["status"], draft["output"]) == ("fail", told)
    desk.publish(health())
    assert desk.status("/health") == 200
    assert body(desk.ask("/health", accept="application/health+json"))["status"] == "pass"


def test_what_is_too_old_is_encoded_once_a_second_and_not_for_each_request(desk: Desk) -> None:
    desk.now += EXPIRES_AFTER + 1
    first = desk.ask("/health").body
    desk.now += 0.2
    assert desk.ask("/health").body is first
    desk.now += 1
    assert desk.ask("/health").body != first


def test_a_stop_is_not_ready_at_once_and_stays_alive(desk: Desk) -> None:
    desk.board.set_stopping()
    assert body(desk.ask("/health"))["status"] == "stopping"
    assert (desk.status("/health"), desk.status("/readyz"), desk.status("/livez")) == (503, 503, 200)
    assert b"the supervisor is stopping" in desk.ask("/readyz?policy=any").body
    desk.now += EXPIRES_AFTER + 1  # no cycle finishes any more
    assert desk.status("/livez") == 200
    desk.publish(health())  # a cycle that was under way
    assert body(desk.ask("/health"))["status"] == "stopping"
    desk.board.set_stopped()
    assert json.loads(desk.board.body())["status"] == "stopped"


def test_readiness_is_what_the_decider_says_with_its_rise_and_fall(desk: Desk) -> None:
    desk.publish(health(FOUR_OF_FIVE, ready=False, ready_why="4 of 5 usable, any needed, but not for long enough"))
    response = desk.ask("/readyz")
    assert response.status == 503
    assert response.body == b"not ready: 4 of 5 usable, any needed, but not for long enough\n"


def test_a_503_says_when_to_ask_again(desk: Desk) -> None:
    desk.publish(health(status=Status.UNHEALTHY, ready=False))
    assert header(desk.ask("/readyz"), "Retry-After") == "5"
    assert header(desk.ask("/health"), "Retry-After") == "5"
    assert header(desk.ask("/livez"), "Retry-After") is None


@pytest.mark.parametrize(
    ("policy", "code"),
    [("any", 200), ("all", 503), ("80%", 200), ("80%25", 200), ("80%2525", 200), ("80", 200), ("81", 503), ("0", 200)],
)
def test_a_policy_of_the_callers_own(desk: Desk, policy: str, code: int) -> None:
    desk.publish(health(FOUR_OF_FIVE, ready=code != 200))
    assert desk.status(f"/readyz?policy={policy}") == code


@pytest.mark.parametrize("policy", ["", "most", "101", "-1", "8.5", "any&policy=x", "%C2%B2", "a" * 5000])
def test_a_policy_that_is_none_is_400(desk: Desk, policy: str) -> None:
    response = desk.ask(f"/readyz?policy={policy}")
    assert response.status == 400
    assert body(response)["error"].startswith("policy: ")
    assert len(response.body) < 200


def test_only_expected_sessions_count_and_none_expected_is_ready(desk: Desk) -> None:
    desk.publish(health([session("stray", Condition.FAILING, expected=False)]))
    assert desk.status("/readyz?policy=all") == 200
    desk.publish(health([]))
    assert desk.status("/readyz?policy=any") == 200


def test_no_policy_makes_a_gateway_ready_that_does_not_answer(desk: Desk) -> None:
    desk.publish(health([], Status.UNHEALTHY, why="the gateway does not answer"), reachable=False)
    response = desk.ask("/readyz?policy=any")
    assert (response.status, response.body) == (503, b"not ready: the gateway does not answer\n")


def test_one_failed_look_does_not_make_a_policy_flap(desk: Desk) -> None:
    desk.publish(health(), reachable=False)
    assert desk.status("/readyz?policy=any") == 200


def test_one_session_for_a_caller_that_needs_just_it(desk: Desk) -> None:
    desk.publish(health(FOUR_OF_FIVE))
    assert desk.status("/readyz?session=s0") == 200
    response = desk.ask("/readyz?session=s4")
    assert (response.status, response.body) == (503, b"not ready: session 's4' is failing (connection_lost)\n")
    assert desk.ask("/readyz?session=nobody").body == b"not ready: no session 'nobody' is known\n"
    assert desk.status("/readyz?session=nobody") == 503
    assert desk.status("/readyz?session=s0&session=s4") == 503
    assert desk.status("/readyz?session=s0&policy=all") == 503
    assert desk.status("/readyz?session=") == 503


def test_what_a_caller_sends_comes_back_short_and_on_one_line(desk: Desk) -> None:
    answer = desk.ask("/readyz?session=%0d%0aready%00" + "a" * 5000).body
    assert answer.count(b"\n") == 1
    assert len(answer) < 200


def test_verbose_lists_each_check(desk: Desk) -> None:
    desk.publish(health(FOUR_OF_FIVE))
    assert desk.ask("/readyz?verbose&session=s0&policy=all").body.decode().splitlines() == [
        "[+] fresh: the last look is 0 s old",
        "[+] gateway: the gateway answers",
        "[+] session: session 's0' is healthy",
        "[-] policy all: 4 of 5 expected sessions usable, all needed",
        "not ready: 4 of 5 expected sessions usable, all needed",
    ]
    assert desk.ask("/readyz?verbose").body.decode().splitlines()[:2] == [
        "[+] fresh: the last look is 0 s old",
        "[+] ready_when: 1 of 1 expected session usable, any needed",
    ]


def test_a_session_is_found_by_its_encoded_name(desk: Desk) -> None:
    odd = "5511/9 ü%2F+"
    desk.publish(health([session(odd), session("down", Condition.FAILING)]))
    response = desk.ask("/health/sessions/" + urllib.parse.quote(odd, safe=""))
    assert (response.status, body(response)["name"], body(response)["usable"]) == (200, odd, True)
    down = desk.ask("/health/sessions/down")
    assert (down.status, body(down)["condition"], body(down)["reason"]) == (503, "failing", "connection_lost")
    unknown = desk.ask("/health/sessions/nobody")
    assert (unknown.status, body(unknown)) == (404, {"error": "no session of this name is known"})
    assert desk.status("/health/sessions/%ff") == 404


def test_with_hashed_names_only_the_hash_is_a_name() -> None:
    desk = Desk(HashedNames())
    phone = "5511999887766"
    shown = HashedNames().name(phone)
    desk.publish(health([session(phone)], why=f"not active: {phone}", ready_why=f"{phone} usable"))
    assert desk.status(f"/health/sessions/{shown}") == 200
    assert desk.status(f"/readyz?session={shown}") == 200
    assert desk.status(f"/health/sessions/{phone}") == 404
    assert desk.status(f"/readyz?session={phone}") == 503
    desk.now += EXPIRES_AFTER * 2
    stale = desk.ask("/health").body
    desk.publish(health([session(phone)], why=f"not active: {phone}", ready_why=f"{phone} usable"))
    targets = ("/health", "/readyz?verbose", f"/readyz?verbose&session={shown}", f"/health/sessions/{shown}")
    answers = [
        desk.ask(target, accept=accept).body for target in targets for accept in ("*/*", "application/health+json")
    ]
    assert not [answer for answer in (stale, *answers) if phone.encode() in answer]


def test_a_thousand_sessions_are_encoded_once_for_each_cycle_and_not_for_each_request(desk: Desk) -> None:
    desk.publish(health([session(f"s{n}") for n in range(1000)]))
    assert desk.ask("/health").body is desk.ask("/healthz").body
    draft = desk.ask("/health", accept="application/health+json").body
    assert desk.ask("/health", accept="application/health+json").body is draft
    assert len(msgspec.json.decode(desk.ask("/health").body)["sessions"]) == 1000


@pytest.mark.anyio
async def test_over_a_real_socket_a_client_sees_the_same(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        async with anyio.create_task_group() as tasks, httpx.AsyncClient(base_url=url, trust_env=False) as client:
            tasks.start_soon(Server(desk.probes).serve, sock)
            got = await client.get("/health", headers={"Accept": "application/health+json"})
            assert (got.status_code, got.headers["content-type"], got.json()["status"]) == (
                200,
                "application/health+json",
                "pass",
            )
            assert got.headers["cache-control"] == "no-store"
            head = await client.head("/health")
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(desk.board.snapshot.body))
            assert (await client.post("/health", content=b"x")).status_code == 405
            assert (await client.options("/health")).headers["allow"] == "GET, HEAD, OPTIONS"
            assert (await client.get("/readyz?policy=80%&session=default")).status_code == 200
            assert (await client.get("/readyz?policy=80%25")).status_code == 200
            metrics = await client.get("/metrics")
            assert (metrics.status_code, metrics.headers["content-type"]) == (
                200,
                "text/plain; version=0.0.4; charset=utf-8",
            )
            desk.now += EXPIRES_AFTER + 1
            late = await client.get("/readyz")
            assert (late.status_code, late.headers["retry-after"]) == (503, "5")
            tasks.cancel_scope.cancel()


HELD = "draining before a restart of the gateway"


@pytest.mark.parametrize("query", ["", "?policy=any", "?session=default"])
def test_readiness_that_is_held_back_is_no_whatever_is_asked_and_comes_back(desk: Desk, query: str) -> None:
    desk.board.hold(HELD)
    response = desk.ask(f"/readyz{query}")
    assert response.status == 503
    assert response.body == f"not ready: {HELD}\n".encode()
    assert header(response, "Retry-After") == "5"
    desk.publish(health())
    assert desk.status(f"/readyz{query}") == 503
    desk.board.hold(None)
    assert desk.status(f"/readyz{query}") == 200


def test_held_back_the_document_is_not_ready_and_otherwise_as_it_was(desk: Desk) -> None:
    before = body(desk.ask("/health"))
    desk.board.hold(HELD)
    held = body(desk.ask("/health"))
    assert held == {**before, "ready": False, "ready_why": HELD}
    assert desk.status("/health") == 200
    assert desk.status("/livez") == 200
    desk.board.hold("another reason")
    assert body(desk.ask("/health"))["ready_why"] == "another reason"
    desk.board.hold(None)
    assert desk.ask("/health").body is desk.board.snapshot.body


def test_a_stop_and_a_stale_look_are_told_before_what_is_held_back(desk: Desk) -> None:
    desk.board.hold(HELD)
    desk.now += EXPIRES_AFTER + 1.0
    assert body(desk.ask("/health"))["ready_why"].startswith("the last look is")
    desk.board.set_stopping()
    assert body(desk.ask("/health"))["ready_why"] == "the supervisor is stopping"

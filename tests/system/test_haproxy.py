"""A real HAProxy before simulated gateways: it believes the supervisor, and is told nothing that sticks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from balancers import HAProxy, Site
from gateway_runners import KeptGateway
from stage import PATIENCE, Gateway, wait_until

pytestmark = pytest.mark.timeout(120)

Front = Callable[..., HAProxy]
Pair = tuple[Site, Site]


def test_a_health_check_takes_out_the_gateway_whose_sessions_are_dead(pair: Pair, haproxy: Front) -> None:
    a, b = pair
    front = haproxy("haproxy", a, b)
    for name in "ab":
        front.until(name, "UP")
    assert front.served() == {"a": 3, "b": 3}
    # It answers all the same, and is held: a phone was logged out.
    a.gateway.fault("logged_out", session="s1")
    front.until("a", "DOWN")
    a.until_held()
    front.until_told("a", "Service Unavailable", "last_chk")
    assert front.served() == {"b": 6}
    a.link_again()
    front.until("a", "UP")
    assert front.served() == {"a": 3, "b": 3}


def test_the_agent_says_why_and_takes_it_back(pair: Pair, haproxy: Front) -> None:
    a, b = pair
    front = haproxy("agent", a, b)
    front.until_told("a", "via agent : up")
    assert front.served() == {"a": 3, "b": 3}
    a.gateway.fault("logged_out", session="s1")
    front.until("a", "DOWN")
    front.until_told("a", "via agent : fail (0 of 1 expected session usable, any needed)")
    assert front.served() == {"b": 6}
    a.until_held()
    a.link_again()
    front.until("a", "UP")
    assert front.served() == {"a": 3, "b": 3}


def test_a_gateway_that_is_gone_is_down_and_comes_back(pair: Pair, haproxy: Front) -> None:
    a, b = pair
    front = haproxy("agent", a, b)
    a.gateway.fault("process", action="kill", back_after=600.0)
    front.until_told("a", "via agent : down (the gateway does not answer")
    front.until("a", "DOWN")
    assert front.served() == {"b": 6}
    a.gateway.fault("process", action="start")
    front.until("a", "UP")


def test_what_a_person_orders_on_haproxys_socket_stays(pair: Pair, haproxy: Front) -> None:
    a, b = pair
    front = haproxy("agent", a, b)
    for state, status in (("maint", "MAINT"), ("drain", "DRAIN")):
        front.until("a", "UP")
        assert front.order(f"set server gateways/a state {state}").strip() == ""
        assert front.status("a") == status
        # What the agent says arrives all the same: it is not that nobody asks.
        a.gateway.fault("process", action="kill", back_after=600.0)
        front.until_told("a", "via agent : down")
        a.gateway.fault("process", action="start")
        front.until_told("a", "via agent : up")
        front.until("a", status)
        assert front.served() == {"b": 6}
        front.order("set server gateways/a state ready")


def test_paused_it_is_as_the_sessions_are(pair: Pair, haproxy: Front) -> None:
    a, b = pair
    front = haproxy("agent", a, b)
    assert a.supervisor.command("pause").returncode == 0
    wait_until("it is paused", lambda: a.supervisor.document()["paused"])
    assert a.told().startswith("up 100% #")
    assert front.served() == {"a": 3, "b": 3}
    a.gateway.fault("failed", session="s1", heals_after_restarts=1)
    front.until("a", "DOWN")
    assert a.gateway.count("POST */restart") == 0
    assert front.served() == {"b": 6}
    assert a.supervisor.command("resume").returncode == 0
    front.until("a", "UP")


def test_each_session_has_its_gateway(sites: Callable[..., Site], haproxy: Front) -> None:
    a, b = sites("a", "sales,support").start(), sites("b", "sales,support").start()
    front = haproxy("sessions", a, b)
    for backend in ("sales", "support"):
        for name in "ab":
            front.until(name, "UP", backend)
    a.gateway.fault("logged_out", session="sales")
    b.gateway.fault("logged_out", session="support")
    a.supervisor.until_condition("sales", "fatal")
    front.until("a", "DOWN", "sales")
    front.until("b", "DOWN", "support")
    assert front.served(path="/api/sessions/sales", backend="sales") == {"b": 6}
    assert front.served(path="/api/sessions/support", backend="support") == {"a": 6}
    assert a.told("sales").startswith("fail # session 'sales' is fatal")
    assert a.told("support").startswith("up 100% #")
    assert a.told("nobody") == "fail # no session 'nobody' is known\n"
    assert front.status("b", "sales") == front.status("a", "support") == "UP"


def test_a_restart_of_the_supervisor_under_socket_activation_loses_no_probe(
    sites: Callable[..., Site], haproxy: Front
) -> None:
    a, b = sites("a"), sites("b")
    a.activate()
    front = haproxy("agent", a.start(), b.start(), hurry="")
    for name in "ab":
        front.until(name, "UP")
    answers: list[httpx.Response] = []

    def ask_on(client: httpx.Client, done: threading.Event) -> None:
        while not done.is_set():
            # As a balancer asks: each time over a connection of its own.
            answers.append(client.get(f"http://127.0.0.1:{a.health}/readyz", headers={"Connection": "close"}))

    for _ in range(2):
        done = threading.Event()
        with ThreadPoolExecutor() as threads, httpx.Client(trust_env=False, timeout=PATIENCE) as client:
            asking = threads.submit(ask_on, client, done)
            try:
                assert a.supervisor.stop() == 0
                assert front.served() == {"a": 3, "b": 3}
                a.start()
                assert front.served() == {"a": 3, "b": 3}
                wait_until("HAProxy asked again", lambda: "L7OK" in front.server("a")["check_status"])
            finally:
                done.set()
            asking.result(PATIENCE)
    assert {answer.status_code for answer in answers} == {200}
    assert front.server("a")["chkdown"] == "0"
    # The agent's port is closed meanwhile, which HAProxy takes for no news.
    told = [line for line in front.log.read_text().splitlines() if "Health check for server gateways/a" in line]
    assert not [line for line in told if "Layer4" in line or "timeout" in line]


LIMITED = """process: {{memory: {{warn: 200MB, restart: 300MB, for: 300ms}}}}
recovery:
  restart_gateway: {{by: command, argv: {argv}, drain: 4s}}
"""


@pytest.fixture
def kept(tmp_path: Path, gateways: Callable[..., Gateway]) -> Iterator[KeptGateway]:
    """A gateway that a command replaces."""
    folder = tmp_path / "kept"
    folder.mkdir()
    made = KeptGateway(folder, gateways().uplink_port)
    yield made
    made.close()


def test_a_failing_gateway_is_drained_before_its_restart_and_comes_back_after_it(
    kept: KeptGateway, sites: Callable[..., Site], haproxy: Front
) -> None:
    a, b = sites("a", gateway=kept), sites("b", "2")
    config = a.supervisor.config
    config.write_text(config.read_text().replace("recovery:\n", LIMITED.format(argv=json.dumps(kept.command))))
    # Only the agent hurries: the health check would call it down after 0.3 s.
    front = haproxy("agent", a.start(), b.start(), hurry="agent-inter 1s")
    front.until("a", "UP")
    assert front.served() == {"a": 3, "b": 3}
    first = kept.pid
    kept.take(300)
    front.until("a", "DRAIN")
    assert kept.pid == first
    assert front.served() == {"b": 6}
    assert kept.pid == first
    front.until_told("a", "via agent : up (draining before a restart of the gateway)")

    def goes_on() -> bool:
        assert front.served(2) == {"b": 2}
        return kept.pid != first

    wait_until("another process", goes_on)
    wait_until("it is verified", lambda: any(one["outcome"] == "healed" for one in a.supervisor.history()))
    front.until("a", "UP")
    assert front.served() == {"a": 3, "b": 3}

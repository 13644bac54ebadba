"""The main job, end to end: a real daemon, a simulated gateway, faults."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from stage import Gateway, Supervisor, wait_until

pytestmark = pytest.mark.timeout(120)

Gateways = Callable[..., Gateway]
Supervisors = Callable[..., Supervisor]
KINDS = ("waha", "evolution")


@pytest.mark.parametrize("kind", KINDS)
def test_a_stuck_session_is_healed_by_one_restart(kind: str, gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways(kind)
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s1", "healthy")
    gateway.fault("stuck", session="s1", heals_after_restarts=1)
    wait_until("restart_session was made", lambda: gateway.count("POST */restart*") == 1)
    supervisor.until_condition("s1", "healthy")
    assert gateway.count("POST */restart*") == 1
    assert gateway.world()["harm"] == []
    told = [(one["kind"], one["outcome"]) for one in supervisor.history("--session", "s1")]
    assert ("verified", "healed") in told
    assert supervisor.document()["status"] == "healthy"


def test_a_failed_session_of_waha_is_healed_by_one_restart(gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s2", "healthy")
    gateway.fault("failed", session="s2", heals_after_restarts=1)
    supervisor.until_condition("s2", "failing")
    supervisor.until_condition("s2", "healthy")
    assert gateway.count("POST */restart") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_unlinked_session_is_not_restarted_for_ever(kind: str, gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways(kind)
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s1", "healthy")
    gateway.fault("logged_out", session="s1")
    found = supervisor.until_condition("s1", "fatal")
    assert found["reason"] == "logged_out"
    assert found["needs_qr"] is True
    restarts = gateway.count("POST */restart*")
    assert restarts == (1 if kind == "waha" else 0)
    polls = gateway.count("*")
    wait_until("it goes on looking", lambda: gateway.count("*") > polls + 20)
    assert gateway.count("POST */restart*") == restarts
    assert supervisor.document()["breakers"]["held"] == 1
    assert supervisor.get("/readyz").status_code == 200
    assert supervisor.get("/readyz?session=s1").status_code == 503


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_that_wants_a_person_is_left_alone(kind: str, gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways(kind)
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s1", "healthy")
    gateway.fault("qr_wanted", session="s1")
    found = supervisor.until_condition("s1", "needs_human")
    assert found["needs_qr"] is True
    answer = supervisor.command("recover", "s1")
    assert answer.returncode == 1
    assert "scan" in answer.stdout
    gateway.fault("scanned", session="s1")
    supervisor.until_condition("s1", "healthy")
    assert gateway.count("POST */restart*") == 0
    assert gateway.world()["harm"] == []


def test_the_breaker_opens_when_restarts_do_not_help(gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s1", "healthy")
    gateway.fault("stuck", session="s1", heals_after_restarts=None)
    wait_until("the breaker is open", lambda: supervisor.document()["breakers"]["open"] == 1)
    assert gateway.count("POST */restart") == 2
    answer = supervisor.command("status")
    assert answer.returncode == 1
    assert "breaker is open" in answer.stdout


def test_nothing_is_restarted_while_whatsapp_cannot_be_reached(gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway).start()
    for name in ("s1", "s2", "s3"):
        supervisor.until_condition(name, "healthy")
    gateway.fault("uplink", state="refused")
    for name in ("s1", "s2", "s3"):
        supervisor.until_condition(name, "failing")
    wait_until(
        "the uplink is told to be down",
        lambda: any("WhatsApp cannot be reached" in note for note in supervisor.document()["notes"]),
    )
    assert supervisor.document()["status"] == "unhealthy"
    incident = wait_until("it is one incident", lambda: supervisor.document()["incident"])
    assert incident["cause"] == "uplink_down"
    gateway.fault("uplink", state="up")
    for name in ("s1", "s2", "s3"):
        supervisor.until_condition(name, "healthy")
    assert gateway.count("POST */restart") == 0
    assert gateway.world()["deaths"] == []


def test_a_session_that_its_operator_stopped_stays_stopped(gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s1", "healthy")
    gateway.fault("stopped", session="s1")
    supervisor.until_condition("s1", "stopped")
    wait_until("it is known to be the operator's stop", lambda: supervisor.session("s1")["expected"] is False)
    supervisor.kill()
    supervisor.start()
    found = supervisor.until_condition("s1", "stopped")
    assert found["expected"] is False
    assert gateway.count("POST *") == 0


def test_sessions_of_an_old_core_are_started_after_its_process_died(
    gateways: Gateways, supervisors: Supervisors
) -> None:
    gateway = gateways("waha", "default", "--core")
    gateway.fault("started", session="default")
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("default", "healthy")
    gateway.fault("process", action="kill", back_after=1.0)
    wait_until("start_session was made", lambda: gateway.count("POST */start") == 1)
    supervisor.until_condition("default", "healthy")


def test_health_answers_while_the_gateway_hangs(gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s1", "healthy")
    gateway.fault("http", answer="hang")
    wait_until("unhealthy", lambda: supervisor.document()["status"] == "unhealthy")
    assert supervisor.document()["gateway"]["reachable"] is False
    assert supervisor.get("/livez").status_code == 200
    wait_until("not ready", lambda: supervisor.get("/readyz").status_code == 503)
    assert gateway.count("POST *") == 0
    gateway.fault("http_calm")
    supervisor.until_condition("s1", "healthy")
    wait_until("ready again", lambda: supervisor.get("/readyz").status_code == 200)


def test_a_gateway_that_answers_nonsense_never_means_that_all_sessions_are_gone(
    gateways: Gateways, supervisors: Supervisors
) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway).start()
    for answer in ("html", "truncated", "empty", "huge", "redirect", "drop", "status"):
        supervisor.until_condition("s1", "healthy")
        gateway.fault("http", answer=answer)
        supervisor.until_condition("s1", "unknown")
        document = supervisor.document()
        assert document["connections"]["total"] == 3, answer
        assert document["status"] == "unhealthy", answer
        gateway.fault("http_calm")
    supervisor.until_condition("s1", "healthy")
    assert gateway.count("POST *") == 0

"""What an operator types, end to end: a real daemon, a simulated gateway, the command line as a process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from stage import Gateway, Supervisor

pytestmark = pytest.mark.timeout(120)

Gateways = Callable[..., Gateway]
Supervisors = Callable[..., Supervisor]


def test_a_parked_session_stays_so_over_a_restart_is_explained_and_is_recovered(
    gateways: Gateways, supervisors: Supervisors
) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s1", "healthy")
    answer = supervisor.command("park", "s1")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert supervisor.until_condition("s1", "needs_human")["reason"] == "parked"
    assert supervisor.stop() == 0
    supervisor.start()
    assert supervisor.until_condition("s1", "needs_human")["reason"] == "parked"
    told = supervisor.command("explain", "s1").stdout
    assert told.startswith("s1 is needs_human: ")
    assert "  more      docs/reasons/parked.md\n" in told
    assert "  order       park was ordered" in told
    assert (gateway.count("POST */stop"), gateway.count("POST */start")) == (1, 0)
    assert supervisor.command("recover", "s1").returncode == 0
    supervisor.until_condition("s1", "healthy")
    assert gateway.world()["harm"] == []


def test_what_cannot_be_ordered_here_says_what_to_do(gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways("evolution")
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s1", "healthy")
    restart = supervisor.command("restart", "--gateway")
    assert restart.returncode == 1
    assert "recovery.restart_gateway" in restart.stdout
    park = supervisor.command("park", "s1")
    assert park.returncode == 1
    assert "Evolution" in park.stdout
    assert gateway.count("POST *") == 0
    orders = supervisor.history("--kind", "order", "--kind", "withheld", "--until", "0s")
    assert [one["kind"] for one in orders].count("order") == 2
    assert supervisor.history("--since", "2h", "--until", "1h") == []

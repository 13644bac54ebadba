"""A real nginx: what it can do for gateways without probing, and as a front of the health port."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from balancers import Nginx, Site
from stage import PATIENCE, wait_until

pytestmark = pytest.mark.timeout(120)

Front = Callable[..., Nginx]
Pair = tuple[Site, Site]


def test_a_gateway_that_is_gone_costs_nobody_a_request(pair: Pair, nginx: Front) -> None:
    a, b = pair
    front = nginx("nginx", a, b)
    assert {front.ask().status_code for _ in range(4)} == {200}
    a.gateway.fault("process", action="kill", back_after=600.0)
    wait_until("it is gone", lambda: a.supervisor.get("/readyz").status_code == 503)
    assert {front.ask().status_code for _ in range(6)} == {200}
    assert b.supervisor.get("/readyz").status_code == 200


def test_an_order_whose_answer_is_lost_is_not_sent_twice(pair: Pair, nginx: Front) -> None:
    a, b = pair
    front = nginx("nginx", a, b)
    for site in pair:
        site.gateway.fault("http", answer="drop", path="/api/sendText")
    assert front.ask("/api/sendText", "POST").status_code == 502
    assert sum(site.gateway.count("POST /api/sendText") for site in pair) == 1


def test_it_sends_traffic_to_a_gateway_whose_sessions_are_dead(pair: Pair, nginx: Front) -> None:
    """The limit that the page tells of: only HAProxy, or NGINX Plus, asks the supervisor."""
    a, b = pair
    front = nginx("nginx", a, b)
    a.gateway.fault("logged_out", session="s1")
    wait_until("not ready", lambda: a.supervisor.get("/readyz").status_code == 503)
    assert b.supervisor.get("/readyz").status_code == 200
    before = [site.gateway.count("GET /api/nothing") for site in pair]
    for _ in range(4):
        front.ask("/api/nothing")
    assert [site.gateway.count("GET /api/nothing") for site in pair] == [before[0] + 2, before[1] + 2]


def test_before_the_health_port_it_asks_for_a_password_and_lets_only_reading_through(
    sites: Callable[..., Site], nginx: Front
) -> None:
    site = sites("a").start()
    front = nginx("front", site, start=False)
    certify(front.folder)
    (front.folder / "wasupervisor.users").write_text("monitor:{PLAIN}letmein\n")
    front.start()
    trusted = str(front.folder / "wasupervisor.crt")
    with httpx.Client(base_url=f"https://localhost:{front.front}", verify=context(trusted), trust_env=False) as client:
        assert client.get("/health").status_code == 401
        client.auth = ("monitor", "letmein")
        assert client.get("/health").json()["status"] == "healthy"
        assert client.get("/readyz?policy=80%25").text.startswith("ready: ")
        assert client.get("/health/sessions/s1").json()["usable"] is True
        assert client.post("/gateway/restart").status_code == 403
        site.gateway.fault("logged_out", session="s1")
        answer = wait_until("not ready", lambda: (got := client.get("/readyz")).status_code == 503 and got)
        assert answer.text.startswith("not ready: ")
        assert int(answer.headers["retry-after"]) >= 1


def context(trusted: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=trusted)


def certify(folder: Path) -> None:
    """A key, and a certificate for localhost that it signs itself."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(folder / "wasupervisor.key"), "-out", str(folder / "wasupervisor.crt")]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)

"""The metrics of a real daemon, as Prometheus' own client reads them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis_fixtures import RedisServer
from stage import Gateway, Supervisor, wait_until

pytestmark = pytest.mark.timeout(120)


def scrape(supervisor: Supervisor) -> Callable[..., float | None]:
    """Gives a series by its name without the prefix, and its labels; None: there is none."""
    answer = supervisor.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    return lambda name, **labels: found.get((f"wasupervisor_{name}", frozenset(labels.items())))


def test_what_it_does_is_counted_and_what_it_sees_is_told(
    redis_server: RedisServer, gateways: Callable[..., Gateway], supervisors: Callable[..., Supervisor]
) -> None:
    gateway = gateways("evolution", "3", "--mode", "A")
    more = f"redis: {{url: '{redis_server.url}'}}\nqueue: {{names: [jobs]}}\n"
    supervisor = supervisors(gateway, more=more).start()
    supervisor.until_condition("s1", "healthy")
    wait_until("all keys were looked at", lambda: scrape(supervisor)("redis_last_sweep_timestamp_seconds"))
    seen = scrape(supervisor)
    assert seen("gateway_reachable") == seen("up") == seen("ready") == seen("session_usable", session="s1") == 1
    assert seen("sessions", group="active") == 3
    assert seen("remedies_made_total", remedy="restart_session") == 0
    assert (seen("redis_keys_set_aside_total"), seen("redis_wrongtype_errors_total")) == (0, 0)
    assert seen("queue_jobs", queue="jobs", state="waiting") == 0
    assert (seen("gateway_memory_bytes", of="rss") or 0) > 1_000_000
    assert seen("gateway_memory_full_in_seconds") is None

    gateway.fault("stuck", session="s1", heals_after_restarts=1)
    wait_until("it is unusable", lambda: scrape(supervisor)("session_usable", session="s1") == 0)
    wait_until("it is healed", lambda: scrape(supervisor)("remedies_healed_total", remedy="restart_session") == 1)
    assert scrape(supervisor)("remedies_made_total", remedy="restart_session") == 1
    wait_until("it is usable", lambda: scrape(supervisor)("session_usable", session="s1") == 1)

    with redis_server.client() as client:
        client.rpush("evolution-cache:baileys:wrong", "x")
        with pytest.raises(Exception, match="WRONGTYPE"):
            client.get("evolution-cache:baileys:wrong")
    wait_until("it is counted", lambda: scrape(supervisor)("redis_keys_set_aside_total") == 1)
    wait_until("it is told", lambda: scrape(supervisor)("redis_quarantined_keys") == 1)
    assert scrape(supervisor)("redis_wrongtype_errors_total") == 1

    gateway.close()
    wait_until("it is away", lambda: scrape(supervisor)("gateway_reachable") == 0)
    assert scrape(supervisor)("up") == 1

"""Job queues, end to end: a real daemon, a real Redis, real queues, the command line as a process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from queue_fixtures import Bull
from redis_fixtures import RedisServer
from stage import Gateway, Supervisor, wait_until

pytestmark = pytest.mark.timeout(120)

WAHA = "chatwoot.waha | session.status"


@pytest.fixture
def watching(
    redis_server: RedisServer, gateways: Callable[..., Gateway], supervisors: Callable[..., Supervisor]
) -> Supervisor:
    """A daemon that is told of the queue."""
    more = f"redis: {{url: '{redis_server.url}'}}\nqueue: {{names: ['{WAHA}']}}\n"
    supervisor: Supervisor = supervisors(gateways(), more=more).start()
    return supervisor


def test_failed_jobs_are_put_back_by_order_and_journaled(bull: Bull, watching: Supervisor) -> None:
    bull.add("bullmq", WAHA, 3)
    bull.work("bullmq", WAHA, "failed", 3)

    answer = watching.command("queue", "retry-failed", "--queue", WAHA, "--limit", "2")

    told = f"queue '{WAHA}': 2 failed jobs wait again"
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, f"{told}\n", "")
    counts = bull.call("bullmq", WAHA, "counts")
    assert (counts["waiting"], counts["failed"]) == (2, 1)

    def journaled() -> list[str]:
        return [one["text"] for one in watching.history("--kind", "order", "--kind", "redis")]

    wait_until("it is journaled", lambda: told in journaled())
    order = f" orders the failed jobs of queue '{WAHA}' put back, at the most 2"
    assert any(text.endswith(order) for text in journaled())
    status = watching.command("queue", "status")
    assert (status.returncode, status.stderr) == (1, "")
    assert f"queue retry-failed --queue '{WAHA}'" in status.stdout


def test_the_health_document_shows_each_queue_and_what_to_do(bull: Bull, watching: Supervisor) -> None:
    bull.add("bullmq", WAHA, 3)
    bull.work("bullmq", WAHA, "failed", 3)
    wait_until("they are in it", lambda: (watching.document()["queue"] or {}).get("failed") == 3)
    document = watching.document()
    assert [(one["name"], one["kind"], one["failed"]) for one in document["queue"]["queues"]] == [(WAHA, "bullmq", 3)]
    assert any(f"queue retry-failed --queue '{WAHA}'" in note for note in document["notes"])

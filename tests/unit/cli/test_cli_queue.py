"""queue status, queue retry-failed: with and without a daemon, on real queues."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_daemon import Daemon, run
from queue_fixtures import Bull
from redis_fixtures import RedisServer

WAHA = "chatwoot.waha | session.status"
SECTION = """
redis: {{url: '{url}'}}
queue: {{prefix: waha-undefined, names: ['{name}', messages], warn: {{waiting: 5, failed: 2}}}}
"""
RETRY = "/queue/retry-failed"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Its configuration names no queue yet."""
    it = Daemon(tmp_path)
    yield it
    it.close()


@pytest.fixture
def watching(daemon: Daemon, redis_server: RedisServer) -> Daemon:
    add(daemon, SECTION.format(url=redis_server.url, name=WAHA))
    return daemon


def add(daemon: Daemon, text: str) -> None:
    daemon.config.write_text(daemon.config.read_text(encoding="utf-8") + text, encoding="utf-8")


def fail(bull: Bull, queue: str, number: int, library: str = "bullmq") -> None:
    bull.add(library, queue, number, prefix="waha-undefined")
    bull.work(library, queue, "failed", number, prefix="waha-undefined")


def test_status_shows_every_queue_and_exits_0_below_the_thresholds(watching: Daemon, bull: Bull) -> None:
    fail(bull, WAHA, 1)
    bull.add("bullmq", WAHA, 2, prefix="waha-undefined")
    result = watching.run("queue", "status")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["queue", "kind", "waiting", "active", "delayed", "failed", "completed", "oldest"]
    assert lines[1][:-2] == [*WAHA.split(), "BullMQ", "2", "0", "0", "1", "0"]
    assert lines[2] == ["messages", "-", "0", "0", "0", "0", "0"]


def test_status_exits_1_beyond_a_threshold_and_says_what_to_do(watching: Daemon, bull: Bull) -> None:
    fail(bull, WAHA, 2)
    bull.call("bullmq", WAHA, "pause", prefix="waha-undefined")
    result = watching.run("queue", "status")
    assert result.exit_code == 1
    assert "paused" in result.stdout.splitlines()[1]
    assert result.stdout.splitlines()[-1].endswith(
        f"put them back with: wasupervisor queue retry-failed --queue '{WAHA}'"
    )


def test_status_as_json_has_the_totals_the_queues_and_the_notes(watching: Daemon, bull: Bull) -> None:
    fail(bull, "messages", 2, "bull")
    result = watching.run("queue", "status", "--json")
    answer: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (answer["waiting"], answer["active"], answer["failed"]) == (0, 0, 2)
    assert [(one["name"], one["flavour"], one["failed"]) for one in answer["queues"]] == [
        (WAHA, None, 0),
        ("messages", "bull", 2),
    ]
    assert answer["notes"][0].startswith("queue 'messages': 2 jobs failed; it is of Bull, not BullMQ")


def test_retry_without_a_daemon_is_done_here_and_says_that_nothing_was_journaled(watching: Daemon, bull: Bull) -> None:
    fail(bull, WAHA, 3)
    watching.socket.unlink()
    result = watching.run("queue", "retry-failed", "--limit", "2")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"queue '{WAHA}': 2 failed jobs wait again",
        "queue 'messages': there is no such queue",
    ]
    assert result.stderr == "nothing was journaled: no daemon was there to do it\n"
    assert bull.call("bullmq", WAHA, "counts", prefix="waha-undefined")["waiting"] == 2


def test_retry_is_an_order_to_the_daemon_where_there_is_one(watching: Daemon, bull: Bull) -> None:
    fail(bull, WAHA, 1)
    queues = [{"queue": WAHA, "number": 1, "text": "1 failed job waits again", "done": True}]
    watching.answer(RETRY, {"queues": queues})
    result = watching.run("queue", "retry-failed", "--queue", WAHA, "--limit", "7")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"queue '{WAHA}': 1 failed job waits again\n", "")
    assert watching.bodies() == [{"queue": WAHA, "limit": 7}]
    assert bull.call("bullmq", WAHA, "counts", prefix="waha-undefined")["failed"] == 1, "not done twice"


def test_what_the_daemon_could_not_do_is_said_and_not_tried_here(watching: Daemon, bull: Bull) -> None:
    fail(bull, WAHA, 1)
    watching.answer(RETRY, {"error": "it needs the package bullmq"}, 409)
    result = watching.run("queue", "retry-failed")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "wasupervisor: cannot put jobs back: it needs the package bullmq\n"
    assert bull.call("bullmq", WAHA, "counts", prefix="waha-undefined")["failed"] == 1


def test_a_daemon_that_does_not_know_the_queues_leaves_it_to_the_command(watching: Daemon, bull: Bull) -> None:
    fail(bull, WAHA, 1)
    watching.answer(RETRY, {"error": "not found"}, 404)
    result = watching.run("queue", "retry-failed", "--json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["journaled"], answer["queues"][0]["number"]) == (0, False, 1)


def test_what_is_withheld_exits_1(watching: Daemon, bull: Bull) -> None:
    fail(bull, "messages", 1, "bull")
    watching.socket.unlink()
    result = watching.run("queue", "retry-failed", "--queue", "messages")
    assert result.exit_code == 1
    assert "its 1 failed must be retried with the application's own tools (job.retry())" in result.stdout


@pytest.mark.parametrize("words", [("status",), ("retry-failed",)])
def test_redis_that_does_not_answer_is_one_sentence_without_the_password(
    words: tuple[str, ...], daemon: Daemon, tmp_path: Path
) -> None:
    add(daemon, SECTION.format(url="redis://u:hunter2@127.0.0.1:1/0", name=WAHA))
    daemon.socket.unlink()
    result = daemon.run("queue", *words)
    assert result.exit_code == 1
    assert result.stderr.startswith("wasupervisor: cannot ")
    assert "127.0.0.1:1" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("words", [("status",), ("retry-failed",)])
@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("", "no queue is configured: name those to watch in `queue.names`"),
        ("queue: {names: [a]}\n", "queue: cannot be watched without `redis`: set redis.url"),
        ("redis: {url: '${NO_SUCH_VARIABLE}'}\nqueue: {names: [a]}\n", "NO_SUCH_VARIABLE"),
    ],
)
def test_what_is_not_configured_exits_2_and_says_what_to_set(
    words: tuple[str, ...], section: str, text: str, daemon: Daemon
) -> None:
    add(daemon, section)
    result = daemon.run("queue", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr


def test_a_queue_that_is_not_configured_is_refused(watching: Daemon) -> None:
    result = watching.run("queue", "retry-failed", "--queue", "message")
    assert result.exit_code == 2
    assert f"'message' is no queue of the configuration; `queue.names` has '{WAHA}', 'messages'" in result.stderr
    assert watching.asked == []


def test_the_secret_of_the_gateway_is_not_needed(watching: Daemon) -> None:
    text = watching.config.read_text(encoding="utf-8")
    watching.config.write_text(
        text.replace("kind: waha", "api_key: '${NO_SUCH_VARIABLE}', kind: waha"), encoding="utf-8"
    )
    assert watching.run("queue", "status").exit_code == 0


def test_a_limit_of_0_is_refused() -> None:
    assert run("queue", "retry-failed", "--limit", "0").exit_code == 2

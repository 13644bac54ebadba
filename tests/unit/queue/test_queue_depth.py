"""Queues of the real libraries, counted as they count themselves."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from typing import Any

import pytest
import redis
from msgspec.structs import asdict
from queue_fixtures import Bull
from redis_fixtures import RedisServer

from wasupervisor.config.schema import QueueWarn
from wasupervisor.queue.depth import Depth, Totals, depths, warnings

pytestmark = pytest.mark.anyio

ALL = ["bull", "bullmq3", "bullmq4", "bullmq", "bullmq6"]
WAHA = "chatwoot.waha | session.status"


class Plain:
    """A pipeline over a plain client; what it was asked is kept."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.pipelines = 0

    async def calls(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        self.pipelines += 1
        with self.server.client() as client:
            pipeline = client.pipeline(transaction=False)
            for words in commands:
                pipeline.execute_command(*words)
            return list(pipeline.execute(raise_on_error=False))


async def read(server: RedisServer, *names: str, prefix: str = "bull", ahead: float = 0.0) -> tuple[Depth, ...]:
    node = Plain(server)
    return await depths(names, prefix, lambda _key: node, time.time() + ahead)


def counts(bull: Bull, library: str, queue: str, prefix: str = "bull") -> dict[str, int]:
    """As the library counts, under our words."""
    types = ["wait", "paused", "active", "delayed", "failed", "completed"]
    types += [] if library in ("bull", "bullmq3") else ["prioritized"]
    its = bull.call(library, queue, "counts", prefix, types=types)
    its["waiting"] = its.pop("wait") + its.pop("paused") + its.pop("prioritized", 0)
    return dict(its)


def ours(depth: Depth) -> dict[str, int | None]:
    return {key: asdict(depth)[key] for key in ("waiting", "active", "delayed", "failed", "completed")}


@pytest.mark.parametrize("library", ALL)
async def test_every_state_is_counted_as_the_library_counts_it(
    library: str, bull: Bull, redis_server: RedisServer
) -> None:
    bull.add(library, WAHA, 3)
    bull.work(library, WAHA, "completed", 3)
    bull.add(library, WAHA, 2)
    bull.work(library, WAHA, "failed", 2)
    bull.add(library, WAHA, 2)
    bull.work(library, WAHA, "active", 2)
    bull.call(library, WAHA, "pause")
    bull.add(library, WAHA, 4)
    bull.add(library, WAHA, 3, priority=5)
    bull.add(library, WAHA, 1, lifo=True)
    bull.add(library, WAHA, 2, delay=3_600_000)

    (one,) = await read(redis_server, WAHA)

    assert ours(one) == counts(bull, library, WAHA)
    assert ours(one) == {"waiting": 8, "active": 2, "delayed": 2, "failed": 2, "completed": 3}
    assert (one.flavour, one.paused, one.trouble) == ("bull" if library == "bull" else "bullmq", True, None)


@pytest.mark.parametrize("library", ALL)
async def test_a_fresh_queue_of_any_kind_is_told_apart_by_its_first_job(
    library: str, bull: Bull, redis_server: RedisServer
) -> None:
    bull.add(library, "q", 2, priority=3)
    (one,) = await read(redis_server, "q")
    assert (one.flavour, one.waiting, one.paused) == ("bull" if library == "bull" else "bullmq", 2, False)
    assert one.oldest_seconds is not None


@pytest.mark.parametrize("library", ["bullmq4", "bullmq"])
async def test_what_only_marks_a_delayed_job_is_no_waiting_one(
    library: str, bull: Bull, redis_server: RedisServer
) -> None:
    bull.add(library, "q", 1, delay=3_600_000)
    (one,) = await read(redis_server, "q")
    assert (one.waiting, one.delayed, one.oldest_seconds) == (0, 1, None)
    with redis_server.client() as client:
        assert (client.llen("bull:q:wait") == 1) is (library == "bullmq4"), "the marker of version 4 is what is tested"


async def test_behind_such_a_mark_the_age_of_the_next_job_is_seen(bull: Bull, redis_server: RedisServer) -> None:
    bull.add("bullmq4", "q", 1, delay=3_600_000)
    bull.add("bullmq4", "q", 2)
    (one,) = await read(redis_server, "q", ahead=60.0)
    assert one.waiting == 2
    assert one.oldest_seconds == pytest.approx(60.0, abs=5.0)


async def test_bull_before_3_18_notes_a_pause_in_one_place_only(bull: Bull, redis_server: RedisServer) -> None:
    bull.add("bull", "q", 1)
    bull.call("bull", "q", "pause")
    with redis_server.client() as client:
        assert client.delete("bull:q:meta") == 1
    (one,) = await read(redis_server, "q")
    assert (one.flavour, one.paused, one.waiting) == ("bull", True, 1)


async def test_a_paused_bull_queue_that_was_resumed_is_not_taken_for_bullmq(
    bull: Bull, redis_server: RedisServer
) -> None:
    bull.add("bull", "q", 1)
    bull.call("bull", "q", "pause")
    (paused,) = await read(redis_server, "q")
    bull.call("bull", "q", "resume")
    (resumed,) = await read(redis_server, "q")
    assert [(one.flavour, one.paused, one.waiting) for one in (paused, resumed)] == [
        ("bull", True, 1),
        ("bull", False, 1),
    ]


@pytest.mark.parametrize("library", ALL)
@pytest.mark.parametrize("opts", [{}, {"lifo": True}, {"priority": 7}], ids=["fifo", "lifo", "priority"])
async def test_the_age_is_that_of_the_oldest_whichever_end_it_stands_at(
    library: str, opts: dict[str, Any], bull: Bull, redis_server: RedisServer
) -> None:
    first, *_others = bull.add(library, "q", 3, **opts)
    with redis_server.client() as client:
        client.hincrby(f"bull:q:{first}", "timestamp", -500_000)
    (one,) = await read(redis_server, "q", ahead=100.0)
    assert one.oldest_seconds == pytest.approx(600.0, abs=5.0)


@pytest.mark.parametrize("library", ALL)
async def test_a_job_that_was_delayed_waits_since_it_was_due(
    library: str, bull: Bull, redis_server: RedisServer
) -> None:
    """WAHA's daily jobs: their timestamp is of the day before."""
    (job,) = bull.add(library, "q", 1, delay=86_400_000)
    with redis_server.client() as client:  # as their scripts promote it
        client.zrem("bull:q:delayed", job)
        client.delete("bull:q:wait")
        client.lpush("bull:q:wait", job)
        client.hset(f"bull:q:{job}", "delay", 0)
    (one,) = await read(redis_server, "q", ahead=86_400.0 + 30.0)
    assert one.oldest_seconds == pytest.approx(30.0, abs=5.0)


async def test_a_low_priority_that_starves_is_seen(bull: Bull, redis_server: RedisServer) -> None:
    starved, _behind = bull.add("bullmq", "q", 2, priority=2_000_000)
    bull.add("bullmq", "q", 3, priority=1)
    with redis_server.client() as client:
        client.hincrby(f"bull:q:{starved}", "timestamp", -900_000)
    (one,) = await read(redis_server, "q")
    assert one.oldest_seconds == pytest.approx(900.0, abs=5.0)


@pytest.mark.parametrize("library", ["bull", "bullmq3"])
async def test_a_job_that_others_with_a_priority_overtook_is_seen(
    library: str, bull: Bull, redis_server: RedisServer
) -> None:
    (overtaken,) = bull.add(library, "q")
    bull.add(library, "q", 2, priority=1)
    with redis_server.client() as client:
        client.hincrby(f"bull:q:{overtaken}", "timestamp", -900_000)
    (one,) = await read(redis_server, "q")
    assert one.oldest_seconds == pytest.approx(900.0, abs=5.0)


async def test_a_job_of_yesterday_that_was_put_back_behind_others_does_not_count(
    bull: Bull, redis_server: RedisServer
) -> None:
    (old,) = bull.add("bullmq", "q")
    bull.work("bullmq", "q", "failed", 1)
    bull.add("bullmq", "q")
    with redis_server.client() as client:  # as their scripts put it back
        client.hincrby(f"bull:q:{old}", "timestamp", -86_400_000)
        client.lpush("bull:q:wait", old)
    (one,) = await read(redis_server, "q")
    assert one.oldest_seconds == pytest.approx(0.0, abs=5.0)


async def test_a_clock_that_is_behind_makes_no_negative_age(bull: Bull, redis_server: RedisServer) -> None:
    bull.add("bullmq", "q")
    (one,) = await read(redis_server, "q", ahead=-60.0)
    assert one.oldest_seconds == 0.0


async def test_the_python_package_makes_the_same_queue(redis_server: RedisServer) -> None:
    queue = importlib.import_module("bullmq").Queue(
        "q p", {"connection": {"port": redis_server.port}, "prefix": "waha-undefined"}
    )
    await queue.add("job", {}, {})
    await queue.add("job", {}, {"priority": 3})
    await queue.add("job", {}, {"delay": 60_000, "jobId": "repeat:any text:1"})
    await queue.pause()
    its = await queue.getJobCounts()
    await queue.close()

    (one,) = await read(redis_server, "q p", prefix="waha-undefined")

    assert (one.flavour, one.paused, one.waiting, one.delayed) == ("bullmq", True, 2, 1)
    assert its["waiting"] + its["prioritized"] == one.waiting


async def test_prefix_and_name_are_taken_literally(bull: Bull, redis_server: RedisServer) -> None:
    bull.add("bullmq", WAHA, 2, prefix="{waha-*}")
    bull.add("bullmq", WAHA, 1, prefix="{waha-1}")
    assert [one.waiting for one in await read(redis_server, WAHA, prefix="{waha-*}")] == [2]
    assert [one.waiting for one in await read(redis_server, "*", prefix="{waha-1}")] == [0]


async def test_what_is_not_there_is_empty_and_of_no_kind(redis_server: RedisServer) -> None:
    (one,) = await read(redis_server, "no such queue")
    assert one == Depth(name="no such queue", flavour=None, waiting=0, active=0, delayed=0, failed=0, completed=0)


async def test_all_queues_are_read_in_one_pipeline_and_each_once(bull: Bull, redis_server: RedisServer) -> None:
    bull.add("bullmq", "a", 2)
    bull.add("bull", "b", 3)
    node = Plain(redis_server)
    found = await depths(["b", "a", "b"], "bull", lambda _key: node, time.time())
    assert [(one.name, one.waiting) for one in found] == [("b", 3), ("a", 2)]
    assert node.pipelines == 1
    assert Totals.of(found) == Totals(waiting=5, active=0, failed=0)


async def test_in_a_cluster_each_server_is_asked_for_its_own(bull: Bull, redis_server: RedisServer) -> None:
    bull.add("bullmq", "a")
    nodes = {b"bull:a:": Plain(redis_server), b"bull:b:": Plain(redis_server)}
    found = await depths(["a", "b"], "bull", nodes.__getitem__, time.time())
    assert [(one.name, one.waiting) for one in found] == [("a", 1), ("b", 0)]
    assert [node.pipelines for node in nodes.values()] == [1, 1]


KEYS = ["wait", "paused", "prioritized", "active", "delayed", "failed", "completed", "meta", "events", "marker"]


def wrongtype_errors(client: redis.Redis) -> Any:
    return client.info("errorstats").get("errorstat_WRONGTYPE", {"count": 0})["count"]


@pytest.mark.parametrize("suffix", KEYS)
async def test_a_mistyped_key_is_told_and_no_error_of_ours_is_counted(
    suffix: str, bull: Bull, redis_server: RedisServer
) -> None:
    bull.add("bullmq", "q", 2)
    with redis_server.client() as client:
        client.delete(f"bull:q:{suffix}")
        client.set(f"bull:q:{suffix}", "a secret")
        (one,) = await read(redis_server, "q")
        assert wrongtype_errors(client) == 0
    assert one.trouble is not None
    assert f"bull:q:{suffix} is of type string and must be " in one.trouble
    assert "secret" not in one.trouble
    assert one.flavour == "bullmq"
    counted = "waiting" if suffix in ("wait", "paused", "prioritized") else suffix
    assert [key for key, number in ours(one).items() if number is None] == [key for key in ours(one) if key == counted]


async def test_jobs_that_are_gone_mistyped_or_garbled_only_lack_an_age(bull: Bull, redis_server: RedisServer) -> None:
    fields = ("timestamp", "not a number"), ("opts", "{"), ("opts", "[]"), ("delay", "1e999"), ("priority", "")
    with redis_server.client() as client:
        for name, value in fields:
            (job,) = bull.add("bullmq", "q")
            client.hset(f"bull:q:{job}", name, value)
            (one,) = await read(redis_server, "q")
            assert (one.waiting, one.trouble) == (1, None)
            client.lpop("bull:q:wait")
        for kind in ("set", "delete"):
            (job,) = bull.add("bullmq", "q")
            client.delete(f"bull:q:{job}")
            if kind == "set":
                client.set(f"bull:q:{job}", "x")
            (one,) = await read(redis_server, "q")
            assert (one.waiting, one.oldest_seconds, one.trouble) == (1, None, None)
            client.lpop("bull:q:wait")
        assert wrongtype_errors(client) == 0


async def test_a_reply_that_is_an_error_is_the_trouble_of_that_queue_alone(redis_server: RedisServer) -> None:
    class Forbids(Plain):
        async def calls(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
            return [RuntimeError("our user may not use EVAL"), *(await super().calls(commands[1:]))]

    node = Forbids(redis_server)
    first, second = await depths(["a", "b"], "bull", lambda _key: node, 0.0)
    assert first == Depth(name="a", flavour=None, trouble="queue 'a' cannot be read: our user may not use EVAL")
    assert second.trouble is None
    assert Totals.of([first, second]) == Totals(waiting=None, active=None, failed=None)


WARN = QueueWarn(waiting=100, failed=1, oldest=600.0)
PLAIN = Depth(name="q", flavour="bullmq", waiting=0, active=1, delayed=0, failed=0, completed=0)
RETRY = "put them back with: wasupervisor queue retry-failed --queue"
BULL = "it is of Bull, not BullMQ: retry them with the application's own tools (job.retry())"
SLOW = "its worker does not keep up: see what it does, or give it more concurrency"
NOBODY = "nobody works on it: see that its worker runs and is connected"
PAUSED = "the queue is paused: resume it in the application when that was not meant"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, None),
        ({"waiting": 99, "oldest_seconds": 599.9}, None),
        ({"failed": 1}, f"queue 'q': 1 job failed; {RETRY} q"),
        ({"failed": 2, "name": WAHA}, f"queue '{WAHA}': 2 jobs failed; {RETRY} '{WAHA}'"),
        ({"failed": 2, "paused": True}, f"queue 'q': 2 jobs failed; when the queue is resumed, {RETRY} q"),
        ({"failed": 2, "flavour": "bull"}, f"queue 'q': 2 jobs failed; {BULL}"),
        ({"waiting": 100}, f"queue 'q': 100 jobs are waiting; {SLOW}"),
        ({"waiting": 101, "active": 0}, f"queue 'q': 101 jobs are waiting; {NOBODY}"),
        (
            {"waiting": 1, "oldest_seconds": 4200.0, "paused": True},
            f"queue 'q': the oldest job has been waiting for 70m; {PAUSED}",
        ),
        ({"trouble": "cannot be read", "waiting": None, "failed": None}, "cannot be read"),
    ],
)
def test_beyond_a_threshold_there_is_a_sentence_that_says_what_to_do(
    changes: dict[str, Any], sentence: str | None
) -> None:
    one = Depth(**{**asdict(PLAIN), **changes})
    assert warnings([one], WARN) == (() if sentence is None else (sentence,))

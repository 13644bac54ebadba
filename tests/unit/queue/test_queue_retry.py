"""Failed jobs of the real libraries, put back by BullMQ's own package."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

import pytest
from msgspec.structs import asdict
from queue_fixtures import Bull
from redis_fixtures import RedisServer

from wasupervisor.queue import retry
from wasupervisor.queue.depth import Depth
from wasupervisor.queue.retry import Retried, RetryError, Step, plan, retry_failed

pytestmark = pytest.mark.anyio

WAHA = "chatwoot.waha | session.status"
GOOD = Depth(name="q", flavour="bullmq", waiting=0, active=0, delayed=0, failed=3, completed=0)


def depth(**changes: Any) -> Depth:
    return Depth(**{**asdict(GOOD), **changes})


async def carry_out(server: RedisServer, *steps: Step, prefix: str = "bull", **more: Any) -> tuple[Retried, ...]:
    return await retry_failed(steps, prefix, {"port": server.port}, **more)


def fail(bull: Bull, library: str, queue: str, number: int, prefix: str = "bull") -> list[str]:
    jobs: list[str] = bull.add(library, queue, number, prefix=prefix)
    bull.work(library, queue, "failed", number, prefix=prefix)
    return jobs


@pytest.mark.parametrize(
    ("found", "text", "well"),
    [
        (depth(failed=0), "no job failed", True),
        (depth(failed=0, flavour=None), "there is no such queue", True),
        (depth(failed=None, trouble="why"), "nothing is put back: why", False),
        (depth(trouble="why {not}"), "nothing is put back: why {not}", False),
        (depth(flavour="bull"), "nothing is put back: it is of Bull, not BullMQ: its 3 failed must be retried", False),
        (depth(paused=True), "nothing is put back: the queue is paused", False),
    ],
)
def test_what_stands_against_it_is_a_sentence(found: Depth, text: str, well: bool) -> None:
    (step,) = plan([found], None)
    assert (step.number, step.well) == (0, well)
    assert (step.why_not or "").startswith(text)


def test_the_limit_is_for_all_queues_together_and_never_0_for_one_that_is_tried() -> None:
    """0 is 1000 to the package."""
    queues = [depth(name="a"), depth(name="none", failed=0), depth(name="b"), depth(name="c")]
    assert [(one.queue, one.number, one.why_not) for one in plan(queues, 4)] == [
        ("a", 3, None),
        ("none", 0, "no job failed"),
        ("b", 1, None),
        ("c", 0, "nothing is put back: the limit is reached"),
    ]
    assert [one.number for one in plan(queues, None)] == [3, 0, 3, 3]


@pytest.mark.parametrize("library", ["bullmq3", "bullmq4", "bullmq", "bullmq6"])
async def test_failed_jobs_wait_again_up_to_the_limit_and_are_worked_on(
    library: str, bull: Bull, redis_server: RedisServer
) -> None:
    jobs = fail(bull, library, WAHA, 3, prefix="waha-undefined")

    (done,) = await carry_out(redis_server, Step(WAHA, 2), prefix="waha-undefined")

    assert done == Retried(queue=WAHA, number=2, text="2 failed jobs wait again", done=True)
    states = [bull.call(library, WAHA, "state", "waha-undefined", id=job) for job in jobs]
    assert states == ["waiting", "waiting", "failed"]
    bull.work(library, WAHA, "completed", 2, prefix="waha-undefined")
    states = [bull.call(library, WAHA, "state", "waha-undefined", id=job) for job in jobs]
    assert states == ["completed", "completed", "failed"]


async def test_many_are_moved_in_batches_and_no_more_than_the_limit(
    bull: Bull, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BATCH", 2)
    fail(bull, "bullmq", "q", 6)
    (done,) = await carry_out(redis_server, Step("q", 5))
    assert (done.number, done.done) == (5, True)
    counts = bull.call("bullmq", "q", "counts")
    assert (counts["waiting"], counts["failed"]) == (5, 1)


async def test_a_job_that_failed_by_a_clock_that_is_ahead_is_put_back_too(
    bull: Bull, redis_server: RedisServer
) -> None:
    (job,) = fail(bull, "bullmq", "q", 1)
    with redis_server.client() as client:
        client.zadd("bull:q:failed", {job: (time.time() + 86_400) * 1000})
    (done,) = await carry_out(redis_server, Step("q", 1))
    assert done.number == 1


async def test_when_somebody_else_was_faster_there_is_nothing_to_move(bull: Bull, redis_server: RedisServer) -> None:
    bull.add("bullmq", "q")
    (done,) = await carry_out(redis_server, Step("q", 4))
    assert done == Retried(queue="q", number=0, text="0 failed jobs wait again", done=True)


async def test_how_many_it_moved_is_not_claimed_where_it_is_not_known(
    bull: Bull, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bullmq.scripts  # type: ignore[import-untyped,unused-ignore]

    fail(bull, "bullmq", "q", 2)
    original = bullmq.scripts.Scripts.retryJobs

    async def after_another(self: Any, state: str, count: int, timestamp: int) -> Any:
        with redis_server.client() as client:
            client.zremrangebyrank("bull:q:failed", 0, 0)
        return await original(self, state, count, timestamp)

    monkeypatch.setattr(bullmq.scripts.Scripts, "retryJobs", after_another)
    (done,) = await carry_out(redis_server, Step("q", 2))
    assert (done.number, done.done, done.text) == (0, False, "0 failed jobs wait again, and perhaps 2 more")


async def test_bullmq_5_loses_what_the_package_puts_back_while_the_queue_is_paused(
    bull: Bull, redis_server: RedisServer
) -> None:
    """The reason of the objection; when this fails one day, the objection can go."""
    fail(bull, "bullmq", "q", 1)
    bull.call("bullmq", "q", "pause")
    bull.add("bullmq", "q", 1)
    await carry_out(redis_server, Step("q", 1))
    bull.call("bullmq", "q", "resume")
    counts = bull.call("bullmq", "q", "counts")
    assert (counts["waiting"], counts["failed"]) == (1, 0), "one of two is gone"


async def test_what_is_not_to_be_done_touches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bullmq", None)
    done = await retry_failed([Step("a", 0, "no job failed", well=True), Step("b", 0, "why not")], "bull", {"port": 1})
    assert done == (Retried(queue="a", text="no job failed"), Retried(queue="b", text="why not", done=False))


async def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bullmq", None)
    with pytest.raises(RetryError, match=r"pip install 'wasupervisor\[queue\]'"):
        await retry_failed([Step("q", 1)], "bull", {"port": 1})


async def test_it_ends_at_its_deadline(redis_server: RedisServer) -> None:
    (done,) = await carry_out(redis_server, Step("q", 1), within=0.0)
    assert (done.number, done.done) == (0, False)
    assert done.text == "0 failed jobs wait again; then it ended: it took too long"


async def test_a_redis_that_hangs_holds_nobody_beyond_the_deadline(own_redis: RedisServer) -> None:
    own_redis.send(signal.SIGSTOP)
    (done,) = await carry_out(own_redis, Step("q", 1), within=0.2)
    assert done.text == "0 failed jobs wait again; then it ended: it took too long"


async def test_an_error_of_redis_is_told_with_how_far_it_came(bull: Bull, redis_server: RedisServer) -> None:
    fail(bull, "bullmq", "q", 1)
    with redis_server.client() as client:
        client.delete("bull:q:events")
        client.set("bull:q:events", "x")
    (done,) = await carry_out(redis_server, Step("q", 1))
    assert (done.number, done.done) == (0, False)
    assert "WRONGTYPE" in done.text

"""The watch of the job queues: what it remembers, and that nothing stops it."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import anyio
import pytest
from redis_fixtures import RedisServer

from wasupervisor.config.schema import Queue, QueueWarn
from wasupervisor.keyspace.connection import Servers, connect
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble
from wasupervisor.runtime import backlog
from wasupervisor.runtime.backlog import QueueWatch

pytestmark = pytest.mark.anyio

NAME = "chatwoot.waha | session.status"
QUEUE = Queue(names=(NAME,), prefix="bull", warn=QueueWarn(waiting=2))


@pytest.fixture
async def servers(own_redis: RedisServer) -> AsyncIterator[Servers]:
    async with await connect(own_redis.url, timeout=0.5) as it:
        yield it


def watch(servers: Servers) -> QueueWatch:
    async def way() -> Servers:
        return servers

    return QueueWatch(way, QUEUE, wall=lambda: 1_700_000_000.0)


def add(server: RedisServer, number: int) -> None:
    with server.client() as client:
        client.hset(f"bull:{NAME}:meta", "version", "bullmq:5.0.0")
        client.rpush(f"bull:{NAME}:wait", *range(number))


async def test_it_remembers_the_last_look(own_redis: RedisServer, servers: Servers) -> None:
    it = watch(servers)
    assert it.last is None
    add(own_redis, 3)
    await it.look()
    assert it.last is not None
    assert (it.last.totals.waiting, [one.name for one in it.last.queues]) == (3, [NAME])
    assert len(it.last.warnings) == 1
    with own_redis.client() as client:
        client.flushall()
    await it.look()
    assert (it.last.totals.waiting, it.last.warnings) == (0, ())


async def test_a_redis_that_is_gone_or_hangs_makes_it_unknown_until_it_is_back(
    own_redis: RedisServer, servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    it = watch(servers)
    add(own_redis, 1)
    await it.look()
    own_redis.send(signal.SIGSTOP)
    await it.look()
    assert it.last is None
    own_redis.send(signal.SIGCONT)
    await it.look()
    assert it.last is not None
    own_redis.stop()
    await it.look()
    assert it.last is None
    assert caplog.text == "", "the watch of its keys tells that"


async def test_what_it_may_not_read_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse() -> Servers:
        raise KeyspaceError(RedisTrouble.FORBIDDEN, "it forbids our user LLEN")

    it = QueueWatch(refuse, QUEUE, wall=lambda: 0.0)
    for _ in range(3):
        await it.look()
    assert caplog.messages == ["the queues could not be read: it forbids our user LLEN"]


async def test_a_fault_of_our_own_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> Servers:
        raise RuntimeError("boom")

    it = QueueWatch(fail, QUEUE, wall=lambda: 0.0)
    await it.look()
    assert it.last is None
    assert "this is a fault of wasupervisor" in caplog.text


async def test_one_look_at_a_time_and_none_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "LOOK_WITHIN", 0.05)
    begun = 0

    async def hang() -> Servers:
        nonlocal begun
        begun += 1
        await anyio.sleep_forever()
        raise AssertionError

    it = QueueWatch(hang, QUEUE, wall=lambda: 0.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(it.look)
        await anyio.wait_all_tasks_blocked()
        await it.look()
        assert begun == 1
    await it.look()
    assert begun == 2

"""What one cycle sees, within its time, whatever hangs."""

from __future__ import annotations

import signal

import anyio
import pytest
from redis_fixtures import RedisServer
from runtime_scenes import ScriptedGateway, ScriptedUplink, StillProcess, working

from wasupervisor.config.schema import Queue
from wasupervisor.keyspace.connection import connect
from wasupervisor.keyspace.wanted import Repair, Wanted
from wasupervisor.keyspace.watch import KeyspaceWatch
from wasupervisor.model.observation import RedisReading, Trouble, UplinkState
from wasupervisor.model.usage import Usage
from wasupervisor.runtime.backlog import QueueWatch
from wasupervisor.runtime.stamps import Stamps
from wasupervisor.runtime.watch import UPLINK_EVERY, UPLINK_EVERY_WHILE_DOWN, UPLINK_STALE, Readings, Watch

pytestmark = pytest.mark.anyio


class Scene:
    def __init__(self, *, hangs: bool = False, timeout: float = 5.0, uplink: ScriptedUplink | None = None) -> None:
        self.now = 100.0
        self.gateway = ScriptedGateway(working())
        self.uplink = uplink
        self.process = StillProcess(hangs=hangs)
        self.watch = Watch(
            self.gateway,
            self.process,  # type: ignore[arg-type]
            uplink,  # type: ignore[arg-type]
            timeout=timeout,
            clock=lambda: self.now,
        )

    async def look(self, *, ask: bool = False) -> Readings:
        """One look; what runs on beside it ends too."""
        async with anyio.create_task_group() as tasks:
            readings = await self.watch.observe(ask_uplink=ask, tasks=tasks)
        return readings  # noqa: RET504 - mypy cannot know that the group swallows nothing


async def test_a_gateway_that_hangs_is_a_look_that_timed_out_and_the_process_is_read_all_the_same() -> None:
    it = Scene(timeout=0.05)
    it.gateway.during_look = anyio.sleep_forever
    readings = await it.look()
    assert (readings.look.reachable, readings.look.trouble) == (False, Trouble.TIMED_OUT)
    assert readings.look.sightings is None
    assert readings.process.pid == 4711


async def test_a_process_that_cannot_be_read_in_time_does_not_cost_the_look() -> None:
    readings = await Scene(timeout=0.05, hangs=True).look()
    assert readings.look.sightings == (working(),)
    assert (readings.process.pid, readings.usage) == (None, Usage())
    assert "in time" in readings.process.detail


async def test_what_the_process_uses_comes_with_the_look_and_is_surveyed_beside_it() -> None:
    it = Scene()
    readings = await it.look()
    assert (readings.usage, it.process.surveys) == (Usage(threads=11), 1)


async def test_the_uplink_is_asked_only_when_something_is_not_well_and_not_too_often() -> None:
    it = Scene(uplink=ScriptedUplink())
    assert it.uplink is not None
    assert (await it.look()).uplink.state is UplinkState.UNKNOWN
    assert it.uplink.asked == []
    await it.look(ask=True)
    await it.look(ask=True)
    assert len(it.uplink.asked) == 1
    assert (await it.look()).uplink.state is UplinkState.UP
    it.now += UPLINK_EVERY
    await it.look(ask=True)
    assert len(it.uplink.asked) == 2


async def test_an_uplink_that_is_down_is_asked_more_often_so_that_its_return_is_seen_soon() -> None:
    it = Scene(uplink=ScriptedUplink(UplinkState.DOWN))
    assert it.uplink is not None
    await it.look(ask=True)
    it.now += UPLINK_EVERY_WHILE_DOWN
    await it.look(ask=True)
    assert len(it.uplink.asked) == 2


async def test_an_old_reading_of_the_uplink_says_nothing_any_more() -> None:
    it = Scene(uplink=ScriptedUplink())
    await it.look(ask=True)
    it.now += UPLINK_STALE
    assert (await it.look()).uplink.state is UplinkState.UP
    it.now += 1.0
    assert (await it.look()).uplink.state is UplinkState.UNKNOWN


async def test_an_uplink_that_does_not_answer_delays_no_look_and_is_not_asked_twice_at_once() -> None:
    it = Scene(uplink=ScriptedUplink())
    assert it.uplink is not None
    asked = 0

    async def hang(max_age: float) -> None:
        nonlocal asked
        asked += 1
        await anyio.sleep_forever()

    it.uplink.ask = hang  # type: ignore[assignment,method-assign]
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            readings = await it.watch.observe(ask_uplink=True, tasks=tasks)
            await anyio.wait_all_tasks_blocked()
            assert readings.uplink.state is UplinkState.UNKNOWN
        tasks.cancel_scope.cancel()
    assert asked == 1


async def test_a_fault_in_asking_for_the_uplink_does_not_end_the_daemon(caplog: pytest.LogCaptureFixture) -> None:
    it = Scene(uplink=ScriptedUplink())
    assert it.uplink is not None
    it.uplink.error = RuntimeError("boom")
    await it.look(ask=True)
    assert "the uplink could not be asked" in caplog.text
    it.uplink.error = None
    await it.look(ask=True)
    assert (await it.look()).uplink.state is UplinkState.UP


async def test_an_uplink_that_is_not_watched_is_not_asked() -> None:
    it = Scene()
    assert (await it.look(ask=True)).uplink.state is UplinkState.UNKNOWN
    assert (await it.watch.with_uplink(await it.look())).uplink.state is UplinkState.UNKNOWN


async def test_an_order_gets_the_uplink_that_nobody_asked_for_but_does_not_wait_for_ever() -> None:
    it = Scene(uplink=ScriptedUplink(), timeout=0.05)
    assert it.uplink is not None
    readings = await it.watch.with_uplink(await it.look())
    assert readings.uplink.state is UplinkState.UP
    await it.watch.with_uplink(await it.look())
    assert len(it.uplink.asked) == 1
    it.now += UPLINK_STALE + 1
    before = await it.look()

    async def hang(max_age: float) -> None:
        await anyio.sleep_forever()

    it.uplink.ask = hang  # type: ignore[assignment,method-assign]
    assert await it.watch.with_uplink(before) == before


async def test_connections_are_closed_though_we_are_cancelled_and_a_fault_there_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    it = Scene()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await it.watch.aclose()
    assert it.gateway.closed

    async def fail() -> None:
        raise RuntimeError("boom")

    it.gateway.aclose = fail  # type: ignore[method-assign]
    await it.watch.aclose()
    assert "could not be closed" in caplog.text


async def test_a_redis_that_hangs_delays_no_look_and_is_told_by_the_next(own_redis: RedisServer) -> None:
    it = Scene()
    keys = KeyspaceWatch(
        lambda: connect(own_redis.url, timeout=0.3),
        Wanted(gateway_kind="waha", prefix="p", repair=Repair.OFF),
        clock=lambda: it.now,
        wall=lambda: it.now,
        stamp=Stamps(),
    )
    seeing = Watch(
        it.gateway,
        StillProcess(),  # type: ignore[arg-type]
        None,
        timeout=5.0,
        clock=lambda: it.now,
        keys=keys,
        queues=QueueWatch(keys.servers, Queue(names=("q",)), wall=lambda: it.now),
    )
    async with anyio.create_task_group() as tasks:
        assert (await seeing.observe(ask_uplink=False, tasks=tasks)).look.reachable
    own_redis.send(signal.SIGSTOP)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            readings = await seeing.observe(ask_uplink=False, tasks=tasks)
            assert (readings.look.reachable, readings.redis.ok) == (True, True), "what is known stands until then"
            assert readings.backlog is not None
    readings = await seeing.with_redis(readings)
    own_redis.send(signal.SIGCONT)
    assert readings.redis.ok is False
    assert readings.keys is not None
    assert "did not answer" in readings.keys.detail
    async with anyio.create_task_group() as tasks:
        readings = await seeing.observe(ask_uplink=False, tasks=tasks)
        assert (readings.redis.ok, readings.backlog) == (False, None)
    it.now += 1.0
    assert (await seeing.redis(0.0)).ok is True
    await seeing.aclose()


async def test_a_redis_that_is_not_watched_says_nothing() -> None:
    it = Scene()
    readings = await it.look()
    assert (readings.redis, readings.keys, readings.backlog) == (RedisReading(), None, None)
    assert await it.watch.redis(0.0) == RedisReading()
    assert await it.watch.with_redis(readings) is readings

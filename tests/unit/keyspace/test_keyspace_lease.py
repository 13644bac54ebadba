"""Of two daemons at one Redis only one repairs."""

from __future__ import annotations

import anyio
import pytest
from redis_fixtures import RedisServer

from wasupervisor.keyspace.connection import connect
from wasupervisor.keyspace.lease import Lease
from wasupervisor.keyspace.trouble import KeyspaceError

pytestmark = pytest.mark.anyio

KEY = b"wasupervisor:lease:evo"


class Clock:
    """Seconds, set by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_one_of_two_holds_it_and_keeps_it(redis_server: RedisServer) -> None:
    async with await connect(redis_server.url) as one, await connect(redis_server.url) as other:
        first, second = Lease(one, "evo", Clock()), Lease(other, "evo", Clock())
        assert (first.key, first.token != second.token) == (KEY, True)
        assert not first.is_ours
        assert [await lease.take() for lease in (first, second, first, second)] == [True, False, True, False]
        assert (first.is_ours, second.is_ours) == (True, False)
        with redis_server.client() as client:
            assert client.get(KEY) == first.token
            assert 29_000 < client.pttl(KEY) <= 30_000


async def test_many_at_once_find_one_holder(redis_server: RedisServer) -> None:
    async with await connect(redis_server.url) as servers:
        leases = [Lease(servers, "evo", Clock()) for _ in range(20)]
        took: list[bool] = []

        async def take(lease: Lease) -> None:
            took.append(await lease.take())

        async with anyio.create_task_group() as group:
            for lease in leases:
                group.start_soon(take, lease)
        assert (took.count(True), [lease.is_ours for lease in leases].count(True)) == (1, 1)


async def test_to_renew_it_makes_it_last(redis_server: RedisServer) -> None:
    async with await connect(redis_server.url) as servers:
        lease = Lease(servers, "evo", Clock())
        await lease.take()
        with redis_server.client() as client:
            client.pexpire(KEY, 1000)
            assert await lease.take()
            assert client.pttl(KEY) > 29_000


async def test_it_is_for_one_database_and_one_prefix(redis_server: RedisServer) -> None:
    url = redis_server.url.replace("/0", "/7")
    async with await connect(redis_server.url) as one, await connect(url) as other:
        leases = [Lease(one, "evo", Clock()), Lease(one, "evo2", Clock()), Lease(other, "evo", Clock())]
        assert [await lease.take() for lease in leases] == [True, True, True]
        await leases[2].release()


async def test_who_dies_is_followed_when_it_expires(own_redis: RedisServer) -> None:
    async with await connect(own_redis.url) as one, await connect(own_redis.url) as other:
        dead, heir = Lease(one, "evo", Clock(), lasts=0.3), Lease(other, "evo", Clock(), lasts=0.3)
        assert await dead.take()
        assert not await heir.take()
        await one.aclose()
        with anyio.fail_after(20):
            while not await heir.take():  # noqa: ASYNC110 - it is Redis that lets it expire
                await anyio.sleep(0.01)
        with own_redis.client() as client:
            assert client.get(KEY) == heir.token


async def test_who_hears_nothing_knows_when_it_may_be_anothers(redis_server: RedisServer) -> None:
    clock = Clock()
    async with await connect(redis_server.url) as servers:
        lease = Lease(servers, "evo", clock)
        await lease.take()
        clock.now += 29.9
        assert lease.is_ours
        clock.now += 0.2
        assert not lease.is_ours
        assert await lease.take()


async def test_who_lost_it_learns_that_when_it_renews(redis_server: RedisServer) -> None:
    async with await connect(redis_server.url) as servers:
        lease = Lease(servers, "evo", Clock())
        await lease.take()
        with redis_server.client() as client:
            client.set(KEY, b"another's")
            assert not await lease.take()
            assert not lease.is_ours
            await lease.release()
            assert client.get(KEY) == b"another's"


async def test_who_goes_lets_another_in_at_once_and_takes_only_its_own(redis_server: RedisServer) -> None:
    async with await connect(redis_server.url) as servers:
        first, second = Lease(servers, "evo", Clock()), Lease(servers, "evo", Clock())
        await first.take()
        await second.release()
        with redis_server.client() as client:
            assert client.get(KEY) == first.token
            await first.release()
            assert client.get(KEY) is None
            assert not first.is_ours
            assert await second.take()
            client.set(KEY, b"another's")
            await second.release()
            assert client.get(KEY) == b"another's"


async def test_a_redis_that_is_gone_is_told_and_releasing_does_not_mind(own_redis: RedisServer) -> None:
    async with await connect(own_redis.url) as servers:
        lease = Lease(servers, "evo", Clock())
        await lease.take()
        own_redis.stop()
        with pytest.raises(KeyspaceError):
            await lease.take()
        assert lease.is_ours
        await lease.release()
        assert not lease.is_ours

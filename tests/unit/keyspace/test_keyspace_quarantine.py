"""Keys are set aside and put back: nothing is lost, nothing is deleted, and nobody is in the way of a writer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyspace_values import LARGE, NAMES, VALUES, Fill, Whole, moment, other_than, wrong_of
from redis_fixtures import RedisServer

from wasupervisor.keyspace.aside import Outcome, SetAside
from wasupervisor.keyspace.connection import Servers, connect
from wasupervisor.keyspace.keys import NOTE, QUARANTINE, UNDONE, note_name, quarantine_name
from wasupervisor.keyspace.lease import Lease
from wasupervisor.keyspace.quarantine import (
    NotFoundError,
    Quarantined,
    Undone,
    UndoOutcome,
    described,
    find,
    listed,
    purge,
    set_aside,
    undo,
)
from wasupervisor.keyspace.rules import Rule
from wasupervisor.keyspace.sweep import Sweep, Wrong

pytestmark = pytest.mark.anyio

AT = "20261121T200512.123456Z"
LATER = "20261121T200513.000001Z"
KEY = b"evolution-cache:instance:3f1c"
ANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@pytest.fixture
async def servers(redis_server: RedisServer) -> AsyncIterator[Servers]:
    async with await connect(redis_server.url, timeout=10.0) as found:
        yield found


async def moved(servers: Servers, key: bytes = KEY, kind: str = "string", at: str = AT) -> Quarantined:
    done = await set_aside(servers, wrong_of(key, kind), at=at, lease=None, by="test")
    assert done.outcome is Outcome.MOVED
    return await find(servers, done.id or "")


def names(server: RedisServer) -> set[bytes]:
    with server.client() as client:
        return set(client.keys())


@ANY
@given(key=NAMES, value=VALUES, ttl=st.none() | st.integers(1, 10**11))
def test_any_key_comes_back_as_it_was(
    shared_redis: RedisServer, key: bytes, value: tuple[str, Fill], ttl: int | None
) -> None:
    there_and_back(shared_redis, key, value, None if ttl is None else ttl + 60_000)


@pytest.mark.parametrize("value", LARGE, ids=[kind for kind, _fill in LARGE])
def test_a_large_key_comes_back_as_it_was(redis_server: RedisServer, value: tuple[str, Fill]) -> None:
    there_and_back(redis_server, b"large", value, 100_000)


def there_and_back(server: RedisServer, key: bytes, value: tuple[str, Fill], ttl: int | None) -> None:
    kind, fill = value
    with server.client() as client:
        client.flushall()
        fill(client, key)
        if ttl is not None:
            client.pexpire(key, ttl)
        before = Whole.of(client, key)

        async def go() -> tuple[SetAside, Quarantined, Undone]:
            async with await connect(server.url, timeout=10.0) as servers:
                done = await set_aside(servers, wrong_of(key, kind), at=AT, lease=None, by="test")
                assert done.name is not None
                assert Whole.of(client, done.name) == before
                assert client.pttl(done.name) == -1
                assert not client.exists(key)
                (one,) = await listed(servers)
                return done, one, await undo(servers, one, replace=False, at=LATER)

        done, one, undone = anyio.run(go)
        assert (done.outcome, done.type, one.type, one.key) == (Outcome.MOVED, kind, kind, key)
        assert one.size == done.size
        assert undone == Undone(UndoOutcome.PUT_BACK)
        assert Whole.of(client, key) == before
        left = client.pttl(key)
        assert (left == -1) if ttl is None else (ttl - 30_000 < left <= ttl)
        assert set(client.keys()) == {key, UNDONE + (b":" if key[:1] in (b"{", b":") else b"") + key}


async def test_what_is_told_of_one(servers: Servers, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set(KEY, "secret-value", px=3_600_000)
    wrong = wrong_of(KEY, "string", "hash", credentials=True, why="the session is lost")
    done = await set_aside(servers, wrong, at=AT, lease=None, by="the daemon")
    (one,) = await listed(servers)
    assert one.name == done.name == QUARANTINE + AT.encode() + b":" + KEY
    assert one.ttl_seconds is not None
    assert 3_500 < one.ttl_seconds <= 3_600
    assert done.ttl_ms == one.ttl_seconds * 1000
    assert (one.key, one.type, one.expected, one.credentials) == (KEY, "string", "hash", True)
    assert (one.at, one.reason, one.rule) == ("2026-11-21T20:05:12.123456Z", "the session is lost", "some keys")
    assert len(one.id) == 12
    with redis_server.client() as client:
        noted = client.hgetall(note_name(one.name))
        assert noted[b"by"] == b"the daemon"
        assert b"secret-value" not in repr(noted).encode()


async def test_one_without_its_note_is_listed_and_comes_back(servers: Servers, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set(KEY, "v")
        one = await moved(servers)
        client.delete(note_name(one.name))
    (bare,) = await listed(servers)
    assert (bare.id, bare.key, bare.type, bare.at) == (one.id, KEY, "string", one.at)
    assert (bare.expected, bare.reason, bare.ttl_seconds) == ("", "", None)
    assert (await undo(servers, bare, replace=False, at=LATER)).outcome is UndoOutcome.PUT_BACK


async def test_killed_after_the_move_it_is_listed_by_the_next(servers: Servers, redis_server: RedisServer) -> None:
    """Nothing but Redis knows of it."""
    with redis_server.client() as client:
        client.set(KEY, "v", px=60_000)
    async with await connect(redis_server.url, timeout=10.0) as killed:
        await set_aside(killed, wrong_of(KEY, "string"), at=AT, lease=None, by="test")
    (one,) = await listed(servers)
    assert (one.key, one.expected) == (KEY, "hash")
    assert one.ttl_seconds is not None


async def test_the_list_is_in_order_and_holds_only_ours(servers: Servers, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        for number in range(250):
            client.set(f"k:{number}", "v")
        client.set(QUARANTINE + b"nonsense", "v")
        client.set("wasupervisor:quarantined", "v")
    for number in reversed(range(250)):
        wrong = wrong_of(b"k:%d" % number, "string")
        await set_aside(servers, wrong, at=f"20261121T200512.{number:06}Z", lease=None, by="test")
    found = await listed(servers)
    assert [one.key for one in found] == [b"k:%d" % number for number in range(250)]
    assert await described(servers, [found[3].name, b"gone", QUARANTINE + b"t:gone"]) == (found[3],)


async def test_ids(servers: Servers, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        for number in range(40):
            client.set(f"k:{number}", "v")
    all_of_them = [await moved(servers, b"k:%d" % number) for number in range(40)]
    first = all_of_them[0]
    assert await find(servers, first.id) == first
    assert await find(servers, first.id.upper()[:11]) == first
    with pytest.raises(NotFoundError, match="no key in quarantine has the id 'xyz'"):
        await find(servers, "xyz")
    with pytest.raises(NotFoundError, match="no key in quarantine has the id ''"):
        await find(servers, "")
    shared = next(one.id[0] for one in all_of_them if sum(other.id[0] == one.id[0] for other in all_of_them) > 1)
    with pytest.raises(NotFoundError, match=f"keys in quarantine have an id that begins with '{shared}'"):
        await find(servers, shared)


async def test_a_key_that_is_gone(servers: Servers) -> None:
    done = await set_aside(servers, wrong_of(KEY, "string"), at=AT, lease=None, by="test")
    assert done == SetAside(Outcome.GONE)
    assert await listed(servers) == ()


@ANY
@given(key=NAMES, value=VALUES)
def test_a_writer_that_put_the_key_right_keeps_it(
    shared_redis: RedisServer, key: bytes, value: tuple[str, Fill]
) -> None:
    """Between the sweep and the repair."""
    kind, fill = value
    with shared_redis.client() as client:
        client.flushall()
        fill(client, key)
        before = Whole.of(client, key)

        async def go() -> SetAside:
            async with await connect(shared_redis.url, timeout=10.0) as servers:
                return await set_aside(servers, wrong_of(key, other_than(kind), kind), at=AT, lease=None, by="test")

        assert anyio.run(go) == SetAside(Outcome.WHOLE, type=kind)
        assert Whole.of(client, key) == before
        assert set(client.keys()) == {key}


async def test_a_writer_beside_the_repair_never_loses_what_it_wrote(
    servers: Servers, redis_server: RedisServer
) -> None:
    """It puts right what is wrong as soon as it sees it; its hash is never moved."""
    async with await connect(redis_server.url, timeout=10.0) as gateway:
        for number in range(60):
            key = b"k:%d" % number
            await gateway.nodes[0].call("SET", key, "wrong")

            async def put_right(key: bytes = key) -> None:
                await gateway.nodes[0].calls([("MULTI",), ("DEL", key), ("HSET", key, "f", "good"), ("EXEC",)])

            async def repair(key: bytes = key) -> None:
                await set_aside(servers, wrong_of(key, "string"), at=moment(), lease=None, by="test")

            async with anyio.create_task_group() as tasks:
                for work in (put_right, repair) if number % 2 else (repair, put_right):
                    tasks.start_soon(work)
            assert await gateway.nodes[0].call("HGET", key, "f") == b"good"


async def test_of_two_repairs_one_moves(servers: Servers, redis_server: RedisServer) -> None:
    for number in range(40):
        key = b"k:%d" % number
        with redis_server.client() as client:
            client.set(key, "v")
        done: list[SetAside] = []

        async def repair(key: bytes = key, done: list[SetAside] = done) -> None:
            done.append(await set_aside(servers, wrong_of(key, "string"), at=moment(), lease=None, by="test"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(repair)
            tasks.start_soon(repair)
        assert sorted(one.outcome for one in done) == [Outcome.GONE, Outcome.MOVED]


async def test_who_lost_the_lease_moves_nothing(servers: Servers, redis_server: RedisServer) -> None:
    mine, other = (Lease(servers, "evolution-cache", lambda: 0.0, token=token) for token in (b"mine", b"other"))
    with redis_server.client() as client:
        client.set(KEY, "v")
        assert await mine.take()
        done = await set_aside(servers, wrong_of(KEY, "string"), at=AT, lease=mine, by="test")
        assert done.outcome is Outcome.MOVED
        client.set(KEY, "v")
        client.delete(mine.key)
        assert (await set_aside(servers, wrong_of(KEY, "string"), at=LATER, lease=mine, by="test")).outcome is (
            Outcome.NOT_OURS
        )
        assert await other.take()
        assert (await set_aside(servers, wrong_of(KEY, "string"), at=LATER, lease=mine, by="test")).outcome is (
            Outcome.NOT_OURS
        )
        assert client.get(KEY) == b"v"


async def test_the_lease_lost_in_the_middle_of_a_sweep_stops_the_repair(
    servers: Servers, redis_server: RedisServer
) -> None:
    lease = Lease(servers, "k", lambda: 0.0)
    assert await lease.take()
    done: list[SetAside] = []

    async def repair(wrong: Sequence[Wrong]) -> None:
        for one in wrong:
            done.append(await set_aside(servers, one, at=moment(), lease=lease, by="test"))
            if len(done) == 7:
                with redis_server.client() as client:
                    client.set(lease.key, "another daemon")

    async def rest(_seconds: float) -> None:
        pass

    with redis_server.client() as client:
        client.mset({f"k:{number}": "v" for number in range(30)})
        await Sweep(servers, [Rule("k", b"k:*", ("hash",))], clock=lambda: 0.0, rest=rest).run(repair)
        assert [one.outcome for one in done] == [Outcome.MOVED] * 7 + [Outcome.NOT_OURS] * 23
        assert len(client.keys("k:*")) == 23


async def test_a_name_that_is_taken(servers: Servers, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set(KEY, "first")
        one = await moved(servers)
        client.set(KEY, "second", px=100_000)
        before = client.hgetall(note_name(one.name))
        done = await set_aside(servers, wrong_of(KEY, "string"), at=AT, lease=None, by="test")
        assert done.outcome is Outcome.TAKEN
        assert (client.get(KEY), client.get(one.name)) == (b"second", b"first")
        assert client.hgetall(note_name(one.name)) == before
        assert client.pttl(KEY) > 0


async def test_in_quarantine_it_does_not_expire(servers: Servers, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set(KEY, "v", px=30_000)
        one = await moved(servers)
        assert client.pttl(one.name) == -1
        assert client.pttl(note_name(one.name)) == -1
        await undo(servers, one, replace=False, at=LATER)
        assert 0 < client.pttl(KEY) <= 30_000


async def test_undo_does_not_replace_unless_it_is_told_to(servers: Servers, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set(KEY, "wrong", px=100_000)
        one = await moved(servers)
        client.hset(KEY, "f", "good")
        client.pexpire(KEY, 50_000)
        before = names(redis_server)
        assert await undo(servers, one, replace=False, at=LATER) == Undone(UndoOutcome.OCCUPIED, "hash")
        assert names(redis_server) == before
        assert client.hget(KEY, "f") == b"good"
        undone = await undo(servers, one, replace=True, at=LATER)
        assert undone == Undone(UndoOutcome.PUT_BACK, "hash", QUARANTINE + LATER.encode() + b":" + KEY)
        assert client.get(KEY) == b"wrong"
        assert 50_000 < client.pttl(KEY) <= 100_000
        (other,) = await listed(servers)
        assert (other.name, other.type, other.key) == (undone.made_room, "hash", KEY)
        assert other.ttl_seconds is not None
        assert 30 < other.ttl_seconds <= 50
        assert client.hget(other.name, "f") == b"good"
        assert client.pttl(other.name) == -1
        again = await undo(servers, other, replace=True, at=AT)
        assert again.outcome is UndoOutcome.PUT_BACK
        assert client.hget(KEY, "f") == b"good"


async def test_undo_of_what_is_gone(servers: Servers, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set(KEY, "v")
        one = await moved(servers)
        client.hset(KEY, "f", "good")
        client.delete(one.name)
        assert await undo(servers, one, replace=True, at=LATER) == Undone(UndoOutcome.GONE)
        assert client.hget(KEY, "f") == b"good"


async def test_undo_where_the_name_for_the_other_is_taken(servers: Servers, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set(KEY, "v")
        one = await moved(servers)
        client.set(KEY, "other")
        assert (await undo(servers, one, replace=True, at=AT)).outcome is UndoOutcome.TAKEN
        assert (client.get(KEY), client.get(one.name)) == (b"other", b"v")


async def test_what_was_put_back_is_marked_until_it_is_set_aside_again(
    servers: Servers, redis_server: RedisServer
) -> None:
    with redis_server.client() as client:
        client.set(KEY, "v")
        await undo(servers, await moved(servers), replace=False, at=LATER)
        assert client.get(UNDONE + KEY) == b"string"
        await moved(servers, at=LATER)
        assert not client.exists(UNDONE + KEY)


async def test_purge_deletes_one_and_its_note_and_nothing_else(servers: Servers, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set(KEY, "v")
        one = await moved(servers)
        client.set(KEY, "v")
        other = await moved(servers, at=LATER)
    assert await purge(servers, one)
    assert await listed(servers) == (other,)
    assert names(redis_server) == {other.name, note_name(other.name)}
    assert not await purge(servers, one)


@pytest.mark.parametrize("name", [KEY, NOTE + b"t:x", QUARANTINE])
async def test_purge_takes_nothing_but_a_key_in_quarantine(
    servers: Servers, redis_server: RedisServer, name: bytes
) -> None:
    with redis_server.client() as client:
        client.set(name, "v")
        with pytest.raises(ValueError, match="is no key in quarantine"):
            await purge(servers, Quarantined("0" * 12, name, KEY, "string"))
        assert client.get(name) == b"v"


def test_names_in_quarantine_are_of_the_same_kind_everywhere() -> None:
    assert quarantine_name(AT, KEY, cluster=True) == QUARANTINE + AT.encode() + b":{" + KEY + b"}"

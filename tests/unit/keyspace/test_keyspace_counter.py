"""INFO read, and WRONGTYPE errors counted over everything that sets a count back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis_fixtures import RedisServer

from wasupervisor.keyspace.connection import connect
from wasupervisor.keyspace.counter import Growth, Reading, WrongtypeCounter, read_wrongtype, reading_of
from wasupervisor.keyspace.info import Info, parse_info, read_info
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble

pytestmark = pytest.mark.anyio

VALKEY = (
    b"# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n\r\n# Memory\r\nmaxmemory:0\r\n"
)


def test_text_becomes_sections_and_fields() -> None:
    info = parse_info(
        b"# Server\r\nredis_version:7.0.15\r\nos:Linux 6.1 x86_64\r\nconfig_file:\r\n\r\n"
        b"# Errorstats\r\nerrorstat_WRONGTYPE:count=12,other=3\r\n# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n"
        b"a line of no meaning\r\nmaster_host:fe80::1\r\nloading:1\r\nnumber:12x\r\n"
    )
    assert info.sections == {"server", "errorstats", "keyspace"}
    assert info.version == (7, 0, 15)
    assert info.count("errorstat_WRONGTYPE") == 12
    assert info.fields["db0"] == "keys=1,expires=0,avg_ttl=0"
    assert info.text("master_host") == "fe80::1"
    assert info.text("config_file") is None
    assert info.flag("loading") is True
    assert (info.number("number"), info.number("missing"), info.flag("missing"), info.count("number")) == (None,) * 4


@pytest.mark.parametrize(
    ("text", "version", "server"),
    [
        (VALKEY, (7, 2, 4), "Valkey 8.0.1 (as Redis 7.2.4)"),
        (b"redis_version:7.4.0\r\ndragonfly_version:df-v1.23.0\r\n", (7, 4, 0), "Dragonfly 1.23.0 (as Redis 7.4.0)"),
        (b"redis_version:255.255.255\n", (255, 255, 255), "Redis 255.255.255"),
        (b"redis_version:7.2-rc1\n", (7, 2, 0), "Redis 7.2-rc1"),
        (b"redis_version:unstable\n", None, "Redis unstable"),
        (b"", None, "Redis of unknown version"),
    ],
)
def test_whoever_it_is_its_version_is_found(text: bytes, version: object, server: str) -> None:
    info = parse_info(text)
    assert (info.version, info.server) == (version, server)


@given(st.binary() | st.text())
def test_any_text_is_read(text: bytes | str) -> None:
    info = parse_info(text)
    for name in info.fields:
        info.number(name), info.flag(name), info.count(name)
    reading_of("n", info)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (b"# Errorstats\r\n", 0),
        (b"# Errorstats\r\nerrorstat_ERR:count=4\r\n", 0),
        (b"# Errorstats\r\nerrorstat_ERR:count=4\r\nerrorstat_WRONGTYPE:count=9\r\n", 9),
        (b"", None),
        (b"# Server\r\nredis_version:6.0.16\r\n", None),
        (b"# Errorstats\r\nerrorstat_ERRORSTATS_DISABLED:count=1\r\n", None),
        (b"# Errorstats\r\nerrorstat_ERRORSTATS_OVERFLOW:count=7\r\n", None),
        (b"# Errorstats\r\nerrorstat_ERRORSTATS_OVERFLOW:count=7\r\nerrorstat_WRONGTYPE:count=2\r\n", 2),
        (b"# Server\r\ndragonfly_version:df-v1.23.0\r\n# Errorstats\r\nWRONGTYPE:3\r\n", None),
        (b"# Errorstats\r\nerrorstat_WRONGTYPE:many\r\n", None),
    ],
)
def test_a_count_is_believed_only_where_it_is_one(text: bytes, count: int | None) -> None:
    reading = reading_of("redis:6379", parse_info(text))
    assert reading.count == count
    assert reading.why_unknown.startswith("redis:6379: ") == (count is None)


def test_why_it_is_withheld_stands_in_the_reading() -> None:
    reading = reading_of("redis:6379", Info(withheld="redis:6379 forbids our user INFO"))
    assert (reading.count, reading.why_unknown) == (None, "redis:6379 forbids our user INFO")


def one(count: int | None, run_id: str = "a", node: str = "n") -> Reading:
    return Reading(node=node, run_id=run_id, count=count, why_unknown="" if count is not None else f"{node}: why")


@pytest.mark.parametrize(
    ("readings", "errors", "total"),
    [
        ([one(7)], [0], 0),
        ([one(7), one(7), one(10)], [0, 0, 3], 3),
        ([one(7), one(2)], [0, 2], 2),
        ([one(7), one(0), one(1)], [0, 0, 1], 1),
        ([one(7), one(9, "b")], [0, 9], 9),
        ([one(7), one(9, "")], [0, 2], 2),
        ([one(7), one(None), one(9)], [0, None, 2], 2),
        ([one(None), one(9), one(10)], [None, 0, 1], 1),
        ([one(None), one(9, "b")], [None, 9], 9),
        ([one(7), one(None, "b"), one(9, "b")], [0, None, 9], 9),
        ([one(None)], [None], None),
    ],
)
def test_growth(readings: list[Reading], errors: list[int | None], total: int | None) -> None:
    counter = WrongtypeCounter()
    assert [counter.take([reading]).errors for reading in readings] == errors
    assert counter.total == total


def test_the_nodes_of_a_cluster_are_counted_apart_and_may_change() -> None:
    counter = WrongtypeCounter()
    assert counter.take([one(5, node="x"), one(8, node="y")]) == Growth()
    assert counter.take([one(6, node="x"), one(3, node="y")]) == Growth(errors=4)
    assert counter.take([one(6, node="x"), one(50, node="z")]) == Growth(errors=0, joined=("z",))
    assert counter.take([one(6, node="x"), one(4, node="y"), one(51, node="z")]) == Growth(errors=2)
    assert counter.take([one(None, node="x"), one(51, node="z")]) == Growth(errors=0, unknown=("x: why",))
    assert counter.total == 6


async def test_real_errors_are_counted_also_those_in_scripts(redis_server: RedisServer) -> None:
    counter = WrongtypeCounter()
    with redis_server.client() as client:
        client.set("a", "text")
        async with await connect(redis_server.url) as servers:
            (node,) = servers.nodes

            async def grown() -> int | None:
                return counter.take([await read_wrongtype(node)]).errors

            assert await grown() == 0
            assert await grown() == 0, "our own look makes none"
            await _wrong(servers.nodes[0].call("HGET", "a", "b"))
            assert await grown() == 1
            await _wrong(node.call("EVAL", "return redis.call('HGET', 'a', 'b')", 0))
            await node.call("EVAL", "redis.pcall('HGET', 'a', 'b') return 1", 0)
            assert (await grown() or 0) >= 2
            before = counter.total
            client.config_resetstat()
            assert await grown() == 0
            await _wrong(node.call("HGET", "a", "b"))
            client.config_resetstat()
            await _wrong(node.call("HGET", "a", "b"))
            await _wrong(node.call("HGET", "a", "b"))
            assert await grown() == 2
            assert counter.total == (before or 0) + 2


async def _wrong(call: object) -> None:
    with pytest.raises(KeyspaceError):
        await call  # type: ignore[misc]


async def test_errors_since_the_server_was_restarted_are_all_new(own_redis: RedisServer) -> None:
    counter = WrongtypeCounter()

    async def one_error() -> int | None:
        async with await connect(own_redis.url) as servers:
            (node,) = servers.nodes
            await node.call("SET", "a", "text")
            await _wrong(node.call("HGET", "a", "b"))
            return counter.take([await read_wrongtype(node)]).errors

    assert await one_error() == 0
    assert await one_error() == 1
    own_redis.stop()
    own_redis.start()
    assert await one_error() == 1, "the count is smaller, and of another process"


async def test_info_of_a_real_server(redis_server: RedisServer) -> None:
    async with await connect(redis_server.url) as servers:
        info = await read_info(servers.nodes[0], "server", "memory", "errorstats", "no_such_section")
    assert info.version is not None
    assert info.version >= (6, 2, 0)
    assert len(info.text("run_id") or "") == 40
    assert info.text("maxmemory_policy") == "noeviction"
    assert info.sections == {"server", "memory", "errorstats"}
    assert info.withheld == ""


async def test_info_that_is_forbidden_is_unknown_and_no_error(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "blind", "on", ">secret", "~*", "+@all", "-info")
        try:
            async with await connect(redis_server.url.replace("//", "//blind:secret@")) as servers:
                info = await read_info(servers.nodes[0], "server", "errorstats")
                reading = await read_wrongtype(servers.nodes[0])
        finally:
            client.acl_deluser("blind")
    assert (info.version, info.sections) == (None, frozenset())
    assert "INFO" in info.withheld
    assert reading.count is None
    assert "INFO" in reading.why_unknown


async def test_a_server_that_is_gone_is_an_error(own_redis: RedisServer) -> None:
    async with await connect(own_redis.url) as servers:
        own_redis.stop()
        with pytest.raises(KeyspaceError) as caught:
            await read_info(servers.nodes[0], "server")
    assert caught.value.trouble in (RedisTrouble.UNREACHABLE, RedisTrouble.CUT)

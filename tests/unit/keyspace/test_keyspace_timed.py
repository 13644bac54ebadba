"""For how long a script keeps the server busy, by the server's own clock."""

from __future__ import annotations

import pytest
from keyspace_talkers import talker
from redis_fixtures import RedisServer

from wasupervisor.keyspace.connection import Script, connect
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble

pytestmark = pytest.mark.anyio

ECHO = Script("echo", "return {KEYS[1], ARGV[1]}")


async def test_a_script_is_timed_by_the_server_whether_it_knows_it_or_not(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.script_flush()
        async with await connect(redis_server.url) as servers:
            for _ in range(2):
                reply, seconds = await servers.nodes[0].timed(ECHO, [b"k"], [b"\xff"])
                assert reply == [b"k", b"\xff"]
                assert seconds is not None
                assert 0.0 <= seconds < 10.0
        assert client.info("commandstats")["cmdstat_eval"]["calls"] == 1


async def test_a_script_that_fails_raises_though_the_clock_answers(redis_server: RedisServer) -> None:
    async with await connect(redis_server.url) as servers:
        with pytest.raises(KeyspaceError, match="no such thing"):
            await servers.nodes[0].timed(Script("fails", "return redis.error_reply('no such thing')"), [], [])
        assert await servers.nodes[0].call("PING") == b"PONG"


async def test_where_time_is_refused_the_reply_counts_all_the_same(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "timeless", "on", "nopass", "~*", "+@all", "-time")
        try:
            url = redis_server.url.replace("://", "://timeless:x@")
            async with await connect(url) as servers:
                assert await servers.nodes[0].timed(ECHO, [b"k"], [b"a"]) == ([b"k", b"a"], None)
        finally:
            client.execute_command("ACL", "DELUSER", "timeless")


@pytest.mark.parametrize(
    ("began", "ended", "seconds"),
    [
        ((10, 999_000), (12, 500), 1.0015),
        ((10, 5), (10, 1505), 0.0015),
        # Somebody has set the clock back meanwhile.
        ((10, 5), (9, 5), 0.0),
    ],
)
async def test_it_is_the_time_between_two_looks_at_the_clock(
    began: tuple[int, int], ended: tuple[int, int], seconds: float
) -> None:
    clock = iter((began, ended))

    def answers(command: list[bytes]) -> bytes:
        if command[0] == b"TIME":
            return b"*2\r\n" + b"".join(b"$%d\r\n%d\r\n" % (len(str(part)), part) for part in next(clock))
        return b":7\r\n" if command[0] == b"EVALSHA" else b"+OK\r\n"

    async with talker(answers) as port, await connect(f"redis://127.0.0.1:{port}") as servers:
        reply, took = await servers.nodes[0].timed(ECHO, [], [])
    assert reply == 7
    assert took == pytest.approx(seconds)


async def test_a_server_that_is_gone_amid_it_is_told() -> None:
    def cut(command: list[bytes]) -> bytes | None:
        return None if command[0] == b"EVALSHA" else b"*2\r\n$1\r\n1\r\n$1\r\n0\r\n"

    async with talker(cut) as port, await connect(f"redis://127.0.0.1:{port}") as servers:
        with pytest.raises(KeyspaceError) as caught:
            await servers.nodes[0].timed(ECHO, [], [])
        assert caught.value.trouble is RedisTrouble.CUT

"""The way to one Redis: who we are there, and what becomes of a call when it is gone, frozen or slow."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from keyspace_talkers import CUT, ok, talker
from redis_fixtures import RedisServer

from wasupervisor.keyspace.connection import Script, Servers, connect
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble

pytestmark = pytest.mark.anyio

SECRET = "p@ss/w:r d%"
ENCODED = "p%40ss%2Fw%3Ar%20d%25"
SOON = 0.2


async def _trouble(url: str, *words: str, **options: Any) -> KeyspaceError:
    with pytest.raises(KeyspaceError) as caught:
        async with await connect(url, **options) as servers:
            await servers.nodes[0].call(*words)
    return caught.value


def _is(error: BaseException, trouble: RedisTrouble, *texts: str) -> None:
    assert isinstance(error, KeyspaceError)
    assert error.trouble is trouble, error
    for text in texts:
        assert text in str(error)


@pytest.fixture
def own_user(redis_server: RedisServer) -> Iterator[RedisServer]:
    """A server with a user `keeper`, who may little and has keys of its own."""
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "keeper", "on", f">{SECRET}", "~a*", "-@all", "+get", "+eval")
        yield redis_server
        client.execute_command("ACL", "DELUSER", "keeper")


def test_redis_py_is_not_loaded_before_the_first_connection() -> None:
    rooms = "connection, wire, finding, failures, lease"
    told = f"import sys; from wasupervisor.keyspace import {rooms}; print('redis' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


async def test_replies_are_bytes_numbers_none_and_lists(redis_server: RedisServer) -> None:
    async with await connect(redis_server.url) as servers:
        node = servers.node_of(b"k")
        assert await node.call("SET", b"k\xff\x00", "v") == b"OK"
        assert await node.call("GET", b"k\xff\x00") == b"v"
        assert await node.call("GET", "none") is None
        assert await node.call("HSET", "h", "f", 1.5) == 1
        assert await node.call("HGETALL", "h") == [b"f", b"1.5"]
        assert await node.calls([]) == []
        assert (servers.is_cluster, len(servers.nodes)) == (False, 1)
        assert node.name == f"127.0.0.1:{redis_server.port}"


async def test_an_error_in_a_pipeline_stands_in_its_place(redis_server: RedisServer) -> None:
    async with await connect(redis_server.url) as servers:
        first, second, third = await servers.nodes[0].calls([("SET", "k", 1), ("LPUSH", "k", 1), ("GET", "k")])
        assert (first, third) == (b"OK", b"1")
        _is(second, RedisTrouble.OTHER, "refused LPUSH: WRONGTYPE Operation against a key")
        assert second.code == "WRONGTYPE"


async def test_we_are_shown_by_name_and_in_our_database(redis_server: RedisServer) -> None:
    url = redis_server.url.replace("/0", "/5")
    async with await connect(url, client_name="wasupervisor-x") as servers:
        await servers.nodes[0].call("SET", "five", 1)
        clients = (await servers.nodes[0].call("CLIENT", "LIST")).decode()
        assert "name=wasupervisor-x" in clients
    with redis_server.client(5) as client:
        assert client.get("five") == b"1"
        client.flushdb()
    _is(await _trouble(redis_server.url.replace("/0", "/99")), RedisTrouble.OTHER, "has no database of the number")


async def test_a_unix_socket_serves_as_well(own_user: RedisServer) -> None:
    async with await connect(f"unix://{own_user.socket}?db=5") as servers:
        await servers.nodes[0].call("SET", "five", 1)
        assert servers.nodes[0].name == str(own_user.socket)
    async with await connect(f"unix://keeper:{ENCODED}@{own_user.socket}") as servers:
        assert await servers.nodes[0].call("GET", "a") is None
    error = await _trouble(f"unix://keeper:wrong@{own_user.socket}")
    _is(error, RedisTrouble.LOGIN, f"{own_user.socket} does not accept the user and password")
    error = await _trouble(f"unix://{own_user.socket}.not")
    _is(error, RedisTrouble.UNREACHABLE, "nobody listens there")


async def test_a_user_may_what_its_acl_says(own_user: RedisServer) -> None:
    where = f"127.0.0.1:{own_user.port}"
    async with await connect(f"redis://keeper:{ENCODED}@{where}/0") as servers:
        node = servers.nodes[0]
        assert await node.call("GET", "a") is None
        for words, texts in {
            ("SET", "a", "1"): ("forbids our user SET", "allow it by ACL SETUSER"),
            ("GET", "b"): ("forbids our user a key that GET names",),
            ("EVAL", "return redis.call('SET', KEYS[1], 1)", "1", "a"): ("forbids our user EVAL", "run this command"),
            ("EVAL", "return redis.call('GET', 'b')", "0"): ("forbids our user a key that EVAL names",),
        }.items():
            with pytest.raises(KeyspaceError) as caught:
                await node.call(*words)
            _is(caught.value, RedisTrouble.FORBIDDEN, where, *texts)


async def test_a_wrong_password_is_told_and_not_shown(own_user: RedisServer) -> None:
    where = f"127.0.0.1:{own_user.port}"
    error = await _trouble(f"redis://keeper:hunter2@{where}/0")
    _is(error, RedisTrouble.LOGIN, f"{where} does not accept the user and password of redis.url")
    error = await _trouble(f"redis://:hunter2@{where}/0")
    _is(error, RedisTrouble.LOGIN, "knows no password, but redis.url has one")
    assert error.answers


async def test_a_password_that_is_asked_for_is_told(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.config_set("requirepass", SECRET)
        _is(await _trouble(own_redis.url, "PING"), RedisTrouble.LOGIN, "asks for a password: put it into redis.url")
        async with await connect(own_redis.url.replace("://", f"://:{ENCODED}@")) as servers:
            node = servers.nodes[0]
            assert await node.call("PING") == b"PONG"
            for shown in (repr(servers), repr(node), repr(node.__dict__), repr(vars(servers))):
                assert SECRET not in shown
                assert ENCODED not in shown


async def test_a_server_that_repeats_the_password_in_its_error_does_not_tell_it(own_redis: RedisServer) -> None:
    own_redis.stop()
    own_redis.arguments += ("--rename-command", "AUTH", "")
    own_redis.start()
    error = await _trouble(own_redis.url.replace("://", "://u:hunter2@"))
    assert "unknown command" in str(error)
    assert "hunter2" not in str(error)
    assert error.__suppress_context__


async def test_a_script_is_known_to_the_server_after_its_first_run(redis_server: RedisServer) -> None:
    script = Script("echo", "return {KEYS[1], ARGV[1], ARGV[2]}")
    with redis_server.client() as client:
        client.script_flush()
        async with await connect(redis_server.url) as servers:
            for _ in range(3):
                assert await servers.nodes[0].run(script, [b"k"], [b"\xff", 2]) == [b"k", b"\xff", b"2"]
        stats = client.info("commandstats")
        assert stats["cmdstat_eval"]["calls"] == 1
        assert stats["cmdstat_evalsha"]["calls"] == 3


async def test_what_redis_refuses_for_its_own_state_is_told(own_redis: RedisServer) -> None:
    write = Script("write", "return redis.call('SET', KEYS[1], 1)")
    with own_redis.client() as client:
        async with await connect(own_redis.url) as servers:
            node = servers.nodes[0]
            client.config_set("maxmemory", 1)
            for ask in (node.call("SET", "a", 1), node.run(write, [b"a"], [])):
                with pytest.raises(KeyspaceError) as caught:
                    await ask
                _is(caught.value, RedisTrouble.FULL, "has reached its maxmemory")
            client.config_set("maxmemory", 0)
            client.replicaof("127.0.0.1", 1)
            for ask in (node.call("SET", "a", 1), node.run(write, [b"a"], [])):
                with pytest.raises(KeyspaceError) as caught:
                    await ask
                _is(caught.value, RedisTrouble.READ_ONLY, "is a replica, which takes no writes")
            client.config_set("replica-serve-stale-data", "no")
            with pytest.raises(KeyspaceError) as caught:
                await node.call("GET", "a")
            _is(caught.value, RedisTrouble.READ_ONLY, "has lost its primary")


async def test_the_older_redis_says_the_same_in_other_words(redis_server: RedisServer) -> None:
    write = Script("write", "return redis.call('SET', KEYS[1], 1)")
    with redis_server.client() as client:
        async with await connect(redis_server.url) as servers:
            try:
                client.config_set("maxmemory", 1)
                with pytest.raises(KeyspaceError) as caught:
                    await servers.nodes[0].run(write, [b"a"], [])
                _is(caught.value, RedisTrouble.FULL)
                client.config_set("maxmemory", 0)
                client.replicaof("127.0.0.1", 1)
                with pytest.raises(KeyspaceError) as caught:
                    await servers.nodes[0].run(write, [b"a"], [])
                _is(caught.value, RedisTrouble.READ_ONLY)
            finally:
                client.config_set("maxmemory", 0)
                client.replicaof("NO", "ONE")


async def test_a_server_that_loads_says_so(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.config_set("rdbcompression", "no")
        client.mset({f"k{number}": "x" * 1000 for number in range(1000)})
        client.save()
    own_redis.stop()
    own_redis.arguments += ("--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024")
    own_redis.start()
    error = await _trouble(own_redis.url, "GET", "k", timeout=10.0)
    _is(error, RedisTrouble.LOADING, "is still loading its data")


async def test_a_server_with_too_many_clients_says_so(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.config_set("maxclients", 1)
        _is(await _trouble(own_redis.url, "PING"), RedisTrouble.OTHER, "has its maximum of clients")


async def test_a_server_that_is_gone_is_found_again_by_itself(own_redis: RedisServer) -> None:
    async with await connect(own_redis.url) as servers:
        node = servers.nodes[0]
        assert await node.call("PING") == b"PONG"
        own_redis.stop()
        for _ in range(2):
            with pytest.raises(KeyspaceError) as caught:
                await node.call("PING")
            _is(caught.value, RedisTrouble.UNREACHABLE, "cannot be reached: nobody listens there")
        own_redis.start()
        assert await node.call("PING") == b"PONG"
        own_redis.stop()
        own_redis.start()  # the idle connection is dead, and nobody was told
        assert await node.call("PING") == b"PONG"


async def test_a_late_reply_is_never_given_to_the_next_call(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.mset({"first": 1, "second": 2})
    async with await connect(own_redis.url, timeout=SOON) as servers:
        node = servers.nodes[0]
        await node.call("PING")
        own_redis.send(signal.SIGSTOP)
        with pytest.raises(KeyspaceError) as caught:
            await node.call("GET", "first")
        _is(caught.value, RedisTrouble.TIMED_OUT, f"127.0.0.1:{own_redis.port} did not answer in {SOON} s")
        assert not caught.value.answers
        with anyio.move_on_after(SOON / 4) as given_up:
            await node.call("GET", "first")
        assert given_up.cancelled_caught
        errors: list[RedisTrouble] = []

        async def ask() -> None:
            with pytest.raises(KeyspaceError) as caught:
                await node.call("GET", "first")
            errors.append(caught.value.trouble)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for _ in range(10):  # more than there are connections
                    group.start_soon(ask)
        assert errors == [RedisTrouble.TIMED_OUT] * 10
        own_redis.send(signal.SIGCONT)
        servers.timeout = 5.0
        for _ in range(5):
            assert await node.call("GET", "second") == b"2"
            assert await node.calls([("GET", "second"), ("GET", "first")]) == [b"2", b"1"]


async def test_a_call_that_was_given_up_leaves_nothing_behind(redis_server: RedisServer) -> None:
    """At any point: before the connection, amid it, amid the reply."""
    async with await connect(redis_server.url, timeout=5.0) as servers:
        node = servers.nodes[0]
        await node.calls([("SET", f"k{number}", number) for number in range(10)])
        for steps in range(40):
            async with anyio.create_task_group() as group:
                for number in range(6):
                    group.start_soon(node.call, "GET", f"k{number}")
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            assert await node.calls([("GET", f"k{number}") for number in range(10)]) == [
                str(number).encode() for number in range(10)
            ]


async def test_several_calls_at_a_time_share_a_few_connections(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        before = client.info("clients")["connected_clients"]
        async with await connect(redis_server.url) as servers:
            got: dict[int, bytes] = {}

            async def ask(number: int) -> None:
                got[number] = await servers.nodes[0].call("ECHO", number)

            async with anyio.create_task_group() as group:
                for number in range(50):
                    group.start_soon(ask, number)
            assert got == {number: str(number).encode() for number in range(50)}
            assert client.info("clients")["connected_clients"] <= before + 4
        with anyio.fail_after(5):
            while client.info("clients")["connected_clients"] > before:  # noqa: ASYNC110 - it is Redis that closes
                await anyio.sleep(0.01)


async def test_who_accepts_and_never_answers_is_waited_for_no_longer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"127.0.0.1:{silent.getsockname()[1]}"
        for scheme in ("redis://", "redis://:pw@", "rediss://"):
            error = await _trouble(f"{scheme}{url}/1", timeout=SOON)
            _is(error, RedisTrouble.TIMED_OUT, f"{url} did not answer in {SOON} s")


async def test_a_name_that_is_not_resolved_in_time_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()

    def hang(*_arguments: object, **_options: object) -> list[Any]:
        done.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        error = await _trouble("redis://redis.example:6379/0", timeout=SOON)
    finally:
        done.set()
    _is(error, RedisTrouble.TIMED_OUT, "redis.example:6379 did not answer")


async def test_a_name_that_nobody_knows_is_told() -> None:
    error = await _trouble("redis://no-such-host.invalid:6379/0", timeout=20.0)
    _is(error, RedisTrouble.UNREACHABLE, "the host name of no-such-host.invalid:6379 cannot be resolved")


@pytest.mark.parametrize(
    ("answer", "trouble", "text"),
    [
        (b"$5\r\nab", RedisTrouble.TIMED_OUT, "did not answer in"),
        (b"$5\r\nab" + CUT, RedisTrouble.CUT, "broke during GET"),
        (b"", RedisTrouble.CUT, "broke during GET"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", RedisTrouble.CUT, "does not speak the protocol of Redis"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", RedisTrouble.LOADING, "still loading"),
        (b"-BUSY Redis is busy running a script.\r\n", RedisTrouble.OTHER, "busy with somebody's script"),
        (b"-MISCONF Redis is configured to save\r\n", RedisTrouble.READ_ONLY, "could not save its data"),
        (b"-NOREPLICAS Not enough good replicas\r\n", RedisTrouble.READ_ONLY, "too few replicas"),
        (b"-MOVED 1 127.0.0.1:1\r\n", RedisTrouble.MOVED, "moved from"),
        (b"-ASK 1 127.0.0.1:1\r\n", RedisTrouble.MOVED, "moved from"),
        (b"-CLUSTERDOWN Hash slot not served\r\n", RedisTrouble.MOVED, "is down"),
        (b"-NOAUTH Authentication required.\r\n", RedisTrouble.LOGIN, "asks for a password"),
        (b"-ERR something hunter2 new\r\n", RedisTrouble.OTHER, "refused GET: something *** new"),
    ],
)
async def test_what_is_answered_is_told_and_the_next_call_is_whole(
    answer: bytes, trouble: RedisTrouble, text: str
) -> None:
    asked = 0

    def answers(command: list[bytes]) -> bytes | None:
        nonlocal asked
        if command[0] != b"GET":
            return b"+OK\r\n"
        asked += 1
        return b"$4\r\ngood\r\n" if asked > 1 else answer or None

    async with talker(answers) as port, await connect(f"redis://u:hunter2@127.0.0.1:{port}") as servers:
        servers.timeout = SOON if trouble is RedisTrouble.TIMED_OUT else 5.0
        with pytest.raises(KeyspaceError) as caught:
            await servers.nodes[0].call("GET", "k")
        _is(caught.value, trouble, text)
        servers.timeout = 5.0
        assert await servers.nodes[0].call("GET", "k") == b"good"


async def test_a_connection_that_is_cut_amid_a_reply_is_told_as_such() -> None:
    async with talker(ok) as port, await connect(f"redis://127.0.0.1:{port}") as servers:
        assert await servers.nodes[0].call("GET", "k") == b"OK"

    def cut(command: list[bytes]) -> bytes | None:
        return b"+OK\r\n" if command[0] == b"CLIENT" else None

    async with talker(cut) as port, await connect(f"redis://127.0.0.1:{port}") as servers:
        with pytest.raises(KeyspaceError) as caught:
            await servers.nodes[0].calls([("SET", "k", 1), ("GET", "k")])
        _is(caught.value, RedisTrouble.CUT, "broke during SET")
        assert not caught.value.answers


async def test_protected_mode_is_told() -> None:
    denied = b"-DENIED Redis is running in protected mode because protected mode is enabled\r\n"
    async with talker(lambda command: None, greeting=denied) as port:
        _is(await _trouble(f"redis://127.0.0.1:{port}", "PING"), RedisTrouble.LOGIN, "is in protected mode")


async def test_a_redis_py_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio.connection", None)
    _is(await _trouble("redis://127.0.0.1:1"), RedisTrouble.OTHER, "redis-py cannot be loaded: ")


async def test_after_the_end_nothing_is_asked(redis_server: RedisServer) -> None:
    servers: Servers = await connect(redis_server.url)
    await servers.aclose()
    await servers.aclose()
    with pytest.raises(KeyspaceError):
        await servers.nodes[0].call("PING")


async def test_a_url_that_is_none_is_told() -> None:
    for url in ("http://h", "redis://u:hunter2@h/x", "sentinel://h"):
        error = await _trouble(url)
        _is(error, RedisTrouble.OTHER, "redis.url cannot be read as a URL")
        assert "hunter2" not in str(error)

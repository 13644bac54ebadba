"""The primary is the one that the sentinels name, also after it changed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest
import redis
from keyspace_talkers import talker
from redis_fixtures import RedisServer

from wasupervisor.keyspace.connection import Servers, connect
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble

pytestmark = pytest.mark.anyio

SECRET = "hunter2"


class Sentinel(RedisServer):
    """A sentinel: Redis itself, with its configuration in a file that it rewrites."""

    def __init__(self, binary: str, folder: Path, primary: int, *lines: str) -> None:
        folder.mkdir()
        self._file = folder / "sentinel.conf"
        # Far too late to act by itself: each failover here is made by hand.
        text = f"sentinel monitor main 127.0.0.1 {primary} 2\nsentinel down-after-milliseconds main 600000\n"
        self._file.write_text(text + "".join(f"{line}\n" for line in lines))
        super().__init__(binary, folder, "--sentinel")

    def start(self) -> None:
        """Its file comes first."""
        binary, self.binary = self.binary, str(self._file.parent / "start")
        Path(self.binary).write_text(f'#!/bin/sh\nexec {binary} {self._file} "$@"\n')
        Path(self.binary).chmod(0o755)
        super().start()
        self.binary = binary

    def name_primary(self, port: int) -> None:
        """As after a failover."""
        with redis.Redis(port=self.port) as client:
            client.execute_command("SENTINEL", "REMOVE", "main")
            client.execute_command("SENTINEL", "MONITOR", "main", "127.0.0.1", port, 2)


class Site(NamedTuple):
    """Two servers, and three sentinels that watch them."""

    servers: tuple[RedisServer, RedisServer]
    sentinels: tuple[Sentinel, ...]

    @property
    def url(self) -> str:
        """All sentinels."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"sentinel://:{SECRET}@{hosts}/main/3"

    def fail_over(self, *, who_knows: int = 3) -> None:
        """The second server becomes the primary."""
        first, second = self.servers
        with redis.Redis(port=second.port, password=SECRET) as client:
            client.replicaof("NO", "ONE")
        if first.process is not None:
            with redis.Redis(port=first.port, password=SECRET) as client:
                client.replicaof("127.0.0.1", second.port)
        for sentinel in self.sentinels[:who_knows]:
            sentinel.name_primary(second.port)


@pytest.fixture
def site(redis_binary: str, tmp_path: Path) -> Iterator[Site]:
    """With a password for the servers and none for the sentinels."""
    servers = []
    sentinels = []
    try:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            servers.append(RedisServer(redis_binary, tmp_path / name, "--requirepass", SECRET, "--masterauth", SECRET))
        with redis.Redis(port=servers[1].port, password=SECRET) as client:
            client.replicaof("127.0.0.1", servers[0].port)
        for number in range(3):
            sentinels += [Sentinel(redis_binary, tmp_path / f"sentinel{number}", servers[0].port)]
        yield Site((servers[0], servers[1]), tuple(sentinels))
    finally:
        for server in (*servers, *sentinels):
            server.stop()


def _port(servers: Servers) -> int:
    (node,) = servers.nodes
    return int(node.name.partition(":")[2])


async def test_who_is_demoted_is_left_for_the_new_primary(site: Site) -> None:
    async with await connect(site.url) as servers:
        node = servers.node_of(b"k")
        assert await node.call("SET", "k", 1) == b"OK"
        assert (_port(servers), servers.is_cluster) == (site.servers[0].port, False)
        site.fail_over()
        with pytest.raises(KeyspaceError) as caught:
            await node.call("SET", "k", 2)
        assert caught.value.trouble in (RedisTrouble.READ_ONLY, RedisTrouble.CUT)
        assert await servers.node_of(b"k").call("SET", "k", 3) == b"OK"
        assert _port(servers) == site.servers[1].port
        with pytest.raises(KeyspaceError, match="is not a primary any more") as caught:
            await node.call("GET", "k")
        assert caught.value.trouble is RedisTrouble.MOVED
    with redis.Redis(port=site.servers[1].port, password=SECRET, db=3) as client:
        assert client.get("k") == b"3"


async def test_who_dies_is_left_for_the_new_primary_though_one_sentinel_does_not_know(site: Site) -> None:
    async with await connect(site.url) as servers:
        site.servers[0].stop()
        with pytest.raises(KeyspaceError):  # nobody has made another the primary yet
            await servers.node_of(b"k").call("GET", "k")
        assert _port(servers) == site.servers[0].port
        site.fail_over(who_knows=2)
        await servers.settle()
        assert await servers.node_of(b"k").call("SET", "k", 3) == b"OK"
        assert _port(servers) == site.servers[1].port


async def test_sentinels_that_are_gone_or_hang_do_not_matter_while_one_answers(site: Site) -> None:
    site.sentinels[0].stop()
    site.sentinels[1].send(signal.SIGSTOP)
    async with await connect(site.url) as servers:
        assert await servers.nodes[0].call("PING") == b"PONG"


async def test_without_any_sentinel_what_was_known_goes_on(site: Site) -> None:
    async with await connect(site.url) as servers:
        for sentinel in site.sentinels:
            sentinel.stop()
        await servers.nodes[0].call("SET", "k", 1)
        with redis.Redis(port=site.servers[0].port, password=SECRET) as client:
            client.client_kill_filter(skipme=True, _type="normal")
            assert await servers.nodes[0].call("GET", "k") == b"1"
            client.config_set("min-replicas-to-write", 9)
            with pytest.raises(KeyspaceError, match="too few replicas"):
                await servers.nodes[0].call("SET", "k", 2)
        assert await servers.nodes[0].call("GET", "k") == b"1"
    with pytest.raises(KeyspaceError) as caught:
        await connect(site.url)
    assert caught.value.trouble is RedisTrouble.UNREACHABLE
    assert "nobody listens there" in str(caught.value)


async def test_sentinels_that_hang_cost_calls_at_a_time_no_more_than_one(site: Site) -> None:
    async with await connect(site.url) as servers:
        servers.doubt(servers.nodes[0])
        for sentinel in site.sentinels:
            sentinel.send(signal.SIGSTOP)
        servers.timeout = 0.4
        replies: list[bytes] = []

        async def ask() -> None:
            replies.append(await servers.nodes[0].call("PING"))

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(ask)
        assert replies == [b"PONG"] * 4


async def test_a_sentinel_gets_the_password_only_when_it_asks(site: Site) -> None:
    with redis.Redis(port=site.sentinels[0].port) as client:
        client.execute_command("ACL", "SETUSER", "default", f">{SECRET}")
    host = f"127.0.0.1:{site.sentinels[0].port}"
    async with await connect(f"sentinel://:{SECRET}@{host}/main") as servers:
        assert await servers.nodes[0].call("PING") == b"PONG"
    with pytest.raises(KeyspaceError) as caught:
        await connect(f"sentinel://{host}/main")
    assert caught.value.trouble is RedisTrouble.LOGIN
    heard: list[bytes] = []

    def listen(command: list[bytes]) -> bytes:
        heard.append(command[0])
        port = str(site.servers[0].port)
        return b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n" % (len(port), port.encode())

    async with talker(listen) as port, await connect(f"sentinel://:{SECRET}@127.0.0.1:{port}/main"):
        assert b"AUTH" not in heard


async def test_what_is_wrong_with_the_url_is_told(site: Site) -> None:
    sentinel, server = site.sentinels[0], site.servers[0]
    with pytest.raises(KeyspaceError, match=f"the sentinel 127.0.0.1:{sentinel.port} does not know other"):
        await connect(f"sentinel://127.0.0.1:{sentinel.port}/other")
    with pytest.raises(KeyspaceError, match=f"127.0.0.1:{server.port} is no sentinel"):
        await connect(f"sentinel://:{SECRET}@127.0.0.1:{server.port}/main")

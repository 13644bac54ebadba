"""Redis, end to end: a real daemon, a real Redis, a simulated Evolution, the command line as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from click.testing import CliRunner
from redis_fixtures import RedisServer
from stage import PATIENCE, Gateway, Supervisor, wait_until

from wasupervisor.cli.main import cli

pytestmark = pytest.mark.timeout(120)

Gateways = Callable[..., Gateway]
Supervisors = Callable[..., Supervisor]

MANY = 1_000_000
FILL = """
for number = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  if number % 3 == 0 then redis.call('SET', 'evolution-cache:baileys:' .. number, number, 'EX', 100000)
  elseif number % 3 == 1 then redis.call('SET', 'evolution-cache:groups:' .. number, '{}', 'EX', 100000)
  elseif number % 30 == 2 then redis.call('HSET', 'evolution-cache:instance:' .. number, 'creds', number)
  else redis.call('RPUSH', 'application:' .. number, number) end
end
"""
FINGERPRINT = """
local cursor, names = unpack(redis.call('SCAN', ARGV[1], 'COUNT', 10000))
local keys, total = 0, 0
for _, name in ipairs(names) do
  if string.sub(name, 1, 13) ~= 'wasupervisor:' then
    local dump = redis.call('DUMP', name)  -- it ends in a CRC64 of the value
    keys = keys + 1
    local weight = tonumber(string.match(name, '%d+$')) % 65521 + #name
    total = (total + struct.unpack('<I4', dump, #dump - 7) * weight) % 2^52
  end
end
return {cursor, keys, string.format('%.0f', total)}
"""
SECRET = "s3cr3t-noise-key"
"""Part of every value that a test writes into a key of a session."""

DIES_AT_THE_JOURNAL = """
import os, signal, sys, time, anyio
from wasupervisor.keyspace.connection import connect
from wasupervisor.keyspace.wanted import Wanted
from wasupervisor.keyspace.watch import KeyspaceWatch
from wasupervisor.runtime.stamps import Stamps

async def main():
    wanted = Wanted(gateway_kind="evolution", prefix="evolution-cache")
    watch = KeyspaceWatch(
        lambda: connect(sys.argv[1]), wanted, clock=time.monotonic, wall=time.time, stamp=Stamps()
    )
    watch.know("2.3.6", ())
    watch.note = lambda entry: os.kill(os.getpid(), signal.SIGKILL) if entry.outcome else None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch.run)
        await anyio.wait_all_tasks_blocked()
        await watch.look()
        await anyio.sleep(30)

anyio.run(main)
"""
"""The daemon's own watch of Redis, in a process that is killed when it has a line for the journal."""


class Kept(NamedTuple):
    """What a key is, all but its name."""

    dump: bytes
    ttl: float | None
    """Seconds, to within a minute."""

    @classmethod
    def of(cls, client: Any, key: str) -> Kept:
        left = client.ttl(key)
        return cls(client.dump(key), None if left < 0 else round(left / 600))


@pytest.fixture
def client(own_redis: RedisServer) -> Iterator[Any]:
    with own_redis.client() as it:
        yield it


@pytest.fixture
def evolution(gateways: Gateways) -> Gateway:
    """Its credentials are in Redis."""
    gateway: Gateway = gateways("evolution", "3", "--mode", "A")
    return gateway


def watching(supervisors: Supervisors, gateway: Gateway, server: RedisServer, **options: Any) -> Supervisor:
    """A daemon that looks after that Redis, with its first sweep behind it."""
    supervisor: Supervisor = supervisors(gateway, more=f"redis: {{url: '{server.url}'}}\n", **options)
    supervisor.start()
    wait_until("all keys were looked at", lambda: redis_of(supervisor)["last_sweep"])
    return supervisor


def redis_of(supervisor: Supervisor) -> dict[str, Any]:
    part: dict[str, Any] = supervisor.document()["redis"]
    return part


def login_keys(gateway: Gateway) -> dict[str, str]:
    """The credential key of each session."""
    answer = httpx.get(f"{gateway.url}/instance/fetchInstances", headers={"apikey": "secret-key"}, trust_env=False)
    return {one["name"]: f"evolution-cache:instance:{one['id']}" for one in answer.json()}


def log_in(client: Any, keys: dict[str, str]) -> None:
    for key in keys.values():
        client.hset(key, mapping={"creds": SECRET, "pre-key-1": SECRET})


def told(supervisor: Supervisor, *kinds: str) -> list[str]:
    words = [word for kind in kinds for word in ("--kind", kind)]
    return [one["text"] for one in supervisor.history(*words)]


def polled(gateway: Gateway, times: int = 20) -> None:
    """Wait until the daemon has asked the gateway so many times more."""
    so_far = gateway.count("*")
    wait_until("it goes on looking", lambda: gateway.count("*") > so_far + times)


def mistype(client: Any) -> list[str]:
    """Twenty keys of the wrong type, among those of five rules; half of them expire."""
    for number in range(4):
        client.set(f"evolution-cache:instance:wrong-{number}", SECRET)
        client.rpush(f"evolution-cache:baileys:wrong-{number}", *range(number * 300 + 1))
        client.zadd(f"evolution-cache:groups:wrong-{number}", {"a": 1.5, "b": -2})
        client.hset(f"evolution-cache:chatwoot:wrong-{number}:getProvider", mapping={"a": "x" * 100})
        client.sadd(f"wh:session:wrong-{number}", *range(number * 600 + 1))
    wrong = sorted(key.decode() for key in client.scan_iter("*wrong-*", count=10_000))
    for key in wrong[::2]:
        client.expire(key, 50_000)
    return wrong


def fingerprint(client: Any) -> tuple[int, int, int]:
    """Of all keys but ours: how many, how many that expire, and a sum over their names and values."""
    ours = sum(client.pttl(key) > 0 for key in client.scan_iter("wasupervisor:*", count=10_000))
    expire = client.info("keyspace")["db0"]["expires"] - ours
    cursor, keys, total = b"0", 0, 0
    while True:
        cursor, some, part = client.eval(FINGERPRINT, 0, cursor)
        keys, total = keys + some, (total + int(part)) % 2**52
        if cursor == b"0":
            return keys, expire, total


@pytest.mark.timeout(300)
def test_of_a_million_keys_exactly_the_mistyped_ones_are_set_aside_and_each_comes_back(
    own_redis: RedisServer, client: Any, evolution: Gateway, supervisors: Supervisors
) -> None:
    for start in range(0, MANY, 50_000):
        client.eval(FILL, 0, start + 1, start + 50_000)
    good = fingerprint(client)
    assert good[0] == MANY
    supervisor = watching(supervisors, evolution, own_redis)
    assert redis_of(supervisor)["quarantined"] == 0

    wrong = mistype(client)
    assert len(wrong) == 20
    before = {key: Kept.of(client, key) for key in wrong}
    polled(evolution, 10)
    assert client.exists(*wrong) == 20, "nobody has met one yet"
    with pytest.raises(Exception, match="WRONGTYPE"):
        client.get("evolution-cache:baileys:wrong-1")

    wait_until("all are set aside", lambda: client.exists(*wrong) == 0)
    wait_until("it is told", lambda: redis_of(supervisor)["quarantined"] == 20)
    part = redis_of(supervisor)
    assert (part["mistyped_keys"], part["wrongtype_errors"]) == (0, 1)
    assert fingerprint(client) == good, "nothing else has changed"

    listed = json.loads(supervisor.command("redis", "quarantine", "--json").stdout)
    assert sorted(one["key"] for one in listed) == wrong
    for one in listed:
        answer = CliRunner().invoke(cli, ["redis", "undo", one["id"], "-c", str(supervisor.config)])
        assert (answer.exit_code, answer.stderr) == (0, ""), answer
    assert {key: Kept.of(client, key) for key in wrong} == before
    assert json.loads(supervisor.command("redis", "quarantine", "--json").stdout) == []
    wait_until("it is journaled", lambda: sum("put back as it was" in text for text in told(supervisor, "redis")) == 20)
    assert sum("it was set aside as" in text for text in told(supervisor, "redis")) == 20
    assert SECRET not in supervisor.log.read_text() + supervisor.get("/health").text


def test_a_mistyped_credential_key_holds_the_restarts_of_its_session_until_it_is_whole(
    own_redis: RedisServer, client: Any, evolution: Gateway, supervisors: Supervisors
) -> None:
    keys = login_keys(evolution)
    log_in(client, keys)
    supervisor = watching(supervisors, evolution, own_redis)
    supervisor.until_condition("s1", "healthy")
    client.set(keys["s1"], SECRET)
    wait_until("it is set aside", lambda: client.exists(keys["s1"]) == 0)
    part = wait_until("it is told", lambda: (part := redis_of(supervisor))["status"] == "fail" and part)
    assert "credential key" in part["why"]

    evolution.fault("stuck", session="s1", heals_after_restarts=1)
    evolution.fault("stuck", session="s2", heals_after_restarts=1)
    wait_until("s2 is restarted", lambda: evolution.count("POST */restart/s2") == 1)
    supervisor.until_condition("s2", "healthy")
    client.hset(keys["s1"], "pre-key-7", SECRET)  # as the gateway does, which makes a hash that looks well
    polled(evolution)
    assert evolution.count("POST */restart/s1") == 0
    assert any("credential key" in text for text in told(supervisor, "withheld"))
    explained = supervisor.command("explain", "s1").stdout
    assert "credential key in Redis is not whole" in explained
    assert f"{keys['s1']} (credentials of a session) is there again and holds no login; seen since" in explained
    assert "set aside: " in explained

    client.hset(keys["s1"], "creds", SECRET)
    wait_until("s1 is restarted", lambda: evolution.count("POST */restart/s1") == 1)
    supervisor.until_condition("s1", "healthy")
    wait_until("all is well", lambda: redis_of(supervisor)["status"] != "fail")
    assert evolution.world()["harm"] == []
    assert SECRET not in supervisor.log.read_text() + explained


def test_a_frozen_redis_holds_restarts_and_nothing_else(
    own_redis: RedisServer, client: Any, evolution: Gateway, supervisors: Supervisors
) -> None:
    log_in(client, login_keys(evolution))
    supervisor = watching(supervisors, evolution, own_redis)
    supervisor.until_condition("s1", "healthy")
    own_redis.send(signal.SIGSTOP)
    try:
        wait_until("it is told", lambda: redis_of(supervisor)["status"] == "fail")
        evolution.fault("stuck", session="s1", heals_after_restarts=1)
        supervisor.until_condition("s1", "failing")
        polled(evolution)
        document = supervisor.document()
        assert (document["status"], document["redis"]["status"]) == ("degraded", "fail")
        assert "did not answer" in document["redis"]["why"]
        assert evolution.count("POST */restart*") == 0
        answer = supervisor.command("redis", "check")
        assert (answer.returncode, "did not answer" in answer.stderr) == (1, True)
    finally:
        own_redis.send(signal.SIGCONT)
    wait_until("s1 is restarted", lambda: evolution.count("POST */restart/s1") == 1)
    supervisor.until_condition("s1", "healthy")
    wait_until("redis is well", lambda: redis_of(supervisor)["status"] != "fail")
    texts = told(supervisor, "redis")
    assert sum("does not answer" in text for text in texts) == 1
    assert sum("answers again" in text for text in texts) == 1


def test_what_a_person_orders_is_in_the_journal(
    own_redis: RedisServer, client: Any, evolution: Gateway, supervisors: Supervisors
) -> None:
    supervisor = watching(supervisors, evolution, own_redis)
    client.hset("evolution-cache:groups:1", "f", SECRET)
    client.set("evolution-cache:groups:2", "good", ex=600)

    check = supervisor.command("redis", "check")
    assert check.returncode == 1
    assert "evolution-cache:groups:1 (members of groups) is a hash and must be a string" in check.stdout
    assert supervisor.command("redis", "repair", "--dry-run").returncode == 0
    assert client.exists("evolution-cache:groups:1") == 1
    repair = supervisor.command("redis", "repair", "--pattern", "*:groups:*")
    assert (repair.returncode, repair.stderr, client.exists("evolution-cache:groups:1")) == (0, "", 0)
    wanted = repair.stdout.split()[-1]
    wait_until("the document has it", lambda: redis_of(supervisor)["quarantined"] == 1)
    assert supervisor.command("redis", "undo", wanted).stdout == "evolution-cache:groups:1: it was put back as it was\n"
    assert supervisor.command("redis", "repair").returncode == 0
    wanted = json.loads(supervisor.command("redis", "quarantine", "--json").stdout)[0]["id"]
    assert supervisor.command("redis", "quarantine", "--purge", wanted).returncode == 0

    wait_until("all is journaled", lambda: any("deleted from quarantine" in one for one in told(supervisor, "redis")))
    orders = [text.partition(" orders keys in Redis to be ")[2] for text in told(supervisor, "order")]
    assert {text.partition(":")[0] for text in orders} == {
        "set aside",
        "put back from quarantine",
        "deleted from quarantine for good",
    }
    outcomes = [one["outcome"] for one in supervisor.history("--kind", "redis") if one["outcome"]]
    assert sorted(outcomes) == ["deleted", "put_back", "set_aside", "set_aside"]
    assert client.get("evolution-cache:groups:2") == b"good"


def test_what_was_set_aside_by_a_daemon_that_was_killed_before_its_journal_is_listed_at_the_next_start(
    own_redis: RedisServer, client: Any, evolution: Gateway, supervisors: Supervisors
) -> None:
    client.hset("evolution-cache:groups:1", "f", SECRET)
    killed = subprocess.run([sys.executable, "-c", DIES_AT_THE_JOURNAL, own_redis.url], timeout=PATIENCE, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert client.exists("evolution-cache:groups:1") == 0

    supervisor = watching(supervisors, evolution, own_redis)
    assert redis_of(supervisor)["quarantined"] == 1
    assert any("1 key in quarantine" in note for note in supervisor.document()["notes"])
    (one,) = json.loads(supervisor.command("redis", "quarantine", "--json").stdout)
    assert one["key"] == "evolution-cache:groups:1"
    wait_until(
        "it is told",
        lambda: any("in quarantine since before this start: 1" in one for one in told(supervisor, "redis")),
    )
    assert supervisor.command("redis", "undo", one["id"]).returncode == 0
    assert client.hgetall("evolution-cache:groups:1") == {b"f": SECRET.encode()}

"""What docs/redis.md says: the user with the least rights can do all of it, and its tables are those of the code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pytest
from redis_fixtures import RedisServer

from wasupervisor.config.loading import read
from wasupervisor.config.redis_url import redis_address
from wasupervisor.keyspace.aside import Outcome, SetAside
from wasupervisor.keyspace.builtin import credential_key, rules_for
from wasupervisor.keyspace.bull import QueueKeys
from wasupervisor.keyspace.connection import connect
from wasupervisor.keyspace.convert import can_convert, convert
from wasupervisor.keyspace.counter import read_wrongtype
from wasupervisor.keyspace.lease import Lease
from wasupervisor.keyspace.preflight import ROWS, preflight
from wasupervisor.keyspace.quarantine import UndoOutcome, listed, purge, set_aside, undo
from wasupervisor.keyspace.rules import Rule, own_rule
from wasupervisor.keyspace.sweep import Sweep, Swept, Wrong
from wasupervisor.keyspace.trouble import KeyspaceError
from wasupervisor.queue.depth import depths
from wasupervisor.runtime.queues import put_back

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[3] / "docs" / "redis.md"
GATEWAY = "gateway: {kind: evolution, url: 'http://127.0.0.1:8080', api_key: x}\n"
OWN = own_rule("evolution-cache:own:*", ["string"], json=True)
RULES = rules_for("evolution", "2.3.6", prefix="evolution-cache", queues=(), own=[OWN])
AT = "20260131T031500.000000Z"


def acl() -> list[list[str]]:
    """The words of the user in docs/redis.md, after its name: for keys, to read queues, to write into queues."""
    commands = re.findall(
        r"^ACL SETUSER wasupervisor (.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [words.replace("\\\n", " ").replace("PASSWORD", "secret").split() for words in commands]


@contextmanager
def documented_user(server: RedisServer, words: Sequence[str]) -> Iterator[str]:
    """A URL with that user, in a database of which SELECT is needed."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "wasupervisor", "reset", *words)
        try:
            yield server.url.replace("//", "//wasupervisor:secret@")[:-1] + "6"
        finally:
            client.acl_deluser("wasupervisor")


async def test_the_documented_user_can_do_everything(redis_server: RedisServer) -> None:
    creds = credential_key("evolution", "2.3.6", "evolution-cache", "shop", "1234")
    assert creds is not None
    with redis_server.client(db=6) as client, documented_user(redis_server, acl()[0]) as url:
        client.set(creds, "mistyped")
        client.set("evolution-cache:groups:1", "text", ex=600)
        client.hset("evolution-cache:groups:2", "field", "mistyped")
        client.pexpire("evolution-cache:groups:2", 600_000)
        client.set("foreign", "key")
        client.set("evolution-cache:own:1", "{}")
        client.script_flush()  # what is not cached needs EVAL
        before = {key: client.dump(key) for key in (creds, b"evolution-cache:groups:2")}
        await _everything(url, creds)
        assert {key: client.dump(key) for key in before} == before
        assert client.ttl("evolution-cache:groups:2") > 500
        assert set(client.keys("*")) >= {*before, b"foreign"}


async def test_with_what_queues_need_it_can_read_them(redis_server: RedisServer) -> None:
    first, more, _write = acl()
    with redis_server.client(db=6) as client:
        client.rpush("bull:messages:wait", "1")
        client.hset("bull:messages:1", "timestamp", "1000")
        client.zadd("bull:messages:prioritized", {"2": 1.0})
        client.zadd("bull:messages:delayed", {"3": 4096.0})
        client.hset("bull:messages:meta", "version", "bullmq:5.81.0")
        with documented_user(redis_server, [*first, *more]) as url:
            async with await connect(url) as servers:
                (depth,) = await depths(["messages"], "bull", servers.node_of, 100.0)
    assert (depth.trouble, depth.flavour, depth.waiting, depth.delayed) == (None, "bullmq", 2, 1)


async def test_with_what_writing_into_queues_needs_failed_jobs_are_put_back(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with redis_server.client(db=6) as client, documented_user(redis_server, [*chain(*acl())]) as url:
        client.hset("bull:messages:meta", mapping={"version": "bullmq:5.81.0", "opts.maxLenEvents": "10000"})
        client.zadd("bull:messages:failed", {"7": 1000.0})
        client.hset("bull:messages:7", mapping={"name": "x", "data": "{}", "opts": "{}", "timestamp": "1000"})
        file = tmp_path / "config.yaml"
        file.write_text(f"{GATEWAY}redis: {{url: '{url}'}}\nqueue: {{names: [messages]}}\n")
        (done,) = await put_back(read(file, {}).settings, None, None)
        assert (done.number, client.lrange("bull:messages:wait", 0, -1)) == (1, [b"7"])

        client.rpush("bull:messages:id", "mistyped")
        client.xadd("bull:messages:events", {"event": "added", "jobId": "9"})
        rules = rules_for("evolution", "2.3.6", prefix="p", queues=[QueueKeys(b"bull", "messages", "bullmq")], own=())
        async with await connect(url) as servers:
            (wrong,) = (await _sweep(url, rules)).wrong
            assert await can_convert(servers, wrong) is None
            assert isinstance(await convert(servers, wrong, at=AT, lease=None, by="test"), SetAside)
        assert client.get("bull:messages:id") == b"9"


async def _everything(url: str, creds: bytes) -> None:
    async with await connect(url) as servers:
        seen = await preflight(servers, gateway_kind="evolution", credential_keys=[creds])
        assert [finding.code for finding in seen.findings] == ["unsaved"]
        assert (await read_wrongtype(servers.nodes[0])).count == 0
        lease = Lease(servers, "evolution-cache", lambda: 0.0)
        assert await lease.take()
        assert await lease.take()
        swept = await _sweep(url, RULES)
        assert (swept.complete, swept.unread, len(swept.wrong)) == (True, 0, 2)
        for wrong in swept.wrong:
            done = await set_aside(servers, wrong, at=AT, lease=lease, by="test")
            assert done.outcome is Outcome.MOVED
            assert done.size is not None
        kept = await listed(servers)
        assert [(one.size is not None, one.reason != "") for one in kept] == [(True, True)] * 2
        for one in kept:
            assert (await undo(servers, one, replace=False, at=AT)).outcome is UndoOutcome.PUT_BACK
        again = await _sweep(url, RULES)
        assert [wrong.undone for wrong in again.wrong] == [True, True]
        await set_aside(servers, again.wrong[0], at=AT, lease=None, by="test")
        (one,) = await listed(servers)
        assert (await undo(servers, one, replace=False, at=AT)).outcome is UndoOutcome.PUT_BACK
        groups = next(wrong for wrong in again.wrong if wrong.key == b"evolution-cache:groups:2")
        converted = await convert(servers, groups, at=AT, lease=lease, by="test")
        assert isinstance(converted, SetAside)
        assert await servers.nodes[0].call("GET", groups.key) == b'{"field":"mistyped"}'
        (one,) = await listed(servers)
        assert (await undo(servers, one, replace=True, at="20260131T031502.000000Z")).made_room is not None
        (one,) = await listed(servers)
        assert await purge(servers, one)
        await servers.nodes[0].call("SET", "wasupervisor:quarantine:20260131T031501.000000Z:x", "y")
        (one,) = await listed(servers)
        assert await purge(servers, one)
        await lease.release()
        assert await Lease(servers, "evolution-cache", lambda: 0.0).take(), "it was given back"
        with pytest.raises(KeyspaceError):
            await servers.nodes[0].call("GET", "foreign")


async def _sweep(url: str, rules: Sequence[Rule]) -> Swept:
    async def rest(_seconds: float) -> None:
        return

    async def found(_wrong: Sequence[Wrong]) -> None:
        return

    async with await connect(url) as servers:
        return await Sweep(servers, rules, clock=lambda: 0.0, rest=rest).run(found)


def test_the_table_of_findings_is_that_of_the_code() -> None:
    table = "\n".join(f"| `{row.code}` | {row.level} | {row.what} |" for row in ROWS)
    assert table in PAGE.read_text(encoding="utf-8"), f"docs/redis.md should have these lines:\n{table}"


@pytest.mark.parametrize(
    "block", re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
)
def test_the_settings_shown_are_settings(block: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    redis = "" if block.startswith("redis:") else "redis: {url: 'redis://127.0.0.1'}\n"
    file.write_text(f"{GATEWAY}{redis}{block}")
    read(file, {"REDIS_URL": "redis://127.0.0.1:6379/6"})


def test_the_urls_shown_are_urls() -> None:
    urls = re.findall(r"^\| `([a-z]+://[^`]*)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {redis_address(url).scheme for url in urls} == {"redis", "rediss", "unix", "sentinel", "cluster"}
    assert {redis_address(url).database for url in urls} == {0, 6}

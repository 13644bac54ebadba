"""A key of the wrong type is made into one of the right type, if that loses nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyspace_values import Whole, wrong_of
from redis_fixtures import RedisServer

from wasupervisor.keyspace import convert as module
from wasupervisor.keyspace.aside import Outcome, SetAside
from wasupervisor.keyspace.bull import QueueKeys, rules_of_queue
from wasupervisor.keyspace.connection import Servers, connect
from wasupervisor.keyspace.convert import WhyNot, can_convert, convert
from wasupervisor.keyspace.keys import UNDONE
from wasupervisor.keyspace.lease import Lease
from wasupervisor.keyspace.quarantine import UndoOutcome, listed, undo
from wasupervisor.keyspace.rules import Rule
from wasupervisor.keyspace.sweep import Wrong

pytestmark = pytest.mark.anyio

AT = "20261121T200512.123456Z"
LATER = "20261121T200513.000001Z"
KEY = b"evolution-cache:instance:3f1c"
QUEUE = b"waha-waha:chatwoot.waha | message.any"
FIELDS = st.dictionaries(st.text(max_size=20), st.text(max_size=60), min_size=1, max_size=10)
ANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)


@pytest.fixture
async def servers(redis_server: RedisServer) -> AsyncIterator[Servers]:
    async with await connect(redis_server.url, timeout=10.0) as found:
        yield found


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    with redis_server.client() as client:
        yield client


async def converted(servers: Servers, wrong: Wrong, at: str = AT) -> SetAside:
    assert await can_convert(servers, wrong) is None
    done = await convert(servers, wrong, at=at, lease=None, by="test")
    assert isinstance(done, SetAside), done
    assert done.outcome is Outcome.MOVED
    return done


@ANY
@given(
    fields=st.dictionaries(st.text(max_size=20), st.text(max_size=60), min_size=1, max_size=10), escaped=st.booleans()
)
def test_any_object_of_strings_becomes_a_hash(shared_redis: RedisServer, fields: dict[str, str], escaped: bool) -> None:
    with shared_redis.client() as client:
        client.flushall()
        client.set(KEY, json.dumps(fields, ensure_ascii=escaped), px=100_000)
        before = Whole.of(client, KEY)

        async def go() -> SetAside:
            async with await connect(shared_redis.url, timeout=10.0) as servers:
                return await converted(servers, wrong_of(KEY, "string"))

        done = anyio.run(go)
        assert client.hgetall(KEY) == {name.encode(): value.encode() for name, value in fields.items()}
        assert 0 < client.pttl(KEY) <= 100_000
        assert done.name is not None
        assert Whole.of(client, done.name) == before
        assert client.pttl(done.name) == -1


@ANY
@given(fields=FIELDS)
def test_any_hash_of_texts_becomes_a_string_and_a_hash_again(shared_redis: RedisServer, fields: dict[str, str]) -> None:
    with shared_redis.client() as client:
        client.flushall()
        client.hset(KEY, mapping=fields)

        async def go() -> None:
            async with await connect(shared_redis.url, timeout=10.0) as servers:
                await converted(servers, wrong_of(KEY, "hash"))
                assert json.loads(client.get(KEY)) == fields
                await converted(servers, wrong_of(KEY, "string"), LATER)

        anyio.run(go)
        assert client.hgetall(KEY) == {name.encode(): value.encode() for name, value in fields.items()}
        assert client.pttl(KEY) == -1


async def test_the_original_comes_back_by_undo(servers: Servers, client: Any) -> None:
    client.set(KEY, '{"creds":"x"}')
    client.set(UNDONE + KEY, "string")
    before = Whole.of(client, KEY)
    await converted(servers, wrong_of(KEY, "string"))
    assert not client.exists(UNDONE + KEY)
    (one,) = await listed(servers)
    assert (await undo(servers, one, replace=False, at=LATER)).outcome is UndoOutcome.OCCUPIED
    assert (await undo(servers, one, replace=True, at=LATER)).outcome is UndoOutcome.PUT_BACK
    assert Whole.of(client, KEY) == before


async def test_more_fields_than_one_command_takes(servers: Servers, client: Any) -> None:
    fields = {f"session-{number}": "v" * 20 for number in range(9001)}
    client.set(KEY, json.dumps(fields))
    await converted(servers, wrong_of(KEY, "string"))
    assert client.hlen(KEY) == 9001


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"\xff{}", "its text is not UTF-8"),
        (b"", "its text is not JSON"),
        (b"[object Object]", "its text is not JSON"),
        (b"[" * 100_000, "its text is not JSON"),
        (b"{}", "its text is not a JSON object with fields"),
        (b"[]", "its text is not a JSON object with fields"),
        (b'"x"', "its text is not a JSON object with fields"),
        (b'[{"a": "b"}]', "its text is not a JSON object with fields"),
        (b'{"a": 1}', "not all values of its JSON object are strings"),
        (b'{"a": null}', "not all values of its JSON object are strings"),
        (b'{"a": {"b": "c"}}', "not all values of its JSON object are strings"),
        (b'{"a": "1", "a": "2"}', "its JSON object has a field twice"),
        (b'{"a": "\\ud800"}', "its JSON object has half a character (a lone surrogate)"),
    ],
)
async def test_why_a_string_cannot_become_a_hash(servers: Servers, client: Any, text: bytes, why: str) -> None:
    client.set(KEY, text)
    wrong = wrong_of(KEY, "string")
    assert await can_convert(servers, wrong) == why
    assert await convert(servers, wrong, at=AT, lease=None, by="test") == WhyNot(why)
    assert client.keys() == [KEY]
    assert client.get(KEY) == text


async def test_why_others_cannot(servers: Servers, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client.hset(KEY, "f", b"\xff")
    assert await can_convert(servers, wrong_of(KEY, "hash")) == "not all its fields and values are UTF-8"
    assert await can_convert(servers, wrong_of(KEY, "string", "hash")) == "it is of the right type by now"
    assert await can_convert(servers, wrong_of(KEY, "hash", "list")) == "a hash cannot be made into a list without loss"
    assert await can_convert(servers, wrong_of(KEY, "hash", "string", "list")) == (
        "a hash cannot be made into a string or list without loss"
    )
    client.rpush("list", "v")
    assert await can_convert(servers, wrong_of(b"list", "list")) == "a list cannot be made into a hash without loss"
    assert await can_convert(servers, wrong_of(b"gone", "string")) == "there is no such key any more"
    monkeypatch.setattr(module, "LARGEST", 2**20)
    client.set("large", '{"a":"' + "x" * 2**20 + '"}')
    client.hset("many", mapping={f"field-{number}": "x" * 50 for number in range(20_000)})
    assert await can_convert(servers, wrong_of(b"large", "string")) == "it is larger than 1 MB"
    assert await can_convert(servers, wrong_of(b"many", "hash")) == "it is larger than 1 MB"


@pytest.mark.parametrize("meanwhile", ["hash", "string", "gone"])
async def test_written_to_between_reading_and_converting(
    servers: Servers, client: Any, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    client.set(KEY, '{"creds":"x"}')
    read = module._make

    async def read_and_wait(servers: Servers, wrong: Wrong) -> object:
        made = await read(servers, wrong)
        client.delete(KEY)
        if meanwhile == "hash":
            client.hset(KEY, "creds", "newer")
        elif meanwhile == "string":
            client.set(KEY, '{"creds":"newer"}')
        return made

    monkeypatch.setattr(module, "_make", read_and_wait)
    done = await convert(servers, wrong_of(KEY, "string"), at=AT, lease=None, by="test")
    assert isinstance(done, SetAside)
    assert (meanwhile, done.outcome) in {
        ("hash", Outcome.WHOLE),
        ("string", Outcome.CHANGED),
        ("gone", Outcome.GONE),
    }
    assert await listed(servers) == ()
    assert client.keys() == ([] if meanwhile == "gone" else [KEY])


async def test_who_lost_the_lease_converts_nothing(servers: Servers, client: Any) -> None:
    client.set(KEY, '{"creds":"x"}')
    lease = Lease(servers, "evolution-cache", lambda: 0.0)
    done = await convert(servers, wrong_of(KEY, "string"), at=AT, lease=lease, by="test")
    assert isinstance(done, SetAside)
    assert done.outcome is Outcome.NOT_OURS
    assert client.keys() == [KEY]


def counter() -> Rule:
    rules = rules_of_queue(QueueKeys(b"waha-*", "chatwoot.waha | message.any", "bullmq"))
    return next(rule for rule in rules if rule.match.endswith(b":id"))


async def test_the_counter_of_job_ids_is_made_anew(servers: Servers, client: Any) -> None:
    wrong = Wrong(QUEUE + b":id", counter(), "hash", "type", None)
    client.hset(wrong.key, "f", "v")
    assert await module.highest_job(servers.nodes[0], QUEUE) == 0
    client.hset(QUEUE + b":7", "name", "job")
    client.hset(QUEUE + b":repeat:99:1700000000000", "name", "job")
    client.hset(QUEUE + b":9007199254740993", "name", "no id of BullMQ's")
    client.set(QUEUE + b":50:lock", "token")
    client.hset(QUEUE + b"2:60", "another", "queue")
    client.zadd(QUEUE + b":completed", {b"12": 1, b"own-id-70": 2})
    client.rpush(QUEUE + b":wait", b"3")
    client.set(QUEUE + b":active", "of a wrong type too")
    await converted(servers, wrong)
    assert client.get(wrong.key) == b"12"
    (one,) = await listed(servers)
    assert (one.key, one.type) == (wrong.key, "hash")


@pytest.mark.parametrize(
    "write",
    [
        lambda client: client.rpush(QUEUE + b":wait", *range(1, 2501)),
        lambda client: client.zadd(QUEUE + b":failed", {str(number): number for number in range(1, 2501)}),
        lambda client: client.xadd(QUEUE + b":events", {"event": "completed", "jobId": "2500"}),
        lambda client: [client.hset(QUEUE + b":%d" % number, "name", "job") for number in range(1, 2501)],
    ],
)
async def test_where_job_ids_are_looked_for(servers: Servers, client: Any, write: Any) -> None:
    write(client)
    assert await module.highest_job(servers.nodes[0], QUEUE) == 2500


async def test_other_keys_that_end_so_are_no_counter(servers: Servers, client: Any) -> None:
    client.hset("a:id", "f", "v")
    await converted(servers, wrong_of(b"a:id", "hash"))
    assert json.loads(client.get("a:id")) == {"f": "v"}

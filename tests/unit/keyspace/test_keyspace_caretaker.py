"""Who looks after the keys: what is swept when, what is set aside, and that each is told once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from keyspace_watching import SECRET, Scene, aside, creds, everything, login, scene, spoil, wrongtype
from redis_fixtures import RedisServer

from wasupervisor.keyspace.caretaker import MOST_TOLD
from wasupervisor.keyspace.connection import connect
from wasupervisor.keyspace.lease import LASTS
from wasupervisor.keyspace.quarantine import UndoOutcome, find, listed, undo
from wasupervisor.keyspace.rules import own_rule
from wasupervisor.keyspace.wanted import Repair
from wasupervisor.keyspace.watch import VERSION_WITHIN

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    with redis_server.client() as it:
        yield it


def fill(client: Any) -> None:
    """Good keys of several rules, and of none."""
    login(client, "shop", "help")
    client.set("evo:baileys:1", SECRET, ex=600)
    client.set("evo:groups:1", SECRET, ex=600)
    client.hset("evo:x:chatwoot:syncLostMessages", "1", SECRET)
    client.set("wh:session:1", b'{"a":1}', ex=600)
    client.rpush("foreign:list", SECRET)


def mistype(client: Any, *numbers: int) -> list[bytes]:
    keys = [b"evo:groups:wrong%d" % number for number in numbers]
    for key in keys:
        client.hset(key, "f", SECRET)
        client.expire(key, 500)
    return keys


async def test_the_first_turn_sets_aside_what_is_mistyped_and_nothing_else(
    redis_server: RedisServer, client: Any
) -> None:
    fill(client)
    good = everything(client)
    wrong = mistype(client, 1, 2)
    client.rpush("wh:session:2", SECRET)
    async with scene(redis_server.url, "shop", "help") as it:
        await it.turn()
        known = it.watch.known()
        assert everything(client) == good
        assert sorted(one.key for one in await listed(await it.watch.servers())) == [*wrong, b"wh:session:2"]
    assert (known.ok, known.mistyped, known.quarantined, known.trouble) == (True, 0, 3, "")
    assert known.set_aside == 3
    assert known.last_sweep is not None
    assert (known.last_sweep.at, known.last_sweep.keys >= len(good)) == (1_700_000_000.0 + it.now, True)
    told = [entry.text for entry in it.journal if entry.outcome == "set_aside"]
    assert len(told) == 3
    assert told[0].startswith("evo:groups:wrong") or told[0].startswith("wh:session:2")
    assert all("it was set aside as " in text and "`wasupervisor redis undo " in text for text in told)
    assert all(entry.warn for entry in it.journal)


async def test_a_mistyped_key_is_set_aside_in_the_turn_of_its_first_error(
    redis_server: RedisServer, client: Any
) -> None:
    async with scene(redis_server.url) as it:
        it.know()
        await it.turn()
        (key,) = mistype(client, 1)
        await it.turn()
        assert client.exists(key), "nobody has met it yet, and a sweep costs something"
        wrongtype(client)
        await it.turn()
        assert not client.exists(key)
        assert it.watch.known().wrongtype_errors == 1


async def test_growth_brings_a_sweep_a_minute_at_the_most(redis_server: RedisServer, client: Any) -> None:
    async with scene(redis_server.url) as it:
        it.know()
        await it.turn()
        mistype(client, 1)
        wrongtype(client)
        await it.turn()
        (key,) = mistype(client, 2)
        wrongtype(client)
        await it.turn(30)
        assert client.exists(key)
        await it.turn(31)
        assert not client.exists(key)


async def test_rules_that_become_known_later_are_swept_by_at_once(redis_server: RedisServer, client: Any) -> None:
    (key,) = mistype(client, 1)
    async with scene(redis_server.url) as it:
        await it.turn()
        assert it.watch.known().last_sweep is None, "the gateway is asked for its version in this moment"
        await it.turn(VERSION_WITHIN)
        assert it.watch.known().last_sweep is not None
        assert client.exists(key), "as long as the version is not known its role is not"
        it.know("shop")
        await it.turn()
        assert not client.exists(key)
        first = it.watch.known().last_sweep
        it.know("shop", "help")
        it.know("shop", version=None)
        await it.turn()
        assert it.watch.known().last_sweep == first, "other sessions are no other rules"


async def test_rules_that_become_known_during_a_sweep_are_swept_by_too(redis_server: RedisServer, client: Any) -> None:
    keys = mistype(client, *range(3))
    async with scene(redis_server.url) as it:
        sweep = it.watch.caretaker.sweep

        async def then_known(*arguments: object) -> int:
            found = await sweep(*arguments)  # type: ignore[arg-type]
            it.know()
            return found

        it.watch.caretaker.sweep = then_known  # type: ignore[method-assign,assignment]
        await it.turn()
        await it.turn(VERSION_WITHIN)
        assert client.exists(*keys) == 3
        await it.turn()
        assert client.exists(*keys) == 0


@pytest.mark.parametrize(("repair", "told"), [(Repair.REPORT, 2), (Repair.OFF, 0)])
async def test_who_is_not_to_repair_changes_nothing_and_tells_once(
    repair: Repair, told: int, redis_server: RedisServer, client: Any
) -> None:
    login(client, "shop")
    spoil(client, "help")
    mistype(client, 1)
    before = everything(client)
    async with scene(redis_server.url, "shop", "help", repair=repair) as it:
        for _ in range(3):
            reading = await it.turn(3600)
            assert reading.mistyped == ("help",), "it holds restarts all the same"
        assert everything(client) == before
        assert client.keys("wasupervisor:*") == []
        left = [entry for entry in it.journal if entry.outcome == "left"]
        assert len(left) == told
        assert all("It is left as it is: redis.repair says to report it only" in entry.text for entry in left)
        assert it.watch.known().mistyped == told


async def test_a_rule_that_only_reports_is_kept_to(redis_server: RedisServer, client: Any) -> None:
    client.hset("app:1", "f", SECRET)
    client.set("app:2", SECRET)
    client.set("app:3", b"{}", ex=5000)
    rule = own_rule("app:*", ["string"], ttl="required", json=True, on_wrong="report")
    before = everything(client)
    async with scene(redis_server.url, own=(rule,)) as it:
        it.know()
        await it.turn()
        await it.turn(3600)
        assert everything(client) == before
        texts = it.told()
        known = it.watch.known()
    assert len(texts) == len({*texts}) == 2 + len(known.findings)
    assert any("app:1 (keys of your rule app:*) is a hash and must be a string" in text for text in texts)
    assert any("app:2 (keys of your rule app:*) never expires and must" in text for text in texts)
    assert (known.mistyped, known.quarantined) == (2, 0)


async def test_what_a_person_put_back_is_left_alone_until_it_is_of_another_type(
    redis_server: RedisServer, client: Any
) -> None:
    (key,) = mistype(client, 1)
    dump = client.dump(key)
    async with scene(redis_server.url) as it:
        it.know()
        await it.turn()
        servers = await it.watch.servers()
        (one,) = await listed(servers)
        assert (await undo(servers, one, replace=False, at="20261121T210000.000000Z")).outcome is UndoOutcome.PUT_BACK
        it.watch.caretaker.left_quarantine(one.name)
        assert it.watch.known().quarantined == 0
        it.told()
        for _ in range(2):
            await it.turn(3600)
        assert client.dump(key) == dump
        left = [text for text in it.told() if "left as it is" in text]
        assert len(left) == 1
        assert left[0].endswith("a person put it back as it is")
        client.delete(key)
        client.rpush(key, "other")
        await it.turn(3600)
        assert not client.exists(key)


async def test_many_keys_are_told_in_fifty_lines_and_one_and_never_again(
    redis_server: RedisServer, client: Any
) -> None:
    mistype(client, *range(MOST_TOLD + 7))
    login(client, "shop")
    async with scene(redis_server.url, "shop") as it:
        await it.turn()
        texts = [text for text in it.told() if "set aside" in text or "more" in text]
        assert len(texts) == MOST_TOLD + 1
        assert texts[-1].startswith("7 more such keys: see `wasupervisor redis quarantine`")
        assert it.watch.known().quarantined == it.watch.known().set_aside == MOST_TOLD + 7
        spoil(client, "shop")
        await it.turn()
        assert any(creds("shop").decode() in text for text in it.told()), "a credential key is always told"
        await it.turn(3600)
        assert it.told() == []


async def test_left_keys_are_told_once_however_many(redis_server: RedisServer, client: Any) -> None:
    mistype(client, *range(MOST_TOLD + 7))
    async with scene(redis_server.url, repair=Repair.REPORT) as it:
        it.know()
        await it.turn()
        assert len([text for text in it.told() if "left as it is" in text]) == MOST_TOLD
        await it.turn(3600)
        assert it.told() == []
        assert it.watch.known().mistyped == MOST_TOLD + 7


async def test_no_value_is_in_any_text(
    redis_server: RedisServer, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    fill(client)
    mistype(client, 1)
    spoil(client, "help")
    async with scene(redis_server.url, "shop", "help") as it:
        await it.turn()
        spoil(client, "shop")
        await it.turn()
        all_of_it = f"{it.journal} {it.watch.known()} {it.watch.last} {await listed(await it.watch.servers())}"
    assert SECRET.decode() not in all_of_it + caplog.text
    for name in client.keys("wasupervisor:note:*"):
        assert SECRET not in b"".join(client.hgetall(name).values())


async def test_of_two_one_repairs_and_the_other_takes_over(redis_server: RedisServer, client: Any) -> None:
    mistype(client, 1)
    async with scene(redis_server.url) as first, scene(redis_server.url) as second:
        first.know()
        second.know()
        await first.turn()
        (name,) = aside(client)
        (key,) = mistype(client, 2)
        await second.turn()
        assert client.exists(key)
        (left,) = [entry for entry in second.journal if entry.outcome == "left"]
        assert "another daemon has the lease" in left.text
        assert not left.warn, "the other one does it, and says it"
        await first.watch.aclose()
        await second.turn(61)
        assert not client.exists(key)
        assert name in aside(client)
        assert second.watch.known().mistyped == 0


async def test_what_another_daemon_set_aside_is_known_and_told_once(redis_server: RedisServer, client: Any) -> None:
    async with scene(redis_server.url) as first, scene(redis_server.url) as second:
        first.know()
        second.know()
        await second.turn()
        mistype(client, 1)
        await first.turn()
        await second.turn(3600)
        (name,) = aside(client)
        assert second.watch.known().quarantined == 1
        (entry,) = [one for one in second.journal if one.outcome == "set_aside"]
        assert second.watch.known().set_aside == 0
        assert entry.text.startswith("evo:groups:wrong1 was set aside by another hand, or by a call of ours that broke")
        await second.turn(3600)
        assert len([one for one in second.journal if one.outcome == "set_aside"]) == 1
        assert aside(client) == [name]


async def test_what_is_in_quarantine_at_the_start_is_told_in_one_line(redis_server: RedisServer, client: Any) -> None:
    mistype(client, 1, 2)
    async with scene(redis_server.url) as it:
        it.know()
        await it.turn()
    async with scene(redis_server.url) as it:
        it.know()
        await it.turn()
        assert [text for text in it.told() if "quarantine" in text] == [
            "in quarantine since before this start: 2; `wasupervisor redis quarantine` lists"
        ]
        assert it.watch.known().quarantined == 2
        await it.turn(3600)
        assert it.told() == []


async def test_the_lease_is_kept_while_there_is_work_and_let_go_at_the_end(
    redis_server: RedisServer, client: Any
) -> None:
    it = Scene(redis_server.url)
    it.know()
    mistype(client, 1)
    await it.turn()
    assert client.pttl("wasupervisor:lease:evo") > (LASTS - 5) * 1000
    await it.watch.aclose()
    assert not client.exists("wasupervisor:lease:evo")


@pytest.mark.parametrize("shared_redis", ["path"], indirect=True)
async def test_a_key_that_our_user_may_not_touch_keeps_no_other_from_repair(
    redis_server: RedisServer, client: Any
) -> None:
    if client.info("server")["redis_version"] < "7":
        pytest.skip("before Redis 7 nobody has the right only to read a key")
    client.execute_command(
        "ACL", "SETUSER", "some", "reset", "on", ">pw", "~evo:*", "~wasupervisor:*", "%R~wh:*", "+@all"
    )
    client.rpush("wh:session:1", SECRET)
    keys = mistype(client, *range(5))
    async with scene(redis_server.url.replace("//", "//some:pw@")) as it:
        it.know()
        try:
            await it.turn()
            known = it.watch.known()
            assert client.exists(*keys) == 0
            assert client.exists("wh:session:1")
            assert (known.mistyped, known.quarantined, known.trouble) == (1, 5, "")
            (left,) = [entry.text for entry in it.journal if entry.outcome == "left"]
            assert "wh:session:1" in left
            assert "it could not be set aside: " in left
            it.told()
            await it.turn(3600)
            assert it.told() == []
        finally:
            client.acl_deluser("some")


async def test_an_id_of_the_journal_is_one_that_undo_takes(redis_server: RedisServer, client: Any) -> None:
    (key,) = mistype(client, 1)
    async with scene(redis_server.url) as it:
        it.know()
        await it.turn()
        (text,) = [one.text for one in it.journal if one.outcome == "set_aside"]
        wanted = text.rpartition("`wasupervisor redis undo ")[2].partition("`")[0]
        async with await connect(redis_server.url) as servers:
            assert (await find(servers, wanted)).key == key

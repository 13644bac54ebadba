"""What a person may have done with the keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from keyspace_watching import SECRET, Scene, aside, creds, everything, login, scene, spoil
from redis_fixtures import RedisServer

from wasupervisor.keyspace.credentials import Types
from wasupervisor.keyspace.orders import (
    Done,
    Wish,
    check,
    facts_of,
    held,
    put_back,
    quarantine,
    repair,
    throw_away,
)
from wasupervisor.keyspace.quarantine import NotFoundError
from wasupervisor.keyspace.rules import own_rule
from wasupervisor.keyspace.trouble import KeyspaceError
from wasupervisor.keyspace.wanted import Repair

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    with redis_server.client() as it:
        yield it


def mistype(client: Any, *names: str) -> None:
    for name in names:
        client.hset(f"evo:groups:{name}", "f", SECRET)
        client.expire(f"evo:groups:{name}", 500)


async def only(it: Scene) -> str:
    (one,) = await quarantine(it.watch)
    return one.id


async def test_a_check_says_what_it_saw_and_changes_nothing(redis_server: RedisServer, client: Any) -> None:
    login(client, "shop")
    spoil(client, "help")
    mistype(client, "1")
    client.set("evo:groups:2", "x")
    before = everything(client)
    async with scene(redis_server.url, "shop", "help") as it:
        found = await check(it.watch)
        assert everything(client) == before
        assert client.keys("wasupervisor:*") == []
    assert (found.keys, found.is_well, found.quarantined, found.unread) == (4, False, 0, "")
    rules = {one.name: one for one in found.rules}
    assert (rules["credentials of a session"].keys, rules["members of groups"].keys) == (2, 2)
    assert rules["credentials of a session"].match == "evo:instance:*"
    by_key = {one.key: one for one in found.wrong}
    assert by_key.keys() == {creds("help").decode(), "evo:groups:1", "evo:groups:2"}
    assert [by_key[key].left for key in ("evo:groups:1", "evo:groups:2")] == ["", "only a wrong type is set aside"]
    assert by_key["evo:groups:2"].fault.endswith("never expires and must")


async def test_a_check_tells_whose_restarts_are_held_also_without_a_daemon(
    redis_server: RedisServer, client: Any
) -> None:
    login(client, "shop", "help", "sale")
    spoil(client, "help")
    async with scene(redis_server.url, "shop", "help", "sale") as it:
        await it.turn()
    spoil(client, "sale")
    async with scene(redis_server.url, "shop", "help", "sale") as again:
        found = await check(again.watch)
    assert {text.partition(":")[0] for text in found.held} == {"help", "sale"}
    assert all("no restart until it is whole. Put a good copy" in text for text in found.held)
    assert (found.quarantined, found.is_well) == (1, False)


async def test_who_is_held_by_which_key_since_when_and_what_a_person_can_do(
    redis_server: RedisServer, client: Any
) -> None:
    login(client, "shop", "help", "sale", "kiosk")
    async with scene(redis_server.url, "shop", "help", "sale", "kiosk") as it:
        await it.turn()
        assert await held(it.watch) == ()
        spoil(client, "help")
        client.delete(creds("sale"))
        await it.turn(60.0)
        await it.turn(60.0)
        client.hset(creds("help").decode(), "pre-key-7", SECRET)  # as the gateway does
        await it.turn(60.0)
        by_session = {one.session: one for one in await held(it.watch)}
        assert by_session.keys() == {"help", "sale"}
        lost, gone = by_session["help"], by_session["sale"]
        about = f"{creds('help').decode()} (credentials of a session)"
        assert (lost.key, lost.fault) == (creds("help").decode(), f"{about} is there again and holds no login")
        assert [(one["id"], one["type"]) for one in lost.aside] == [(await only(it), "string")]
        assert lost.todo.startswith("no hash of this name is in quarantine; no restart until it is whole")
        assert (gone.fault, gone.aside) == (f"{creds('sale').decode()} (credentials of a session) is gone", ())
        assert (lost.since, gone.since) == ("2023-11-14T22:31:05Z", "2023-11-14T22:31:05Z")
        client.hset(creds("help").decode(), "creds", SECRET)
        login(client, "sale")
        await it.turn()
        assert await held(it.watch) == ()
        assert SECRET.decode() not in str(by_session)


async def test_a_key_that_is_left_where_it_is_may_be_converted_and_a_good_copy_be_put_back(
    redis_server: RedisServer, client: Any
) -> None:
    login(client, "shop")
    async with scene(redis_server.url, "shop", repair=Repair.REPORT) as it:
        await it.turn()
        spoil(client, "shop")
        await it.turn()
        (one,) = await held(it.watch)
        assert one.fault == f"{one.key} (credentials of a session) is a string and must be a hash"
        command = (
            f"`wasupervisor redis repair --convert --dry-run --pattern {one.key}` tells whether it can be made one"
        )
        assert one.todo.startswith(f"it must be a hash: {command}; no restart")
        await repair(it.watch, Wish(), "eve")
        login(client, "shop")
        await put_back(it.watch, await only(it), replace=True)  # the string is back, and the hash is aside
        await it.turn()
        (one,) = await held(it.watch)
        (copy,) = one.aside
        assert copy["type"] == "hash"
        assert one.todo.startswith(f"`wasupervisor redis undo {copy['id']} --replace` puts that hash back; no restart")
        assert (await put_back(it.watch, str(copy["id"]), replace=True)).done is Done.DONE
        await it.turn()
        assert await held(it.watch) == ()


async def test_what_could_not_be_looked_at_again_stays_told(redis_server: RedisServer, client: Any) -> None:
    login(client, "shop")
    async with scene(redis_server.url, "shop", repair=Repair.REPORT) as it:
        spoil(client, "shop")
        await it.turn()
        (before,) = await held(it.watch)
        it.watch.faults.take({}, (), (), Types(), ["shop"])
        assert await held(it.watch) == (before,)


async def test_a_check_is_well_where_nothing_is_to_be_done(redis_server: RedisServer, client: Any) -> None:
    login(client, "shop")
    client.config_set("save", "60 1")
    try:
        async with scene(redis_server.url, "shop") as it:
            assert (await check(it.watch)).is_well
    finally:
        client.config_set("save", "")


async def test_a_check_says_what_the_daemon_leaves_and_why(redis_server: RedisServer, client: Any) -> None:
    mistype(client, "1")
    async with scene(redis_server.url, "shop", repair=Repair.OFF) as it:
        assert [one.left for one in (await check(it.watch)).wrong] == ["redis.repair is off"]


async def test_without_the_gateways_version_neither_says_that_all_is_well(
    redis_server: RedisServer, client: Any
) -> None:
    mistype(client, "1")
    async with scene(redis_server.url) as it:
        found, done = await check(it.watch), await repair(it.watch, Wish(), "root")
    assert (found.wrong, found.is_well, done.keys, done.is_done) == ((), False, (), False)
    assert found.unknown == done.unknown
    assert "the gateway's version is not known" in found.unknown


async def test_what_may_not_be_looked_at_is_told_by_both(redis_server: RedisServer, client: Any) -> None:
    mistype(client, "1", "2")
    client.acl_setuser("some", enabled=True, reset=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-type"])
    async with scene(redis_server.url.replace("//", "//some:pw@"), "shop") as it:
        try:
            found, done = await check(it.watch), await repair(it.watch, Wish(), "root")
        finally:
            client.acl_deluser("some")
    assert (found.is_well, done.is_done) == (False, False)
    assert found.unread == done.unread
    assert found.unread.startswith("2 keys: ")


async def test_a_repair_sets_aside_what_is_wished_for(redis_server: RedisServer, client: Any) -> None:
    login(client, "shop")
    mistype(client, "1", "2")
    client.rpush("wh:session:1", SECRET)
    async with scene(redis_server.url, "shop") as it:
        dry = await repair(it.watch, Wish(pattern=b"evo:*", dry_run=True), "root")
        assert [one.done for one in dry.keys] == [Done.WOULD, Done.WOULD]
        assert client.keys("wasupervisor:*") == []
        done = await repair(it.watch, Wish(pattern=b"evo:groups:1"), "root")
        (one,) = done.keys
        assert (one.done, one.key, done.is_done) == (Done.DONE, "evo:groups:1", True)
        assert one.id == await only(it)
        assert one.id is not None
        assert one.text.endswith(f"it was set aside as {one.id}")
        assert it.watch.known().quarantined == 1, "also before the first sweep of the daemon"
        rest = await repair(it.watch, Wish(), "root")
        assert {one.key for one in rest.keys} == {"evo:groups:2", "wh:session:1"}
        assert client.exists(creds("shop")) == 1


async def test_a_repair_is_wider_than_the_daemon_but_not_than_the_rules(redis_server: RedisServer, client: Any) -> None:
    client.hset("app:1", "f", SECRET)
    client.set("evo:groups:1", "no TTL")
    mistype(client, "2")
    rule = own_rule("app:*", ["string"], on_wrong="report")
    async with scene(redis_server.url, own=(rule,), repair=Repair.REPORT) as it:
        it.know()
        await repair(it.watch, Wish(), "root")
        await put_back(it.watch, await only(it), replace=False)
        done = {one.key: one for one in (await repair(it.watch, Wish(), "root")).keys}
    assert done["evo:groups:2"].done is Done.DONE, "a person wins over a person"
    assert done["app:1"].done is Done.LEFT
    assert done["app:1"].text.endswith("It is left as it is: its rule says to report it only")
    assert done["evo:groups:1"].text.endswith("only a wrong type is repaired")


async def test_a_repair_may_convert(redis_server: RedisServer, client: Any) -> None:
    client.set(creds("shop"), b'{"creds":"x","pre-key-1":"y"}')
    client.set(creds("help"), SECRET)
    async with scene(redis_server.url, "shop", "help") as it:
        wish = Wish(pattern=creds("*"), convert=True, dry_run=True)
        dry = {one.key: one for one in (await repair(it.watch, wish, "root")).keys}
        assert [dry[creds(name).decode()].done for name in ("shop", "help")] == [Done.WOULD, Done.LEFT]
        assert client.type(creds("shop")) == b"string"
        done = {one.key: one for one in (await repair(it.watch, Wish(convert=True), "root")).keys}
        assert client.hgetall(creds("shop")) == {b"creds": b"x", b"pre-key-1": b"y"}
        assert client.get(creds("help")) == SECRET
        assert done[creds("shop").decode()].text.partition(": ")[2].startswith("it was made a hash, and the original")
        assert done[creds("help").decode()].text.endswith("It cannot be made one: its text is not JSON")
        await it.watch.look()
        assert it.watch.last.mistyped == ("help",)


@pytest.mark.parametrize("shared_redis", ["path"], indirect=True)
async def test_one_key_that_is_refused_keeps_no_other_from_repair(redis_server: RedisServer, client: Any) -> None:
    if client.info("server")["redis_version"] < "7":
        pytest.skip("before Redis 7 nobody has the right only to read a key")
    words = ("reset", "on", ">pw", "~evo:*", "~wasupervisor:*", "%R~wh:*", "+@all")
    client.execute_command("ACL", "SETUSER", "some", *words)
    client.rpush("wh:session:1", SECRET)
    mistype(client, "1", "2")
    async with scene(redis_server.url.replace("//", "//some:pw@"), "shop") as it:
        try:
            done = await repair(it.watch, Wish(), "root")
        finally:
            client.acl_deluser("some")
    assert not done.is_done
    assert sorted((one.key, one.done) for one in done.keys) == [
        ("evo:groups:1", Done.DONE),
        ("evo:groups:2", Done.DONE),
        ("wh:session:1", Done.FAILED),
    ]


async def test_the_quarantine_has_what_scripts_read(redis_server: RedisServer, client: Any) -> None:
    mistype(client, "1")
    async with scene(redis_server.url, "shop") as it:
        assert await quarantine(it.watch) == ()
        await it.turn()
        (one,) = await quarantine(it.watch)
    facts = facts_of(one)
    assert list(facts)[:8] == ["id", "key", "type", "expected", "ttl_seconds", "size", "at", "reason"]
    assert (facts["key"], facts["type"], facts["expected"]) == ("evo:groups:1", "hash", "string")
    assert isinstance(facts["ttl_seconds"], float)
    assert 490 < facts["ttl_seconds"] <= 500
    assert isinstance(facts["size"], int)
    assert facts["at"] == "2026-11-21T20:00:00.000000Z"
    assert SECRET.decode() not in str(facts)


async def test_undo_gives_back_what_was_and_refuses_where_another_came(redis_server: RedisServer, client: Any) -> None:
    mistype(client, "1")
    dump = client.dump("evo:groups:1")
    async with scene(redis_server.url, "shop") as it:
        await it.turn()
        client.set("evo:groups:1", "good", ex=50)
        refused = await put_back(it.watch, await only(it), replace=False)
        assert (refused.done, client.get("evo:groups:1")) == (Done.LEFT, b"good")
        assert "--replace" in refused.text
        first = await only(it)
        done = await put_back(it.watch, first, replace=True)
        assert (done.done, done.id, client.dump("evo:groups:1")) == (Done.DONE, first, dump)
        assert done.text.endswith(f"what was in its place, a string, was set aside as {await only(it)}")
        assert it.watch.known().quarantined == 1
        back = await put_back(it.watch, await only(it), replace=True)
        assert (back.done, client.get("evo:groups:1")) == (Done.DONE, b"good"), "and there again"


async def test_undo_of_what_nobody_knows_is_told_apart(redis_server: RedisServer, client: Any) -> None:
    async with scene(redis_server.url, "shop") as it:
        for wanted in ("", "123456789abc", "*", "wasupervisor:"):
            with pytest.raises(NotFoundError, match="no key in quarantine has the id"):
                await put_back(it.watch, wanted, replace=False)


async def test_to_delete_takes_the_whole_id_and_deletes_that_one_only(redis_server: RedisServer, client: Any) -> None:
    mistype(client, "1", "2")
    async with scene(redis_server.url, "shop") as it:
        await it.turn()
        one, other = await quarantine(it.watch)
        for length in (1, 6, 11):
            with pytest.raises(NotFoundError):
                await throw_away(it.watch, one.id[:length])
        assert len(aside(client)) == 2
        done = await throw_away(it.watch, one.id)
        assert (done.done, aside(client)) == (Done.DONE, [other.name])
        assert done.text == f"{one.key.decode()}: it was deleted from quarantine for good"
        assert it.watch.known().quarantined == 1
        with pytest.raises(NotFoundError):
            await throw_away(it.watch, one.id)


async def test_a_redis_that_is_gone_is_an_error_of_ours(tmp_path: Any) -> None:
    async with scene("redis://127.0.0.1:1/0", "shop") as it:
        for work in (check(it.watch), repair(it.watch, Wish(), "x"), quarantine(it.watch), throw_away(it.watch, "1")):
            with pytest.raises(KeyspaceError, match="nobody listens there"):
                await work

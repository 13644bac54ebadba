"""The keys that sessions are logged in by: treated first, and the gate that they hold until they are whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from keyspace_watching import SECRET, aside, creds, everything, login, scene, spoil
from redis_fixtures import RedisServer

from wasupervisor.keyspace.builtin import rules_for
from wasupervisor.keyspace.connection import Node
from wasupervisor.keyspace.credentials import credentials_of
from wasupervisor.keyspace.orders import put_back, throw_away
from wasupervisor.keyspace.quarantine import listed
from wasupervisor.keyspace.rules import own_rule
from wasupervisor.keyspace.wanted import Repair

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    with redis_server.client() as it:
        yield it


@pytest.mark.parametrize(
    ("kind", "version", "named", "keys"),
    [
        ("evolution", "2.3.6", ("shop", "1234"), [b"evo:instance:1234"]),
        ("evolution", None, ("shop", "1234"), [b"evo:instance:1234"]),
        ("evolution", "1.8.0", ("shop", None), [b"evo:instance:shop"]),
        ("evolution", "1.7.2", ("shop", None), [b"evo:shop"]),
        ("evolution", None, ("shop", None), []),
        ("waha", "2024.10.8", ("shop", None), []),
    ],
)
def test_each_version_names_the_credential_keys_in_its_own_way(
    kind: str, version: str | None, named: tuple[str, str | None], keys: list[bytes]
) -> None:
    rules = rules_for(kind, version, prefix="evo", queues=(), own=())
    assert list(credentials_of(kind, version, "evo", (named,), rules)) == keys


def test_a_key_that_a_rule_of_the_operator_says_is_something_else_holds_nothing() -> None:
    rules = rules_for("evolution", "2.3.6", prefix="evo", queues=(), own=(own_rule("evo:*", ["string"]),))
    assert credentials_of("evolution", "2.3.6", "evo", (("shop", "1"),), rules) == {}


async def test_a_mistyped_one_is_found_by_the_look_and_treated_without_a_sweep(
    redis_server: RedisServer, client: Any
) -> None:
    login(client, "shop", "help")
    async with scene(redis_server.url, "shop", "help") as it:
        await it.turn()
        swept = it.watch.known().last_sweep
        spoil(client, "help")
        await it.watch.look()
        assert it.watch.last.mistyped == ("help",)
        assert it.watch.last.lost == ()
        await it.watch._work()
        assert [one.key for one in await listed(await it.watch.servers())] == [creds("help")]
        assert it.watch.known().last_sweep == swept
        (entry,) = [one for one in it.journal if one.outcome == "set_aside"]
        assert entry.session == "help"
        (held,) = [one for one in it.journal if "no restart until" in one.text]
        assert (held.session, held.warn) == ("help", True)


async def test_it_holds_restarts_until_the_login_is_back(redis_server: RedisServer, client: Any) -> None:
    login(client, "shop", "help")
    async with scene(redis_server.url, "shop", "help") as it:
        await it.turn()
        spoil(client, "help")
        assert (await it.turn()).mistyped == ("help",)
        for _ in range(2):  # set aside: nothing is there
            reading = await it.turn()
            assert (reading.ok, reading.mistyped, reading.lost) == (True, (), ("help",))
        client.hset(creds("help").decode(), "pre-key-7", SECRET)
        assert (await it.turn()).lost == ("help",), "what goes with a login is no login"
        it.told()
        client.hset(creds("help").decode(), "creds", SECRET)
        assert (await it.turn()).lost == ()
        assert it.told() == ["its credential key in Redis is whole again, or is not needed any more"]
        assert len(aside(client)) == 1


async def test_one_session_alone_is_not_taken_for_one_whose_login_is_in_postgresql(
    redis_server: RedisServer, client: Any
) -> None:
    login(client, "shop")
    async with scene(redis_server.url, "shop") as it:
        await it.turn()
        spoil(client, "shop")
        await it.turn()
        client.hset(creds("shop").decode(), "pre-key-7", SECRET)
        for _ in range(3):  # also after a preflight, which asks where the logins are
            assert (await it.turn(400)).lost == ("shop",)
    async with scene(redis_server.url, "shop") as again:  # nor by a daemon that has just begun
        await again.turn()
        for _ in range(3):
            assert (await again.turn(400)).lost == ("shop",)


async def test_what_is_in_quarantine_and_not_known_yet_does_not_tell_where_logins_are(
    redis_server: RedisServer, client: Any
) -> None:
    login(client, "shop")
    spoil(client, "shop")
    async with scene(redis_server.url, "shop") as it:
        await it.turn()
    client.hset(creds("shop").decode(), "pre-key-7", SECRET)
    rights: dict[str, Any] = {"enabled": True, "reset": True, "passwords": ["+pw"], "keys": ["*"]}
    client.acl_setuser("some", **rights, commands=["+@all", "-evalsha", "-eval"])
    async with scene(redis_server.url.replace("//", "//some:pw@"), "shop") as again:
        await again.turn()  # no sweep, but a preflight
        client.acl_setuser("some", **rights, commands=["+@all"])
        await again.turn(61)
        assert (await again.turn()).lost == ("shop",)
    client.acl_deluser("some")


async def test_where_logins_are_in_postgresql_a_hash_without_one_is_whole(
    redis_server: RedisServer, client: Any
) -> None:
    for name in ("shop", "help"):
        client.hset(creds(name).decode(), "pre-key-1", SECRET)
    async with scene(redis_server.url, "shop", "help") as it:
        await it.turn()
        spoil(client, "help")
        assert (await it.turn()).mistyped == ("help",)
        assert (await it.turn()).mistyped == ()
        client.hset(creds("help").decode(), "pre-key-2", SECRET)
        reading = await it.turn()
        assert (reading.mistyped, reading.lost) == ((), ())


async def test_one_that_vanished_holds_the_session_that_works_by_memory(redis_server: RedisServer, client: Any) -> None:
    login(client, "shop", "help")
    async with scene(redis_server.url, "shop", "help") as it:
        await it.turn()
        client.delete(creds("help"))
        assert (await it.turn()).lost == ("help",)
        it.know("shop", "help", working=False)
        assert (await it.turn()).lost == (), "logged out: the gateway deletes the key itself"


async def test_the_key_of_a_session_that_is_not_there_any_more_holds_nobody(
    redis_server: RedisServer, client: Any
) -> None:
    login(client, "shop", "help")
    spoil(client, "help")
    async with scene(redis_server.url, "shop", "help") as it:
        assert (await it.turn()).mistyped == ("help",)
        it.know("shop")
        reading = await it.turn()
        assert (reading.mistyped, reading.lost) == ((), ())


async def test_a_daemon_that_has_just_begun_knows_what_an_earlier_one_set_aside(
    redis_server: RedisServer, client: Any
) -> None:
    login(client, "shop", "help")
    spoil(client, "help")
    async with scene(redis_server.url, "shop", "help") as it:
        await it.turn()
    async with scene(redis_server.url, "shop", "help") as again:
        await again.turn()
        assert (await again.turn()).lost == ("help",)


async def test_undo_of_a_mistyped_key_holds_on_and_to_delete_it_lets_go(redis_server: RedisServer, client: Any) -> None:
    login(client, "shop", "help")
    spoil(client, "help")
    before = everything(client)
    async with scene(redis_server.url, "shop", "help") as it:
        await it.turn()
        (one,) = await listed(await it.watch.servers())
        await put_back(it.watch, one.id, replace=False)
        assert everything(client) == before
        for _ in range(3):
            assert (await it.turn()).mistyped == ("help",)
        assert everything(client) == before, "a person put it back"
        assert len([text for text in it.told() if "a person put it back as it is" in text]) == 1
        client.delete(creds("help"))
        spoil(client, "help")
        client.delete("wasupervisor:undone:" + creds("help").decode())
        await it.turn()
        (one,) = await listed(await it.watch.servers())
        assert (await it.turn()).lost == ("help",)
        await throw_away(it.watch, one.id)
        assert (await it.turn()).lost == ()


async def test_a_thousand_sessions_are_asked_in_one_pipeline(
    redis_server: RedisServer, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"s{number}" for number in range(1000)]
    login(client, *names)
    spoil(client, names[-1])
    calls: list[int] = []
    real = Node.calls

    async def counted(self: Node, commands: Any) -> Any:
        calls.append(len(commands))
        return await real(self, commands)

    async with scene(redis_server.url, *names, repair=Repair.OFF) as it:
        await it.turn()
        monkeypatch.setattr(Node, "calls", counted)
        await it.watch.look()
        assert it.watch.last.mistyped == (names[-1],)
        assert sorted(calls) == [2, 1000], "INFO and TYPE"


async def test_what_is_known_stands_while_it_cannot_be_asked(redis_server: RedisServer, client: Any) -> None:
    login(client, "shop", "help")
    client.execute_command("ACL", "SETUSER", "some", "reset", "on", ">pw", "~*", "+@all")
    async with scene(redis_server.url.replace("//", "//some:pw@"), "shop", "help") as it:
        try:
            await it.turn()
            spoil(client, "help")
            await it.turn()
            assert (await it.turn()).lost == ("help",)
            client.execute_command("ACL", "SETUSER", "some", "-hexists")
            client.hset(creds("help").decode(), "pre-key-1", SECRET)
            it.told()
            for _ in range(2):
                reading = await it.turn()
                assert (reading.ok, reading.lost) == (True, ("help",))
                assert "forbids our user HEXISTS" in reading.detail
            (text,) = it.told()
            assert text.startswith("not all is known of the gateway's Redis: ")
        finally:
            client.acl_deluser("some")

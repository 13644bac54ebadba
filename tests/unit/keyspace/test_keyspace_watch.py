"""The watch of Redis as a whole: what it says of a Redis that is not well, and that it never raises nor hangs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
import redis
from keyspace_talkers import ok, talker
from keyspace_watching import SECRET, Scene, creds, login, scene, spoil, until, wrongtype
from redis_fixtures import RedisServer

from wasupervisor.keyspace.connection import Servers
from wasupervisor.keyspace.wanted import Repair
from wasupervisor.model.observation import RedisReading

pytestmark = pytest.mark.anyio

WELL = "the gateway's Redis answers again, and all that is asked"
AWAY = "no session is restarted while the gateway's Redis does not answer: "


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    with redis_server.client() as it:
        yield it


def with_user(server: RedisServer, *words: str) -> str:
    """A URL of a user who may do all but some."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "some", "reset", "on", ">pw", "~*", "+@all", *words)
    return server.url.replace("//", "//some:pw@")


async def until_ok(it: Scene, ok: bool | None) -> RedisReading:
    """Turns until it says so: a server takes its time to start."""
    with anyio.fail_after(30):
        while (reading := await it.turn(61)).ok is not ok:  # noqa: ASYNC110 - it is asked, not waited for
            await anyio.sleep(0.02)
    return reading


async def test_nothing_is_known_before_the_first_look() -> None:
    it = Scene("redis://127.0.0.1:1/0")
    assert it.watch.last == RedisReading()
    known = it.watch.known()
    assert (known.ok, known.quarantined, known.last_sweep, known.wrongtype_errors) == (None, None, None, None)
    await it.watch.aclose()


async def test_a_redis_that_is_killed_is_told_once_and_comes_back_by_itself(own_redis: RedisServer) -> None:
    async with scene(own_redis.url, "shop") as it:
        with own_redis.client() as client:
            login(client, "shop")
            spoil(client, "shop")
        await it.turn()
        assert (await it.turn()).lost == ("shop",)
        it.told()
        own_redis.stop()
        for _ in range(3):
            reading = await it.turn()
            assert (reading.ok, reading.lost) == (False, ("shop",)), "what was known stands"
        (text,) = it.told()
        assert text == AWAY + f"127.0.0.1:{own_redis.port} cannot be reached: nobody listens there"
        own_redis.start()
        reading = await until_ok(it, True)
        assert it.told()[0] == WELL
        assert (reading.detail, it.watch.known().trouble) == ("", "")


async def test_a_redis_that_was_never_there_is_found_when_it_comes(own_redis: RedisServer) -> None:
    own_redis.stop()
    async with scene(own_redis.url, "shop") as it:
        for _ in range(3):
            assert (await it.turn()).ok is False
        assert len(it.told()) == 1
        own_redis.start()
        with own_redis.client() as client:
            spoil(client, "shop")
        await until_ok(it, True)
        assert it.watch.known().quarantined == 1


async def test_a_frozen_redis_is_told_within_the_time_of_a_look_and_found_again(own_redis: RedisServer) -> None:
    async with scene(own_redis.url, "shop", timeout=0.2) as it:
        await it.turn()
        it.told()
        own_redis.send(signal.SIGSTOP)
        try:
            with anyio.fail_after(10):
                assert (await it.turn()).ok is False
                assert (await it.watch.reading(0.0)).ok is False, "right before a restart: one look, not for ever"
        finally:
            own_redis.send(signal.SIGCONT)
        (text,) = it.told()
        assert text.startswith(AWAY)
        assert "did not answer in 0.2 s" in text
        await until_ok(it, True)
        assert it.told() == [WELL]


async def test_a_login_that_is_refused_tells_nothing_of_the_gateways(own_redis: RedisServer) -> None:
    async with scene(own_redis.url) as it:
        with own_redis.client() as client:
            client.config_set("requirepass", "hunter2")
        for _ in range(3):
            reading = await it.turn()
            assert (reading.ok, "asks for a password" in reading.detail) == (None, True)
        (text,) = it.told()
        assert text.startswith("nothing is known of the gateway's Redis: ")
        with redis.Redis(port=own_redis.port, password="hunter2") as client:
            client.config_set("requirepass", "")
        assert (await it.turn()).ok is True
        assert it.told()[0] == WELL


async def test_a_wrong_password_is_in_no_text(redis_server: RedisServer, client: Any) -> None:
    async with scene(redis_server.url.replace("//", "//nobody:hunter2@")) as it:
        assert (await it.turn()).ok is None
        assert "hunter2" not in f"{it.journal}{it.watch.last}{it.watch.known()}"
        assert "does not accept the user and password" in it.watch.last.detail


async def test_without_the_right_to_info_all_else_is_done(redis_server: RedisServer, client: Any) -> None:
    login(client, "shop")
    spoil(client, "help")
    async with scene(with_user(redis_server, "-info"), "shop", "help") as it:
        assert (await it.turn()).ok is True
        assert (await it.turn()).lost == ("help",)
        known = it.watch.known()
        assert (known.quarantined, known.wrongtype_errors, known.trouble) == (1, None, "")
        assert "info_withheld" in [one.code for one in known.findings]
        assert not any("INFO" in text for text in it.told()), "not known is no trouble"


async def test_without_the_right_to_type_it_says_that_it_looks_at_nothing(
    redis_server: RedisServer, client: Any
) -> None:
    login(client, "shop")
    async with scene(with_user(redis_server, "-type"), "shop") as it:
        for _ in range(3):
            reading = await it.turn(3600)
            assert (reading.ok, "forbids our user TYPE" in reading.detail) == (True, True)
        texts = it.told()
        assert len([text for text in texts if "not all is known of the gateway's Redis" in text]) == 1
        assert len([text for text in texts if "keys could not be looked at" in text]) == 1
        with_user(redis_server)
        await it.turn(3600)
        assert WELL in it.told()


async def test_without_the_right_to_scripts_it_says_so_once(redis_server: RedisServer, client: Any) -> None:
    login(client, "shop")
    spoil(client, "help")
    async with scene(with_user(redis_server, "-evalsha", "-eval"), "shop", "help") as it:
        for _ in range(5):
            reading = await it.turn(61)
            assert (reading.ok, reading.mistyped) == (True, ("help",))
        known = it.watch.known()
        assert "forbids our user EVALSHA" in known.trouble
        assert known.mistyped == 1
        assert "scripts_withheld" in [one.code for one in known.findings]
        texts = it.told()
        assert len([text for text in texts if "all keys in Redis are not looked after" in text]) == 1
        assert len(texts) == len({*texts})
        with_user(redis_server)
        await it.turn(61)
        assert (it.watch.known().trouble, it.watch.known().quarantined) == ("", 1)


async def test_a_redis_that_loads_its_data_serves_nobody(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.config_set("rdbcompression", "no")
        client.mset({f"k{number}": "x" * 1000 for number in range(1000)})
        client.save()
    own_redis.stop()
    own_redis.arguments += ("--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024")
    own_redis.start()
    async with scene(own_redis.url, "shop", timeout=10.0) as with_keys, scene(own_redis.url, timeout=10.0) as without:
        for it in (with_keys, without):
            reading = await it.turn()
            assert (reading.ok, "still loading its data" in reading.detail) == (False, True)


async def test_a_redis_that_is_busy_with_a_script_serves_nobody() -> None:
    busy = b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"
    async with talker(lambda words: ok(words) if words[0] == b"CLIENT" else busy) as port:
        it = Scene(f"redis://127.0.0.1:{port}")
        assert (await it.turn()).ok is False
        await it.watch.aclose()


async def test_a_replica_that_has_lost_its_primary_serves_nobody(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        login(client, "shop")
        async with scene(own_redis.url, "shop") as with_keys, scene(own_redis.url) as without:
            for it in (with_keys, without):
                assert (await it.turn()).ok is True
            client.config_set("replica-serve-stale-data", "no")
            client.replicaof("127.0.0.1", "1")
            for it in (with_keys, without):  # INFO is answered, TYPE is not
                reading = await it.turn()
                assert (reading.ok, "has lost its primary" in reading.detail) == (False, True)
            client.replicaof("NO", "ONE")


async def test_a_replica_answers_and_the_preflight_says_what_it_is(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        login(client, "shop")
        spoil(client, "help")
        client.config_set("replica-serve-stale-data", "yes")
        client.replicaof("127.0.0.1", "1")
        async with scene(own_redis.url, "shop", "help") as it:
            for _ in range(4):
                reading = await it.turn(61)
                assert (reading.ok, reading.mistyped) == (True, ("help",))
            known = it.watch.known()
            assert "is a replica, which takes no writes" in known.trouble
            assert "replica" in [one.code for one in known.findings]
            texts = it.told()
            assert len(texts) == len({*texts})
        client.replicaof("NO", "ONE")


async def test_a_full_redis_is_told_and_repaired_when_there_is_room(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        login(client, "shop")
        spoil(client, "help")
        async with scene(own_redis.url, "shop", "help") as it:
            client.config_set("maxmemory", 1)
            for _ in range(3):
                await it.turn(61)
            texts = it.told()
            assert len(texts) == len({*texts})
            client.config_set("maxmemory", 0)
            await it.turn(61)
            await it.turn(61)
            assert (it.watch.known().quarantined, it.watch.known().trouble) == (1, "")


async def test_a_fault_of_our_own_is_told_once_and_says_nothing_of_redis(
    redis_server: RedisServer, client: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(redis_server.url, "shop") as it:
        await it.turn()
        it.told()

        async def fail() -> Servers:
            raise RuntimeError("boom")

        monkeypatch.setattr(it.watch, "servers", fail)
        for _ in range(3):
            await it.watch.look()
            assert it.watch.last.ok is None
        assert caplog.text.count("this is a fault of wasupervisor") == 1
        assert len(it.told()) == 1


# Right before a restart


async def test_a_fresh_reading_is_given_and_an_old_one_taken_anew(redis_server: RedisServer, client: Any) -> None:
    login(client, "shop")
    async with scene(redis_server.url, "shop") as it:
        await it.turn()
        spoil(client, "shop")
        it.now += 0.5
        assert (await it.watch.reading(1.0)).mistyped == ()
        it.now += 1.0
        assert (await it.watch.reading(1.0)).mistyped == ("shop",)


async def test_a_fresh_reading_of_other_sessions_says_nothing_of_new_ones(
    redis_server: RedisServer, client: Any
) -> None:
    async with scene(redis_server.url, "shop", repair=Repair.OFF) as it:
        await it.turn()
        spoil(client, "help")
        it.know("shop", "help")
        assert (await it.watch.reading(60.0)).mistyped == ("help",)


@pytest.mark.parametrize("rights", [(), ("-info",)])
async def test_where_nothing_tells_of_mistyped_keys_a_sweep_is_waited_for(
    rights: tuple[str, ...], redis_server: RedisServer, client: Any
) -> None:
    login(client, "shop")
    async with scene(with_user(redis_server, *rights), "shop") as it:
        await it.turn()
        client.hset("evo:groups:1", "f", SECRET)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(it.watch.run)
            it.now += 31
            reading = await it.watch.reading(1.0)
            assert reading.ok is True
            assert client.exists("evo:groups:1") == (not rights), "errors that are counted would have told of it"
            tasks.cancel_scope.cancel()


async def test_before_the_first_sweep_it_waits_to_know_what_is_in_quarantine(
    redis_server: RedisServer, client: Any
) -> None:
    login(client, "shop", "help")
    spoil(client, "help")
    async with scene(redis_server.url, "shop", "help") as it:
        await it.turn()
    async with scene(redis_server.url, "shop", "help") as again, anyio.create_task_group() as tasks:
        tasks.start_soon(again.watch.run)
        again.now += 1
        assert (await again.watch.reading(0.0)).lost == ("help",)
        tasks.cancel_scope.cancel()


async def test_a_sweep_is_not_waited_for_where_redis_does_not_answer_or_none_is_wanted(
    redis_server: RedisServer,
) -> None:
    with anyio.fail_after(4):  # less than a sweep is waited for
        async with scene("redis://127.0.0.1:1/0", "shop") as it:
            assert (await it.watch.reading(1.0)).ok is False
        async with scene(redis_server.url, "shop", repair=Repair.OFF) as it:
            assert (await it.watch.reading(1.0)).ok is True


async def test_who_waits_for_a_look_goes_on_when_that_is_cancelled(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(redis_server.url, "shop", repair=Repair.OFF) as it:
        real, hangs = it.watch.servers, True

        async def servers() -> Servers:
            if hangs:
                await anyio.sleep_forever()
            return await real()

        monkeypatch.setattr(it.watch, "servers", servers)
        readings: list[RedisReading] = []

        async def read() -> None:
            readings.append(await it.watch.reading(0.0))

        async with anyio.create_task_group() as outer:
            with anyio.CancelScope() as first:
                async with anyio.create_task_group() as inner:
                    inner.start_soon(it.watch.look)
                    await anyio.wait_all_tasks_blocked()
                    outer.start_soon(read)
                    await anyio.wait_all_tasks_blocked()
                    hangs = False
                    first.cancel()
            await until(lambda: readings)
        assert readings[0].ok is True


# Its life


async def test_it_does_by_itself_what_the_looks_ask_for(redis_server: RedisServer, client: Any) -> None:
    login(client, "shop")
    async with scene(redis_server.url, "shop") as it, anyio.create_task_group() as tasks:
        tasks.start_soon(it.watch.run)
        await anyio.wait_all_tasks_blocked()
        await it.watch.look()
        await until(lambda: it.watch.known().last_sweep is not None)
        client.hset("evo:groups:1", "f", SECRET)
        wrongtype(client)
        it.now += 1
        await it.watch.look()
        await until(lambda: not client.exists("evo:groups:1"))
        await it.watch.aclose()
    assert not client.exists("wasupervisor:lease:evo")


async def test_it_closes_though_we_are_cancelled_and_redis_is_frozen(own_redis: RedisServer) -> None:
    it = Scene(own_redis.url)
    it.know("shop")
    with own_redis.client() as client:
        spoil(client, "shop")
        await it.turn()
        client.close()
    own_redis.send(signal.SIGSTOP)
    with anyio.move_on_after(0.1):
        await it.watch.aclose()
    own_redis.send(signal.SIGCONT)
    with own_redis.client() as client:
        await until(lambda: not any(one["name"] == "wasupervisor" for one in client.client_list()))


async def test_a_look_while_one_is_under_way_comes_back_at_once(own_redis: RedisServer) -> None:
    async with scene(own_redis.url, "shop", timeout=1.0) as it, anyio.create_task_group() as tasks:
        await it.turn()
        own_redis.send(signal.SIGSTOP)
        tasks.start_soon(it.watch.look)
        await anyio.wait_all_tasks_blocked()
        for _ in range(100):
            await it.watch.look()
        assert it.watch.last.ok is True, "the look that is under way has not ended"
        own_redis.send(signal.SIGCONT)


async def test_the_credential_keys_follow_the_version_and_the_sessions() -> None:
    it = Scene("redis://127.0.0.1:1/0")
    it.watch.know(None, (("a", None),))
    assert (it.watch.credential_keys, bool(it.watch.unknown)) == ((), True)
    it.watch.know(None, (("a", "id-a"),))
    assert (it.watch.credential_keys, it.watch.unknown) == ((creds("a"),), "")
    it.watch.know("2.3.6", (("a", "id-a"), ("b", "id-b")))
    assert [*it.watch.credential_keys] == [creds("a"), creds("b")]
    it.watch.know(None, (("b", "id-b"),))
    assert [*it.watch.credential_keys] == [creds("b")]
    it.watch.know("1.8.0", (("b", None),))
    assert [*it.watch.credential_keys] == [b"evo:instance:b"]

"""One pass over all keys: what is wrong is found, once, and an interruption costs nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyspace_values import NAMES
from redis_fixtures import RedisServer

from wasupervisor.keyspace import sieve
from wasupervisor.keyspace import sweep as module
from wasupervisor.keyspace.builtin import rules_for
from wasupervisor.keyspace.connection import Script, Servers, connect
from wasupervisor.keyspace.globs import escape, matches
from wasupervisor.keyspace.keys import QUARANTINE, UNDONE
from wasupervisor.keyspace.rules import Rule, Ttl
from wasupervisor.keyspace.sweep import Sweep, Swept, Wrong
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble

pytestmark = pytest.mark.anyio

HASHES = Rule("hashes", b"a:hash:*", ("hash",))
REST = Rule("the rest", b"a:*", ("string", "list"))


class Clock:
    """Each look at it takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


async def no_rest(_seconds: float) -> None:
    pass


async def ignore(_wrong: Sequence[Wrong]) -> None:
    pass


@pytest.fixture
async def servers(redis_server: RedisServer) -> AsyncIterator[Servers]:
    async with await connect(redis_server.url, timeout=10.0) as found:
        yield found


def sweep_of(servers: Servers, *rules: Rule, rest: Callable[[float], Awaitable[None]] = no_rest) -> Sweep:
    return Sweep(servers, rules, clock=Clock(), rest=rest)


async def swept_with(servers: Servers, *rules: Rule) -> tuple[Swept, list[Wrong]]:
    given: list[Wrong] = []

    async def take(wrong: Sequence[Wrong]) -> None:
        given.extend(wrong)

    swept = await sweep_of(servers, *rules).run(take)
    assert tuple(given) == swept.wrong
    return swept, given


async def test_what_is_wrong_is_found_and_nothing_else(servers: Servers, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.hset("a:hash:good", "f", "v")
        client.set("a:hash:bad", "v", px=100_000)
        client.set("a:good", "v")
        client.rpush("a:list", "v")
        client.sadd("a:bad", "v")
        client.sadd("unknown", "v")
        client.set(QUARANTINE + b"20261121T200512.123456Z:a:hash:x", "v")
        client.set(UNDONE + b"x", "string")
    swept, _ = await swept_with(servers, HASHES, REST)
    found = {one.key: one for one in swept.wrong}
    assert found[b"a:bad"] == Wrong(b"a:bad", REST, "set", "type", None)
    one = found.pop(b"a:hash:bad")
    assert one.ttl_ms is not None
    assert 0 < one.ttl_ms <= 100_000
    assert one._replace(ttl_ms=None) == Wrong(b"a:hash:bad", HASHES, "string", "type", None)
    assert set(found) == {b"a:bad"}
    assert swept.keys == 8
    assert swept.matched == {"hashes": 2, "the rest": 3}
    assert swept.quarantined == (QUARANTINE + b"20261121T200512.123456Z:a:hash:x",)
    assert (swept.complete, swept.more_wrong, swept.unread) == (True, 0, 0)
    assert swept.seconds > 0


async def test_a_rule_for_everything_spares_our_own_keys(servers: Servers, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set("wasupervisor:lease:x", "v")
        client.set(QUARANTINE + b"t:a", "v")
        client.set("was", "v")
        client.set("", "v")
    swept, _ = await swept_with(servers, Rule("all", b"*", ("hash",)))
    assert {one.key for one in swept.wrong} == {b"was", b""}


@pytest.mark.parametrize(
    ("ttl", "lasting", "fault"),
    [
        (Ttl.NONE, False, None),
        (Ttl.NONE, True, "ttl"),
        (Ttl.REQUIRED, True, None),
        (Ttl.REQUIRED, False, "ttl"),
        (Ttl.ANY, True, None),
        (Ttl.ANY, False, None),
    ],
)
async def test_ttl(servers: Servers, redis_server: RedisServer, ttl: Ttl, lasting: bool, fault: str | None) -> None:
    with redis_server.client() as client:
        client.set("k", "v", ex=100 if lasting else None)
    _, wrong = await swept_with(servers, Rule("k", b"k", ("string",), ttl))
    assert [one.fault for one in wrong] == ([] if fault is None else [fault])
    assert all((one.ttl_ms is not None) == lasting for one in wrong)


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', "[]", '"text"', " \n{} \n", "12", "-1.5", "true", "null", "false", "{" + "x" * 200 + "}"],
)
async def test_what_begins_and_ends_like_json(servers: Servers, redis_server: RedisServer, text: str) -> None:
    with redis_server.client() as client:
        client.set("k", text)
    assert (await swept_with(servers, Rule("k", b"k", ("string",), json=True)))[1] == []


@pytest.mark.parametrize("text", ["", " ", "{", '{"a": 1', "[}", '"', "[object Object]", "undefined", b"\x00\xff", "x"])
async def test_what_does_not(servers: Servers, redis_server: RedisServer, text: str) -> None:
    with redis_server.client() as client:
        client.set("k", text)
    _, wrong = await swept_with(servers, Rule("k", b"k", ("string",), json=True))
    assert [one.fault for one in wrong] == ([] if text in ('"', "[object Object]") else ["json"])


async def test_json_is_asked_of_strings_only(servers: Servers, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.hset("k", "f", "v")
    assert (await swept_with(servers, Rule("k", b"k", ("string", "hash"), json=True)))[1] == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    keys=st.sets(NAMES, min_size=1, max_size=12),
    globs=st.lists(
        st.one_of(
            NAMES.map(escape),
            st.builds(lambda a, b: escape(a) + b"*" + escape(b), NAMES, NAMES | st.just(b"")),
            st.sampled_from([b"*", b"a*", b"*a", b"*}*", b"[a-z]*", b"?*", b"evolution-cache*:a", b"wasupervisor*"]),
        ),
        min_size=1,
        max_size=6,
    ),
)
@pytest.mark.parametrize("few", [0, sieve.FEW])
def test_the_first_rule_that_matches_counts(
    shared_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, few: int, keys: set[bytes], globs: list[bytes]
) -> None:
    """For any keys and globs the script finds what `matches` says, whether it looks up the ends of keys or not."""
    monkeypatch.setattr(sieve, "FEW", few)
    rules = [Rule(f"rule {at}", glob, ("hash",)) for at, glob in enumerate(globs)]
    with shared_redis.client() as client:
        client.flushall()
        for key in keys:
            client.set(key, "v")

    async def run() -> Swept:
        async with await connect(shared_redis.url, timeout=10.0) as servers:
            return (await swept_with(servers, *rules))[0]

    expected = {}
    for key in keys:
        rule = next((rule for rule in rules if matches(rule.match, key)), None)
        if rule is not None and not key.startswith(b"wasupervisor:"):
            expected[key] = rule
    swept = anyio.run(run)
    assert {one.key: one.rule for one in swept.wrong} == expected
    assert swept.matched == {rule.name: list(expected.values()).count(rule) for rule in rules}


async def test_a_rule_is_found_though_the_end_of_the_key_is_that_of_others(
    servers: Servers, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sieve, "FEW", 0)
    rules = [Rule(glob.decode(), glob, ("hash",)) for glob in (b"a:x*:tail", b"a:[0-9]*", b"a:*:longer:tail", b"a:*")]
    with redis_server.client() as client:
        for key in ("a:x:tail", "a:7:tail", "a:y:tail", "a:y:longer:tail", "a:x", "a:7"):
            client.set(key, "v")
    swept, _ = await swept_with(servers, *rules)
    assert swept.matched == {"a:x*:tail": 1, "a:[0-9]*": 2, "a:*:longer:tail": 1, "a:*": 2}


JOBS = b"waha-waha:chatwoot.waha | session.status"


@pytest.mark.parametrize(
    ("kind", "version", "wrong"),
    [
        ("waha", None, {JOBS + b":wait"}),
        ("evolution", "2.3.6", {b"evolution-cache:instance:3f1c", b"evolution-cache:groups:1", b"evolution-cache:x:y"}),
        ("evolution", "1.5.0", {b"evolution-cache:name", b"evolution-cache:instance:3f1c"}),
    ],
)
async def test_the_built_in_rules_are_looked_for(
    servers: Servers, redis_server: RedisServer, kind: str, version: str | None, wrong: set[bytes]
) -> None:
    rules = rules_for(kind, version, prefix="evolution-cache", queues=(), own=())
    with redis_server.client() as client:
        for key in (JOBS + b":wait", JOBS + b":17", b"evolution-cache:instance:3f1c", b"evolution-cache:name"):
            client.set(key, "v")
        for key in (b"evolution-cache:groups:1", b"evolution-cache:x:y"):
            client.hset(key, "f", "v")
    swept, _ = await swept_with(servers, *rules)
    assert {one.key for one in swept.wrong if one.fault == "type"} == wrong


async def test_a_glob_with_too_many_stars_is_refused(servers: Servers) -> None:
    with pytest.raises(ValueError, match="'many' has too many stars"):
        sweep_of(servers, Rule("many", b"*a*b*c*d*e*f*", ("hash",)))


async def test_one_that_a_person_put_back_is_marked(servers: Servers, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        for key in ("a:hash:1", "a:hash:2", "a:hash:3", "a:hash:4"):
            client.set(key, "v")
        client.set(UNDONE + b"a:hash:1", "string")
        client.set(UNDONE + b"a:hash:2", "list")  # it was another one then
        client.rpush(UNDONE + b"a:hash:3", "string")  # cannot be asked
    _, wrong = await swept_with(servers, HASHES)
    assert {one.key: one.undone for one in wrong} == {
        b"a:hash:1": True,
        b"a:hash:2": False,
        b"a:hash:3": True,
        b"a:hash:4": False,
    }


def many(server: RedisServer, count: int) -> None:
    with server.client() as client, client.pipeline(transaction=False) as pipe:
        for number in range(count):
            pipe.set(f"a:hash:{number}", "v")
        pipe.execute()


class SlowNode:
    """Tells how long it took, and of keys that it is given to tell of."""

    name = "slow"

    def __init__(self, *busy: int | None, found: Sequence[Sequence[Any]] = ()) -> None:
        """It took so many microseconds; None: it does not tell."""
        padded: list[Any] = [*found, *([] for _ in busy)]
        self.steps = list(zip(busy, padded, strict=False))
        self.counts: list[int] = []

    async def timed(
        self, _script: Script, _keys: Sequence[bytes], args: Sequence[Any]
    ) -> tuple[list[Any], float | None]:
        self.counts.append(args[1])
        busy, found = self.steps.pop(0)
        return [b"7" if self.steps else b"0", 0, [], found, [], 0, b""], None if busy is None else busy / 1e6

    async def calls(self, commands: Sequence[Any]) -> list[Any]:
        return [b"run_id:1" for _ in commands]


def servers_of(node: SlowNode) -> Any:
    return SimpleNamespace(nodes=(node,), is_cluster=False)


async def test_each_is_told_once_though_scan_shows_it_twice() -> None:
    """While the server makes a table smaller, SCAN goes over some of it again."""
    one, other = ([key, b"string", 1, b"type", -1] for key in (b"a:hash:1", b"a:hash:2"))
    node = SlowNode(1000, 1000, 1000, found=[[one, one], [one, other], [other]])
    told: list[list[bytes]] = []

    async def take(wrong: Sequence[Wrong]) -> None:
        told.append([one.key for one in wrong])

    swept = await sweep_of(servers_of(node), HASHES).run(take)
    assert told == [[b"a:hash:1"], [b"a:hash:2"]]
    assert ([one.key for one in swept.wrong], swept.more_wrong) == ([b"a:hash:1", b"a:hash:2"], 0)


async def test_a_table_that_is_made_smaller_hides_nothing(servers: Servers, redis_server: RedisServer) -> None:
    many(redis_server, 5000)
    told: list[bytes] = []

    async def shrink(wrong: Sequence[Wrong]) -> None:
        if not told:
            with redis_server.client() as client:
                client.delete(*(f"a:hash:{number}" for number in range(5000) if number % 20))
        told.extend(one.key for one in wrong)

    swept = await sweep_of(servers, HASHES).run(shrink)
    assert len(told) == len(set(told))
    assert set(told) >= {b"a:hash:%d" % number for number in range(0, 5000, 20)}
    assert swept.complete


async def test_no_more_than_so_many_are_kept(
    servers: Servers, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 1500)
    many(redis_server, 4000)
    with redis_server.client() as client:
        for number in range(1600):
            client.set(QUARANTINE + b"t:%d" % number, "v")
    swept, given = await swept_with(servers, HASHES)
    assert len(given) == 1500
    assert (swept.more_wrong, swept.matched["hashes"]) == (2500, 4000)
    assert (len(swept.quarantined), swept.more_quarantined) == (1500, 100)


def recorded(rests: list[float]) -> Callable[[float], Awaitable[None]]:
    async def rest(seconds: float) -> None:
        rests.append(seconds)

    return rest


async def test_calls_that_take_long_are_followed_by_smaller_ones() -> None:
    node = SlowNode(1600, 1600, 1600, 1600, 1600, 1000, 400, 400, 400, 400, 400)
    await sweep_of(servers_of(node), HASHES).run(ignore)
    assert node.counts == [1000, 500, 250, 125, 100, 100, 100, 200, 400, 800, 1000]


async def test_it_rests_as_long_as_a_call_that_took_long_and_after_no_other() -> None:
    rests: list[float] = []
    node = SlowNode(1000, 1600, 1500, 4000, 100, 1501, 1600)
    await sweep_of(servers_of(node), HASHES, rest=recorded(rests)).run(ignore)
    assert rests == pytest.approx([0.0016, 0.004, 0.001501])  # after the last one nothing is to come


async def test_the_server_tells_how_long_it_took(
    servers: Servers, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONG", 0.0)
    many(redis_server, 3500)
    rests: list[float] = []
    swept = await sweep_of(servers, HASHES, rest=recorded(rests)).run(ignore)
    assert swept.complete
    assert len(rests) >= 2
    assert all(0.0 < seconds < 1.0 for seconds in rests)  # by our clock each would be a second


async def test_where_the_server_may_not_be_asked_for_the_time_our_clock_counts() -> None:
    node = SlowNode(None, None, None)
    rests: list[float] = []
    await sweep_of(servers_of(node), HASHES, rest=recorded(rests)).run(ignore)
    assert (node.counts, rests) == ([1000, 500, 250], [1.0, 1.0])


class Stop(Exception):  # noqa: N818 - it is none
    pass


async def interrupted(sweep: Sweep, after: int) -> list[Wrong]:
    """Run until so many steps are done."""
    given: list[Wrong] = []
    steps = 0

    async def take(wrong: Sequence[Wrong]) -> None:
        nonlocal steps
        if steps == after:
            raise Stop
        steps += 1
        given.extend(wrong)

    with pytest.raises(Stop):
        await sweep.run(take)
    return given


async def test_it_goes_on_where_it_was_interrupted(servers: Servers, redis_server: RedisServer) -> None:
    many(redis_server, 5000)
    sweep = sweep_of(servers, HASHES)
    before = await interrupted(sweep, 2)
    assert sweep.so_far.wrong == tuple(before)
    assert not sweep.so_far.complete
    after: list[Wrong] = []

    async def take(wrong: Sequence[Wrong]) -> None:
        after.extend(wrong)

    swept = await sweep.run(take)
    assert 0 < len(before) < 5000
    assert len(before) + len(after) == 5000 == len({one.key for one in (*before, *after)})
    assert (swept.keys, len(swept.wrong), swept.complete) == (5000, 5000, True)
    assert sweep.so_far == Swept(matched={"hashes": 0})


async def test_a_step_that_was_cancelled_in_its_middle_is_done_again(
    servers: Servers, redis_server: RedisServer
) -> None:
    many(redis_server, 3000)
    sweep = sweep_of(servers, HASHES)
    with anyio.CancelScope() as scope:

        async def take(_wrong: Sequence[Wrong]) -> None:
            scope.cancel()
            await anyio.sleep_forever()

        await sweep.run(take)
    assert (set(sweep.so_far.matched.values()), sweep.so_far.wrong) == ({0}, ())
    given: list[Wrong] = []

    async def keep(wrong: Sequence[Wrong]) -> None:
        given.extend(wrong)

    await sweep.run(keep)
    assert len(given) == 3000


async def test_other_rules_begin_anew(servers: Servers, redis_server: RedisServer) -> None:
    many(redis_server, 5000)
    sweep = sweep_of(servers, HASHES)
    await interrupted(sweep, 2)
    sweep.use(servers, [HASHES])
    assert 0 < sweep.so_far.matched["hashes"] < 5000
    sweep.use(servers, [REST])
    assert (set(sweep.so_far.matched.values()), sweep.so_far.wrong) == ({0}, ())
    assert (await sweep.run(ignore)).matched == {"the rest": 5000}


async def test_another_server_begins_anew(own_redis: RedisServer) -> None:
    many(own_redis, 5000)
    async with await connect(own_redis.url, timeout=10.0) as servers:
        sweep = sweep_of(servers, HASHES)
        await interrupted(sweep, 2)
        own_redis.stop()
        with pytest.raises(KeyspaceError):
            await sweep.run(ignore)
        assert 0 < sweep.so_far.matched["hashes"] < 5000
        own_redis.start()
        many(own_redis, 100)
        swept = await sweep.run(ignore)
    assert (swept.keys, len(swept.wrong)) == (100, 100)


def as_user(server: RedisServer, *rules: str) -> str:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "watcher", "reset", "on", ">secret", "allkeys", "+@all", *rules)
    return server.url.replace("redis://", "redis://watcher:secret@")


async def test_keys_that_we_may_not_read_are_counted(own_redis: RedisServer) -> None:
    many(own_redis, 10)
    with own_redis.client() as client:
        client.set("a:other", "v")
    url = as_user(own_redis, "resetkeys", "~a:hash:*", "~wasupervisor:*")
    async with await connect(url, timeout=10.0) as servers:
        swept, wrong = await swept_with(servers, HASHES, REST)
    assert len(wrong) == 10
    assert swept.unread == 1
    assert "access" in swept.unread_why


@pytest.mark.parametrize(
    ("forbidden", "trouble"), [("-evalsha", RedisTrouble.FORBIDDEN), ("-scan", RedisTrouble.FORBIDDEN)]
)
async def test_what_is_forbidden_is_said(own_redis: RedisServer, forbidden: str, trouble: RedisTrouble) -> None:
    async with await connect(as_user(own_redis, forbidden), timeout=10.0) as servers:
        with pytest.raises(KeyspaceError) as raised:
            await sweep_of(servers, HASHES).run(ignore)
    assert raised.value.trouble is trouble


async def test_without_info_each_run_begins_anew(own_redis: RedisServer) -> None:
    """Whether it is the same server is not known."""
    many(own_redis, 3000)
    given: list[Wrong] = []

    async def take(wrong: Sequence[Wrong]) -> None:
        given.extend(wrong)

    async with await connect(as_user(own_redis, "-info"), timeout=10.0) as servers:
        sweep = sweep_of(servers, HASHES)
        await interrupted(sweep, 1)
        await sweep.run(take)
    assert len(given) == 3000


async def test_a_mark_that_may_not_be_read_leaves_the_key_alone(own_redis: RedisServer) -> None:
    many(own_redis, 1)
    async with await connect(as_user(own_redis, "resetkeys", "~a:*"), timeout=10.0) as servers:
        _, wrong = await swept_with(servers, HASHES)
    assert [one.undone for one in wrong] == [True]


async def test_it_counts_no_errors_of_its_own(servers: Servers, redis_server: RedisServer) -> None:
    """A sweep must not look like the fault that it is looking for."""
    many(redis_server, 100)
    await sweep_of(servers, HASHES, Rule("json", b"b:*", ("string",), json=True)).run(ignore)
    with redis_server.client() as client:
        stats: dict[str, Any] = client.info("errorstats")
    assert "errorstat_WRONGTYPE" not in stats

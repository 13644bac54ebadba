"""The operator's own rules for keys, and what is asked of their globs."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import yaml

from wasupervisor.config import globs
from wasupervisor.config.globs import literal_beginning, stars_in
from wasupervisor.config.loading import Loaded
from wasupervisor.config.rendering import show
from wasupervisor.config.schema import RedisRule
from wasupervisor.keyspace import globs as keyspace_globs
from wasupervisor.keyspace.keys import OURS
from wasupervisor.keyspace.rules import matching, own_rule

Load = Callable[..., Loaded]

RULES = r"""
redis:
  url: redis://h
  rules:
    - {match: "app:*", type: hash}
    - {match: "app:l:*", type: [list, set], ttl: none, credentials: true, on_wrong: report}
    - {match: 'a\*:*', type: [string], ttl: required, json: true}
"""


def test_a_rule_is_read_with_all_its_keys(load_section: Load) -> None:
    redis = load_section(RULES).settings.redis
    assert redis is not None
    assert redis.rules == (
        RedisRule(match="app:*", type=("hash",)),
        RedisRule(match="app:l:*", type=("list", "set"), ttl="none", credentials=True, on_wrong="report"),
        RedisRule(match="a\\*:*", type=("string",), ttl="required", json=True),
    )


def test_one_type_is_shown_without_brackets(load_section: Load) -> None:
    rules = yaml.safe_load(show(load_section(RULES).settings))["redis"]["rules"]
    assert [rule["type"] for rule in rules] == ["hash", ["list", "set"], "string"]


def test_the_room_for_redis_takes_every_rule_as_it_is(load_section: Load) -> None:
    redis = load_section(RULES).settings.redis
    assert redis is not None
    rules = [own_rule(**msgspec.structs.asdict(rule)) for rule in redis.rules]
    assert matching(rules, b"a*:1") is rules[2]
    assert matching(rules, b"ab:1") is None
    assert [rule.expected for rule in rules] == ["hash", "list or set", "string"]


def test_both_rooms_mean_the_same() -> None:
    assert globs.OURS.encode() == OURS
    assert globs.MOST_STARS == keyspace_globs.MOST_STARS


@pytest.mark.parametrize(
    ("glob", "beginning", "stars"),
    [
        ("app:*", "app:", 1),
        ("*", "", 1),
        ("a?b", "a", 0),
        ("a[b]c", "a", 0),
        (r"a\*b\[c*d**e", "a*b[c", 2),
        ("abc", "abc", 0),
        ("a\\", "a", 0),
    ],
)
def test_what_a_glob_begins_with(glob: str, beginning: str, stars: int) -> None:
    assert (literal_beginning(glob), stars_in(glob)) == (beginning, stars)
    assert keyspace_globs.literal_prefix(glob.encode()).startswith(beginning.encode())
    assert (keyspace_globs.lua_pattern(glob.encode()) is None) is (stars > globs.MOST_STARS)

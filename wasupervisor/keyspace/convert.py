"""Turns a key of the wrong type into one of the right type without loss, on request, and sets the original aside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from wasupervisor.keyspace.aside import (
    LeaseProof,
    Outcome,
    SetAside,
    allowed,
    as_set_aside,
    aside_names,
    guarded,
    note,
)
from wasupervisor.keyspace.connection import Node, Servers, Word
from wasupervisor.keyspace.globs import escape
from wasupervisor.keyspace.scripts import CONVERT, READ
from wasupervisor.keyspace.sweep import Wrong

LARGEST = 16 * 2**20
"""Bytes of a key that are turned in one script."""

_COUNTER = b":id"
_LIKE_COUNTER = "the counter of job ids"
_ENDS_AT_MOST = 2**53
"""Numbers beyond it are no job ids of BullMQ: Lua and JavaScript count exactly up to here."""


class Made(NamedTuple):
    """What the new key is to hold."""

    type: str
    words: list[Word]
    of: bytes
    """The SHA1 of what it was made of, which the script compares; empty: it was made of other keys."""


class WhyNot(NamedTuple):
    """It cannot be turned without loss."""

    text: str
    """One sentence."""


async def can_convert(servers: Servers, wrong: Wrong) -> str | None:
    """Why this key cannot be turned into one of the right type without loss, in one sentence; None: it can.

    Raises:
        KeyspaceError: it cannot be read.
    """
    made = await _make(servers, wrong)
    return made.text if isinstance(made, WhyNot) else None


async def convert(servers: Servers, wrong: Wrong, *, at: str, lease: LeaseProof | None, by: str) -> SetAside | WhyNot:
    """Set a key aside and make one of the right type in its place, with its TTL, in one script.

    Nothing is done when the key was written to since it was read here: the outcome is then CHANGED.

    Args:
        servers: where the keys are.
        wrong: only its key and rule count; it is looked at anew.
        at: the time, as `aside.AT` writes it.
        lease: as for `set_aside`.
        by: who does it, for the note.

    Raises:
        KeyspaceError: it was not done; after CUT or TIMED_OUT perhaps it was, then `listed` shows the original.
    """
    made = await _make(servers, wrong)
    if isinstance(made, WhyNot):
        return made
    names = aside_names(servers, wrong.key, at)
    if names is None:
        return SetAside(Outcome.UNNAMEABLE)
    keys, token = guarded([wrong.key, *names], lease)
    told = note(wrong.rule, at, by)
    node = servers.node_of(wrong.key)
    args = [allowed(wrong.rule), token, made.of, made.type, len(told), *told, *made.words]
    return await as_set_aside(node, names.name, await node.run(CONVERT, keys, args))


async def _make(servers: Servers, wrong: Wrong) -> Made | WhyNot:
    node = servers.node_of(wrong.key)
    if is_counter(wrong):
        return Made("string", [await highest_job(node, wrong.key.removesuffix(_COUNTER))], b"")
    kind, digest, held = await node.run(READ, [wrong.key], [LARGEST])
    if kind == b"none":
        return WhyNot("there is no such key any more")
    if kind.decode() in wrong.rule.types:
        return WhyNot("it is of the right type by now")
    row = _TURNS.get((kind.decode(), next(iter(wrong.rule.types))))
    if row is None or len(wrong.rule.types) > 1:
        return WhyNot(f"a {kind.decode()} cannot be made into a {wrong.rule.expected} without loss")
    if not digest:
        return WhyNot(f"it is larger than {LARGEST // 2**20} MB")
    made = row(held)
    return made if isinstance(made, WhyNot) else made._replace(of=digest)


def _to_hash(held: Sequence[bytes]) -> Made | WhyNot:
    """From a string that holds a JSON object of strings."""
    try:
        pairs = json.loads(held[0].decode("utf-8"), object_pairs_hook=_Pairs)
    except UnicodeDecodeError:
        return WhyNot("its text is not UTF-8")
    except (ValueError, RecursionError):
        return WhyNot("its text is not JSON")
    if not isinstance(pairs, _Pairs) or not pairs:
        return WhyNot("its text is not a JSON object with fields")
    if not all(isinstance(value, str) for _name, value in pairs):
        return WhyNot("not all values of its JSON object are strings")
    if len(dict(pairs)) != len(pairs):
        return WhyNot("its JSON object has a field twice")
    try:
        return Made("hash", [word.encode("utf-8") for pair in pairs for word in pair], b"")
    except UnicodeEncodeError:
        return WhyNot("its JSON object has half a character (a lone surrogate)")


def _to_string(held: Sequence[bytes]) -> Made | WhyNot:
    """A JSON object of a hash's fields."""
    try:
        words = [word.decode("utf-8") for word in held]
    except UnicodeDecodeError:
        return WhyNot("not all its fields and values are UTF-8")
    fields = dict(zip(words[::2], words[1::2], strict=True))
    return Made("string", [json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8")], b"")


_TURNS: dict[tuple[str, str], Callable[[Sequence[bytes]], Made | WhyNot]] = {
    ("string", "hash"): _to_hash,
    ("hash", "string"): _to_string,
}


class _Pairs(list[tuple[str, Any]]):
    """The fields of a JSON object as they stand there, also one that stands there twice."""


def is_counter(wrong: Wrong) -> bool:
    """Whether it is the counter of a queue's job ids, which is made anew from the jobs there are."""
    return wrong.rule.name == _LIKE_COUNTER and wrong.key.endswith(_COUNTER)


async def highest_job(node: Node, queue: bytes) -> int:
    """The highest number among the ids of a queue's jobs; 0: there is none.

    Looked for among the jobs themselves (`<prefix>:<queue>:<id>`), in the lists and sets that name them, and in the
    stream of events, which remembers jobs that are gone.
    """
    highest = 0
    cursor: bytes | None = None
    while cursor != b"0":
        cursor, names = await node.call(
            "SCAN", cursor or b"0", "MATCH", escape(queue) + b":[0-9]*", "COUNT", 1000, "TYPE", "hash"
        )
        highest = max(highest, _highest(name.removeprefix(queue + b":") for name in names))
    for part in (b"wait", b"paused", b"active"):
        highest = max(highest, _highest(await _members(node, "LRANGE", "list", queue + b":" + part)))
    for part in (b"delayed", b"prioritized", b"priority", b"completed", b"failed", b"waiting-children"):
        highest = max(highest, _highest(await _members(node, "ZRANGE", "zset", queue + b":" + part)))
    return max(highest, _highest(await _events(node, queue + b":events")))


async def _members(node: Node, command: str, kind: str, key: bytes) -> list[bytes]:
    """Of a list or a sorted set, in parts; none when it is of another type."""
    found: list[bytes] = []
    if await node.call("TYPE", key) != kind.encode():
        return found
    while some := await node.call(command, key, len(found), len(found) + 999):
        found += some
    return found


async def _events(node: Node, key: bytes) -> list[bytes]:
    if await node.call("TYPE", key) != b"stream":
        return []
    entries = await node.call("XREVRANGE", key, "+", "-", "COUNT", 1000)
    pairs = [(fields[at], fields[at + 1]) for _id, fields in entries for at in range(0, len(fields), 2)]
    return [value for name, value in pairs if name == b"jobId"]


def _highest(ids: Iterable[bytes]) -> int:
    numbers = (int(one) for one in ids if one.isdigit() and len(one) < 17)
    return max((number for number in numbers if number < _ENDS_AT_MOST), default=0)

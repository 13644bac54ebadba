"""The keys that were set aside: lists them, puts them back. Nothing but `purge` deletes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from wasupervisor.keyspace.aside import (
    AT,
    OUTCOMES,
    Outcome,
    SetAside,
    aside_names,
    identity,
    pairs,
    set_aside,
    text_of,
)
from wasupervisor.keyspace.connection import Node, Servers, Word
from wasupervisor.keyspace.keys import QUARANTINE, note_name, place_of, shown
from wasupervisor.keyspace.scripts import UNDO
from wasupervisor.keyspace.trouble import KeyspaceError
from wasupervisor.model.value import Value

__all__ = [
    "AT",
    "OUTCOMES",
    "UNDO_OUTCOMES",
    "NotFoundError",
    "Outcome",
    "Quarantined",
    "SetAside",
    "UndoOutcome",
    "Undone",
    "described",
    "find",
    "identity",
    "listed",
    "purge",
    "set_aside",
    "undo",
]

_FIELDS = ("expected", "ttl_ms", "reason", "rule", "credentials")
_AT_ONCE = 100


class Quarantined(Value, frozen=True):
    """A key that was set aside."""

    id: str
    name: bytes
    key: bytes
    type: str
    expected: str = ""
    """Empty when the note is lost, as are `reason` and `rule`."""
    ttl_seconds: float | None = None
    """What it gets again when it is put back; None: it did not expire."""
    size: int | None = None
    at: str = ""
    """When it was set aside, as RFC 3339."""
    reason: str = ""
    rule: str = ""
    credentials: bool = False
    """Of a session. Also False when the note is lost: then ask the rules about `key`."""


class UndoOutcome(StrEnum):
    """What became of the wish to put a key back."""

    PUT_BACK = "put_back"
    GONE = "gone"
    OCCUPIED = "occupied"
    TAKEN = "taken"


UNDO_OUTCOMES: dict[UndoOutcome, str] = {
    UndoOutcome.PUT_BACK: "it was put back as it was",
    UndoOutcome.GONE: "it is not in quarantine any more",
    UndoOutcome.OCCUPIED: "another key has taken its place; --replace sets that one aside first",
    UndoOutcome.TAKEN: "another key in quarantine has this name: try again",
}


class Undone(NamedTuple):
    """What was done to put a key back."""

    outcome: UndoOutcome
    in_place: str | None = None
    """The type of the key that had taken its place; None: there was none."""
    made_room: bytes | None = None
    """Where that one is now, in quarantine; None unless it was replaced."""


class NotFoundError(LookupError):
    """No key in quarantine, or more than one, has this id."""


async def listed(servers: Servers) -> tuple[Quarantined, ...]:
    """All keys in quarantine, the oldest first.

    Everything comes from Redis, so that it is complete whatever became of the one who set them aside.

    Raises:
        KeyspaceError: a server cannot be asked, so that the list would not be complete.
    """
    names: dict[bytes, None] = {}
    for node in servers.nodes:
        cursor = None
        while cursor != b"0":
            cursor, found = await node.call("SCAN", cursor or b"0", "MATCH", QUARANTINE + b"*", "COUNT", 1000)
            names |= dict.fromkeys(found)
    return await described(servers, names)


async def described(servers: Servers, names: Iterable[bytes]) -> tuple[Quarantined, ...]:
    """The keys in quarantine of these names, the oldest first; one that is gone is left out."""
    by_node: dict[Node, list[bytes]] = {}
    for name in names:
        by_node.setdefault(servers.node_of(name), []).append(name)
    found = [one for node, theirs in by_node.items() for some in _parts(theirs) for one in await _described(node, some)]
    return tuple(sorted(found, key=lambda one: (one.at, one.name)))


async def _described(node: Node, names: Sequence[bytes]) -> list[Quarantined]:
    commands: list[Sequence[Word]] = []
    for name in names:
        commands += [("TYPE", name), ("HMGET", note_name(name), *_FIELDS), ("MEMORY", "USAGE", name)]
    replies = await node.calls(commands)
    described = []
    for at, name in enumerate(names):
        kind, told, size = replies[3 * at : 3 * at + 3]
        if isinstance(kind, KeyspaceError):
            raise kind
        noted = dict(zip(_FIELDS, map(text_of, told), strict=True)) if isinstance(told, list) else {}
        described.append(_quarantined(name, text_of(kind), noted, size))
    return [one for one in described if one is not None]


async def find(servers: Servers, wanted: str) -> Quarantined:
    """The key in quarantine with this id; the beginning of an id will do where it fits one only.

    Raises:
        NotFoundError: none has it, or several.
        KeyspaceError: a server cannot be asked.
    """
    fitting = [one for one in await listed(servers) if wanted and one.id.startswith(wanted.lower())]
    if not fitting:
        raise NotFoundError(f"no key in quarantine has the id {wanted!r}: `redis quarantine` lists them")
    if len(fitting) > 1:
        which = ", ".join(f"{one.id} ({shown(one.key)})" for one in fitting[:5])
        raise NotFoundError(f"{len(fitting)} keys in quarantine have an id that begins with {wanted!r}: {which}")
    return fitting[0]


async def undo(servers: Servers, one: Quarantined, *, replace: bool, at: str) -> Undone:
    """Put a key back: its name, its value, and the TTL that it had when it was set aside. All in one script.

    It is marked, so that it is not set aside again by itself while it is of this type.

    Args:
        servers: where the keys are.
        one: from `listed` or `find`.
        replace: whether a key that has taken its place goes to quarantine instead of it; else that is a refusal.
        at: the time, as `AT` writes it, for that other key.

    Raises:
        KeyspaceError: it was not done; after CUT or TIMED_OUT perhaps it was, then it is not listed any more.
    """
    spot = aside_names(servers, one.key, at)
    assert spot is not None, "a key with a name in quarantine has another one too"
    keys = [one.name, one.key, note_name(one.name), spot.undone, spot.name, spot.note]
    told = pairs(
        expected=one.expected,
        at=at,
        reason="it had taken the place of a key that a person put back",
        rule=one.rule,
        by="undo",
        credentials=str(int(one.credentials)),
    )
    reply = await servers.node_of(one.name).run(UNDO, keys, [int(replace), *told])
    outcome = UndoOutcome(text_of(reply[0]))
    in_place = text_of(reply[1]) if len(reply) > 1 and reply[1] != b"none" else None
    made_room = spot.name if outcome is UndoOutcome.PUT_BACK and in_place else None
    return Undone(outcome, in_place, made_room)


async def purge(servers: Servers, one: Quarantined) -> bool:
    """Delete a key in quarantine for good, and its note: only by a person's order, and the only deletion there is.

    Returns:
        Whether it was there.

    Raises:
        KeyspaceError: it was not done; after CUT or TIMED_OUT perhaps it was.
    """
    if place_of(one.name) is None:
        raise ValueError(f"{shown(one.name)} is no key in quarantine")
    node = servers.node_of(one.name)
    deleted = await node.call("UNLINK", one.name)
    await node.call("UNLINK", note_name(one.name))
    return bool(deleted)


def _quarantined(name: bytes, kind: str, told: Mapping[str, str], size: object) -> Quarantined | None:
    place = place_of(name)
    if place is None or kind == "none":
        return None
    ttl_ms = told.get("ttl_ms", "")
    return Quarantined(
        id=identity(name),
        name=name,
        key=place.key,
        type=kind,
        expected=told.get("expected", ""),
        ttl_seconds=int(ttl_ms) / 1000 if ttl_ms.isdigit() else None,
        size=size if isinstance(size, int) else None,
        at=_readable(place.at),
        reason=told.get("reason", ""),
        rule=told.get("rule", ""),
        credentials=told.get("credentials") == "1",
    )


def _readable(at: str) -> str:
    """RFC 3339; as it is, when it is no time of ours."""
    try:
        return datetime.strptime(at, AT).replace(tzinfo=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except ValueError:
        return at


def _parts(names: Sequence[bytes]) -> Iterator[list[bytes]]:
    rest = iter(names)
    while some := list(islice(rest, _AT_ONCE)):
        yield some

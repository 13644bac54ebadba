"""Sets a key of the wrong type aside: out of the gateway's way, with all that it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from wasupervisor.keyspace.connection import Node, Servers, Word
from wasupervisor.keyspace.keys import UNDONE, beside, note_name, quarantine_name
from wasupervisor.keyspace.rules import Rule
from wasupervisor.keyspace.scripts import SET_ASIDE
from wasupervisor.keyspace.sweep import Wrong
from wasupervisor.keyspace.trouble import KeyspaceError

AT = "%Y%m%dT%H%M%S.%fZ"
"""How a name in quarantine tells the time, in UTC."""

ID_LENGTH = 12


class Outcome(StrEnum):
    """What became of a wrong key."""

    MOVED = "moved"
    GONE = "gone"
    """There is no such key any more."""
    WHOLE = "whole"
    """Somebody has put it right meanwhile."""
    CHANGED = "changed"
    """It is not what was read a moment ago; only of a conversion."""
    TAKEN = "taken"
    """Another key has the name in quarantine: try again with another time."""
    NOT_OURS = "not_ours"
    """The lease is lost: another daemon repairs."""
    UNNAMEABLE = "unnameable"
    """A cluster has no name in the slot of this key: see `keys.beside`."""


OUTCOMES: dict[Outcome, str] = {
    Outcome.MOVED: "it was set aside",
    Outcome.GONE: "there is no such key any more",
    Outcome.WHOLE: "it is of the right type by now",
    Outcome.CHANGED: "it was written to in the same moment: try again",
    Outcome.TAKEN: "another key in quarantine has this name: try again",
    Outcome.NOT_OURS: "the lease of the repairer is lost: another daemon repairs this database",
    Outcome.UNNAMEABLE: "its name holds a '}' and no hash tag, so that a cluster has no name for it in the same slot: "
    "rename it by hand",
}


class LeaseProof(Protocol):
    """What a script compares to see that we still hold the right to repair; a `Lease` is one."""

    @property
    def key(self) -> bytes: ...
    @property
    def token(self) -> bytes: ...


class SetAside(NamedTuple):
    """What was done about a wrong key."""

    outcome: Outcome
    name: bytes | None = None
    """In quarantine; None unless it was moved."""
    type: str = ""
    """As it was found just now; empty when that was not looked at."""
    ttl_ms: int | None = None
    """What it had; None: it did not expire."""
    size: int | None = None
    """In bytes of memory; None when we may not ask."""

    @property
    def id(self) -> str | None:
        """What a person calls it by in quarantine."""
        return None if self.name is None else identity(self.name)


async def set_aside(servers: Servers, wrong: Wrong, *, at: str, lease: LeaseProof | None, by: str) -> SetAside:
    """Move a key to quarantine if it is still of a wrong type, in one script. Its TTL is remembered and lifted.

    Args:
        servers: where the keys are.
        wrong: only its key and rule count; the type is looked at anew.
        at: the time, as `AT` writes it.
        lease: holds the right to repair; None: a person's order, or a cluster, where it lives in another slot.
        by: who sets it aside, for the note.

    Raises:
        KeyspaceError: it was not done; after CUT or TIMED_OUT perhaps it was, then `listed` shows it.
    """
    names = aside_names(servers, wrong.key, at)
    if names is None:
        return SetAside(Outcome.UNNAMEABLE)
    keys, token = guarded([wrong.key, *names], lease)
    args = [allowed(wrong.rule), token, *note(wrong.rule, at, by)]
    node = servers.node_of(wrong.key)
    return await as_set_aside(node, names.name, await node.run(SET_ASIDE, keys, args))


class AsideNames(NamedTuple):
    """The names of ours that go with a key; in a cluster in the same slot."""

    name: bytes
    note: bytes
    undone: bytes


def aside_names(servers: Servers, key: bytes, at: str) -> AsideNames | None:
    """None: there are none in its slot."""
    name = quarantine_name(at, key, cluster=servers.is_cluster)
    undone = beside(UNDONE, key, cluster=servers.is_cluster)
    return None if name is None or undone is None else AsideNames(name, note_name(name), undone)


def guarded(keys: Sequence[bytes], lease: LeaseProof | None) -> tuple[list[bytes], bytes]:
    """The keys of a script, and the token by which it sees whether the lease is still held."""
    return ([*keys], b"") if lease is None else ([*keys, lease.key], lease.token)


def allowed(rule: Rule) -> str:
    """The right types, each between blanks."""
    return f" {' '.join(rule.types)} "


def note(rule: Rule, at: str, by: str) -> list[Word]:
    """What is to be known of a key in quarantine, and is not in its name; the script adds its type and TTL."""
    reason = rule.why or f"{rule.name}: {rule.expected} expected"
    return pairs(
        expected=rule.expected, at=at, reason=reason, rule=rule.name, by=by, credentials=str(int(rule.credentials))
    )


async def as_set_aside(node: Node, name: bytes, reply: Sequence[bytes | int]) -> SetAside:
    """What a script that sets aside has answered."""
    outcome = Outcome(text_of(reply[0]))
    kind = text_of(reply[1]) if len(reply) > 1 else ""
    if outcome is not Outcome.MOVED:
        return SetAside(outcome, type=kind)
    left = int(reply[2])
    return SetAside(outcome, name, kind, left if left >= 0 else None, await _size(node, name))


async def _size(node: Node, name: bytes) -> int | None:
    try:
        size = await node.call("MEMORY", "USAGE", name)
    except KeyspaceError:  # the key is moved, and that must be told
        return None
    return size if isinstance(size, int) else None


def identity(name: bytes) -> str:
    """What a person calls a key in quarantine by."""
    return hashlib.sha256(name).hexdigest()[:ID_LENGTH]


def pairs(**fields: str) -> list[Word]:
    """Fields and values as HSET takes them."""
    return [word for pair in fields.items() for word in pair]


def text_of(word: object) -> str:
    """A word of a reply; empty when it is none."""
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else ""

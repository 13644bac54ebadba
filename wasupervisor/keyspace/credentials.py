"""The keys that sessions are logged in by: looked at in every cycle, for a wrong one shows only at the next reconnect.

Measured on Evolution 2.3.6 with its credentials in Redis: with a string where the hash belongs the session stays open
without a word; at the next connection it gets new credentials and asks for a QR code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from wasupervisor.keyspace.builtin import credential_key
from wasupervisor.keyspace.connection import Node, Servers
from wasupervisor.keyspace.rules import Rule, matching
from wasupervisor.keyspace.sweep import Wrong
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble
from wasupervisor.model.value import Value

NONE = "none"
"""What TYPE says of a key that is not there."""

Named = tuple[tuple[str, str | None], ...]
"""Sessions: their names, and the gateway's own ids of them."""


TELLS_NOTHING = frozenset({RedisTrouble.LOGIN, RedisTrouble.FORBIDDEN, RedisTrouble.OTHER})
"""Our user or our words are at fault; whether the gateway's are is not known."""

_SERVES_NOBODY = frozenset({"BUSY", "CLUSTERDOWN"})
"""Codes of replies that everybody gets."""


def serves_others(error: KeyspaceError) -> bool:
    """Whether Redis may well serve the gateway, though it did not do this for us."""
    if error.code in _SERVES_NOBODY:
        return False
    return error.trouble in TELLS_NOTHING or error.trouble is RedisTrouble.MOVED


class Credential(NamedTuple):
    """A credential key."""

    session: str
    rule: Rule


class Types(Value, frozen=True):
    """The types of credential keys, as read just now."""

    of: dict[bytes, str] = {}  # noqa: RUF012 - msgspec copies it
    unread: str = ""
    """Why some could not be read; empty: all were."""


def credentials_of(
    kind: str, version: str | None, prefix: str, sessions: Named, rules: Sequence[Rule]
) -> dict[bytes, Credential]:
    """The credential keys of these sessions. One that no rule knows as such is left out."""
    found = {}
    for name, identity in sessions:
        key = credential_key(kind, version, prefix, name, identity)
        rule = None if key is None else matching(rules, key)
        if key is not None and rule is not None and rule.credentials:
            found[key] = Credential(name, rule)
    return found


async def read_types(servers: Servers, keys: Iterable[bytes]) -> Types:
    """Ask for all of them, one pipeline for each server.

    Raises:
        KeyspaceError: a server cannot be asked, or answers nobody now: it loads its data.
    """
    by_node: dict[Node, list[bytes]] = {}
    for key in keys:
        by_node.setdefault(servers.node_of(key), []).append(key)
    types, unread = {}, ""
    for node, theirs in by_node.items():
        for key, reply in zip(theirs, await node.calls([("TYPE", key) for key in theirs]), strict=True):
            if isinstance(reply, KeyspaceError):
                if not serves_others(reply):
                    raise reply
                unread = str(reply)
            else:
                types[key] = reply.decode("ascii", "replace")
    return Types(of=types, unread=unread)


class Logins(Value, frozen=True):
    """Which credential hashes hold a login."""

    of: dict[bytes, bool] = {}  # noqa: RUF012 - msgspec copies it
    unread: str = ""
    """Why some could not be asked; empty: all were."""


async def read_logins(servers: Servers, known: Mapping[bytes, Credential]) -> Logins:
    """Ask each hash for its field; what is no hash, or cannot be asked, is left out.

    Raises:
        KeyspaceError: a server cannot be asked.
    """
    types = await read_types(servers, known)
    by_node: dict[Node, list[bytes]] = {}
    for key, kind in types.of.items():
        if kind == "hash" and known[key].rule.login is not None:
            by_node.setdefault(servers.node_of(key), []).append(key)
    found, unread = {}, types.unread
    for node, theirs in by_node.items():
        asked = [("HEXISTS", key, known[key].rule.login or b"") for key in theirs]
        for key, reply in zip(theirs, await node.calls(asked), strict=True):
            if isinstance(reply, int):
                found[key] = bool(reply)
            else:
                unread = str(reply)
    return Logins(of=found, unread=unread)


def wrong_now(types: Types, known: Mapping[bytes, Credential]) -> tuple[Wrong, ...]:
    """Those that are there and of the wrong type, as a sweep would give them."""
    return tuple(
        Wrong(key=key, rule=known[key].rule, type=kind, fault="type", ttl_ms=None)
        for key, kind in types.of.items()
        if key in known and kind != NONE and kind not in known[key].rule.types
    )

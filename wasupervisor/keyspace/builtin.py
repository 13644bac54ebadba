"""The rules that need no configuration: of the gateway by kind and version, of its queues, of sessions in general.

Evolution's keys were read in the source of every version of which there is a tag or a release commit, 1.0.7 to 2.3.6,
and measured on 2.3.6. Its `RedisCache` names them `<prefix>:<module>:<key>` from 1.7.3 on, and writes with SETEX and
HSET only: each of its strings expires, none of its hashes does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

from wasupervisor.keyspace.bull import QueueKeys, rules_of_queue, waha_queues
from wasupervisor.keyspace.globs import escape
from wasupervisor.keyspace.rules import OnWrong, Rule, Ttl


class Layout(Enum):
    """How a version of Evolution names the key of a session's credentials."""

    FLAT = auto()
    """1.0 to 1.7.2: `<prefix>:<instance name>`, of REDIS_PREFIX_KEY (`src/libs/redis.client.ts`)."""
    BY_NAME = auto()
    """1.7.3 to 1.8: `<prefix>:instance:<instance name>`, of CACHE_REDIS_PREFIX_KEY."""
    BY_ID = auto()
    """2.x: `<prefix>:instance:<instance id>`."""
    UNKNOWN = auto()


class Keys(NamedTuple):
    """Some keys of a gateway."""

    what: str
    match: bytes
    """A glob of what follows the prefix."""
    type: str
    ttl: Ttl
    why: str
    credentials: bool = False


LOGIN = b"creds"
"""Field of a credential hash where Evolution keeps its credentials in Redis (mode A). Where they are in PostgreSQL
(mode B) the hash holds only what goes with them: `pre-key-1`, `session-...` (2.3.6)."""

_LOST = (
    "while the session works nothing shows; at its next connect Evolution cannot read it, asks for a new QR code, "
    "and the session is lost"
)
_DEAF = "Evolution takes it that Chatwoot is not set up for the instance, and hands nothing on"

CREDENTIALS = Keys("credentials of a session", b":instance:*", "hash", Ttl.NONE, _LOST, credentials=True)
FLAT_CREDENTIALS = Keys("credentials of a session", b":*", "hash", Ttl.NONE, _LOST, credentials=True)
JOBS = Keys(
    # 2.3.3 and later.
    "jobs that fetch lost messages for Chatwoot", b":*:chatwoot:syncLostMessages", "hash", Ttl.NONE,
    "Evolution cannot tell which of these jobs is the latest, and each reconnect leaves one more running",
)  # fmt: skip
CHATWOOT: tuple[Keys, ...] = (
    # The module is the name of a class, which a minified build mangles.
    Keys("Chatwoot settings of an instance", b":*:*:getProvider", "string", Ttl.REQUIRED, _DEAF),
    Keys("Chatwoot inbox of an instance", b":*:*:getInbox", "string", Ttl.REQUIRED, _DEAF),
    Keys(
        "Chatwoot conversations", b":*:*:createConversation-*", "string", Ttl.REQUIRED,
        "Evolution does not find the conversation, and messages do not reach Chatwoot or begin another one",
    ),
)  # fmt: skip
CACHES: tuple[Keys, ...] = (
    Keys(
        "messages seen lately", b":baileys:*", "string", Ttl.REQUIRED,
        "Evolution does not know that it has had the message, and may hand it on once more",
    ),
    Keys(
        "members of groups", b":groups:*", "string", Ttl.REQUIRED,
        "messages to the group are refused with 400 until the key is written anew",
    ),
    *CHATWOOT,
)  # fmt: skip
REST = Keys(
    "other keys of Evolution", b":*:*", "string", Ttl.ANY,
    "Evolution keeps only strings there, and cannot read it",
)  # fmt: skip

_ANOTHERS = b":*:instance:*"
"""With prefixes `evolution` and `evolution:two` in one database, this is also the credentials of the other gateway."""

EVOLUTION: dict[Layout, tuple[Keys, ...]] = {
    # In 1.7.0 to 1.7.2 Chatwoot has a cache of its own, whose prefix may be the same.
    Layout.FLAT: (*CHATWOOT, FLAT_CREDENTIALS),
    Layout.BY_NAME: (CREDENTIALS, *CACHES, REST),
    Layout.BY_ID: (CREDENTIALS, JOBS, *CACHES, REST),
    # What no version has as anything else. A string elsewhere would be the credentials of an instance in FLAT.
    Layout.UNKNOWN: (CREDENTIALS, JOBS),
}

SESSIONS = Rule(
    "sessions kept by an application",
    b"wh:session:*",
    ("string",),
    Ttl.REQUIRED,
    json=True,
    why="the application behind the gateway cannot read the session",
)


def rules_for(
    kind: str, version: str | None, *, prefix: str, queues: Sequence[QueueKeys], own: Sequence[Rule]
) -> tuple[Rule, ...]:
    """All rules in the order in which they count: the operator's, the queues', the gateway's, the general ones.

    Args:
        kind: `waha` or `evolution`.
        version: as the gateway tells it, also without its end (`2`, `2.3`); None: not known.
        prefix: Evolution's CACHE_REDIS_PREFIX_KEY, before 1.7.3 REDIS_PREFIX_KEY; taken literally.
        queues: those that the operator named.
        own: the operator's rules.
    """
    named = [rule for queue in queues for rule in rules_of_queue(queue)]
    if kind == "evolution":
        gateway = _evolution(version, escape(prefix.encode()))
    else:
        gateway = [rule for queue in waha_queues() for rule in rules_of_queue(queue)]
    return (*own, *named, *gateway, SESSIONS)


def credential_key(kind: str, version: str | None, prefix: str, session: str, identity: str | None) -> bytes | None:
    """The key that holds the credentials of a session; None where there is none, or it is not known.

    Args:
        kind: `waha` or `evolution`.
        version: as the gateway tells it; None: not known. With an identity it then is a v2.
        prefix: as for `rules_for`.
        session: its name.
        identity: the gateway's own id of it.
    """
    if kind != "evolution":
        return None
    layout, _read = _layout(version)
    if layout in (Layout.BY_ID, Layout.UNKNOWN):
        return None if identity is None else f"{prefix}:instance:{identity}".encode()
    return f"{prefix}:instance:{session}".encode() if layout is Layout.BY_NAME else f"{prefix}:{session}".encode()


def _evolution(version: str | None, prefix: bytes) -> list[Rule]:
    layout, read = _layout(version)
    rules = [
        Rule(
            keys.what,
            prefix + keys.match,
            (keys.type,),
            keys.ttl,
            credentials=keys.credentials,
            login=LOGIN if keys.credentials else None,
            # Each version may bring a hash of its own, as 2.3.3 did: nobody knows that of one that nobody has read.
            on_wrong=OnWrong.REPORT if keys is REST and not read else OnWrong.QUARANTINE,
            why=keys.why,
        )
        for keys in EVOLUTION[layout]
    ]
    if rules[-1].name == REST.what:
        rules.insert(-1, _left_to_another(prefix))
    return rules


def _left_to_another(prefix: bytes) -> Rule:
    return Rule(
        "keys of a gateway with a longer prefix",
        prefix + _ANOTHERS,
        ("hash", "string"),
        on_wrong=OnWrong.REPORT,
        why="whoever looks after that gateway knows what it must be",
    )


_VERSION = re.compile(r"v?([0-9]+)(?:\.([0-9]+)(?:\.([0-9]+))?)?")
_LAST_READ = 3
"""Of 2.x: the last minor version whose source was read."""


def _layout(version: str | None) -> tuple[Layout, bool]:
    """The layout, and whether the source of that version was read."""
    found = _VERSION.match(version or "")
    major, minor, patch = (None if part is None else int(part) for part in found.groups()) if found else (None,) * 3
    if major == 2:
        return Layout.BY_ID, minor is not None and minor <= _LAST_READ
    if major != 1 or minor is None or (minor == 7 and patch is None):
        return Layout.UNKNOWN, False
    return (Layout.FLAT if (minor, patch or 0) < (7, 3) else Layout.BY_NAME), True

"""Of which type the gateway's keys are. A key that no rule knows is never touched."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from wasupervisor.keyspace.globs import matches
from wasupervisor.keyspace.keys import OURS
from wasupervisor.model.value import Value


class Ttl(StrEnum):
    """Whether a key expires."""

    NONE = "none"
    REQUIRED = "required"
    ANY = "any"


class OnWrong(StrEnum):
    """What becomes of a key of the wrong type."""

    QUARANTINE = "quarantine"
    REPORT = "report"


class Rule(Value, frozen=True):
    """One kind of keys. Of several that match a key the first counts."""

    name: str
    """What the keys are, in the words of an operator: `credentials of a session`."""
    match: bytes
    """A glob as Redis understands it."""
    types: tuple[str, ...]
    """As TYPE names them: string, hash, list, set, zset, stream."""
    ttl: Ttl = Ttl.ANY
    json: bool = False
    """A string of it begins and ends like JSON."""
    credentials: bool = False
    """Whether a session is logged in by it: then a wrong one holds all restarts of that session."""
    login: bytes | None = None
    """Of a credential hash: the field that holds the login itself. Without it the login is elsewhere, or lost."""
    on_wrong: OnWrong = OnWrong.QUARANTINE
    """A wrong TTL or a text that is no JSON is only ever reported."""
    why: str = ""
    """What a wrong one does to the gateway, as a sentence."""

    @property
    def expected(self) -> str:
        """The types as a person reads them: `hash`, `string or list`."""
        return " or ".join(self.types)


def own_rule(
    match: str,
    type: Sequence[str],  # noqa: A002 - the key of the configuration
    *,
    ttl: str = "any",
    json: bool = False,
    credentials: bool = False,
    on_wrong: str = "quarantine",
) -> Rule:
    """A rule of the configuration, from its values.

    Raises:
        ValueError: a word for `ttl` or `on_wrong` that there is not.
    """
    return Rule(
        f"keys of your rule {match}",
        match.encode(),
        tuple(type),
        Ttl(ttl),
        json=json,
        credentials=credentials,
        on_wrong=OnWrong(on_wrong),
        why="a rule of the configuration says what it must be",
    )


def matching(rules: Sequence[Rule], key: bytes) -> Rule | None:
    """The rule that counts for a key: the first that matches. None: its role is unknown, or it is ours; leave it."""
    if key.startswith(OURS):
        return None
    return next((rule for rule in rules if matches(rule.match, key)), None)

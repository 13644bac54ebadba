"""What is wrong with the credential keys of which sessions, and since when, for a person who asks about one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from wasupervisor.keyspace.caretaker import fault_of
from wasupervisor.keyspace.credentials import NONE, Credential, Types
from wasupervisor.keyspace.keys import shown
from wasupervisor.keyspace.sweep import Wrong
from wasupervisor.model.value import Value


class Fault(Value, frozen=True):
    """A credential key that is not whole."""

    key: bytes
    expected: str
    """Its right type."""
    text: str
    """A sentence without its full stop."""
    is_mistyped: bool
    """Whether it is there and of the wrong type."""
    since: float
    """When the supervisor saw it first, in seconds since the epoch; a new start of it sees it anew."""


class Faults:
    """Remembers since when; one key for each session."""

    def __init__(self, is_aside: Callable[[bytes], bool], wall: Callable[[], float]) -> None:
        """Nothing was seen yet. `is_aside`: whether a key is in quarantine; `wall`: seconds since the epoch."""
        self._is_aside = is_aside
        self._wall = wall
        self.of: dict[str, Fault] = {}
        """By session."""

    def take(
        self,
        known: Mapping[bytes, Credential],
        wrong: Collection[Wrong],
        lost: Collection[bytes],
        types: Types,
        held: Collection[str],
    ) -> None:
        """Take what a look found. `held`: sessions that stay held, also those that could not be looked at just now."""
        found = {known[key].session: (key, self._lost(key, known[key], types), False) for key in lost}
        found |= {known[one.key].session: (one.key, fault_of(one), True) for one in wrong}
        now, before = self._wall(), self.of
        self.of = {name: before[name] for name in held if name in before}
        for name, (key, text, is_mistyped) in found.items():
            same = name in before and before[name].key == key
            since = before[name].since if same else now
            self.of[name] = Fault(key, known[key].rule.expected, text, is_mistyped, since)

    def _lost(self, key: bytes, credential: Credential, types: Types) -> str:
        about = f"{shown(key)} ({credential.rule.name})"
        if types.of.get(key, NONE) != NONE:
            return f"{about} is there again and holds no login"
        return f"{about} {'was set aside and is not back' if self._is_aside(key) else 'is gone'}"

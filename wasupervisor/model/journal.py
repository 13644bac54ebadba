"""The durable record of what was decided and why."""

from __future__ import annotations

from enum import StrEnum

from wasupervisor.model.sessions import Reason
from wasupervisor.model.value import Value


class EntryKind(StrEnum):
    """What an entry tells."""

    SEEN = "seen"
    """The gateway claims something else than before."""
    CONCLUDED = "concluded"
    """The condition of a session or of the gateway changed."""
    REMEDY = "remedy"
    """A remedy is on the books and is performed now."""
    RESULT = "result"
    """How its call ended."""
    VERIFIED = "verified"
    """What was observed afterwards: healed or not."""
    WITHHELD = "withheld"
    """A remedy was due and is not performed; told once for each reason."""
    BREAKER = "breaker"
    INCIDENT = "incident"
    PROBE = "probe"
    """What a probe gave, where that is news."""
    ALERT = "alert"
    """A person is told, or could not be."""
    ORDER = "order"
    GATEWAY = "gateway"
    REDIS = "redis"
    """What was found in the gateway's Redis or its job queues, and what was done about it."""
    SUPERVISOR = "supervisor"


class Entry(Value, frozen=True):
    """One line of the journal. The store adds the time."""

    kind: EntryKind
    text: str
    """One English sentence; no secret in it."""
    session: str | None = None
    reason: Reason = Reason.NONE
    remedy: str | None = None
    outcome: str | None = None
    warn: bool = False
    """Worth a warning in the log: something is not well, or a person is wanted."""


class Recorded(Value, frozen=True):
    """An entry as the store gives it back."""

    id: int
    at: float
    """Seconds since the epoch."""
    entry: Entry

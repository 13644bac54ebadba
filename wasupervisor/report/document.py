"""The health document (DESIGN.md 4.4): these keys, types and their order never change; more may be added at an end.

What is unknown is null. The port and the file carry the same bytes.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from wasupervisor.model.health import Breakers, Connections, Health, SessionHealth, Status
from wasupervisor.model.observation import ProcessReading
from wasupervisor.model.sessions import Condition, Reason, State
from wasupervisor.model.usage import Usage
from wasupervisor.report.names import Names
from wasupervisor.report.resources import ResourcesPart, resources

# Of the year 9999: a pause of a billion hours must not end the daemon.
_LAST_SECOND = 253402300799.0

NOT_YET = "the first look has not finished yet"

BEFORE_FIRST_LOOK = Health(
    status=Status.STARTING, why=NOT_YET, connections=Connections(), ready=False, ready_why=NOT_YET
)
"""What is known before the first cycle has finished."""


class GatewayPart(msgspec.Struct, frozen=True):
    """The gateway, as it was at the last look."""

    kind: str
    reachable: bool | None = None
    latency_seconds: float | None = None
    version: str | None = None
    pid: int | None = None


class SweepPart(msgspec.Struct, frozen=True):
    """The last time that all keys were looked at."""

    at: str
    seconds: float
    keys: int


class RedisPart(msgspec.Struct, frozen=True):
    """The gateway's Redis; from `why` on, the keys are additions."""

    status: str
    """pass, warn or fail."""
    wrongtype_errors: int | None
    """Since the supervisor's start; None: Redis does not count them, or does not tell."""
    mistyped_keys: int
    why: str
    quarantined: int | None = None
    """None: no sweep has ended yet."""
    last_sweep: SweepPart | None = None


class OneQueuePart(msgspec.Struct, frozen=True):
    """One queue; a number that could not be read is None."""

    name: str
    kind: str | None
    """bullmq or bull; None: there is none of that name yet."""
    waiting: int | None
    active: int | None
    delayed: int | None
    failed: int | None
    completed: int | None
    oldest_seconds: float | None
    paused: bool


class QueuePart(msgspec.Struct, frozen=True):
    """All queues that are watched; from `queues` on, the keys are additions."""

    waiting: int | None
    active: int | None
    failed: int | None
    queues: tuple[OneQueuePart, ...] = ()


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the document tells beside the decider's conclusion."""

    version: str
    """The supervisor's."""
    uptime: float
    """The supervisor's, in seconds."""
    now: float
    """On the timeline on which the health's `since` and `until` stand, in seconds."""
    written_at: float
    """The same moment on the wall clock, in seconds since the epoch."""
    expires_after: float
    """Seconds: 3 x (poll_every + timeout)."""
    gateway: GatewayPart
    process: ProcessReading = ProcessReading()
    usage: Usage = Usage()
    redis: RedisPart | None = None
    queue: QueuePart | None = None
    notes: tuple[str, ...] = ()
    """Told after the health's own."""


class PausedPart(msgspec.Struct, frozen=True):
    """Hands off, ordered by a person."""

    since: str
    until: str | None
    reason: str
    by: str


class IncidentPart(msgspec.Struct, frozen=True):
    """Many sessions failing together."""

    since: str
    cause: str
    sessions: tuple[str, ...]
    canary: str | None


class SessionPart(msgspec.Struct, frozen=True):
    """One session; from `claim` on, the keys are additions."""

    name: str
    state: State
    condition: Condition
    reason: Reason
    since: str
    next: str | None
    needs_qr: bool
    claim: str
    advice: str
    expected: bool
    usable: bool


class Document(msgspec.Struct, frozen=True):
    """The document; from `why` on, the keys are additions."""

    # First, because some balancers read only the first bytes.
    status: Status
    uptime: float
    connections: Connections
    queue: QueuePart | None
    resources: ResourcesPart
    version: str
    written_at: str
    expires_at: str
    ready: bool
    paused: PausedPart | None
    gateway: GatewayPart
    redis: RedisPart | None
    breakers: Breakers
    incident: IncidentPart | None
    sessions: tuple[SessionPart, ...]
    notes: tuple[str, ...]
    why: str
    """The status as a sentence."""
    ready_why: str

    def encode(self) -> bytes:
        """As JSON, with a line end."""
        return msgspec.json.encode(self) + b"\n"


class Documents:
    """Makes the documents of one supervisor, one after the other."""

    def __init__(self, names: Names | None = None) -> None:
        """`names` decides how sessions are named in them."""
        self._names = names or Names()

    def build(self, health: Health, facts: Facts) -> Document:
        """The document of one cycle."""
        known = {one.name for one in health.sessions}
        if health.incident is not None:
            known.update(health.incident.sessions)
        self._names = names = self._names.over(known)
        return Document(
            status=health.status,
            uptime=round(facts.uptime, 1),
            connections=health.connections,
            queue=facts.queue,
            resources=resources(facts.process, facts.usage, names, full_in=health.memory_full_in),
            version=facts.version,
            written_at=rfc3339(facts.written_at, "milliseconds"),
            expires_at=rfc3339(facts.written_at + facts.expires_after, "milliseconds"),
            ready=health.ready,
            paused=_paused(health, facts, names),
            gateway=_gateway(facts.gateway),
            redis=facts.redis,
            breakers=health.breakers,
            incident=_incident(health, facts, names),
            sessions=tuple(_session(one, facts, names) for one in health.sessions),
            notes=tuple(names.text(note) for note in dict.fromkeys((*health.notes, *facts.notes))),
            why=names.text(health.why),
            ready_why=names.text(health.ready_why),
        )


def rfc3339(epoch: float, precision: str = "seconds") -> str:
    """Seconds since the epoch as RFC 3339 in UTC: `2025-01-31T12:00:00Z`; what is beyond the year 9999 is its end."""
    return (
        datetime.fromtimestamp(min(max(epoch, 0.0), _LAST_SECOND), UTC)
        .isoformat(timespec=precision)
        .removesuffix("+00:00")
        + "Z"
    )


def _wall(moment: float, facts: Facts) -> str:
    return rfc3339(facts.written_at - (facts.now - moment))


def _gateway(gateway: GatewayPart) -> GatewayPart:
    latency = gateway.latency_seconds
    return gateway if latency is None else msgspec.structs.replace(gateway, latency_seconds=round(latency, 4))


def _paused(health: Health, facts: Facts, names: Names) -> PausedPart | None:
    pause = health.paused
    if pause is None:
        return None
    return PausedPart(
        since=_wall(pause.since, facts),
        until=None if pause.until is None else _wall(pause.until, facts),
        reason=names.text(pause.reason),
        by=names.text(pause.by),
    )


def _incident(health: Health, facts: Facts, names: Names) -> IncidentPart | None:
    incident = health.incident
    if incident is None:
        return None
    return IncidentPart(
        since=_wall(incident.since, facts),
        cause=names.text(incident.cause),
        sessions=tuple(names.name(one) for one in incident.sessions),
        canary=None if incident.canary is None else names.name(incident.canary),
    )


def _session(one: SessionHealth, facts: Facts, names: Names) -> SessionPart:
    return SessionPart(
        name=names.name(one.name),
        state=one.state,
        condition=one.condition,
        reason=one.reason,
        since=_wall(one.since, facts),
        next=None if one.next is None else names.text(one.next),
        needs_qr=one.needs_qr,
        claim=names.text(one.claim),
        advice=names.text(one.advice),
        expected=one.expected,
        usable=one.usable,
    )

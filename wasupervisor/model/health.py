"""What is concluded for others to read: the raw material of the health document."""

from __future__ import annotations

from enum import StrEnum

from wasupervisor.model.sessions import Condition, Reason, State
from wasupervisor.model.value import Value


class Status(StrEnum):
    """The first word of the health document."""

    STARTING = "starting"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Connections(Value, frozen=True, omit_defaults=False):
    """A partition of the included sessions: every one stands in just one of them, and `total` is their sum."""

    total: int = 0
    active: int = 0
    failed: int = 0
    recovering: int = 0
    needs_human: int = 0
    stopped: int = 0


class SessionHealth(Value, frozen=True):
    """One session, concluded."""

    name: str
    state: State
    condition: Condition
    reason: Reason
    since: float
    """When the condition began, in seconds on the supervisor's timeline."""
    group: str
    """Where it counts in `connections`: active, failed, recovering, needs_human or stopped."""
    expected: bool
    claim: str = ""
    next: str | None = None
    """What happens next and when, as a sentence."""
    needs_qr: bool = False
    advice: str = ""
    """What a person should do; empty when nothing."""

    @property
    def usable(self) -> bool:
        """Whether traffic for it makes sense: also while a remedy of ours is being verified and it works."""
        return self.group == "active" or (self.group == "recovering" and self.state is State.WORKING)


class Breakers(Value, frozen=True, omit_defaults=False):
    """How many breakers are not closed."""

    open: int = 0
    half_open: int = 0
    held: int = 0


class Pause(Value, frozen=True):
    """Hands off, ordered by a person. Times on the supervisor's timeline."""

    since: float
    until: float | None = None
    reason: str = ""
    by: str = ""


class Incident(Value, frozen=True):
    """Many sessions failing together."""

    since: float
    cause: str
    sessions: tuple[str, ...] = ()
    canary: str | None = None


class Health(Value, frozen=True):
    """The conclusion of one cycle."""

    status: Status
    why: str
    """The status as a sentence."""
    connections: Connections
    ready: bool
    """With `health.ready_when`, rise and fall applied."""
    ready_why: str
    sessions: tuple[SessionHealth, ...] = ()
    breakers: Breakers = Breakers()
    incident: Incident | None = None
    paused: Pause | None = None
    memory_full_in: float | None = None
    """Seconds until the gateway's memory reaches its limit, as forecast; None: it does not, as far as is known."""
    notes: tuple[str, ...] = ()

"""Everything that one cycle saw, as values. A reading that could not be taken is None or unknown, never a guess."""

from __future__ import annotations

from enum import StrEnum

from wasupervisor.model.remedies import Order, Result
from wasupervisor.model.sessions import Sighting
from wasupervisor.model.value import Value


class Trouble(StrEnum):
    """Why a gateway's answer could not be used."""

    REFUSED = "refused"
    """Nobody listens on the port: the call was certainly not made."""
    TIMED_OUT = "timed_out"
    """No answer in time. A call that timed out is not a call that was cancelled: it may still be carried out."""
    DROPPED = "dropped"
    """The connection broke after the call was sent."""
    UNAUTHORIZED = "unauthorized"
    """401 or 403: the gateway lives and does not accept our key."""
    BAD_STATUS = "bad_status"
    """An answer with a status code that does not belong there (5xx, a redirect, 4xx)."""
    BAD_BODY = "bad_body"
    """Not what the call promises: HTML, truncated, empty, of another shape, or larger than we read."""
    UNRESOLVED = "unresolved"
    """The name of the gateway's host could not be resolved."""


class Look(Value, frozen=True):
    """What one poll of the gateway gave."""

    reachable: bool | None = None
    """Whether the gateway's API answered at all, with any status. None: not tried."""
    sightings: tuple[Sighting, ...] | None = None
    """None: the list could not be read. That never means that the sessions are gone."""
    trouble: Trouble | None = None
    detail: str = ""
    """One line for a person on what was wrong; no secret in it."""
    latency_seconds: float | None = None
    version: str | None = None
    engine: str | None = None
    """WAHA: NOWEB, WEBJS, GOWS, WPP."""
    run: str | None = None
    """Names this run of the gateway process, as the gateway itself tells it; changes when it was restarted."""
    store_ok: bool | None = None
    """Whether the gateway's own database answered (Evolution: PostgreSQL, through `fetchInstances`)."""
    notes: tuple[str, ...] = ()
    """What an operator should know of this gateway's settings."""


class CloseLook(Value, frozen=True):
    """What was read of one session right before a remedy."""

    sighting: Sighting | None = None
    """None: it could not be read, and then nothing is done."""
    others_working: bool | None = None
    """Whether any other session of the gateway works now."""
    store_ok: bool | None = None
    detail: str = ""


class ProcessReading(Value, frozen=True):
    """CPU and memory of the gateway's whole process tree; None is unknown."""

    exists: bool | None = None
    """None: not known, for instance because its port does not lead to a pid for our user."""
    by_port: bool = False
    """Looked for by its port: then one that has just begun and does not listen yet looks as if it were gone."""
    pid: int | None = None
    started: float | None = None
    """Create time of the process, seconds since the epoch, by the wall clock as it was set when it was found."""
    born: float | None = None
    """The same on CLOCK_BOOTTIME: never moves, whatever is done to the wall clock."""
    cpu_percent: float | None = None
    """Of the CPUs that it may use, 0 to 100."""
    loop_percent: float | None = None
    """Of one CPU, 0 to 100: what the main thread burnt, which is Node's event loop. 100 is one that spins."""
    stopped: bool | None = None
    """Whether the process, or its control group, is stopped by a signal, a tracer or a freezer."""
    rss_bytes: int | None = None
    """The sum over the tree: what processes share is counted for each of them."""
    memory_bytes: int | None = None
    """What counts against the limit: the group's where it holds nothing but the tree, else the sum less the share."""
    memory_percent: float | None = None
    limit_bytes: int | None = None
    processes: int | None = None
    programs: tuple[str, ...] = ()
    """Of the living descendants, each once, as the kernel calls them: `chromium`, `gows`."""
    oom_kills: int | None = None
    """How often the kernel killed in the control group of the process for want of memory, since that group exists.

    None where the group holds more than the gateway, or does not count. It is a counter: what it grows by tells.
    """
    oom_kills_above: int | None = None
    """The same of the group above it, its neighbours' included. It stays when systemd removes the group of a unit."""
    oom_killed: bool | None = None
    """Whether the container engine, or systemd, says of its last end that it was for want of memory."""
    keeper: str | None = None
    """What brings the process back when it dies (`systemd waha.service`, `PM2`); None: nobody that we know of."""
    detail: str = ""
    """Why something above is unknown, for a person."""

    @property
    def run(self) -> str | None:
        """Names this run of the process, for the whole boot."""
        since = self.started if self.born is None else self.born
        return None if self.pid is None or since is None else f"{self.pid}@{since:.2f}"


class UplinkState(StrEnum):
    """Whether a gateway here would get through to WhatsApp."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


class Uplink(Value, frozen=True):
    """The last reading of the uplink."""

    state: UplinkState = UplinkState.UNKNOWN
    age_seconds: float = 0.0
    detail: str = ""
    refused: bool = False
    """WhatsApp, or something before it, answered the websocket upgrade with anything but 101."""


class Proof(StrEnum):
    """What a probe of a session that claims to work gave."""

    ANSWERED = "answered"
    """A round trip, or what passes for one. No proof of health on Evolution: a fight passes it always."""
    MISSED = "missed"
    """It should have been answered and was not; several in a row count."""
    UNKNOWN = "unknown"
    """Tells nothing: the gateway is slow or refuses, the session has no number, the call was not made."""


class ProbeResult(Value, frozen=True):
    """What became of one probe."""

    session: str
    proof: Proof
    detail: str = ""
    """One line for a person; no secret in it."""


class RedisReading(Value, frozen=True):
    """The last reading of the gateway's Redis."""

    ok: bool | None = None
    """Whether it answers us; None: not watched, or not known yet."""
    mistyped: tuple[str, ...] = ()
    """Sessions whose credential key has the wrong type."""
    lost: tuple[str, ...] = ()
    """Sessions whose credential key is gone, or was set aside and is not back yet."""
    detail: str = ""
    """Why it is not ok, in one line; no secret in it."""


class Stores(Value, frozen=True):
    """What is read from and written to around a restart, beside the gateway's own database."""

    redis_ok: bool | None = None
    """Whether the Redis of the gateway answers us; None: not watched, or not known."""
    mistyped: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    """As in `Observation`."""
    disk_low: bool = False
    """There is hardly room for the state on its disk."""

    @property
    def not_whole(self) -> frozenset[str]:
        """Sessions whose identity a restart would throw away."""
        return frozenset((*self.mistyped, *self.lost))


UNWATCHED = Stores()
"""Nothing is known of any of them."""


class Observation(Value, frozen=True):
    """One cycle's input to the decider."""

    look: Look
    process: ProcessReading = ProcessReading()
    uplink: Uplink = Uplink()
    first: bool = False
    """The first look of this run of the supervisor: the start-up grace begins."""
    state_writable: bool = True
    results: tuple[Result, ...] = ()
    """Of remedies that ended since the last cycle."""
    orders: tuple[Order, ...] = ()
    """From operators, since the last cycle."""
    probes: tuple[ProbeResult, ...] = ()
    """Of probes that ended since the last cycle."""
    hour_of_week: int | None = None
    """0 is Monday 00:00-00:59 of the host's local time; None where the wall clock tells nothing."""
    in_maintenance: bool | None = None
    """Whether a window of `recovery.maintenance` is open; None: there is none, or the wall clock tells nothing."""
    disk_low: bool = False
    """There is hardly room for the state on its disk."""
    redis_ok: bool | None = None
    """Whether the Redis of the gateway answers us; None: not watched, or not known."""
    mistyped: tuple[str, ...] = ()
    """Sessions whose credential key in Redis has the wrong type: nothing can be read from it or written to it."""
    lost: tuple[str, ...] = ()
    """Sessions whose credential key in Redis is gone, or was set aside: the gateway has their login in memory only."""

    @property
    def not_whole(self) -> tuple[str, ...]:
        """Sessions whose identity a restart would throw away."""
        return tuple(dict.fromkeys((*self.mistyped, *self.lost)))

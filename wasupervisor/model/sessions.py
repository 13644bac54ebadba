"""What a gateway claims of a session, and what we conclude of it."""

from __future__ import annotations

from enum import StrEnum

from wasupervisor.model.value import Value


class State(StrEnum):
    """What the gateway claims, in one vocabulary for both vendors."""

    WORKING = "working"
    STARTING = "starting"
    NEEDS_HUMAN = "needs_human"
    FAILED = "failed"
    STOPPED = "stopped"
    NOT_LOADED = "not_loaded"
    UNKNOWN = "unknown"


class Condition(StrEnum):
    """What we conclude over time."""

    HEALTHY = "healthy"
    SETTLING = "settling"
    """Working but not yet for `stable_for`; or starting, within its patience, after it had worked."""
    SUSPECT = "suspect"
    """Worked until just now and looks bad, but not for long enough to judge."""
    FAILING = "failing"
    NEEDS_HUMAN = "needs_human"
    FATAL = "fatal"
    STOPPED = "stopped"
    MISSING = "missing"
    """Expected, and not in a list that was read completely."""
    UNKNOWN = "unknown"
    """Nothing can be concluded: not readable, or not yet seen working and not yet judged."""


class Reason(StrEnum):
    """Why a session is as it is: a stable code, each with a row in `decide/reasons.py` and a page in the docs."""

    NONE = "none"
    # Told by the adapters.
    RECONNECTING = "reconnecting"
    """Starting or connecting: the gateway says that it is at it."""
    CONNECTION_LOST = "connection_lost"
    UNEXPLAINED = "unexplained"
    """Failed, still paired, and the gateway does not say why: one diagnosing restart."""
    QR_WANTED = "qr_wanted"
    QR_EXPIRED = "qr_expired"
    """Nobody scanned the QR in time and the gateway has stopped to show new ones."""
    PASSKEY_WANTED = "passkey_wanted"
    LOGGED_OUT = "logged_out"
    BANNED = "banned"
    REPLACED = "replaced"
    OUTDATED = "outdated"
    RATE_LIMITED = "rate_limited"
    NOT_LOADED = "not_loaded"
    STOPPED = "stopped"
    UNREADABLE = "unreadable"
    """The gateway gave a status that we do not know, or none."""
    # Concluded by the decider.
    STUCK_STARTING = "stuck_starting"
    STOPPED_WITH_PROCESS = "stopped_with_process"
    """The gateway process was restarted and did not start again what it ran before."""
    STOPPED_BY_REMEDY = "stopped_by_remedy"
    """A restart of ours ended half-way: it stopped the session and did not start it."""
    NOT_STARTED = "not_started"
    """Stopped, though the configuration names it as one that should be up."""
    NOT_LISTED = "not_listed"
    FALSE_WORKING = "false_working"
    UPLINK_DOWN = "uplink_down"
    STORE_DOWN = "store_down"
    GATEWAY_DOWN = "gateway_down"


class Truths(Value, frozen=True):
    """Evolution's three truths of one session; None where one was not read.

    Memory is what `/metrics` and `connectionState` say, the database what `fetchInstances` says, the socket what
    only a probe can tell (gateways/evolution.md, section 2: three separate copies).
    """

    memory: str | None = None
    database: str | None = None
    socket: str | None = None


class Sighting(Value, frozen=True):
    """What one poll saw of one session."""

    name: str
    state: State
    reason: Reason = Reason.NONE
    claim: str = ""
    """The gateway's own words, fit to be shown: `STARTING`, `memory close, database open`."""
    paired: bool | None = None
    """Whether the gateway knows an account for it. No sign of life: WAHA keeps `me` when unlinked."""
    fresh: bool = True
    """False when this is the last known sighting, because the session's turn in the rotation was not this poll."""
    truths: Truths | None = None

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
    """It claims to work and several probes in a row were missed."""
    UPGRADE_REFUSED = "upgrade_refused"
    """Its websocket upgrade was answered with anything but 101, and the gateway does not try again."""
    FLAPPING = "flapping"
    """It works and falls again, over and over."""
    FIGHT = "fight"
    """Two clients inside the gateway fight for one account."""
    PARKED = "parked"
    """We stopped it, for it hammered WhatsApp in vain."""
    BAD_SESSION = "bad_session"
    """Its data is broken, says the engine (500)."""
    DEAF = "deaf"
    """It works and hears nothing, though it should by now; a warning, never a remedy."""
    UPLINK_DOWN = "uplink_down"
    STORE_DOWN = "store_down"
    GATEWAY_DOWN = "gateway_down"
    GATEWAY_HUNG = "gateway_hung"
    """Its process is there and its API does not answer."""
    GATEWAY_GONE = "gateway_gone"
    """Its process is not there and nobody brings it back."""
    ENGINE_GONE = "engine_gone"
    """The child process in which its engine runs (WAHA with GOWS) is not there any more."""
    MEMORY_HIGH = "memory_high"
    """Its processes use more memory than the operator's limit."""
    CPU_HIGH = "cpu_high"
    """Its processes use more of the CPU than the operator's limit."""
    MEMORY_LEAK = "memory_leak"
    """Its memory grows, and will reach its limit."""
    CRASH_LOOP = "crash_loop"
    """Its process dies again and again, and something brings it back each time."""
    OOM_KILLED = "oom_killed"
    """The kernel killed it, or a process of it, for want of memory."""


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
    activity: int | None = None
    """Grows whenever the session hears or says something: WAHA's `timestamps.activity` (ms), Evolution's count of
    messages. Its unit means nothing; None where the gateway does not tell."""
    fresh: bool = True
    """False when this is the last known sighting, because the session's turn in the rotation was not this poll."""
    truths: Truths | None = None
    identity: str | None = None
    """The gateway's own id of it, where its keys are named by that: Evolution's instance id. The decider never asks."""

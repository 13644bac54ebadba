"""What the decider remembers: one frozen value that goes through JSON and back unchanged.

All times are seconds on the supervisor's timeline, which only moves forward and survives restarts
(`store/timeline.py`). Nothing in here changes while nothing changes outside: the runtime writes it only on change.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from wasupervisor.model.alerts import AlertKind
from wasupervisor.model.health import Pause
from wasupervisor.model.remedies import Outcome, RemedyKind
from wasupervisor.model.sessions import Condition, Reason, State
from wasupervisor.model.value import Value


class BreakerState(StrEnum):
    """Whether remedies may pass."""

    CLOSED = "closed"
    OPEN = "open"
    """No remedy until `until`."""
    HALF_OPEN = "half_open"
    """One remedy is under way, and its verdict decides."""
    HELD = "held"
    """A person must act: leaves by `recover` or by observed health."""


class Breaker(Value, frozen=True):
    """The breaker of one session, or of the gateway."""

    state: BreakerState = BreakerState.CLOSED
    until: float = 0.0
    trips: int = 0
    """How often in a row it opened: each time twice as long."""


class Attempt(Value, frozen=True):
    """A remedy on the books: its call is under way, or its effect is being verified."""

    id: str
    kind: RemedyKind
    at: float
    cause: Reason
    """What it was to heal."""
    ordered: bool = False
    lone: bool = False
    """Made though no other session worked."""
    outcome: Outcome | None = None
    """None: the call is under way, or the supervisor died before it heard the end."""
    ended: float = 0.0
    left_stop: bool = False
    """A sighting other than STOPPED was seen after the call."""
    bad_samples: int = 0
    up: bool = False
    """It works since the call."""
    falls: int = 0
    """How often it worked after the call and then did not any more."""
    run: int | None = None
    """The run of the gateway process in which it was made; None: written by an older version."""


class GatewayAttempt(Value, frozen=True):
    """A restart of the gateway process on the books: under way, or its effect is being verified."""

    id: str
    at: float
    cause: Reason
    sessions: tuple[str, ...] = ()
    """Whom it was to heal; empty when it was the gateway itself."""
    run: int = 0
    """The run of the gateway process that it was to end."""
    ordered: bool = False
    outcome: Outcome | None = None
    """None: the restarter is at work, or the supervisor died before it heard the end."""
    ended: float = 0.0
    back_at: float | None = None
    """When the new process answered with a list of sessions."""
    working: tuple[str, ...] = ()
    """Of one for memory or CPU: who worked before it, and so is to be back."""
    calm_since: float | None = None
    """Since when it has answered *and* uplink and store are well: only then do its sessions have their time."""


class SessionMemory(Value, frozen=True):
    """One session over time."""

    first_seen: float
    state: State
    since: float
    """When this state and reason were first seen."""
    claim: str = ""
    told: Reason = Reason.NONE
    """The reason that the gateway's adapter gave."""
    claim_since: float | None = None
    """Since when it claims just this, without a gap; None: written by an older version, and nothing was seen since."""
    paired: bool | None = None
    samples: int = 1
    """Fresh sightings of this state in a row; stops counting where it decides nothing more."""
    bad_since: float | None = None
    """Start of the present time without a WORKING."""
    working_since: float | None = None
    patience_from: float | None = None
    """Since when the session is bad *and* uplink and store are well: only then does patience run."""
    absent_since: float | None = None
    absent_samples: int = 0
    run: int = 0
    """The run of the gateway process in which it was last seen other than stopped."""
    remembered: bool = False
    """Was seen healthy once, and so is expected up."""
    operator_stopped: bool = False
    half_restarted: bool = False
    """A restart of ours stopped it and did not start it."""
    condition: Condition = Condition.UNKNOWN
    condition_since: float = 0.0
    cause: Reason = Reason.NONE
    wanted_for: Reason = Reason.NONE
    """What a person was wanted for last; kept while it is stopped or not listed, for neither does that work."""
    diagnosed: bool = False
    """The one diagnosing restart of an unexplained failure was made, and it failed again."""
    attempt: Attempt | None = None
    made: tuple[float, ...] = ()
    """Times of the remedies of the last hour."""
    unverified: tuple[float, ...] = ()
    """Times of remedies that did not heal, within the breaker's window."""
    failures: int = 0
    """Remedies since it was last healthy: the exponent of the back-off."""
    unmade: int = 0
    """Remedies in a row whose call was not made after all."""
    not_before: float = 0.0
    """End of the back-off."""
    last_restart: float | None = None
    """When the call of the last restart ended."""
    breaker: Breaker = Breaker()
    withheld: str = ""
    """Code of the last withholding in the journal, so that each is told once."""
    told_at: dict[str, float] = msgspec.field(default_factory=dict)
    """When each of its withholdings was journaled last, by its code, since the last remedy."""
    refused: bool = False
    """While it has been starting, WhatsApp answered an upgrade with something else than a websocket."""
    fallen: tuple[float, ...] = ()
    """When it lately fell from working, by itself."""
    fought: float | None = None
    """When the gateway was restarted to end a fight for it."""
    parked: bool = False
    """Stopped by us, its credentials kept, until a person recovers it."""
    gateway_tried: float | None = None
    """When a restart of the gateway was found not to have healed it."""
    qr_at: float | None = None
    """When its QR code was asked for last, for a person."""
    probe: ProbeMemory | None = None
    hearing: Hearing | None = None


class ProbeMemory(Value, frozen=True):
    """What probes of one session gave."""

    asked_at: float | None = None
    """When the last one was begun."""
    answered_at: float | None = None
    """When one was answered last."""
    missed_at: float | None = None
    """When one was missed last."""
    misses: int = 0
    """Missed in a row, since it works and since the last remedy."""


class Hearing(Value, frozen=True):
    """When a session usually hears something. Changes at most every ten minutes, so that it is cheap to write."""

    value: int | None = None
    """The activity that was read last; None: it was not told."""
    at: float = 0.0
    """When it was last seen to have grown; at first when it was read first."""
    heard: int | None = None
    """In how many slots of the present hour it grew; None: this hour tells nothing of it."""
    week: str = ""
    """Which hours of the week were busy (`decide/week.py`); empty: none was watched."""
    watched: int = 0
    """Hours that were watched."""
    silent: int = 0
    """Usually busy hours that have passed without a sign of life since the last one."""
    longest: int = 0
    """The longest such silence that ended by itself, in hours; an hour less for each week."""
    deaf: bool = False
    """Told as deaf, and not heard since."""


class Listening(Value, frozen=True):
    """The hour that is being watched for all sessions together."""

    hour: int
    """Of the week."""
    began: float
    """When it was first seen."""
    slot: float
    """When its present slot began."""
    run: int
    """The run of the gateway process."""
    broken: bool = False
    """Something happened in it by which it cannot be judged."""
    paused: bool = False
    """Hands off: whatever is not heard now may be an operator's work."""
    trusted_from: float = 0.0
    """The wall clock was set: until then nothing is said."""
    silent: bool = False
    """Told that most sessions are silent together."""


class Episode(Value, frozen=True):
    """Something that a person was told of, or is about to be, and that is not over.

    Sessions that were told of together share an id, and each leaves by itself.
    """

    id: str
    kind: AlertKind
    since: float
    session: str | None = None
    reason: Reason = Reason.NONE
    what: str = ""
    """As it was told at the begin."""
    told_at: float | None = None
    """When a person was told of it last; None: not yet."""
    fine_since: float | None = None
    """Since when it would be over, if it stays so."""


class Over(Value, frozen=True):
    """A limit of memory or CPU that is exceeded."""

    since: float
    """Since when it was seen exceeded without a gap."""
    samples: int = 1
    """Readings over it in a row; stops counting where it decides nothing more."""
    holds: bool = False
    """It was exceeded for long enough, and is not over yet."""
    unseen_since: float | None = None
    """Since when nobody could read it."""


class Leak(Value, frozen=True):
    """Memory that grows."""

    since: float
    """When it was forecast first."""
    full_at: float
    """When it will reach its limit."""
    limit: int
    """Bytes."""


class Resources(Value, frozen=True):
    """What one run of the gateway process uses. Changes at most every two minutes while nothing is wrong."""

    run: int = 0
    over: dict[str, Over] = {}  # noqa: RUF012 - a value's default, never changed
    """The limits that are exceeded, by their keys (`decide/limits.py`)."""
    points: tuple[tuple[int, int], ...] = ()
    """Moments and bytes, for the forecast."""
    spacing: float = 0.0
    """Seconds between two of them."""
    leak: Leak | None = None


class Crashes(Value, frozen=True):
    """How often the gateway process died, not by us."""

    begun: tuple[float, ...] = ()
    """When its last runs began that followed a death not by us."""
    looping: bool = False
    """It dies again and again."""
    oom_kills: int | None = None
    """The kernel's counter, as it was read last."""
    oom_kills_above: int | None = None
    """The same of the control group above."""
    maybe_killed_at: float | None = None
    """When that grew last, so that it or a neighbour was killed."""
    engine_said: bool | None = None
    """What the container engine, or systemd, said last of its last end: whether the kernel had killed it."""
    killed_at: float | None = None
    """When the kernel was last seen to have killed."""
    killed_whole: bool = False
    """The process itself was killed then, and not only one of its children."""


class Engine(Value, frozen=True):
    """The process in which the gateway's engine runs, where it has one of its own (WAHA with GOWS)."""

    seen_in: str | None = None
    """The run of the gateway process in which it was seen last; None: never, or not in the present one."""
    run: int = 0
    """The same run, by our own count, which the gateway's API may tell of too."""
    gone_since: float = 0.0
    """Since when it was not seen any more in that run, without a gap; says nothing while `samples` is 0."""
    samples: int = 0
    """Readings in a row without it; stops counting where it decides nothing more."""
    unseen_since: float | None = None
    """Since when nobody could read it."""
    told: bool = False
    """It is in the journal that it is gone."""


class GatewayMemory(Value, frozen=True):
    """The gateway process over time."""

    process_run: str | None = None
    api_run: str | None = None
    api_run_in: str | None = None
    """The process run in which `api_run` was read: both change in one restart, which is one event."""
    run: int = 0
    """Counts the runs of the gateway process that we saw begin."""
    run_since: float | None = None
    """When the present one was first seen, where we saw it begin."""
    silent_since: float | None = None
    """Since when its API does not answer."""
    silent_samples: int = 0
    unreadable_since: float | None = None
    """Since when the list of sessions cannot be read."""
    unseen: bool = False
    """This run of the supervisor has not read the list yet."""
    grace_until: float = 0.0
    store_down: bool = False
    """The gateway's own database did not answer when it was asked last."""
    trouble: str = ""
    """The last trouble in the journal."""
    dropped_at: float | None = None
    """When a remedy of ours broke the connection; cleared when the gateway answers again."""
    restarts: tuple[float, ...] = ()
    """Restarts of the process by us, of the last day: also those by a session restart that killed it."""
    last_remedy: float | None = None
    made: tuple[float, ...] = ()
    """Times of the remedies of all sessions of the last hour."""
    gone_since: float | None = None
    """Since when its process is known not to be there."""
    attempt: GatewayAttempt | None = None
    breaker: Breaker = Breaker()
    not_before: float = 0.0
    """No restart of the process before: after one that was withheld by the last look."""
    unmade: int = 0
    """Restarts in a row that were not made after all."""
    told: tuple[str, ...] = ()
    """Codes of the withholdings of a restart that are in the journal: each is told once for as long as it is wanted."""
    canaries: int = 0
    """Lone canaries in a row that healed nothing."""
    canary_not_before: float = 0.0
    listening: Listening | None = None
    """None: no session told any activity yet."""
    resources: Resources = Resources()
    crashes: Crashes = Crashes()
    engine: Engine = Engine()
    window_since: float | None = None
    """Since when the maintenance window is open; None: it is not."""
    relieved_at: float | None = None
    """When a restart for its memory or CPU was seen to have helped, until that start counts as good."""


class IncidentMemory(Value, frozen=True):
    """Many sessions failing together."""

    since: float
    cause: Reason
    sessions: tuple[str, ...]
    canary: str | None = None
    proven: bool = False
    """The canary was healed: the others may follow, one after the other."""
    told: tuple[str, ...] = ()
    """Codes of the withholdings that are in the journal: each is told once for all its sessions."""


class ReadyMemory(Value, frozen=True):
    """Readiness with its hysteresis."""

    ready: bool = False
    streak: int = 0
    """Polls in a row that say the contrary."""


class Memory(Value, frozen=True):
    """Everything that must outlive the process."""

    version: int = 1
    sessions: dict[str, SessionMemory] = msgspec.field(default_factory=dict)
    gateway: GatewayMemory = GatewayMemory()
    paused: Pause | None = None
    incident: IncidentMemory | None = None
    readiness: ReadyMemory = ReadyMemory()
    next_id: int = 1
    episodes: dict[str, Episode] = msgspec.field(default_factory=dict)
    """What a person was told of and is not over, by a key that says what it is about."""


def dump(memory: Memory) -> bytes:
    """The memory as JSON."""
    return msgspec.json.encode(memory)


def load(text: bytes) -> Memory:
    """The memory from JSON.

    Raises:
        ValueError: when it is not a memory of this version.
    """
    try:
        return msgspec.json.decode(text, type=Memory)
    except msgspec.MsgspecError as error:
        raise ValueError(f"cannot read the decider's memory: {error}") from error

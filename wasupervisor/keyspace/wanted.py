"""What the configuration wants of the gateway's Redis, and what is known of it for others to read."""

from __future__ import annotations

from enum import StrEnum

from wasupervisor.keyspace.bull import QueueKeys
from wasupervisor.keyspace.preflight import Finding
from wasupervisor.keyspace.rules import Rule
from wasupervisor.model.value import Value


class Repair(StrEnum):
    """`redis.repair`."""

    OFF = "off"
    """No sweeps. Credential keys are looked at all the same: they hold restarts back."""
    REPORT = "report"
    QUARANTINE = "quarantine"


class Wanted(Value, frozen=True):
    """The settings of this room, and what it has to know of the others'."""

    gateway_kind: str
    prefix: str
    """Of Evolution's keys."""
    repair: Repair = Repair.QUARANTINE
    sweep_every: float = 600.0
    """Seconds."""
    own: tuple[Rule, ...] = ()
    """The operator's."""
    queues: tuple[QueueKeys, ...] = ()


class LastSweep(Value, frozen=True):
    """The last pass over all keys."""

    at: float
    """When it ended, in seconds since the epoch."""
    seconds: float
    keys: int


class Known(Value, frozen=True):
    """What is known, for the health document."""

    ok: bool | None = None
    detail: str = ""
    wrongtype_errors: int | None = None
    """Since the supervisor's start; None: not counted, or not told."""
    mistyped: int = 0
    """Keys of the wrong type that are where they were."""
    quarantined: int | None = None
    """None: not known yet."""
    last_sweep: LastSweep | None = None
    findings: tuple[Finding, ...] = ()
    """Of the preflight."""
    trouble: str = ""
    """Why keys are not looked after as they should be; empty: they are."""
    set_aside: int = 0
    """Keys, by itself and since the supervisor's start."""

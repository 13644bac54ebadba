"""The ladders as a table: which remedy a reason calls for on which gateway, and why just that one.

What has no row has no remedy. The facts are measured: docs/gateways.md.
"""

from __future__ import annotations

from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import RemedyKind
from wasupervisor.model.sessions import Reason
from wasupervisor.model.value import Value

WAHA, EVOLUTION = "waha", "evolution"


class Rung(Value, frozen=True):
    """One row: the remedy for a reason on a gateway."""

    gateway: str
    reason: Reason
    remedy: RemedyKind | None
    why: str
    """Follows the reason's sentence in the journal."""
    without: RemedyKind | None = None
    """What is tried where nothing is configured that restarts the gateway process."""


START, RESTART = RemedyKind.START_SESSION, RemedyKind.RESTART_SESSION
GATEWAY = RemedyKind.RESTART_GATEWAY

ROWS: tuple[Rung, ...] = (
    Rung(WAHA, Reason.UNEXPLAINED, RESTART, "one restart tells whether the account is still linked"),
    Rung(WAHA, Reason.STUCK_STARTING, RESTART, "with a good uplink a restart of the session cures it in seconds"),
    Rung(
        WAHA,
        Reason.UPGRADE_REFUSED,
        GATEWAY,
        "only a restart of the gateway process ends its waiting; one of the session would kill the process",
        without=RESTART,
    ),
    Rung(
        WAHA,
        Reason.ENGINE_GONE,
        GATEWAY,
        "only a restart of the gateway process starts its engine again; one of the session is answered with an error",
    ),
    Rung(WAHA, Reason.FALSE_WORKING, RESTART, "a restart of the session makes a new connection"),
    Rung(WAHA, Reason.STOPPED_WITH_PROCESS, START, "it ran before, so it is started"),
    Rung(WAHA, Reason.STOPPED_BY_REMEDY, START, "what our restart began is finished"),
    Rung(WAHA, Reason.NOT_STARTED, START, "it is started as the configuration says"),
    Rung(WAHA, Reason.PARKED, None, "a person decides whether it is started again"),
    Rung(WAHA, Reason.FLAPPING, None, "a restart would only add logins"),
    Rung(EVOLUTION, Reason.STUCK_STARTING, RESTART, "with a good uplink a restart of the session cures it in seconds"),
    Rung(EVOLUTION, Reason.UPGRADE_REFUSED, RESTART, "a restart of the session cures it in a second"),
    Rung(
        EVOLUTION,
        Reason.CONNECTION_LOST,
        GATEWAY,
        "a restart of the session does nothing while it is closed, and a connect would start a second client",
    ),
    Rung(EVOLUTION, Reason.NOT_LOADED, GATEWAY, "only a restart of the gateway process loads it"),
    Rung(
        EVOLUTION,
        Reason.FALSE_WORKING,
        GATEWAY,
        "its client has ended and nobody noticed; a restart of the session does nothing, one of the process heals",
    ),
    Rung(EVOLUTION, Reason.FIGHT, GATEWAY, "nothing but a restart of the gateway process ends it"),
    Rung(EVOLUTION, Reason.FLAPPING, None, "a restart would only add logins"),
    *(
        Rung(gateway, reason, GATEWAY, why)
        for gateway in (WAHA, EVOLUTION)
        for reason, why in (
            (Reason.GATEWAY_HUNG, "it does not wake up by itself any more"),
            (Reason.GATEWAY_GONE, "it is started again"),
            (Reason.MEMORY_HIGH, "a graceful restart now costs less than the kernel's kill in the middle of a write"),
            (Reason.CPU_HIGH, "its operator wants it restarted then (process.cpu.restart)"),
            (Reason.MEMORY_LEAK, "the maintenance window is open, and later it would be forced"),
        )
    ),
)

TABLE: dict[tuple[str, Reason], Rung] = {(row.gateway, row.reason): row for row in ROWS}

NO_RUNG = Rung("", Reason.NONE, None, "")


def rung_for(gateway: str, reason: Reason) -> Rung:
    """The row for a reason; the empty one when there is no remedy."""
    return TABLE.get((gateway, reason), NO_RUNG)


def remedy_for(policy: Policy, reason: Reason) -> RemedyKind | None:
    """The remedy that a session gets for a reason; None when it gets none, or only one with the whole gateway."""
    rung = rung_for(policy.gateway_kind, reason)
    if rung.remedy is GATEWAY:
        return rung.without if policy.restarter == "none" else None
    return rung.remedy


def wants_gateway_restart(policy: Policy, reason: Reason) -> bool:
    """Whether nothing but a restart of the gateway process really heals it."""
    return rung_for(policy.gateway_kind, reason).remedy is GATEWAY

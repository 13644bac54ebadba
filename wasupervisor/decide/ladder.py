"""The ladders as a table: which remedy a reason calls for on which gateway, and why just that one.

What has no row has no remedy. The facts are measured: docs/gateways.md.
"""

from __future__ import annotations

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
    only_process_restart: bool = False
    """Nothing but a restart of the gateway process heals it, which a person has to do."""


START, RESTART = RemedyKind.START_SESSION, RemedyKind.RESTART_SESSION

ROWS: tuple[Rung, ...] = (
    Rung(WAHA, Reason.UNEXPLAINED, RESTART, "one restart tells whether the account is still linked"),
    Rung(WAHA, Reason.STUCK_STARTING, RESTART, "with a good uplink a restart of the session cures it in seconds"),
    Rung(WAHA, Reason.STOPPED_WITH_PROCESS, START, "it ran before, so it is started"),
    Rung(WAHA, Reason.STOPPED_BY_REMEDY, START, "what our restart began is finished"),
    Rung(WAHA, Reason.NOT_STARTED, START, "it is started as the configuration says"),
    Rung(EVOLUTION, Reason.STUCK_STARTING, RESTART, "with a good uplink a restart of the session cures it in seconds"),
    Rung(
        EVOLUTION,
        Reason.CONNECTION_LOST,
        None,
        "a restart does nothing while it is closed, and a connect would start a second client",
    ),
    Rung(EVOLUTION, Reason.NOT_LOADED, None, "only a restart of the gateway process loads it", True),
)

TABLE: dict[tuple[str, Reason], Rung] = {(row.gateway, row.reason): row for row in ROWS}

NO_RUNG = Rung("", Reason.NONE, None, "")


def rung_for(gateway: str, reason: Reason) -> Rung:
    """The row for a reason; the empty one when there is no remedy."""
    return TABLE.get((gateway, reason), NO_RUNG)

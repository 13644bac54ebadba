"""What is asked of the gates, and what they answer: a remedy that is wanted now, and what stands against it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Generic, TypeVar

from wasupervisor.decide.memory import GatewayMemory, IncidentMemory, SessionMemory
from wasupervisor.decide.scene import Scene
from wasupervisor.model.health import Pause
from wasupervisor.model.remedies import RemedyKind
from wasupervisor.model.sessions import State
from wasupervisor.model.value import Value

FITTING: dict[RemedyKind, frozenset[State]] = {
    RemedyKind.START_SESSION: frozenset({State.STOPPED}),
    RemedyKind.RESTART_SESSION: frozenset({State.STARTING, State.FAILED}),
    RemedyKind.PARK_SESSION: frozenset({State.STARTING, State.FAILED, State.WORKING}),
}
"""The states that a remedy is for. An operator may restart any."""


class Kind(StrEnum):
    """What sort of hindrance it is."""

    GATE = "gate"
    LIMIT = "limit"
    """A breaker or a budget: passes by itself at `until`."""
    TURN = "turn"
    """Only waits for others; not worth a line in the journal."""


class Block(Value, frozen=True):
    """Why a remedy is withheld."""

    code: str
    kind: Kind
    text: str
    until: float | None = None


class Asked(Value, frozen=True):
    """A remedy that is asked for, with everything that the gates look at."""

    name: str
    session: SessionMemory
    remedy: RemedyKind
    gateway: GatewayMemory
    scene: Scene
    in_flight: int
    """Remedies whose call is under way."""
    canary: str | None = None
    """The session whose restart while nothing worked is under way or being verified."""
    state_writable: bool = True
    paused: Pause | None = None
    incident: IncidentMemory | None = None
    keeper: str | None = None
    listed: bool = True
    """Whether this look read the session at all."""
    disk_low: bool = False
    all_diagnosed: bool = False
    """Every session of the incident had its diagnosing restart in vain."""
    mistyped: bool = False
    """Its credential key in Redis is mistyped, gone or set aside."""
    ordered: bool = False
    """By an operator's `restart`."""
    forced: bool = False

    @property
    def is_lone(self) -> bool:
        """Whether it would restart or stop a starting session while no other session works: that can kill WAHA."""
        return (
            self.remedy is not RemedyKind.START_SESSION
            and self.session.state is State.STARTING
            and not self.scene.working - {self.name}
        )

    @property
    def can_kill_gateway(self) -> bool:
        """Whether a restart of a starting session may end the gateway's process.

        WAHA's does when the socket is CONNECTING (exit code 7, 4 of 4 runs on 2024.10.8); Evolution's never did
        (2.3.6: a restart while connecting heals within a second).
        """
        return self.scene.policy.gateway_kind == "waha"


Found = tuple[str, float | None] | None
"""The sentence and, where it is known, the end of the hindrance; None when nothing stands against it."""


A = TypeVar("A")


class Hindrance(Value, Generic[A], frozen=True):
    """One row of a table of gates."""

    code: str
    kind: Kind
    sentence: str
    """What it is, for the docs; what it says of one case comes from `test`."""
    test: Callable[[A], Found]
    holds_for_restart: bool = False
    """Also against an operator's `restart`."""
    holds_for_force: bool = False
    """Even against `restart --force`."""


class Row(Hindrance[Asked], frozen=True):
    """What may stand against a remedy of a session."""

    parks: bool = True
    """Also against a stop, which needs neither store nor budget."""


def first_holding(rows: Iterable[Hindrance[A]], asked: A, *, ordered: bool, forced: bool) -> Block | None:
    """The first hindrance that holds; None when nothing stands against it."""
    for row in rows:
        if (forced and not row.holds_for_force) or (ordered and not row.holds_for_restart):
            continue
        found = row.test(asked)
        if found is not None:
            text, until = found
            return Block(code=row.code, kind=row.kind, text=text, until=until)
    return None


def told_pause(pause: Pause | None) -> Found:
    """A pause as a hindrance, with whose it is and why."""
    if pause is None:
        return None
    return f"paused{f' by {pause.by}' if pause.by else ''}{f': {pause.reason}' if pause.reason else ''}", pause.until


def spent(times: tuple[float, ...], most: int, length: float, now: float) -> tuple[int, float | None]:
    """How many of the times lie in the window that ends now, and when there is room for one more."""
    inside = [at for at in times if now - at < length]
    return len(inside), inside[-most] + length if 0 < most <= len(inside) else None

"""How things go from one state to another, as tables: docs/decisions.md draws its diagrams from them.

A test walks the decider at random and compares: every edge is walked, and no step is taken that has none.
"""

from __future__ import annotations

from wasupervisor.decide.memory import BreakerState
from wasupervisor.model.sessions import Condition
from wasupervisor.model.value import Value


class Place(Value, frozen=True):
    """One state of a diagram, and what it means to a person."""

    name: str
    sentence: str


class Edge(Value, frozen=True):
    """A way from any of some states to any other of some."""

    before: tuple[str, ...]
    """Empty: the beginning."""
    after: tuple[str, ...]
    """Empty: the end."""
    when: str


class Diagram(Value, frozen=True):
    """States and the ways between them."""

    title: str
    places: tuple[Place, ...]
    edges: tuple[Edge, ...]
    groups: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - a value's default, never changed
    """Boxes around states that share edges."""


C, B = Condition, BreakerState

NOT_JUDGED = (C.UNKNOWN, C.SUSPECT, C.SETTLING)
JUDGED = (C.FAILING, C.NEEDS_HUMAN, C.FATAL, C.MISSING, C.STOPPED)

CONDITIONS = Diagram(
    title="The condition of a session",
    places=(
        Place(C.HEALTHY, "it works, and has for long enough"),
        Place(C.SETTLING, "it works, or is about to, but not yet for long enough to count as healthy"),
        Place(C.SUSPECT, "it worked until just now; whether something is really wrong shows in a moment"),
        Place(C.FAILING, "it does not work, and may heal: by itself or by a remedy"),
        Place(C.NEEDS_HUMAN, "it waits for a person"),
        Place(C.FATAL, "no restart heals it; a person must act"),
        Place(C.STOPPED, "it is stopped, as its operator wants it"),
        Place(C.MISSING, "it should run, and the gateway does not run it"),
        Place(C.UNKNOWN, "nothing can be concluded yet"),
    ),
    edges=(
        Edge((), (C.SETTLING,), "first seen, and working"),
        Edge((), (C.UNKNOWN, *JUDGED), "first seen, and not working"),
        Edge((C.SETTLING,), (C.HEALTHY,), "it worked for stable_for"),
        Edge((C.HEALTHY,), (C.SUSPECT, C.SETTLING), "it does not work; settling when the gateway reconnects it"),
        Edge((C.SUSPECT,), (C.SETTLING,), "it works again, or the gateway reconnects it"),
        Edge((C.SETTLING,), (C.SUSPECT,), "it does not work, and nothing reconnects it"),
        Edge((C.UNKNOWN,), (C.SETTLING,), "it works"),
        Edge(NOT_JUDGED, JUDGED, "it stays bad for failing_after, or starting for starting_timeout"),
        Edge((C.HEALTHY,), (C.MISSING,), "the gateway has not listed it for failing_after"),
        Edge((C.SUSPECT, C.SETTLING), (C.UNKNOWN,), "nobody can say how it is, for failing_after"),
        Edge(JUDGED, (C.SETTLING,), "it works again"),
        Edge(JUDGED, JUDGED, "it is bad for another reason, for long enough"),
        Edge(JUDGED, (C.UNKNOWN,), "it is bad in a way that is not judged yet"),
        Edge(NOT_JUDGED + JUDGED, (), "not listed for a day, or not included any more: forgotten"),
    ),
    groups={"not judged": NOT_JUDGED, "judged": JUDGED},
)

BREAKER = Diagram(
    title="The breaker of a session",
    places=(
        Place(B.CLOSED, "remedies may pass"),
        Place(B.OPEN, "no remedy until its time is over; each time twice as long, up to open_max"),
        Place(B.HALF_OPEN, "one remedy is under way, and its verdict decides"),
        Place(B.HELD, "no remedy at all: a person must act"),
    ),
    edges=(),
)

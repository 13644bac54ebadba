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
        Edge((C.HEALTHY, *NOT_JUDGED, *JUDGED), (), "not listed for a day, or not included any more: forgotten"),
    ),
    groups={"not judged": NOT_JUDGED, "judged": JUDGED},
)

BREAKER = Diagram(
    title="A breaker",
    places=(
        Place(B.CLOSED, "remedies may pass"),
        Place(B.OPEN, "no remedy until its time is over"),
        Place(B.HALF_OPEN, "one remedy is under way, and its verdict decides"),
        Place(B.HELD, "no remedy: a person must act"),
    ),
    edges=(
        Edge((), (B.CLOSED,), "the session is first seen"),
        Edge((), (B.HELD,), "the session is first seen, and for a fatal reason"),
        Edge((B.CLOSED,), (B.OPEN,), "breaker.failures remedies in vain within breaker.within"),
        Edge((B.OPEN,), (B.HALF_OPEN,), "its time is over: one remedy is tried"),
        Edge((B.HALF_OPEN,), (B.CLOSED,), "healed"),
        Edge((B.HALF_OPEN,), (B.OPEN,), "not healed: twice as long, up to breaker.open_max"),
        Edge((B.OPEN,), (B.CLOSED,), "healthy again, or an operator's recover"),
        Edge((B.CLOSED, B.OPEN, B.HALF_OPEN), (B.HELD,), "a fatal reason is known"),
        Edge((B.HELD,), (B.CLOSED,), "healthy again, or an operator's recover"),
    ),
)

UNDER_WAY, VERIFYING, HEALED, NOT_HEALED, NOT_JUDGED_REMEDY = (
    "under_way",
    "verifying",
    "healed",
    "not_healed",
    "unjudged",
)

REMEDY = Diagram(
    title="A remedy",
    places=(
        Place(UNDER_WAY, "it is on the books and on disk, and its call is made"),
        Place(VERIFYING, "the call has ended, however; it is observed what became of the session"),
        Place(HEALED, "the session was seen working for stable_for"),
        Place(NOT_HEALED, "it did not: back-off, and one more for the breaker"),
        Place(NOT_JUDGED_REMEDY, "somebody stopped the session, or it is not listed any more"),
    ),
    edges=(
        Edge((), (UNDER_WAY,), "a row of the ladder, and nothing against it"),
        Edge((UNDER_WAY,), (), "the look right before it objects, or nobody listens: nothing was made"),
        Edge((UNDER_WAY,), (VERIFYING,), "answered, refused, or not in time; or its end was never heard"),
        Edge((VERIFYING,), (HEALED,), "it works, and stays so"),
        Edge((VERIFYING,), (NOT_HEALED,), "it is still bad, or works and falls again and again"),
        Edge((VERIFYING,), (NOT_JUDGED_REMEDY,), "nothing can be said of it"),
    ),
)

SEARCHING, TRYING, PROVEN = "searching", "trying", "proven"

INCIDENT = Diagram(
    title="An incident",
    places=(
        Place(SEARCHING, "many sessions fail together, and no remedy is under way"),
        Place(TRYING, "the canary is tried; all others wait"),
        Place(PROVEN, "the canary was healed; the others follow one after the other"),
    ),
    edges=(
        Edge((), (SEARCHING,), "incident.at_least and incident.share of the sessions fail within incident.within"),
        Edge((), (TRYING,), "the same, and the first remedy begins at once"),
        Edge((SEARCHING,), (TRYING,), "nothing is against one remedy"),
        Edge((TRYING,), (SEARCHING,), "the canary was not healed; the next one later, each time twice as long"),
        Edge((TRYING,), (PROVEN,), "the canary was healed"),
        Edge((SEARCHING, TRYING, PROVEN), (), "only few still fail"),
    ),
)

READY, NOT_READY = "ready", "not_ready"

READINESS = Diagram(
    title="Readiness",
    places=(
        Place(NOT_READY, "/readyz answers 503"),
        Place(READY, "/readyz answers 200"),
    ),
    edges=(
        Edge((), (NOT_READY,), "the first look is not over"),
        Edge((NOT_READY,), (READY,), "health.ready_when held for health.rise looks in a row"),
        Edge((READY,), (NOT_READY,), "it did not hold for health.fall looks in a row"),
    ),
)

DIAGRAMS = (CONDITIONS, BREAKER, REMEDY, INCIDENT, READINESS)

"""The diagrams against the decider: a long random walk takes every edge that is drawn, and no other step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from random import Random

import pytest
from msgspec.structs import replace

from wasupervisor.decide import diagrams as drawn
from wasupervisor.decide.decision import Decision
from wasupervisor.decide.diagrams import DIAGRAMS, Diagram
from wasupervisor.decide.memory import Attempt, BreakerState, Memory
from wasupervisor.decide.step import step
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import Look, Observation, ProcessReading, Uplink, UplinkState
from wasupervisor.model.policy import Backoff, BreakerRule, Budget, IncidentRule, Policy
from wasupervisor.model.remedies import Order, OrderKind, Outcome, RemedyKind, Result
from wasupervisor.model.sessions import Reason, Sighting, State

Step = tuple[str, str, str]
"""Of which diagram, from where, to where; empty is the outside."""

NAMES = ("a", "b", "c")

SEEN: tuple[Sighting | None, ...] = (
    Sighting("?", State.WORKING, claim="WORKING", paired=True),
    Sighting("?", State.STARTING, Reason.RECONNECTING, claim="STARTING", paired=True),
    Sighting("?", State.FAILED, Reason.UNEXPLAINED, claim="FAILED", paired=True),
    Sighting("?", State.FAILED, Reason.CONNECTION_LOST, claim="close", paired=True),
    Sighting("?", State.FAILED, Reason.LOGGED_OUT, claim="FAILED", paired=True),
    Sighting("?", State.STOPPED, Reason.STOPPED, claim="STOPPED"),
    Sighting("?", State.NEEDS_HUMAN, Reason.QR_WANTED, claim="SCAN_QR_CODE"),
    Sighting("?", State.NOT_LOADED, Reason.NOT_LOADED, claim="not loaded", paired=True),
    Sighting("?", State.UNKNOWN, Reason.UNREADABLE, claim="?"),
    None,
)

WALKS, SOME, STEPS = 40, 10, 1200


def policy(random: Random) -> Policy:
    """Little patience, so that much happens in few steps."""
    return Policy(
        gateway_kind=random.choice(["waha", "evolution"]),
        expect=random.choice([None, None, NAMES[:1]]),
        failing_after=10.0,
        starting_timeout=20.0,
        startup_grace=0.0,
        stable_for=15.0,
        backoff=Backoff(first=1.0, max=10.0),
        breaker=BreakerRule(failures=2, within=600.0, open_for=20.0, open_max=60.0),
        budget=Budget(per_session_per_hour=1000, sessions_per_hour=1000, gateway_per_hour=1000, gateway_per_day=9999),
        incident=IncidentRule(at_least=2, within=60.0),
        restarter=random.choice(["none", "none", "command"]),
        park=random.choice(["ask", "auto"]),
    )


class Walk:
    """One supervisor beside a gateway that does what the dice say."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.policy = policy(self.random)
        self.memory = Memory()
        self.now = 1000.0
        self.seen: dict[str, Sighting | None] = dict.fromkeys(NAMES, SEEN[0])
        self.run = 1
        self.results: tuple[Result, ...] = ()
        self.uplink = UplinkState.UP
        self.first = True

    def steps(self) -> Iterator[tuple[Memory, Decision]]:
        """What was remembered before, and what was decided."""
        for _ in range(STEPS):
            self._happen()
            decision = step(self.memory, self._observation(), self.now, self.random.random(), self.policy)
            before, self.memory, self.first = self.memory, decision.memory, False
            self._perform(decision)
            yield before, decision

    def _happen(self) -> None:
        random = self.random
        self.now += 30.0 * 86400 if random.random() < 0.002 else 5.0
        for name in NAMES:
            if random.random() < 0.12:
                self.seen[name] = random.choice(SEEN)
        if random.random() < 0.04:
            self.seen = dict.fromkeys(NAMES, random.choice(SEEN[:4]))
        if random.random() < 0.1:
            self.uplink = random.choice([UplinkState.UP] * 5 + [UplinkState.DOWN])
        self.run += random.random() < 0.02

    def _observation(self) -> Observation:
        random = self.random
        found = tuple(replace(one, name=name) for name, one in self.seen.items() if one is not None)
        kinds = [OrderKind.RECOVER, OrderKind.RECOVER, OrderKind.RESTART, OrderKind.PARK]
        # Not beside a remedy: its verdict and the order would be two steps in one.
        idle = [name for name, one in self.memory.sessions.items() if one.attempt is None]
        wanted = idle and random.random() < 0.05
        orders = (Order("o", random.choice(kinds), random.choice(idle), force=True),) if wanted else ()
        return Observation(
            look=Look(reachable=True, sightings=found, store_ok=True),
            process=ProcessReading(exists=True, pid=self.run, born=float(self.run), keeper="systemd"),
            uplink=Uplink(state=self.uplink),
            first=self.first,
            results=self.results,
            orders=orders,
        )

    def _perform(self, decision: Decision) -> None:
        outcomes = [*[Outcome.ACCEPTED] * 4, Outcome.WITHHELD, Outcome.TIMED_OUT]
        self.results = tuple(
            Result(one.id, one.session, one.kind, self.random.choice(outcomes)) for one in decision.remedies
        )
        for one in decision.remedies:
            if one.session and self.random.random() < 0.6:
                self.seen[one.session] = SEEN[0]


@cache
def walked() -> frozenset[Step]:
    """All steps of all walks."""
    return frozenset(
        one for seed in range(WALKS) for before, decision in Walk(seed).steps() for one in _taken(before, decision)
    )


def _taken(before: Memory, decision: Decision) -> Iterator[Step]:
    after = decision.memory
    for name in before.sessions.keys() | after.sessions.keys():
        old, new = before.sessions.get(name), after.sessions.get(name)
        yield drawn.CONDITIONS.title, old.condition if old else "", new.condition if new else ""
        if new:  # with a session that is forgotten its breaker and its remedy are, too
            yield drawn.BREAKER.title, old.breaker.state if old else "", new.breaker.state
            yield from _of_remedy(old.attempt if old else None, new.attempt, _verdict(decision, name))
    yield drawn.INCIDENT.title, _incident(before), _incident(after)
    yield drawn.READINESS.title, _readiness(before), _readiness(after)


def _readiness(memory: Memory) -> str:
    return drawn.READY if memory.readiness.ready else drawn.NOT_READY


def _verdict(decision: Decision, name: str) -> str:
    said = [one for one in decision.journal if one.session == name and one.kind is EntryKind.VERIFIED]
    known = {"healed": drawn.HEALED, "not_healed": drawn.NOT_HEALED}
    return known.get(said[0].outcome or "", drawn.NOT_JUDGED_REMEDY) if said else ""


def _of_remedy(old: Attempt | None, new: Attempt | None, verdict: str) -> Iterator[Step]:
    title, was, now = drawn.REMEDY.title, _stage(old), _stage(new)
    if old is not None and (new is None or new.id != old.id):
        yield title, drawn.VERIFYING if verdict else was, verdict
        was = ""
    yield title, was, now


def _stage(attempt: Attempt | None) -> str:
    if attempt is None:
        return ""
    return drawn.UNDER_WAY if attempt.outcome is None else drawn.VERIFYING


def _incident(memory: Memory) -> str:
    incident = memory.incident
    if incident is None:
        return ""
    return drawn.PROVEN if incident.proven else drawn.SEARCHING if incident.canary is None else drawn.TRYING


def edges_of(diagram: Diagram) -> Iterator[set[Step]]:
    """The steps of each edge."""
    for edge in diagram.edges:
        yield {(diagram.title, old, new) for old in edge.before or ("",) for new in edge.after or ("",) if old != new}


AT_REST = (drawn.READINESS.title, "", "not_ready")
"""What the memory holds from the start, so that no step leads there."""


@pytest.mark.parametrize("diagram", DIAGRAMS, ids=lambda diagram: diagram.title)
def test_no_step_is_taken_that_is_not_drawn(diagram: Diagram) -> None:
    taken = {one for one in walked() if one[0] == diagram.title and one[1] != one[2]}
    assert taken - set().union(*edges_of(diagram)) == set()


@pytest.mark.parametrize("diagram", DIAGRAMS, ids=lambda diagram: diagram.title)
def test_every_edge_that_is_drawn_is_walked(diagram: Diagram) -> None:
    known = walked() | {AT_REST}
    assert [edge.when for edge, steps in zip(diagram.edges, edges_of(diagram), strict=True) if not steps & known] == []


@pytest.mark.parametrize("diagram", DIAGRAMS, ids=lambda diagram: diagram.title)
def test_every_edge_leads_between_places_that_are_explained(diagram: Diagram) -> None:
    places = {place.name for place in diagram.places}
    assert {name for edge in diagram.edges for name in (*edge.before, *edge.after)} == places
    assert {name for group in diagram.groups.values() for name in group} <= places


def test_what_came_back_with_a_restart_of_the_gateway_did_not_come_by_itself() -> None:
    meanwhile = [
        entry.text
        for seed in range(SOME)
        for before, decision in Walk(seed).steps()
        for entry in decision.journal
        if before.gateway.attempt is not None and decision.memory.gateway.attempt is not None
        if entry.text.startswith("it works again")
    ]
    assert meanwhile
    assert [text for text in meanwhile if "by itself" in text] == []


def test_a_park_by_itself_is_walked_says_why_and_leaves_the_breaker_alone() -> None:
    parks = [
        (decision.memory.sessions[remedy.session].breaker.state, remedy.why)
        for seed in range(SOME)
        for _, decision in Walk(seed).steps()
        for remedy in decision.remedies
        if remedy.kind is RemedyKind.PARK_SESSION and not remedy.ordered
    ]
    assert parks
    assert BreakerState.HALF_OPEN not in {state for state, _ in parks}
    assert all("it is stopped with its credentials kept" in why for _, why in parks)

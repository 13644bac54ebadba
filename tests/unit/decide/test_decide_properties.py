"""What holds whatever is seen, heard and ordered: arbitrary observations in arbitrary order."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wasupervisor.decide.decision import Decision
from wasupervisor.decide.memory import BreakerState, Memory, dump, load
from wasupervisor.decide.step import step
from wasupervisor.model.health import Status
from wasupervisor.model.observation import Look, Observation, ProcessReading, Trouble, Uplink, UplinkState
from wasupervisor.model.policy import Backoff, BreakerRule, Budget, IncidentRule, LimitRule, Policy, ReadyWhen
from wasupervisor.model.remedies import Order, OrderKind, Outcome, Remedy, RemedyKind, Result
from wasupervisor.model.sessions import Condition, Reason, Sighting, State

HOUR = 3600.0
NAMES = ("a", "b", "c", "d")
RESTART, START = RemedyKind.RESTART_SESSION, RemedyKind.START_SESSION
PARK, GATEWAY = RemedyKind.PARK_SESSION, RemedyKind.RESTART_GATEWAY
DAY = 86400.0

OF_PROCESS = (Reason.GATEWAY_GONE, Reason.GATEWAY_HUNG, Reason.ENGINE_GONE)
OF_SESSIONS = tuple(one for one in Reason if one not in OF_PROCESS)
"""Reasons of a session. No adapter says of one that the process is gone or hung; only the decider does, of itself."""

seconds = st.sampled_from([0.0, 0.1, 1.0, 15.0, 60.0, 600.0, 7200.0])
counts = st.integers(0, 6)

policies = st.builds(
    Policy,
    gateway_kind=st.sampled_from(["waha", "evolution"]),
    act=st.sampled_from([True, True, True, False]),
    include=st.sampled_from([("*",), ("*",), ("a", "b")]),
    exclude=st.sampled_from([(), (), ("c*",)]),
    expect=st.sampled_from([None, None, ("a", "z"), ()]),
    expect_all=st.booleans(),
    poll_every=st.sampled_from([0.1, 5.0]),
    failing_samples=counts,
    failing_after=seconds,
    starting_timeout=seconds,
    startup_grace=seconds,
    stable_for=seconds,
    action_timeout=seconds,
    backoff=st.builds(Backoff, first=seconds, factor=st.sampled_from([1.0, 2.0, 1e200]), max=seconds),
    breaker=st.builds(BreakerRule, failures=counts, within=seconds, open_for=seconds, open_max=seconds),
    budget=st.builds(
        Budget,
        per_session_per_hour=counts,
        sessions_per_hour=counts,
        gateway_per_hour=counts,
        gateway_per_day=counts,
        concurrent=counts,
        spacing=seconds,
    ),
    incident=st.builds(IncidentRule, share=st.floats(0, 1), at_least=counts, within=seconds),
    uplink_watched=st.booleans(),
    ready_when=st.builds(ReadyWhen, share=st.one_of(st.none(), st.floats(0, 1))),
    rise=st.integers(1, 3),
    fall=st.integers(1, 3),
    restart_spacing=seconds,
    hung_after=seconds,
    gone_after=seconds,
    restarter=st.sampled_from(["none", "systemd"]),
    park=st.sampled_from(["auto", "ask", "never"]),
    memory=st.sampled_from([None, LimitRule(warn=50.0, restart=100.0, lasts=1.0)]),
    cpu=st.sampled_from([None, LimitRule(restart=20.0, lasts=0.0)]),
    maintenance=st.sampled_from([None, 1e6]),
)

eager = Policy(
    failing_samples=2,
    failing_after=1.0,
    starting_timeout=5.0,
    startup_grace=0.0,
    stable_for=5.0,
    action_timeout=10.0,
    backoff=Backoff(first=0.1, max=1.0),
    budget=Budget(per_session_per_hour=4, sessions_per_hour=8, concurrent=2, spacing=1.0),
    restarter="systemd",
    park="auto",
    hung_after=5.0,
    memory=LimitRule(restart=100.0, lasts=5.0),
)
"""Does much in little time."""

sightings = st.builds(
    Sighting,
    name=st.just("?"),
    state=st.sampled_from([*State, State.STARTING, State.FAILED, State.FAILED, State.STOPPED]),
    reason=st.sampled_from([*OF_SESSIONS, Reason.RECONNECTING, Reason.UNEXPLAINED, Reason.UNEXPLAINED]),
    claim=st.sampled_from(["", "STARTING"]),
    paired=st.sampled_from([None, True, False]),
    fresh=st.sampled_from([True, True, True, False]),
)
natural = st.sampled_from(
    [
        Sighting("?", State.WORKING, claim="WORKING", paired=True),
        Sighting("?", State.STARTING, Reason.RECONNECTING, claim="STARTING"),
        Sighting("?", State.FAILED, Reason.UNEXPLAINED, claim="FAILED", paired=True),
        Sighting("?", State.STOPPED, Reason.STOPPED, claim="STOPPED"),
        Sighting("?", State.NEEDS_HUMAN, Reason.QR_WANTED, claim="SCAN_QR_CODE", paired=False),
    ]
)


@dataclass(frozen=True)
class Move:
    """What happens between two steps, and for how many looks."""

    change: dict[str, Sighting | None]
    uplink: UplinkState
    store_ok: bool | None
    reading: str
    process: int | None
    gone: bool
    cpu: float | None
    memory: int | None
    kills: tuple[int | None, bool | None]
    window: bool | None
    refused: bool
    redis_ok: bool | None
    mistyped: tuple[str, ...]
    disk_low: bool
    keeper: str | None
    programs: tuple[str, ...] | None
    writable: bool
    outcome: Outcome | None
    orders: list[Order]
    first: bool
    every: float
    looks: int


orders = st.builds(
    Order,
    id=st.sampled_from(["o1", "o2"]),
    kind=st.sampled_from(OrderKind),
    session=st.sampled_from([None, "a", "b", "nobody"]),
    force=st.booleans(),
    pause_for=st.sampled_from([None, 0.0, 60.0]),
)

moves = st.builds(
    Move,
    change=st.dictionaries(st.sampled_from(NAMES), st.one_of(natural, sightings, st.none()), max_size=3),
    uplink=st.sampled_from([UplinkState.UP, UplinkState.UP, UplinkState.UP, *UplinkState]),
    store_ok=st.sampled_from([True, True, None, False]),
    reading=st.sampled_from(["read", "read", "read", "read", "unreadable", "silent", "untried"]),
    process=st.sampled_from([None, 1, 1, 1, 2]),
    gone=st.sampled_from([False, False, False, True]),
    cpu=st.sampled_from([None, 1.0, 30.0]),
    memory=st.sampled_from([None, 10, 10, 97, 120]),
    kills=st.sampled_from([(None, None), (0, False), (1, True)]),
    window=st.sampled_from([None, False, True]),
    refused=st.booleans(),
    redis_ok=st.sampled_from([None, None, None, True, False]),
    mistyped=st.sampled_from([(), (), (), ("a",)]),
    disk_low=st.sampled_from([False, False, False, True]),
    keeper=st.sampled_from([None, "systemd"]),
    programs=st.sampled_from([("gows",), ("gows",), (), (), None]),
    writable=st.sampled_from([True, True, True, False]),
    outcome=st.sampled_from([None, *Outcome]),
    orders=st.sampled_from([0, 0, 0, 1, 2]).flatmap(lambda n: st.lists(orders, min_size=n, max_size=n)),
    first=st.sampled_from([False] * 9 + [True]),
    every=st.sampled_from([0.0, 1.0, 5.0, 60.0, 4000.0]),
    looks=st.integers(1, 6),
)


@dataclass
class World:
    """Feeds moves to the decider and checks, after each step, what must always hold."""

    policy: Policy
    memory: Memory = field(default_factory=Memory)
    now: float = 0.0
    seen: dict[str, Sighting] = field(default_factory=dict)
    pending: dict[str, tuple[float, Remedy]] = field(default_factory=dict)
    made: dict[str, list[float]] = field(default_factory=dict)
    """Times of the remedies of each session that were made, or may have been."""
    remedies: int = 0
    with_engine: set[str | None] = field(default_factory=set)
    """Runs of the gateway process in which its engine was seen."""

    def play(self, move: Move, dice: float) -> None:
        for name, sighting in move.change.items():
            if sighting is None:
                self.seen.pop(name, None)
            else:
                self.seen[name] = Sighting(name, *_fields(sighting))
        for look in range(move.looks):
            self._step(move, dice, first=move.first and look == 0, ordered=look == 0)

    def _step(self, move: Move, dice: float, *, first: bool, ordered: bool) -> None:
        self.now += move.every
        observation = Observation(
            look=self._look(move),
            process=ProcessReading(
                exists=False if move.gone else move.process is not None or None,
                pid=None if move.gone else move.process,
                started=1.0,
                cpu_percent=move.cpu,
                rss_bytes=move.memory,
                processes=None if move.programs is None else 1 + len(move.programs),
                programs=move.programs or (),
                oom_kills=move.kills[0],
                oom_killed=move.kills[1],
                keeper=move.keeper,
            ),
            in_maintenance=move.window,
            uplink=Uplink(state=move.uplink, refused=move.refused),
            redis_ok=move.redis_ok,
            mistyped=move.mistyped,
            disk_low=move.disk_low,
            first=first,
            state_writable=move.writable,
            results=self._results(move.outcome),
            orders=tuple(move.orders) if ordered else (),
        )
        if move.programs and observation.process.exists:
            self.with_engine.add(observation.process.run)
        before = self.memory
        decision = step(before, observation, self.now, dice, self.policy)
        assert decision == step(before, observation, self.now, dice, self.policy)
        text = dump(decision.memory)
        self.memory = load(text)
        assert self.memory == decision.memory
        assert dump(self.memory) == text
        assert len(decision.replies) == len(observation.orders)
        for remedy in decision.remedies:
            self._check_remedy(remedy, observation, before, decision)
        self._check_health(observation, decision)
        for remedy in decision.remedies:
            self.remedies += 1
            self.pending[remedy.id] = self.now, remedy
            self.made.setdefault(remedy.session, []).append(self.now)

    def _look(self, move: Move) -> Look:
        if move.reading == "read":
            return Look(reachable=True, sightings=tuple(self.seen.values()), store_ok=move.store_ok)
        if move.reading == "unreadable":
            return Look(reachable=True, trouble=Trouble.BAD_BODY, detail="no list", store_ok=move.store_ok)
        return Look(reachable=False if move.reading == "silent" else None, trouble=Trouble.TIMED_OUT)

    def _results(self, outcome: Outcome | None) -> tuple[Result, ...]:
        if outcome is None:
            return ()
        results = [Result(one.id, one.session, one.kind, outcome) for _, one in self.pending.values()]
        if not outcome.was_made:
            for at, one in self.pending.values():
                known = self.memory.sessions.get(one.session)
                of_session = None if known is None else known.attempt
                attempt = self.memory.gateway.attempt if one.kind is GATEWAY else of_session
                if attempt is not None and attempt.id == one.id and attempt.outcome is None:
                    self.made[one.session].remove(at)
        self.pending.clear()
        # Also what nobody asked for, and what was heard before.
        return (*results, *results[:1], Result("a999", "a", RESTART, outcome), Result("a1", "nobody", START, outcome))

    def _check_remedy(self, remedy: Remedy, seen: Observation, before: Memory, decision: Decision) -> None:
        assert seen.state_writable
        known = before.gateway.attempt
        ended = known is None or known.outcome is not None or known.id in {one.remedy_id for one in seen.results}
        assert ended or not remedy.ordered
        if remedy.forced:
            assert remedy.ordered
        if remedy.kind is GATEWAY:
            self._check_gateway_restart(remedy, seen, decision)
        elif not remedy.forced:
            self._check_session_remedy(remedy, seen, before, decision)

    def _check_gateway_restart(self, remedy: Remedy, seen: Observation, decision: Decision) -> None:
        assert self.policy.restarter != "none"
        assert seen.mistyped == ()
        assert decision.remedies == (remedy,)
        assert not [one for one in decision.memory.sessions.values() if one.attempt and one.attempt.outcome is None]
        attempt = decision.memory.gateway.attempt
        assert attempt is not None
        assert attempt.id == remedy.id
        if remedy.forced:
            return
        assert seen.redis_ok is not False
        assert seen.look.store_ok is not False
        assert not seen.disk_low
        if self.policy.uplink_watched:
            of_process = remedy.ordered or remedy.cause in (Reason.GATEWAY_GONE, Reason.GATEWAY_HUNG)
            assert seen.uplink.state is UplinkState.UP or of_process
        if remedy.ordered:
            return
        assert self.policy.act
        assert decision.health.paused is None
        assert self.now >= decision.memory.gateway.grace_until
        budget, made = self.policy.budget, self.made.get("", [])
        assert len([at for at in made if self.now - at < HOUR]) < budget.gateway_per_hour
        assert len([at for at in made if self.now - at < DAY]) < budget.gateway_per_day
        if remedy.cause is Reason.GATEWAY_GONE:
            assert seen.process.exists is False
        elif remedy.cause is Reason.GATEWAY_HUNG:
            assert seen.process.exists is True
            assert seen.look.reachable is not True
        elif remedy.cause is Reason.ENGINE_GONE:
            assert self.policy.gateway_kind == "waha"
            assert seen.process.exists is True
            assert seen.process.processes == 1
            assert seen.process.run in self.with_engine
            assert not [one for one in seen.look.sightings or () if one.state is State.WORKING]
        elif not remedy.sessions:
            self._check_limits(remedy, seen)
        assert not decision.memory.gateway.crashes.looping

    def _check_limits(self, remedy: Remedy, seen: Observation) -> None:
        if remedy.cause is Reason.MEMORY_LEAK:
            assert seen.in_maintenance is True
            return
        rules = {
            Reason.MEMORY_HIGH: (self.policy.memory, seen.process.rss_bytes),
            Reason.CPU_HIGH: (self.policy.cpu, seen.process.cpu_percent),
        }
        rule, used = rules[remedy.cause]
        assert rule is not None
        assert rule.restart is not None
        assert used is not None
        assert used >= rule.restart

    def _check_session_remedy(self, remedy: Remedy, seen: Observation, before: Memory, decision: Decision) -> None:
        assert remedy.kind in (START, RESTART, PARK)
        assert remedy.kind is PARK or remedy.session not in seen.mistyped
        sighting = self.seen[remedy.session]
        assert seen.look.sightings is not None
        working = {one.name for one in seen.look.sightings if one.state is State.WORKING}
        if self.policy.uplink_watched and (remedy.kind is not PARK or sighting.state is State.STARTING):
            assert seen.uplink.state is UplinkState.UP
        if remedy.kind is not PARK:
            assert seen.redis_ok is not False
            assert seen.look.store_ok is True or (seen.look.store_ok is None and self.policy.gateway_kind == "waha")
        if remedy.ordered:
            return
        assert self.policy.act
        assert decision.health.paused is None
        assert self.now >= decision.memory.gateway.grace_until
        fitting = {
            START: (State.STOPPED,),
            RESTART: (State.STARTING, State.FAILED),
            PARK: (State.STARTING, State.FAILED, State.WORKING),
        }
        assert sighting.state in fitting[remedy.kind]
        if remedy.kind is PARK:
            assert self.policy.park == "auto"
            assert self.policy.gateway_kind == "waha"
            return
        if sighting.state is State.STARTING and not working - {remedy.session}:
            assert remedy.lone
            kept = seen.process.keeper is not None or self.policy.restarter != "none"
            assert kept or self.policy.gateway_kind == "evolution"
            others = [one.attempt for name, one in before.sessions.items() if name != remedy.session]
            assert len([one for one in decision.remedies if one.lone and not one.ordered]) == 1
            assert not any(one.lone for one in others if one is not None and _is_still_open(one.id, decision))
        budget = self.policy.budget
        recent = [at for at in self.made.get(remedy.session, []) if self.now - at < HOUR]
        assert len(recent) < budget.per_session_per_hour
        open_calls = [one for one in decision.memory.sessions.values() if one.attempt and one.attempt.outcome is None]
        ordered = [one for one in open_calls if one.attempt and one.attempt.ordered]
        assert len(open_calls) - len(ordered) <= budget.concurrent
        session = before.sessions.get(remedy.session)
        if session is not None and session.last_restart is not None and remedy.kind is RESTART:
            assert self.now >= session.last_restart + self.policy.restart_spacing

    def _check_health(self, seen: Observation, decision: Decision) -> None:
        health = decision.health
        groups = [one.group for one in health.sessions]
        connections = health.connections
        assert connections.total == len(groups) == len(decision.memory.sessions)
        assert connections.active == groups.count("active")
        assert connections.failed == groups.count("failed")
        assert connections.recovering == groups.count("recovering")
        assert connections.needs_human == groups.count("needs_human")
        assert connections.stopped == groups.count("stopped")
        assert len(set(groups) - {"active", "failed", "recovering", "needs_human", "stopped"}) == 0
        assert health.ready == decision.memory.readiness.ready
        if not seen.state_writable or [one for one in health.sessions if one.expected and not one.usable]:
            assert health.status is not Status.HEALTHY
        for one in health.sessions:
            memory = decision.memory.sessions[one.name]
            assert (one.group == "recovering") == (memory.attempt is not None)
            assert (
                one.next or one.condition is Condition.HEALTHY or memory.absent_since is not None or _unread(one.group)
            )
            assert memory.breaker.state is not BreakerState.HALF_OPEN or memory.attempt is not None
            assert memory.condition is not Condition.HEALTHY or memory.state is State.WORKING
        assert all(one.text and "None" not in one.text for one in decision.journal)


def _unread(group: str) -> bool:
    return group == "failed"


def _is_still_open(identity: str, decision: Decision) -> bool:
    attempts = [one.attempt for one in decision.memory.sessions.values()]
    return any(one is not None and one.id == identity for one in attempts)


def _fields(sighting: Sighting) -> tuple[State, Reason, str, bool | None, bool]:
    return sighting.state, sighting.reason, sighting.claim, sighting.paired, sighting.fresh


relaxed = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)


@relaxed
@given(policies, st.lists(moves, min_size=1, max_size=12), st.floats(0, 1, exclude_max=True))
def test_whatever_happens_the_promises_hold(policy: Policy, script: list[Move], dice: float) -> None:
    world = World(policy)
    for move in script:
        world.play(move, dice)


@relaxed
@given(st.lists(moves, min_size=5, max_size=20))
def test_whatever_happens_to_an_eager_supervisor_the_promises_hold(script: list[Move]) -> None:
    world = World(eager)
    for move in script:
        world.play(move, 0.5)


calm_moves = st.builds(
    Move,
    change=st.dictionaries(st.sampled_from(NAMES[:2]), natural, max_size=2),
    uplink=st.just(UplinkState.UP),
    store_ok=st.none(),
    reading=st.sampled_from(["read"] * 5 + ["unreadable"]),
    process=st.sampled_from([1, 1, 1, 1, 2, None]),
    gone=st.sampled_from([False] * 9 + [True]),
    cpu=st.none(),
    memory=st.none(),
    kills=st.just((None, None)),
    window=st.none(),
    refused=st.just(False),
    redis_ok=st.none(),
    mistyped=st.just(()),
    disk_low=st.just(False),
    keeper=st.just("systemd"),
    programs=st.sampled_from([("gows",), (), (), None]),
    writable=st.just(True),
    outcome=st.sampled_from([None, Outcome.ACCEPTED, Outcome.WITHHELD]),
    orders=st.just([]),
    first=st.sampled_from([False] * 9 + [True]),
    every=st.sampled_from([1.0, 5.0, 15.0]),
    looks=st.integers(1, 8),
)


@relaxed
@given(st.lists(calm_moves, min_size=3, max_size=15))
def test_whatever_happens_to_an_engine_the_promises_hold(script: list[Move]) -> None:
    world = World(eager)
    for move in script:
        world.play(move, 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_the_memory_does_not_grow_in_a_long_life(seed: int) -> None:
    dice = Random(seed)
    world = World(eager)
    states = [State.WORKING, State.STARTING, State.FAILED, State.STOPPED, State.NEEDS_HUMAN]
    reasons = [Reason.NONE, Reason.RECONNECTING, Reason.UNEXPLAINED, Reason.STOPPED, Reason.QR_WANTED]
    sizes: list[int] = []
    for turn in range(1500):
        which = dice.randrange(5)
        change: dict[str, Sighting | None] = {
            dice.choice(NAMES): None
            if dice.random() < 0.1
            else Sighting("?", states[which], reasons[which], claim="WORDS", paired=True)
        }
        world.play(
            Move(
                change=change,
                uplink=dice.choice([UplinkState.UP, UplinkState.UP, UplinkState.DOWN]),
                store_ok=None,
                reading=dice.choice(["read"] * 9 + ["silent"]),
                process=dice.choice([1] * 50 + [2]),
                gone=dice.random() < 0.05,
                cpu=dice.choice([None, 2.0, 30.0]),
                memory=dice.choice([None, 10, 60, 120]),
                kills=(dice.randint(0, 3), dice.random() < 0.1),
                window=dice.choice([None, False, True]),
                refused=dice.random() < 0.2,
                redis_ok=None,
                mistyped=(),
                disk_low=False,
                keeper="systemd",
                programs=() if turn % 7 == 0 else ("gows",),
                writable=True,
                outcome=dice.choice([None, *Outcome]),
                orders=[Order("o1", OrderKind.RESTART, "a")] if dice.random() < 0.05 else [],
                first=dice.random() < 0.01,
                every=dice.choice([1.0, 5.0, 30.0]),
                looks=1,
            ),
            dice.random(),
        )
        if turn % 100 == 99:
            sizes.append(len(dump(world.memory)))
    assert world.remedies > 30
    assert max(sizes) < 8000
    assert max(sizes[7:]) < 2 * max(sizes[:7])

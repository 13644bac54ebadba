"""The whole loop in virtual time: the decider, and the simulated gateways that live as the real ones were measured.

What `runtime/` does is done here in a few lines: a look every `poll_every`, the uplink asked at most every 30 s and
only when the decider wants it, the last look right before a remedy, and a call that ends when the gateway ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from wasupervisor.decide.confirm import objection
from wasupervisor.decide.decision import Decision
from wasupervisor.decide.memory import Memory, dump, load
from wasupervisor.decide.step import step
from wasupervisor.gateways import evolution_truths, waha
from wasupervisor.model.health import Health, SessionHealth, Status
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.observation import (
    CloseLook,
    Look,
    Observation,
    ProcessReading,
    Trouble,
    Uplink,
    UplinkState,
)
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Outcome, Remedy, RemedyKind, Result
from wasupervisor.model.sessions import Sighting, State
from wasupervisor.simulator import world as simulated
from wasupervisor.simulator.evolution_world import EvolutionSession, EvolutionWorld
from wasupervisor.simulator.faults import WorldFault
from wasupervisor.simulator.happen import apply
from wasupervisor.simulator.virtual import Pending
from wasupervisor.simulator.waha_world import WahaWorld

TIMEOUT = 10.0
UPLINK_EVERY, UPLINK_EVERY_WHILE_DOWN, UPLINK_STALE, UPLINK_TIMEOUT = 30.0, 10.0, 60.0, 5.0
GOOD = (simulated.UplinkState.UP, simulated.UplinkState.NO_LOGIN)
"""The upgrade is answered with 101."""


@dataclass
class Loop:
    """One supervisor beside one simulated gateway."""

    world: WahaWorld | EvolutionWorld
    policy: Policy
    keeper: str | None = "systemd"
    dice: float = 0.3
    memory: Memory = field(default_factory=Memory)
    first: bool = True
    now: float = 0.0
    asked: tuple[float, Uplink] | None = None
    ask_uplink: bool = False
    results: list[Result] = field(default_factory=list)
    calls: list[tuple[float, Remedy, Outcome]] = field(default_factory=list)
    """When each call was begun, and how it ended."""
    under_way: list[tuple[float, Remedy, Pending[Any]]] = field(default_factory=list)
    journal: list[tuple[float, Entry]] = field(default_factory=list)
    decision: Decision | None = None
    up_at: dict[str, float] = field(default_factory=dict)
    """When each session was first seen really healthy after it was not."""

    # Time

    def run(self, seconds: float) -> Loop:
        """Supervise for so long."""
        until = self.now + seconds
        while self.now < until - 1e-9:
            self.cycle()
        return self

    def happen(self, fault: WorldFault) -> float:
        """A fault begins now. Returns the time."""
        apply(self.world, fault)
        return self.now

    def cycle(self) -> None:
        """One look and what follows; a gateway that hangs makes it longer."""
        self._live(self.policy.poll_every)
        frozen = self.world.alive and self.world.frozen_since is not None
        if frozen:
            self._live(TIMEOUT)
        look = self._look(frozen=frozen)
        observation = Observation(
            look=look, process=self._process(), uplink=self._uplink(), first=self.first, results=tuple(self.results)
        )
        self.results, self.first = [], False
        decision = step(self.memory, observation, self.now, self.dice, self.policy)
        self.memory = load(dump(decision.memory))
        self.journal += [(self.now, one) for one in decision.journal]
        self.ask_uplink, self.decision = decision.ask_uplink, decision
        for remedy in decision.remedies:
            self._perform(remedy)

    def _live(self, seconds: float) -> None:
        """Let the gateway live, a bit at a time, and hear the ends of calls."""
        until = self.now + seconds
        while self.now < until - 1e-9:
            self.now = min(until, self.now + 0.25)
            self.world.advance(self.now)
            self._hear()
            for name, session in self.world.sessions.items():
                healthy = self.world.alive and bool(self.world.state_of(session)["healthy"])  # type: ignore[arg-type]
                if healthy:
                    self.up_at.setdefault(name, self.now)
                else:
                    self.up_at.pop(name, None)

    # Eyes

    def _look(self, *, frozen: bool) -> Look:
        if not self.world.alive:
            return Look(reachable=False, trouble=Trouble.REFUSED, detail="nobody listens")
        if frozen:
            return Look(reachable=False, trouble=Trouble.TIMED_OUT, detail="no answer within 10 s")
        if isinstance(self.world, WahaWorld):
            return Look(reachable=True, sightings=self._sightings(), run=f"{self.world.started_at:g}")
        store_ok = self.world.database_up
        return Look(reachable=True, sightings=self._sightings(), store_ok=store_ok)

    def _sightings(self) -> tuple[Sighting, ...]:
        if isinstance(self.world, WahaWorld):
            listed = [one for one in self.world.sessions.values() if one.listed]
            return tuple(waha.sight(one.name, one.claim or one.status, linked=one.me is not None) for one in listed)
        return tuple(_evolution(one) for one in self.world.sessions.values())

    def _close_look(self, name: str) -> CloseLook:
        world = self.world
        hangs = isinstance(world, EvolutionWorld) and world.mode == "A" and not world.redis_up
        if not world.alive or world.frozen_since is not None or hangs:
            return CloseLook(detail="no answer")
        seen = {one.name: one for one in self._sightings()}
        others = any(one.state is State.WORKING for one in seen.values() if one.name != name)
        store_ok = world.database_up if isinstance(world, EvolutionWorld) else None
        return CloseLook(sighting=seen.get(name), others_working=others, store_ok=store_ok)

    def _process(self) -> ProcessReading:
        if not self.world.alive:
            return ProcessReading(exists=False, keeper=self.keeper)
        return ProcessReading(exists=True, pid=4000 + self.world.run, started=self.world.started_at, keeper=self.keeper)

    def _uplink(self) -> Uplink:
        """The last reading; a new one is asked for beside the cycle, and is there for the next."""
        known, age = self.asked, float("inf") if self.asked is None else self.now - self.asked[0]
        down = known is not None and known[1].state is UplinkState.DOWN
        if self.ask_uplink and age >= (UPLINK_EVERY_WHILE_DOWN if down else UPLINK_EVERY):
            self.asked = self.now, self._uplink_is()
        if known is None or age > UPLINK_STALE:
            return Uplink()
        return replace(known[1], age_seconds=age)

    def _uplink_is(self) -> Uplink:
        refused = self.world.uplink is simulated.UplinkState.UPGRADE_503
        return Uplink(state=UplinkState.UP if self.world.uplink in GOOD else UplinkState.DOWN, refused=refused)

    # Hands

    def _perform(self, remedy: Remedy) -> None:
        uplink = self._uplink_is()
        self.asked = self.now, uplink
        against = objection(remedy, self._close_look(remedy.session), uplink, self.policy)
        if against is not None:
            self.results.append(Result(remedy.id, remedy.session, remedy.kind, Outcome.WITHHELD, against))
            return
        self.under_way.append((self.now, remedy, self._call(remedy)))
        self._hear()

    def _call(self, remedy: Remedy) -> Pending[Any]:
        world, name = self.world, remedy.session
        if isinstance(world, WahaWorld):
            verb = world.start if remedy.kind is RemedyKind.START_SESSION else world.restart
            return world.thawed().bind(lambda _: verb(name))
        assert remedy.kind is RemedyKind.RESTART_SESSION
        return world.redis_answers().map(lambda _: world.restart(world.sessions[name]))

    def _hear(self) -> None:
        left = []
        for begun, remedy, pending in self.under_way:
            outcome = None
            if pending.done:
                refused = not pending.dropped and pending.value is None
                outcome = Outcome.DROPPED if pending.dropped else Outcome.REFUSED if refused else Outcome.ACCEPTED
            elif self.now - begun >= self.policy.action_timeout:
                outcome = Outcome.TIMED_OUT
            if outcome is None:
                left.append((begun, remedy, pending))
                continue
            self.calls.append((begun, remedy, outcome))
            self.results.append(Result(remedy.id, remedy.session, remedy.kind, outcome))
        self.under_way = left

    # What came of it

    def status(self) -> Status:
        return self.health.status

    @property
    def health(self) -> Health:
        assert self.decision is not None
        return self.decision.health

    def session(self, name: str) -> SessionHealth:
        return next(one for one in self.health.sessions if one.name == name)

    @property
    def made(self) -> list[tuple[RemedyKind, str, Outcome]]:
        """The calls that were made."""
        return [(remedy.kind, remedy.session, outcome) for _, remedy, outcome in self.calls]

    def logins(self) -> dict[str, int]:
        """Logins of each session so far."""
        return {name: one.logins for name, one in self.world.sessions.items()}

    def told(self, kind: EntryKind) -> list[str]:
        return [one.text for _, one in self.journal if one.kind is kind]

    @property
    def all_up(self) -> bool:
        """Whether every session is really healthy, and is told so."""
        return len(self.up_at) == len(self.world.sessions) == self.health.connections.active


def _evolution(session: EvolutionSession) -> Sighting:
    row = evolution_truths.Row(database=session.database, code=session.reason_code, paired=session.known)
    return evolution_truths.sight(session.name, session.memory or evolution_truths.ABSENT, row)


def waha_loop(*names: str, keeper: bool = True, core: bool = False, **rest: Any) -> Loop:
    """A healthy WAHA and a supervisor that has seen it for a minute."""
    world = WahaWorld(list(names or ("default", "second")), keeper=keeper, core=core)
    return _settled(Loop(world, Policy(**rest), keeper="systemd" if keeper else None))


def evolution_loop(*names: str, keeper: bool = True, **rest: Any) -> Loop:
    """A healthy Evolution and a supervisor that has seen it for a minute."""
    world = EvolutionWorld(list(names or ("alpha", "beta", "gamma")), keeper=keeper)
    policy = replace(Policy(**rest), gateway_kind="evolution", restart_spacing=60.0)
    return _settled(Loop(world, policy, keeper="docker" if keeper else None))


def _settled(loop: Loop) -> Loop:
    loop.run(60)
    assert loop.all_up
    loop.journal.clear()
    for session in loop.world.sessions.values():
        session.logins = 0
    return loop


Make = Callable[..., Loop]

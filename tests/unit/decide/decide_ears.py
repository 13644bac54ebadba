"""A stage for deafness: weeks of looks, one every ten minutes, at sessions that hear what a scene says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from wasupervisor.decide.decision import Decision
from wasupervisor.decide.memory import Hearing, Listening, Memory, dump, load
from wasupervisor.decide.step import step
from wasupervisor.model.journal import Entry
from wasupervisor.model.observation import Look, Observation, ProcessReading, Uplink, UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Order, OrderKind
from wasupervisor.model.sessions import Reason, Sighting, State

HOUR, DAY, WEEK = 3600.0, 86400.0, 7 * 86400.0
SLOT = 600.0

Traffic = Callable[[float], int]
"""How much is heard in the ten minutes before a moment of the wall clock; that begins on a Monday at 00:00."""

TUESDAY_10 = DAY + 10 * HOUR


def office(wall: float) -> int:
    """Busy from 8 to 18 on workdays, and quiet at night and at the weekend."""
    return 2 if wall % WEEK < 5 * DAY and 8 * HOUR < wall % DAY <= 18 * HOUR else 0


def nothing(wall: float) -> int:
    return 0


def always(wall: float) -> int:
    return 1


def until(end: float, traffic: Traffic) -> Traffic:
    """The same traffic, and none from that moment on."""
    return lambda wall: traffic(wall) if wall <= end else 0


@dataclass
class Ears:
    """Looks at the sessions for as long as a scene wants."""

    traffic: dict[str, Traffic] = field(default_factory=lambda: {"a": office})
    policy: Policy = field(default_factory=lambda: Policy(startup_grace=0.0))
    memory: Memory = field(default_factory=Memory)
    now: float = 0.0
    ahead: float = 0.0
    """By how much the wall clock is ahead of the timeline."""
    every: float = SLOT
    tells_hour: bool = True
    tells: dict[str, bool] = field(default_factory=dict)
    """Sessions of which the gateway tells no activity."""
    states: dict[str, Sighting] = field(default_factory=dict)
    """Sessions that are otherwise than working."""
    readable: bool = True
    process: float = 1.0
    first: bool = True
    orders: list[Order] = field(default_factory=list)
    heard: dict[str, int] = field(default_factory=dict)
    journal: list[tuple[float, Entry]] = field(default_factory=list)
    """With the time of the wall clock."""
    decision: Decision | None = None
    writes: int = 0

    @property
    def wall(self) -> float:
        return self.now + self.ahead

    def look(self) -> Decision:
        """One look, `every` seconds after the last."""
        self.now += self.every
        for name, traffic in self.traffic.items():
            self.heard[name] = self.heard.get(name, 1000) + traffic(self.wall)
        decision = step(self.memory, self._observation(), self.now, 0.5, self.policy)
        self.orders, self.first, self.decision = [], False, decision
        if decision.memory != self.memory:
            self.memory = load(dump(decision.memory))
            self.writes += 1
        self.journal += [(self.wall, one) for one in decision.journal if one.reason is Reason.DEAF]
        return decision

    def run(self, seconds: float) -> Ears:
        """Look for so long."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.look()
        return self

    def run_to(self, wall: float) -> Ears:
        """Look until the wall clock shows this."""
        return self.run(wall - self.wall)

    def pause(self) -> None:
        self.orders.append(Order("o", OrderKind.PAUSE, by="eve"))

    def resume(self) -> None:
        self.orders.append(Order("o", OrderKind.RESUME, by="eve"))

    def restart(self, name: str = "a") -> None:
        self.orders.append(Order("o", OrderKind.RESTART, session=name, by="eve"))

    def hearing(self, name: str = "a") -> Hearing:
        hearing = self.memory.sessions[name].hearing
        assert hearing is not None
        return hearing

    @property
    def listening(self) -> Listening:
        assert self.memory.gateway.listening is not None
        return self.memory.gateway.listening

    @property
    def told(self) -> list[tuple[float, str | None, bool]]:
        """What the journal says of deafness: when, of whom, and whether it warns."""
        return [(wall, one.session, one.warn) for wall, one in self.journal]

    @property
    def notes(self) -> str:
        assert self.decision is not None
        return "\n".join(self.decision.health.notes)

    def _observation(self) -> Observation:
        look = Look(reachable=True, run="1")
        if self.readable:
            look = replace(look, sightings=tuple(self._sighting(name) for name in self.traffic))
        return Observation(
            look=look,
            process=ProcessReading(exists=True, pid=7, started=self.process, keeper="systemd"),
            uplink=Uplink(state=UplinkState.UP),
            first=self.first,
            orders=tuple(self.orders),
            hour_of_week=int(self.wall // HOUR) % 168 if self.tells_hour else None,
        )

    def _sighting(self, name: str) -> Sighting:
        activity = self.heard[name] if self.tells.get(name, True) else None
        well = Sighting(name, State.WORKING, claim="WORKING", paired=True)
        return replace(self.states.get(name, well), activity=activity)

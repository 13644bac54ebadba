"""A stage for the decider: virtual time, scripted sightings, and every memory sent through JSON on its way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from wasupervisor.decide.decision import Decision
from wasupervisor.decide.memory import Memory, SessionMemory, dump, load
from wasupervisor.decide.step import step
from wasupervisor.model.health import Health, SessionHealth, Status
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.observation import Look, Observation, ProbeResult, ProcessReading, Trouble, Uplink, UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Order, OrderKind, Outcome, Remedy, RemedyKind, Reply, Result
from wasupervisor.model.sessions import Reason, Sighting, State, Truths

CALM = Policy(startup_grace=0.0)
"""The defaults, without the grace of the start, so that a scene can begin at once."""

EVOLUTION = replace(CALM, gateway_kind="evolution", restart_spacing=60.0)

BUSY = 24.0
"""Per cent of CPU: what two clients that fight for one account cost Evolution 2.3.6."""


def working(name: str = "a") -> Sighting:
    return Sighting(name, State.WORKING, claim="WORKING", paired=True)


def starting(name: str = "a") -> Sighting:
    return Sighting(name, State.STARTING, Reason.RECONNECTING, claim="STARTING", paired=True)


def failed(name: str = "a") -> Sighting:
    """WAHA's FAILED with an account."""
    return Sighting(name, State.FAILED, Reason.UNEXPLAINED, claim="FAILED", paired=True)


def stopped(name: str = "a") -> Sighting:
    return Sighting(name, State.STOPPED, Reason.STOPPED, claim="STOPPED")


def wants_qr(name: str = "a") -> Sighting:
    return Sighting(name, State.NEEDS_HUMAN, Reason.QR_WANTED, claim="SCAN_QR_CODE", paired=False)


def unreadable(name: str = "a") -> Sighting:
    return Sighting(name, State.UNKNOWN, Reason.UNREADABLE, claim="QUANTUM")


def told(state: State, reason: Reason, name: str = "a") -> Sighting:
    return Sighting(name, state, reason, claim=str(state), paired=True)


def closed(name: str = "a") -> Sighting:
    """Evolution's `close` of an instance that the database calls open."""
    return instance("close", State.FAILED, Reason.CONNECTION_LOST, name)


def opened(name: str = "a") -> Sighting:
    return instance("open", State.WORKING, name=name)


def connecting(name: str = "a") -> Sighting:
    return instance("connecting", State.STARTING, Reason.RECONNECTING, name)


def not_loaded(name: str = "a") -> Sighting:
    return instance("absent", State.NOT_LOADED, Reason.NOT_LOADED, name)


def instance(memory: str, state: State, reason: Reason = Reason.NONE, name: str = "a", **rest: Any) -> Sighting:
    """An Evolution instance that the database calls open."""
    truths = Truths(memory=memory, database="open")
    claim = f"memory {memory}, database open"
    return Sighting(name, state, reason, claim=claim, paired=True, truths=truths, **rest)


@dataclass
class Stage:
    """Turns what a scene sets into observations, and keeps what the decider answers."""

    policy: Policy = CALM
    memory: Memory = field(default_factory=Memory)
    now: float = 1000.0
    dice: float = 0.5
    uplink: UplinkState = UplinkState.UP
    store_ok: bool | None = None
    reachable: bool = True
    readable: bool = True
    lacking: str = ""
    """The list is read, and this of it could not be."""
    trouble: Trouble = Trouble.TIMED_OUT
    detail: str = "no answer within 10 s"
    process: str | None = "P1"
    api: str | None = None
    keeper: str | None = "systemd waha.service"
    gone: bool = False
    """The process is known not to be there."""
    by_port: bool = False
    """And it is looked for by its port alone."""
    cpu: float | None = None
    memory_bytes: float | None = None
    """RSS of its tree."""
    grows: float = 0.0
    """By so many bytes a second."""
    limit_bytes: int | None = None
    """What the kernel grants it."""
    oom_kills: int | None = None
    oom_kills_above: int | None = None
    oom_killed: bool | None = None
    programs: tuple[str, ...] | None = None
    """Of its descendants; None: nobody could look."""
    in_maintenance: bool | None = None
    refused: bool = False
    """While the uplink is down: WhatsApp's answer to an upgrade is no websocket."""
    redis_ok: bool | None = None
    mistyped: tuple[str, ...] = ()
    disk_low: bool = False
    writable: bool = True
    answers: Outcome | None = Outcome.ACCEPTED
    """How the gateway answers each remedy, by the next look; None: the answer never comes."""
    first: bool = True
    seen: dict[str, Sighting] = field(default_factory=dict)
    pending: list[Result] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    probes: list[ProbeResult] = field(default_factory=list)
    remedies: list[tuple[float, Remedy]] = field(default_factory=list)
    journal: list[tuple[float, Entry]] = field(default_factory=list)
    decision: Decision | None = None
    writes: int = 0
    """How often the memory changed, and so would be written."""

    # What happens

    def see(self, *sightings: Sighting) -> None:
        """From now on the list shows just these."""
        self.seen = {one.name: one for one in sightings}

    def change(self, *sightings: Sighting) -> None:
        """From now on the list shows these otherwise."""
        self.seen.update({one.name: one for one in sightings})

    def order(self, kind: OrderKind, session: str | None = "a", **rest: Any) -> Reply:
        """Give an order, look once, and return the reply."""
        self.orders.append(Order("o1", kind, session, by="eve", **rest))
        return self.look().replies[0]

    def begin_anew(self, *sightings: Sighting) -> None:
        """Another gateway process answers, and its list shows just these; without any, what was shown before."""
        self.process = f"P{self._process_number + 1}"
        self.gone, self.reachable = False, True
        if sightings:
            self.see(*sightings)

    @property
    def _process_number(self) -> int:
        return int((self.process or "P0").lstrip("P"))

    def restart_supervisor(self, away: float = 0.0) -> None:
        """Kill -9 and a new start: what was pending is lost, the memory is what was written."""
        self.pending.clear()
        self.now += away
        self.first = True

    def look(self) -> Decision:
        """One cycle, `poll_every` after the last."""
        self.now += self.policy.poll_every
        if self.memory_bytes is not None:
            self.memory_bytes += self.grows * self.policy.poll_every
        return self.look_now()

    def look_now(self) -> Decision:
        """One more cycle at the same time."""
        observation = self._observation()
        self.orders, self.pending, self.probes, self.first = [], [], [], False
        decision = step(self.memory, observation, self.now, self.dice, self.policy)
        if decision.memory != self.memory:
            self.memory = load(dump(decision.memory))
            assert self.memory == decision.memory
            self.writes += 1
        self.remedies += [(self.now, one) for one in decision.remedies]
        self.journal += [(self.now, one) for one in decision.journal]
        if self.answers is not None:
            self.pending += [result_of(one, self.answers) for one in decision.remedies]
        self.decision = decision
        return decision

    def run(self, seconds: float) -> Stage:
        """Look for so long."""
        until = self.now + seconds
        while self.now < until - 1e-9:
            self.look()
        return self

    def run_until_remedy(self, limit: float = 3600.0) -> Remedy:
        """Look until a remedy is decided."""
        count, until = len(self.remedies), self.now + limit
        while len(self.remedies) == count:
            assert self.now < until, f"no remedy within {limit:g} s: {self.health('a')}"
            self.look()
        return self.remedies[count][1]

    def healthy(self, *names: str) -> Stage:
        """Bring the sessions to healthy, and forget the journal so far."""
        self.see(*(working(name) for name in names or ("a",)))
        self.run(self.policy.stable_for + 3 * self.policy.poll_every)
        self.journal.clear()
        return self

    # What came of it

    def session(self, name: str = "a") -> SessionMemory:
        return self.memory.sessions[name]

    def health(self, name: str = "a") -> SessionHealth:
        return next(one for one in self.whole.sessions if one.name == name)

    @property
    def whole(self) -> Health:
        """The health of everything."""
        assert self.decision is not None
        return self.decision.health

    def status(self) -> Status:
        """Its first word."""
        return self.whole.status

    @property
    def notes(self) -> str:
        return "\n".join(self.whole.notes)

    @property
    def gateway_restarts(self) -> list[float]:
        """When restarts of the gateway process were decided."""
        return [when for when, one in self.remedies if one.kind is RemedyKind.RESTART_GATEWAY]

    @property
    def made(self) -> list[tuple[RemedyKind, str]]:
        """The remedies so far."""
        return [(one.kind, one.session) for _, one in self.remedies]

    def told(self, kind: EntryKind, session: str | None = None) -> list[str]:
        """What the journal says of this kind."""
        return [one.text for _, one in self.journal if one.kind is kind and session in (None, one.session)]

    @property
    def withheld(self) -> list[str]:
        """The journal's withholdings."""
        return self.told(EntryKind.WITHHELD)

    def journal_time(self, kind: EntryKind) -> float:
        """When the journal first told of this kind."""
        return next(when for when, one in self.journal if one.kind is kind)

    def _observation(self) -> Observation:
        look = Look(reachable=False, trouble=self.trouble, detail=self.detail)
        if self.reachable:
            read = self.readable
            look = Look(
                reachable=True,
                sightings=tuple(self.seen.values()) if read else None,
                trouble=None if read and not self.lacking else Trouble.BAD_STATUS,
                detail=self.lacking if read else "answered with 500",
                run=self.api,
                store_ok=self.store_ok,
            )
        process = ProcessReading(keeper=self.keeper)
        if self.process is not None:
            started = float(self.process.lstrip("P"))
            process = ProcessReading(
                exists=True,
                pid=4711,
                started=started,
                cpu_percent=self.cpu,
                rss_bytes=None if self.memory_bytes is None else round(self.memory_bytes),
                limit_bytes=self.limit_bytes,
                processes=None if self.programs is None else 1 + len(self.programs),
                programs=self.programs or (),
                oom_kills=self.oom_kills,
                oom_kills_above=self.oom_kills_above,
                oom_killed=self.oom_killed,
                keeper=self.keeper,
            )
        if self.gone:
            process = ProcessReading(exists=False, keeper=self.keeper, by_port=self.by_port, oom_killed=self.oom_killed)
        return Observation(
            look=look,
            process=process,
            uplink=Uplink(state=self.uplink, refused=self.refused),
            first=self.first,
            state_writable=self.writable,
            results=tuple(self.pending),
            orders=tuple(self.orders),
            probes=tuple(self.probes),
            redis_ok=self.redis_ok,
            mistyped=self.mistyped,
            disk_low=self.disk_low,
            in_maintenance=self.in_maintenance,
        )


def result_of(remedy: Remedy, outcome: Outcome, detail: str = "") -> Result:
    return Result(remedy.id, remedy.session, remedy.kind, outcome, detail)


def names(prefix: str, number: int) -> tuple[str, ...]:
    """`s01`, `s02`, ..."""
    return tuple(f"{prefix}{index:02d}" for index in range(1, number + 1))


def all_of(make: Any, session_names: Iterable[str]) -> tuple[Sighting, ...]:
    return tuple(make(name) for name in session_names)

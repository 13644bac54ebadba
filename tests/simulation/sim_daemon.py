"""One life of the supervisor in virtual time: what `runtime/` does, around the real decider and the real adapters.

A copy in small of `runtime/cycle.py`, `watch.py`, `performing.py`, `recorder.py` and `pulse.py`, with the places marked
where a kill -9 can strike.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from msgspec.structs import replace
from sim_events import Ordered
from sim_fibers import Fiber, Fibers, Stop, Wait, sleep
from sim_jump import jumped, mind
from sim_site import Site
from sim_wire import VirtualHttp

from wasupervisor.decide.confirm import gateway_objection, is_other_run, objection
from wasupervisor.decide.hearing import hear
from wasupervisor.decide.memory import Memory
from wasupervisor.decide.step import step
from wasupervisor.gateways.evolution import EvolutionGateway
from wasupervisor.gateways.waha import WahaGateway
from wasupervisor.model.journal import Entry
from wasupervisor.model.observation import (
    CloseLook,
    Look,
    Observation,
    ProbeResult,
    Proof,
    Trouble,
    Uplink,
    UplinkState,
)
from wasupervisor.model.remedies import Order, OrderKind, Outcome, Remedy, RemedyKind, Result
from wasupervisor.model.sessions import Reason
from wasupervisor.simulator.virtual import Pending

TIMEOUT = 10.0
"""`gateway.timeout`."""
UPLINK_EVERY, UPLINK_EVERY_WHILE_DOWN, UPLINK_STALE, FRESH_UPLINK = 30.0, 10.0, 60.0, 5.0
FINISH_WITHIN, SAVE_EVERY = 25.0, 60.0
DRAIN, TURN_MARGIN, PROBE_TIMEOUT, PROBES_AT_ONCE = 5.0, 10.0, 15.0, 2
UNWRITABLE = "the state cannot be written, and nothing is done that would not be on the books"


class Daemon:
    """From its start to its end."""

    def __init__(self, site: Site) -> None:
        self.site, self.world, self.policy = site, site.world, site.policy
        self.fibers = Fibers(site.world, self._died)
        self.timeline = site.timeline()
        self.memory: Memory = site.disk.load()
        self._written = self.memory if site.disk.memory is not None else None
        self._written_at = self.timeline.now()
        self.gateway = _adapter(site, self.fibers)
        self._results: list[Result] = []
        self._orders: list[Order] = []
        self._attempts: list[Attempt] = []
        self._probes: list[ProbeResult] = []
        self._probing: set[str] = set()
        self._last: Observation | None = None
        self._wanted: list[Pending[None]] = []
        """Who waits for a look that begins from now on."""
        self._first, self._writable, self.asks_uplink = True, True, False
        self._uplink: tuple[float, Uplink] | None = None
        self._asking: Pending[Uplink] | None = None
        self._wake: Pending[None] = Pending()
        self._idle: Pending[None] = Pending.of(None)
        self._stopping = False
        self._due = site.now
        self._remembered: tuple[object, ...] = ()
        self._same: Observation | None = None
        """The last observation, when the next one is the same unless something happens."""
        site.world.later(0.0, self._start)

    def _start(self) -> None:
        self.fibers.start(self._live())

    # From outside

    def order(self, event: Ordered, identity: str) -> None:
        """An operator wants something."""
        order = Order(
            id=identity,
            kind=OrderKind(event.order),
            session=event.session,
            pause_for=event.pause_for,
            force=event.force,
            by="eve",
        )
        self._orders.append(order)
        self._wake_up()

    def finish(self, ended: Callable[[], None]) -> None:
        """SIGTERM: no new turn; remedies get their time; what was heard is written."""
        if not self._stopping:
            self._stopping = True
            self._let_go([attempt for attempt in self._attempts if not attempt.begun])
            self.fibers.start(self._finish(ended))

    def _let_go(self, attempts: list[Attempt]) -> None:
        """Of what has begun nobody will hear the end; what has not begun is not made."""
        for attempt in attempts:
            if attempt.fiber is not None:
                attempt.fiber.abandon()
            outcome = Outcome.TIMED_OUT if attempt.begun else Outcome.WITHHELD
            self._end(attempt, outcome, "the supervisor stops")

    async def _finish(self, ended: Callable[[], None]) -> None:
        await Wait(self.world, self._idle, FINISH_WITHIN)
        self._let_go(list(self._attempts))
        now = self.timeline.now()
        self.memory, heard = hear(self.memory, self._results, now, self.policy)
        self.site.promises.recorded(self.memory, written=self._record(heard))
        self.world.later(0.0, ended)

    def _died(self) -> None:
        if self.site.daemon is self:
            armed = self.site.armed
            self.site.die(armed.away if armed is not None else 1.0)

    # The loop

    async def _live(self) -> None:
        while not self._stopping:
            await self._turn()
            self._due = max(self._due + self.policy.poll_every, self.site.now)
            if self.site.jumps and self._same is not None:
                self._jump(self._same)
            if await Wait(self.world, self._wake, until=self._due):
                self._due = self.site.now
            self._wake = Pending()

    def _jump(self, observation: Observation) -> None:
        """Over the polls that would change nothing."""
        self._due, polls = jumped(self, observation, self._due)
        self.site.jumped += polls
        for _ in range(polls):
            self.site.dice.random()  # each of them would have thrown once
        if polls:
            self.site.promises.goes_on(observation, self._due - self.policy.poll_every)

    def line_at(self, at: float) -> float:
        """The timeline at a time of the world."""
        return self.timeline._start + (at - self.site.booted_at - self.timeline._start_boottime)

    def deadlines(self) -> tuple[float, ...]:
        """When, by the world's time, the next look or its record would be another one though nothing happened."""
        written_at = self._written_at - self.line_at(0.0)
        asked_at = -inf if self._uplink is None else self._uplink[0]
        asks = self.asks_uplink and self._asking is None
        asks_at = max(asked_at + self._uplink_every(), self.site.now) if asks else inf
        return written_at + SAVE_EVERY, asks_at, asked_at + UPLINK_STALE, self.site.next_hour

    def _wake_up(self) -> None:
        self._wake.finish(None)

    async def _turn(self) -> None:
        began, self._same = self.site.now, None
        observation = await self._observe()
        if self._stopping:
            return
        before, now = self.memory, self.timeline.now()
        decision = step(before, observation, now, self.site.dice.random(), self.policy)
        self._first, self.asks_uplink = False, decision.ask_uplink
        self.site.promises.decided(self, before, observation, decision, now)
        self._may_die("before_persist", decision.remedies)
        self.memory = decision.memory
        self._writable = self._record(decision.journal)
        self.site.promises.recorded(decision.memory, decision.alerts, written=self._writable)
        self._may_die("after_persist", decision.remedies)
        for remedy in decision.remedies:
            if self._writable:
                self._perform(remedy)
            else:
                self._results.append(_result(remedy, Outcome.WITHHELD, UNWRITABLE))
        for name in decision.probes:
            if self._writable and name not in self._probing and len(self._probing) < PROBES_AT_ONCE:
                self.fibers.start(self._probe(name))
        remembered, self._remembered = self._remembered, self._mind()
        settled = self._is_idle() and self.site.now == began and self._remembered == remembered
        self._same = replace(observation, state_writable=self._writable) if settled else None

    def _mind(self) -> tuple[object, ...]:
        return mind(self.gateway), self.site.door.mind()

    def _is_idle(self) -> bool:
        """Whether nothing waits to be heard, and what is remembered is written, or cannot be."""
        saved = self.memory == self._written if self._writable else not self.site.disk.writable
        return saved and not (self._attempts or self._results or self._orders or self._probes or self._probing)

    def _may_die(self, where: str, remedies: tuple[Remedy, ...]) -> None:
        if self.site.is_struck(where, remedies):
            raise Stop

    def _record(self, entries: tuple[Entry, ...]) -> bool:
        """As `StoreRecorder`: only when something changed, or when it is time."""
        now = self.timeline.now()
        due = now - self._written_at >= SAVE_EVERY or not self._writable
        if not entries and not due and self.memory == self._written:
            return True
        if not self.site.save(self.memory, entries, self.timeline):
            return False
        self._written, self._written_at = self.memory, now
        return True

    # Eyes

    async def _observe(self) -> Observation:
        if self.asks_uplink and self._asking is None and self._uplink_age() >= self._uplink_every():
            self.fibers.start(self._uplink_reading(self._uplink_every()))
        awaited, self._wanted = self._wanted, []
        process = self.site.process()
        looking = self.fibers.start(self.gateway.look())
        look = Look(reachable=False, trouble=Trouble.TIMED_OUT, detail=f"no answer within {TIMEOUT:g} s")
        if await Wait(self.world, looking.result, TIMEOUT):
            look = looking.result.value
        else:
            looking.abandon()
        about_sessions = any(order.kind not in (OrderKind.PAUSE, OrderKind.RESUME) for order in self._orders)
        if about_sessions and self._uplink_now().state is UplinkState.UNKNOWN:
            await self._uplink_reading(UPLINK_EVERY)
        observation = Observation(
            look=look,
            process=process,
            uplink=self._uplink_now(),
            first=self._first,
            state_writable=self._writable,
            results=tuple(self._results),
            orders=tuple(self._orders),
            probes=tuple(self._probes),
            hour_of_week=self.site.hour_of_week,
            disk_low=self.site.disk_low,
            redis_ok=self.site.redis_ok,
            mistyped=self.site.mistyped,
        )
        self._results, self._orders, self._probes = [], [], []
        self._last = observation
        for one in awaited:
            one.finish(None)
        return observation

    async def _uplink_reading(self, max_age: float) -> Uplink:
        if self._asking is None and self._uplink_age() >= max_age:
            self._asking = self.site.ask_uplink()
        if self._asking is not None:
            asked = self._asking
            await Wait(self.world, asked, None)
            if self._asking is asked:
                self._uplink, self._asking = (self.site.now, asked.value), None
        return self._uplink_now()

    def _uplink_every(self) -> float:
        down = self._uplink is not None and self._uplink[1].state is UplinkState.DOWN
        return UPLINK_EVERY_WHILE_DOWN if down else UPLINK_EVERY

    def _uplink_age(self) -> float:
        return float("inf") if self._uplink is None else self.site.now - self._uplink[0]

    def _uplink_now(self) -> Uplink:
        age = self._uplink_age()
        if self._uplink is None or age > UPLINK_STALE:
            return Uplink()
        return replace(self._uplink[1], age_seconds=age)

    # Hands

    def _perform(self, remedy: Remedy) -> None:
        if not self._attempts:
            self._idle = Pending()
        attempt = Attempt(remedy)
        self._attempts.append(attempt)
        gateway = remedy.kind is RemedyKind.RESTART_GATEWAY
        attempt.fiber = self.fibers.start(self._restart(attempt) if gateway else self._treat(attempt))

    async def _treat(self, attempt: Attempt) -> None:
        """Act on one session."""
        remedy = attempt.remedy
        uplink, look, against = await self._look_again(remedy)
        if against is None and remedy.cause is Reason.FALSE_WORKING and not remedy.forced:
            proof = (await self.gateway.probe(remedy.session, PROBE_TIMEOUT)).proof
            if proof is Proof.MISSED:
                uplink, look, against = await self._look_again(remedy)
            else:
                against = f"a probe right before: {proof}"
        if against is not None:
            self._end(attempt, Outcome.WITHHELD, against)
            return
        self._begin(attempt)
        self.site.promises.calls(self, remedy, look, uplink)
        verbs = {
            RemedyKind.START_SESSION: self.gateway.start_session,
            RemedyKind.RESTART_SESSION: self.gateway.restart_session,
            RemedyKind.PARK_SESSION: self.gateway.park_session,
        }
        answer = await verbs[remedy.kind](remedy.session)
        self._end(attempt, answer.outcome, answer.detail)

    async def _look_again(self, remedy: Remedy) -> tuple[Uplink, CloseLook, str | None]:
        uplink = await self._uplink_reading(FRESH_UPLINK)
        look = await self.gateway.look_closely(remedy.session)
        return uplink, look, objection(remedy, look, uplink, self.policy, self.site.stores)

    async def _restart(self, attempt: Attempt) -> None:
        """Drain, look once more, restart: as `runtime/restarting.py`."""
        remedy, before = attempt.remedy, self._last
        against = await self._wide_objection(remedy, before, before)
        if against is None:
            await sleep(self.world, DRAIN)
            against = await self._wide_objection(remedy, await self._anew(), before)
        if against is not None:
            self._end(attempt, Outcome.WITHHELD, against)
            return
        self._begin(attempt)
        assert self._last is not None
        self.site.promises.restarts(remedy, self._last, self._uplink_now())
        asked = self.site.restarter.restart()
        await Wait(self.world, asked, None)
        self._end(attempt, asked.value, "")

    async def _wide_objection(self, remedy: Remedy, seen: Observation | None, before: Observation | None) -> str | None:
        if seen is None:
            return None if remedy.forced else "the gateway could not be looked at once more"
        uplink = await self._uplink_reading(FRESH_UPLINK)
        latest = self._last or seen  # the question to the uplink takes its time
        look, process, stores = latest.look, latest.process, self.site.stores
        restarted = before is not None and is_other_run(before, latest)
        return gateway_objection(remedy, look, process, uplink, self.policy, stores, restarted=restarted)

    async def _anew(self) -> Observation | None:
        """What a look sees that begins from now on: the next turn's."""
        wanted: Pending[None] = Pending()
        self._wanted.append(wanted)
        self.gateway.read_anew()
        self._wake_up()
        return self._last if await Wait(self.world, wanted, 2 * TIMEOUT + TURN_MARGIN) else None

    def _begin(self, attempt: Attempt) -> None:
        attempt.begun = True
        if self.site.is_struck("after_act", (attempt.remedy,)):
            self.fibers.start(self._die_after_act())

    async def _die_after_act(self) -> None:
        await sleep(self.world, self.site.dice.choice((0.0, 0.5, 2.9)))
        raise Stop

    def _end(self, attempt: Attempt, outcome: Outcome, detail: str) -> None:
        result = _result(attempt.remedy, outcome, detail)
        self.site.promises.ended(result)
        self._results.append(result)
        self._attempts.remove(attempt)
        if not self._attempts:
            self._idle.finish(None)
        self._wake_up()

    async def _probe(self, session: str) -> None:
        self._probing.add(session)
        result = await self.gateway.probe(session, PROBE_TIMEOUT)
        self._probes.append(result)
        self._probing.discard(session)


class Attempt:
    """A remedy on its way."""

    def __init__(self, remedy: Remedy) -> None:
        self.remedy = remedy
        self.begun = False
        """It counts as made."""
        self.fiber: Fiber[None] | None = None


def _adapter(site: Site, fibers: Fibers) -> WahaGateway | EvolutionGateway:
    """The real adapter, on a wire of its own."""
    policy = site.policy
    gateway: WahaGateway | EvolutionGateway
    if site.schedule.kind == "waha":
        gateway = WahaGateway(
            "http://127.0.0.1:1", None, timeout=TIMEOUT, action_timeout=policy.action_timeout, clock=site.boottime
        )
    else:
        gateway = EvolutionGateway(
            "http://127.0.0.1:1",
            None,
            timeout=TIMEOUT,
            action_timeout=policy.action_timeout,
            metrics_auth=None,
            clock=site.boottime,
        )
    gateway._http = VirtualHttp(site.door, fibers, site.promises.acting)
    return gateway


def _result(remedy: Remedy, outcome: Outcome, detail: str) -> Result:
    return Result(remedy_id=remedy.id, session=remedy.session, kind=remedy.kind, outcome=outcome, detail=detail)

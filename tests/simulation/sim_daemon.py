"""One life of the supervisor in virtual time: what `runtime/` does, around the real decider and the real adapters.

A copy in small of `runtime/cycle.py`, `watch.py`, `performing.py`, `recorder.py` and `pulse.py`, with the places marked
where a kill -9 can strike.
"""

from __future__ import annotations

from collections.abc import Callable

from sim_events import Ordered
from sim_fibers import Fibers, Stop, Wait, sleep
from sim_site import Site
from sim_wire import VirtualHttp

from wasupervisor.decide.confirm import objection
from wasupervisor.decide.hearing import hear
from wasupervisor.decide.memory import Memory
from wasupervisor.decide.step import step
from wasupervisor.gateways.evolution import EvolutionGateway
from wasupervisor.gateways.waha import WahaGateway
from wasupervisor.model.journal import Entry
from wasupervisor.model.observation import Look, Observation, Trouble, Uplink, UplinkState
from wasupervisor.model.remedies import Order, OrderKind, Outcome, Remedy, RemedyKind, Result
from wasupervisor.simulator.virtual import Pending

TIMEOUT = 10.0
"""`gateway.timeout`."""
UPLINK_EVERY, UPLINK_STALE, FRESH_UPLINK, FINISH_WITHIN, SAVE_EVERY = 30.0, 60.0, 5.0, 25.0, 60.0
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
        self._under_way = 0
        self._first, self._writable, self._ask_uplink = True, True, False
        self._uplink: tuple[float, UplinkState] | None = None
        self._asking: Pending[UplinkState] | None = None
        self._wake: Pending[None] = Pending()
        self._idle: Pending[None] = Pending.of(None)
        self._stopping = False
        self._due = site.now
        site.world.later(0.0, self._start)

    def _start(self) -> None:
        self.fibers.start(self._live())

    # From outside

    def order(self, event: Ordered, identity: str) -> None:
        """An operator wants something."""
        order = Order(
            id=identity, kind=OrderKind(event.order), session=event.session, pause_for=event.pause_for, by="eve"
        )
        self._orders.append(order)
        self._wake_up()

    def finish(self, ended: Callable[[], None]) -> None:
        """SIGTERM: no new turn; remedies get their time; what was heard is written."""
        if not self._stopping:
            self._stopping = True
            self.fibers.start(self._finish(ended))

    async def _finish(self, ended: Callable[[], None]) -> None:
        await Wait(self.world, self._idle, FINISH_WITHIN)
        now = self.timeline.now()
        self.memory, heard = hear(self.memory, self._results, now, self.policy)
        self._record(heard)
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
            if await Wait(self.world, self._wake, self._due - self.site.now):
                self._due = self.site.now
            self._wake = Pending()

    def _wake_up(self) -> None:
        self._wake.finish(None)

    async def _turn(self) -> None:
        observation = await self._observe()
        if self._stopping:
            return
        before, now = self.memory, self.timeline.now()
        decision = step(before, observation, now, self.site.dice.random(), self.policy)
        self._first, self._ask_uplink = False, decision.ask_uplink
        self.site.promises.decided(self, before, observation, decision, now)
        self._may_die("before_persist", decision.remedies)
        self.memory = decision.memory
        self._writable = self._record(decision.journal)
        self.site.promises.recorded(decision, written=self._writable)
        self._may_die("after_persist", decision.remedies)
        for remedy in decision.remedies:
            if self._writable:
                self._perform(remedy)
            else:
                self._results.append(_result(remedy, Outcome.WITHHELD, UNWRITABLE))

    def _may_die(self, where: str, remedies: tuple[Remedy, ...]) -> None:
        if remedies and self.site.is_struck(where):
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
        if self._ask_uplink and self._asking is None and self._uplink_age() >= UPLINK_EVERY:
            self.fibers.start(self._uplink_reading(UPLINK_EVERY))
        process = self.site.process()
        looking = self.fibers.start(self.gateway.look())
        look = Look(reachable=False, trouble=Trouble.TIMED_OUT, detail=f"no answer within {TIMEOUT:g} s")
        if await Wait(self.world, looking.result, TIMEOUT):
            look = looking.result.value
        else:
            looking.abandon()
        observation = Observation(
            look=look,
            process=process,
            uplink=self._uplink_now(),
            first=self._first,
            state_writable=self._writable,
            results=tuple(self._results),
            orders=tuple(self._orders),
        )
        self._results, self._orders = [], []
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

    def _uplink_age(self) -> float:
        return float("inf") if self._uplink is None else self.site.now - self._uplink[0]

    def _uplink_now(self) -> Uplink:
        age = self._uplink_age()
        if self._uplink is None or age > UPLINK_STALE:
            return Uplink()
        return Uplink(state=self._uplink[1], age_seconds=age)

    # Hands

    def _perform(self, remedy: Remedy) -> None:
        if self._under_way == 0:
            self._idle = Pending()
        self._under_way += 1
        self.fibers.start(self._call(remedy))

    async def _call(self, remedy: Remedy) -> None:
        uplink = await self._uplink_reading(FRESH_UPLINK)
        look = await self.gateway.look_closely(remedy.session)
        against = objection(remedy, look, uplink, self.policy)
        if against is not None:
            self._end(_result(remedy, Outcome.WITHHELD, against))
            return
        self.site.promises.calls(self, remedy, look, uplink)
        if self.site.is_struck("after_act"):
            self.fibers.start(self._die_after_act())
        verbs = {
            RemedyKind.START_SESSION: self.gateway.start_session,
            RemedyKind.RESTART_SESSION: self.gateway.restart_session,
        }
        answer = await verbs[remedy.kind](remedy.session)
        self._end(_result(remedy, answer.outcome, answer.detail))

    async def _die_after_act(self) -> None:
        await sleep(self.world, self.site.dice.choice((0.0, 0.5, 2.9)))
        raise Stop

    def _end(self, result: Result) -> None:
        self.site.promises.ended(result)
        self._results.append(result)
        self._under_way -= 1
        if self._under_way == 0:
            self._idle.finish(None)
        self._wake_up()


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

"""observe -> decide -> act -> record, every few seconds, for ever."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import Protocol

import anyio
from anyio.abc import TaskGroup
from msgspec.structs import replace

from wasupervisor.decide.decision import Decision
from wasupervisor.decide.hearing import hear
from wasupervisor.decide.memory import Memory
from wasupervisor.decide.step import step
from wasupervisor.host.moments import hour_of_week
from wasupervisor.model.alerts import Alert
from wasupervisor.model.journal import Entry
from wasupervisor.model.observation import Observation
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Reply, Verdict
from wasupervisor.runtime.inbox import Inbox
from wasupervisor.runtime.logs import log_entry
from wasupervisor.runtime.performing import STOPPING, Performer
from wasupervisor.runtime.probing import Prober
from wasupervisor.runtime.recording import Taken
from wasupervisor.runtime.watch import Readings, Watch

log = logging.getLogger(__name__)

UNWRITABLE = "the state cannot be written, and nothing is done that would not be on the books"
BROKEN = "a fault of wasupervisor's own, see its log"


class Recorder(Protocol):
    """Where decisions are made durable."""

    @property
    def disk_low(self) -> bool:
        """Whether there is hardly any room left there."""
        ...

    async def record(self, memory: Memory, entries: tuple[Entry, ...], alerts: tuple[Alert, ...] = ()) -> bool:
        """Write all of it; False when it could not be written."""
        ...


class Cycle:
    """One turn after the other. The memory and the last readings live here and nowhere else."""

    def __init__(
        self,
        memory: Memory,
        *,
        watch: Watch,
        policy: Policy,
        performer: Performer,
        prober: Prober,
        inbox: Inbox,
        recorder: Recorder,
        publish: Callable[[Decision, Readings], Awaitable[None]],
        now: Callable[[], float],
        dice: Random,
        tasks: TaskGroup,
        taken: Callable[[Taken], None] = lambda _taken: None,
        local_hour: Callable[[], int | None] = hour_of_week,
    ) -> None:
        """`taken` is told each step as it was made; `local_hour` gives the hour of the week, 0 is Monday 00:00."""
        self.memory = memory
        self.watch = watch
        self.policy = policy
        self._performer = performer
        self._prober = prober
        self._inbox = inbox
        self._recorder = recorder
        self._publish = publish
        self._now = now
        self._dice = dice
        self._tasks = tasks
        self._taken = taken
        self._local_hour = local_hour
        self.in_maintenance: Callable[[], bool | None] = _no_window
        """Whether a maintenance window is open; None: there is none, or nobody knows."""
        self._first = True
        self._ask_uplink = False
        self._writable = True
        self._stopping = False
        self._looking: anyio.CancelScope | None = None
        self._turning = anyio.Lock()
        self._noted: tuple[Entry, ...] = ()

    async def turn(self) -> None:
        """Look, decide, write it down, act, report. A stop breaks off the look, and nothing after it."""
        async with self._turning:
            readings = await self._look()
            if readings is None:
                return
            decision = self._decide(readings)
            await self._act(decision)
            await self._publish(decision, readings)

    async def use(self, watch: Watch, policy: Policy) -> None:
        """Go on with other eyes and other rules from the next turn on."""
        async with self._turning:
            self.watch, self.policy = watch, policy
            self._performer.watch, self._performer.policy = watch, policy

    def stop(self) -> None:
        """Begin no remedy any more, and let the look that is under way go."""
        self._stopping = True
        self._performer.stop()
        self._prober.stop()
        if self._looking is not None:
            self._looking.cancel()

    async def finish(self) -> None:
        """Take what is still to be heard of remedies into the memory, and write it all down."""
        self.memory, heard = hear(self.memory, self._performer.take(), self._now(), self.policy)
        for entry in heard:
            log_entry(log, entry)
        await self._recorder.record(self.memory, (*self._noted, *heard))

    def note(self, *entries: Entry) -> None:
        """Put entries of the daemon itself into the journal, with the next turn."""
        for entry in entries:
            log_entry(log, entry)
        self._noted = (*self._noted, *entries)

    async def _look(self) -> Readings | None:
        """What is there; None when a stop broke it off. So far nothing was taken that could be lost."""
        readings = None
        with anyio.CancelScope() as self._looking:
            readings = await self.watch.observe(ask_uplink=self._ask_uplink, tasks=self._tasks)
            if self._inbox.about_sessions:
                readings = await self.watch.with_uplink(readings)
        return None if self._stopping else readings

    def _decide(self, readings: Readings) -> Decision:
        results, probes, orders = self._performer.take(), self._prober.take(), self._inbox.take()
        observation = Observation(
            look=readings.look,
            process=readings.process,
            uplink=readings.uplink,
            first=self._first,
            state_writable=self._writable,
            disk_low=self._recorder.disk_low,
            redis_ok=readings.redis.ok,
            mistyped=readings.redis.mistyped,
            lost=readings.redis.lost,
            results=results,
            orders=orders,
            probes=probes,
            hour_of_week=self._local_hour(),
            in_maintenance=self.in_maintenance(),
        )
        now, dice = self._now(), self._dice.random()
        try:
            decision = step(self.memory, observation, now, dice, self.policy)
        except BaseException:
            self._performer.put_back(results)
            self._prober.put_back(probes)
            self._inbox.refuse(orders, BROKEN)
            raise
        self._taken(Taken(self.memory, observation, now, dice, self.policy, decision))
        self._first = False
        self._ask_uplink = decision.ask_uplink
        for entry in decision.journal:
            log_entry(log, entry)
        return decision

    async def _act(self, decision: Decision) -> None:
        """Perform the remedies and answer the orders, once both are on the books."""
        try:
            written = await self._record(decision)
        except BaseException:
            self._withhold(decision, BROKEN)
            raise
        if not written:
            self._withhold(decision, UNWRITABLE)
        elif self._stopping:
            self._withhold(decision, STOPPING)
        else:
            self._performer.start(decision.remedies)
            self._prober.start(decision.probes, self.watch)
            self._inbox.answer(decision.replies)

    async def _record(self, decision: Decision) -> bool:
        """Make the decision durable, before anything of it is performed."""
        self.memory = decision.memory
        entries, self._noted = (*self._noted, *decision.journal), ()
        self._writable = await self._recorder.record(decision.memory, entries, decision.alerts)
        return self._writable

    def _withhold(self, decision: Decision, why: str) -> None:
        self._performer.give_back(decision.remedies, why)
        self._inbox.answer(_not_done(one, why) for one in decision.replies)


def _no_window() -> bool | None:
    return None


def _not_done(reply: Reply, why: str) -> Reply:
    """What is answered to an accepted order when nothing of its decision is performed."""
    on_the_books = why == STOPPING and reply.action is None
    if reply.verdict is not Verdict.ACCEPTED or on_the_books:
        return reply
    if reply.current_status is None:  # a pause, or its end: it holds all the same
        return replace(reply, text=f"{reply.text}; only until the daemon ends, for {why}")
    return replace(reply, verdict=Verdict.WITHHELD, text=why, current_status=reply.previous_status, action=None)

"""observe -> decide -> act -> record, every few seconds, for ever."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import Protocol

from anyio.abc import TaskGroup
from msgspec.structs import replace

from wasupervisor.decide.decision import Decision
from wasupervisor.decide.hearing import hear
from wasupervisor.decide.memory import Memory
from wasupervisor.decide.step import step
from wasupervisor.model.journal import Entry
from wasupervisor.model.observation import Observation
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Reply, Verdict
from wasupervisor.runtime.inbox import Inbox
from wasupervisor.runtime.logs import log_entry
from wasupervisor.runtime.performing import Performer
from wasupervisor.runtime.watch import Readings, Watch

log = logging.getLogger(__name__)

UNWRITABLE = "the state cannot be written, and nothing is done that would not be on the books"


class Recorder(Protocol):
    """Where decisions are made durable."""

    async def record(self, memory: Memory, entries: tuple[Entry, ...]) -> bool:
        """Write both; False when they could not be written."""
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
        inbox: Inbox,
        recorder: Recorder,
        publish: Callable[[Decision, Readings], Awaitable[None]],
        now: Callable[[], float],
        dice: Random,
        tasks: TaskGroup,
    ) -> None:
        self.memory = memory
        self.watch = watch
        self.policy = policy
        self._performer = performer
        self._inbox = inbox
        self._recorder = recorder
        self._publish = publish
        self._now = now
        self._dice = dice
        self._tasks = tasks
        self._first = True
        self._ask_uplink = False
        self._writable = True
        self._noted: tuple[Entry, ...] = ()

    async def turn(self) -> Decision:
        """Look, decide, write it down, act, report."""
        readings = await self.watch.observe(ask_uplink=self._ask_uplink, tasks=self._tasks)
        decision = self._decide(readings)
        if await self._record(decision):
            self._performer.start(decision.remedies)
        else:
            self._performer.give_back(decision.remedies, UNWRITABLE)
            decision = replace(decision, replies=tuple(_not_written(one) for one in decision.replies))
        await self._publish(decision, readings)
        self._inbox.answer(decision.replies)
        return decision

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

    def _decide(self, readings: Readings) -> Decision:
        observation = Observation(
            look=readings.look,
            process=readings.process,
            uplink=readings.uplink,
            first=self._first,
            state_writable=self._writable,
            results=self._performer.take(),
            orders=self._inbox.take(),
        )
        decision = step(self.memory, observation, self._now(), self._dice.random(), self.policy)
        self._first = False
        self._ask_uplink = decision.ask_uplink
        for entry in decision.journal:
            log_entry(log, entry)
        return decision

    async def _record(self, decision: Decision) -> bool:
        """Make the decision durable, before anything of it is performed."""
        self.memory = decision.memory
        entries, self._noted = (*self._noted, *decision.journal), ()
        self._writable = await self._recorder.record(decision.memory, entries)
        return self._writable


def _not_written(reply: Reply) -> Reply:
    """An order that was accepted is withheld after all; a pause holds all the same, until the daemon ends."""
    if reply.verdict is not Verdict.ACCEPTED or reply.current_status is None:
        return reply
    return replace(reply, verdict=Verdict.WITHHELD, text=UNWRITABLE)

"""Performs remedies beside the cycle, which never waits for one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import anyio
from anyio.abc import TaskGroup

from wasupervisor.decide.confirm import objection
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Outcome, Remedy, RemedyKind, Result
from wasupervisor.runtime.watch import Watch

log = logging.getLogger(__name__)

FRESH_UPLINK = 5.0
"""Seconds: the age up to which a reading of the uplink still counts right before a remedy."""


class Performer:
    """Runs each remedy in a task of its own and keeps its result for the next step."""

    def __init__(self, tasks: TaskGroup, watch: Watch, policy: Policy, wake: Callable[[], None]) -> None:
        self._tasks = tasks
        self._wake = wake
        self._results: list[Result] = []
        self._under_way = 0
        self._idle = anyio.Event()
        self._idle.set()
        self.watch = watch
        self.policy = policy

    def start(self, remedies: Iterable[Remedy]) -> None:
        """Perform remedies that are on the books."""
        for remedy in remedies:
            if self._under_way == 0:
                self._idle = anyio.Event()
            self._under_way += 1
            self._tasks.start_soon(self._perform, remedy, name=f"{remedy.kind} {remedy.id}")

    def give_back(self, remedies: Iterable[Remedy], why: str) -> None:
        """Do not perform remedies after all."""
        self._results.extend(_result(remedy, Outcome.WITHHELD, why) for remedy in remedies)

    def take(self) -> tuple[Result, ...]:
        """The results since the last time."""
        taken, self._results = tuple(self._results), []
        return taken

    async def wait_idle(self) -> None:
        """Wait until no remedy is under way."""
        await self._idle.wait()

    @property
    def under_way(self) -> int:
        """How many remedies are being performed."""
        return self._under_way

    async def _perform(self, remedy: Remedy) -> None:
        result = _result(remedy, Outcome.TIMED_OUT, "the supervisor stopped before the gateway answered")
        try:
            result = await self._call(remedy)
        finally:
            self._results.append(result)
            self._under_way -= 1
            if self._under_way == 0:
                self._idle.set()
            self._wake()

    async def _call(self, remedy: Remedy) -> Result:
        """Read the state once more, and then call the gateway, or not."""
        watch, policy = self.watch, self.policy
        uplink = await watch.uplink(max_age=FRESH_UPLINK)
        look = await watch.gateway.look_closely(remedy.session)
        against = objection(remedy, look, uplink, policy)
        if against is not None:
            return _result(remedy, Outcome.WITHHELD, against)
        calls = {
            RemedyKind.START_SESSION: watch.gateway.start_session,
            RemedyKind.RESTART_SESSION: watch.gateway.restart_session,
        }
        answer = await calls[remedy.kind](remedy.session)
        log.debug("%s of %s: %s", remedy.kind, remedy.session, answer.outcome)
        return _result(remedy, answer.outcome, answer.detail)


def _result(remedy: Remedy, outcome: Outcome, detail: str) -> Result:
    return Result(remedy_id=remedy.id, session=remedy.session, kind=remedy.kind, outcome=outcome, detail=detail)

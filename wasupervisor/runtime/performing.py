"""Performs remedies beside the cycle, which never waits for one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import anyio
from anyio.abc import TaskGroup

from wasupervisor.decide.confirm import objection
from wasupervisor.gateways.base import Answer, Gateway
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Outcome, Remedy, RemedyKind, Result
from wasupervisor.runtime.watch import Watch

log = logging.getLogger(__name__)

FRESH_UPLINK = 5.0
"""Seconds: the age up to which a reading of the uplink still counts right before a remedy."""

STOPPING = "the supervisor is stopping"
CUT_OFF = "the supervisor stopped before the gateway answered"


class Performer:
    """Runs each remedy in a task of its own and keeps its result for the next step."""

    def __init__(self, tasks: TaskGroup, watch: Watch, policy: Policy, wake: Callable[[], None]) -> None:
        self._tasks = tasks
        self._wake = wake
        self._results: list[Result] = []
        self._scopes: set[anyio.CancelScope] = set()
        self._idle = anyio.Event()
        self._idle.set()
        self._stopping = False
        self.watch = watch
        self.policy = policy

    def start(self, remedies: Iterable[Remedy]) -> None:
        """Perform remedies that are on the books."""
        for remedy in remedies:
            if not self._scopes:
                self._idle = anyio.Event()
            scope = anyio.CancelScope()
            self._scopes.add(scope)
            # The gateway that it was decided for: a reload may bring another meanwhile.
            self._tasks.start_soon(self._perform, remedy, self.watch, scope, name=f"{remedy.kind} {remedy.id}")

    def give_back(self, remedies: Iterable[Remedy], why: str) -> None:
        """Do not perform remedies after all."""
        self._results.extend(_result(remedy, Outcome.WITHHELD, why) for remedy in remedies)

    def take(self) -> tuple[Result, ...]:
        """The results since the last time."""
        taken, self._results = tuple(self._results), []
        return taken

    def put_back(self, results: Iterable[Result]) -> None:
        """Keep results for the next step, for this one failed."""
        self._results[:0] = results

    def stop(self) -> None:
        """Begin no call any more; those under way go on."""
        self._stopping = True

    async def wait_idle(self) -> None:
        """Wait until no remedy is under way."""
        await self._idle.wait()

    async def cut_off(self) -> None:
        """End what is under way; its results say so."""
        for scope in self._scopes:
            scope.cancel()
        await self.wait_idle()

    @property
    def under_way(self) -> int:
        """How many remedies are being performed."""
        return len(self._scopes)

    async def _perform(self, remedy: Remedy, watch: Watch, scope: anyio.CancelScope) -> None:
        outcome, detail = Outcome.WITHHELD, STOPPING
        try:
            with scope:
                against = await self._objection(remedy, watch)
                if against is not None:
                    detail = against
                else:
                    outcome, detail = Outcome.TIMED_OUT, CUT_OFF
                    answer = await _call(remedy, watch.gateway)
                    outcome, detail = answer.outcome, answer.detail
        except Exception as error:
            log.exception("%s of %s failed: this is a fault of wasupervisor", remedy.kind, remedy.session)
            detail = f"a fault of the supervisor's own ({type(error).__name__}), see its log"
        finally:
            self._results.append(_result(remedy, outcome, detail))
            self._scopes.discard(scope)
            if not self._scopes:
                self._idle.set()
            self._wake()

    async def _objection(self, remedy: Remedy, watch: Watch) -> str | None:
        """Look once more: what stands against the call now."""
        uplink = await watch.uplink(max_age=FRESH_UPLINK)
        look = await watch.gateway.look_closely(remedy.session)
        against = objection(remedy, look, uplink, self.policy)
        return STOPPING if self._stopping and against is None else against


async def _call(remedy: Remedy, gateway: Gateway) -> Answer:
    calls = {
        RemedyKind.START_SESSION: gateway.start_session,
        RemedyKind.RESTART_SESSION: gateway.restart_session,
    }
    answer = await calls[remedy.kind](remedy.session)
    log.debug("%s of %s: %s", remedy.kind, remedy.session, answer.outcome)
    return answer


def _result(remedy: Remedy, outcome: Outcome, detail: str) -> Result:
    return Result(remedy_id=remedy.id, session=remedy.session, kind=remedy.kind, outcome=outcome, detail=detail)

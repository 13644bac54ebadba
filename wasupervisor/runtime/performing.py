"""Performs remedies beside the cycle, which never waits for one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from wasupervisor.decide.confirm import objection
from wasupervisor.gateways.base import Answer, Gateway
from wasupervisor.model.observation import ProbeResult, Proof, Stores
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Outcome, Remedy, RemedyKind, Result
from wasupervisor.model.sessions import Reason
from wasupervisor.runtime.watch import Watch

if TYPE_CHECKING:
    from wasupervisor.runtime.restarting import GatewayRestart

log = logging.getLogger(__name__)

FRESH_KEYS = 1.0
"""Seconds: the same for a reading of the gateway's Redis."""

FRESH_UPLINK = 5.0
"""Seconds: the age up to which a reading of the uplink still counts right before a remedy."""

PROBE_TIMEOUT = 15.0
"""Seconds for the probe right before a remedy, where the settings do not say."""

STOPPING = "the supervisor is stopping"
CUT_OFF = "the supervisor stopped before the gateway answered"
NO_RESTARTER = "nothing is configured that restarts the gateway: set recovery.restart_gateway.by"


class Attempt:
    """A remedy on its way, and what would be told of it if it ended now."""

    def __init__(self, remedy: Remedy, watch: Watch) -> None:
        self.remedy = remedy
        # The gateway that it was decided for: a reload may bring another meanwhile.
        self.watch = watch
        self.scope = anyio.CancelScope()
        self.begun = False
        self.outcome, self.detail = Outcome.WITHHELD, STOPPING

    def begin(self) -> bool:
        """From here on it counts as made. False when it may not begin any more."""
        if self.scope.cancel_called:
            return False
        self.begun = True
        self.end(Outcome.TIMED_OUT, CUT_OFF)
        return True

    def end(self, outcome: Outcome, detail: str) -> None:
        """Tell this of it."""
        self.outcome, self.detail = outcome, detail

    def result(self) -> Result:
        """For the next step."""
        return _result(self.remedy, self.outcome, self.detail)


class Performer:
    """Runs each remedy in a task of its own and keeps its result for the next step."""

    def __init__(
        self,
        tasks: TaskGroup,
        watch: Watch,
        policy: Policy,
        wake: Callable[[], None],
        disk_low: Callable[[], bool] = lambda: False,
    ) -> None:
        """`disk_low`: whether there is hardly room for the state on its disk."""
        self._tasks = tasks
        self._disk_low = disk_low
        self._wake = wake
        self._results: list[Result] = []
        self._attempts: set[Attempt] = set()
        self._idle = anyio.Event()
        self._idle.set()
        self._stopping = False
        self.watch = watch
        self.policy = policy
        self.restart: GatewayRestart | None = None
        """How the gateway process is restarted; None: not at all."""
        self.probe_timeout = PROBE_TIMEOUT
        """Seconds for the probe right before a remedy."""

    def start(self, remedies: Iterable[Remedy]) -> None:
        """Perform remedies that are on the books."""
        for remedy in remedies:
            if not self._attempts:
                self._idle = anyio.Event()
            attempt = Attempt(remedy, self.watch)
            self._attempts.add(attempt)
            if self._stopping:
                attempt.scope.cancel()
            self._tasks.start_soon(self._perform, attempt, name=f"{remedy.kind} {remedy.id}")

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
        """Begin no call any more, and let go what has not begun; calls under way go on."""
        self._stopping = True
        for attempt in self._attempts:
            if not attempt.begun:
                attempt.scope.cancel()

    async def wait_idle(self) -> None:
        """Wait until no remedy is under way."""
        await self._idle.wait()

    async def cut_off(self) -> None:
        """End what is under way; its results say so."""
        for attempt in self._attempts:
            attempt.scope.cancel()
        await self.wait_idle()

    @property
    def under_way(self) -> int:
        """How many remedies are being performed."""
        return len(self._attempts)

    async def _perform(self, attempt: Attempt) -> None:
        remedy = attempt.remedy
        try:
            with attempt.scope:
                if remedy.kind is not RemedyKind.RESTART_GATEWAY:
                    await self._treat(attempt)
                elif self.restart is not None:
                    await self.restart.perform(attempt, self.policy, self._stores)
                else:
                    attempt.end(Outcome.REFUSED, NO_RESTARTER)
        except Exception as error:
            about = remedy.session or "the gateway"
            log.exception("%s of %s failed: this is a fault of wasupervisor", remedy.kind, about)
            attempt.detail = f"a fault of the supervisor's own ({type(error).__name__}), see its log"
        finally:
            self._results.append(attempt.result())
            self._attempts.discard(attempt)
            if not self._attempts:
                self._idle.set()
            self._wake()

    async def _treat(self, attempt: Attempt) -> None:
        """Act on one session."""
        against = await self._objection(attempt.remedy, attempt.watch)
        if against is not None:
            attempt.end(Outcome.WITHHELD, against)
        elif attempt.begin():
            answer = await _call(attempt.remedy, attempt.watch.gateway)
            attempt.end(answer.outcome, answer.detail)

    async def _objection(self, remedy: Remedy, watch: Watch) -> str | None:
        """Look once more: what stands against the call now."""
        against = await self._seen_against(remedy, watch)
        if against is not None or remedy.cause is not Reason.FALSE_WORKING or remedy.forced:
            return against
        # What it claims is just what is doubted: only another miss speaks for the remedy, and that takes its time.
        alive = _sign_of_life(await watch.gateway.probe(remedy.session, self.probe_timeout))
        return await self._seen_against(remedy, watch) if alive is None else alive

    async def _seen_against(self, remedy: Remedy, watch: Watch) -> str | None:
        uplink = await watch.uplink(max_age=FRESH_UPLINK)
        look = await watch.gateway.look_closely(remedy.session)
        return objection(remedy, look, uplink, self.policy, await self._stores(watch))

    async def _stores(self, watch: Watch) -> Stores:
        keys = await watch.redis(max_age=FRESH_KEYS)
        return Stores(keys.ok, keys.mistyped, keys.lost, self._disk_low())


def _sign_of_life(probe: ProbeResult) -> str | None:
    if probe.proof is Proof.MISSED:
        return None
    if probe.proof is Proof.ANSWERED:
        return "it answered a probe right before"
    return f"a probe right before told nothing: {probe.detail}" if probe.detail else "a probe right before told nothing"


async def _call(remedy: Remedy, gateway: Gateway) -> Answer:
    calls = {
        RemedyKind.START_SESSION: gateway.start_session,
        RemedyKind.RESTART_SESSION: gateway.restart_session,
        RemedyKind.PARK_SESSION: gateway.park_session,
    }
    answer = await calls[remedy.kind](remedy.session)
    log.debug("%s of %s: %s", remedy.kind, remedy.session, answer.outcome)
    return answer


def _result(remedy: Remedy, outcome: Outcome, detail: str) -> Result:
    return Result(remedy_id=remedy.id, session=remedy.session, kind=remedy.kind, outcome=outcome, detail=detail)

"""Restarts the gateway process: drain, a last look, the restarter. Loaded only where one is configured."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio

from wasupervisor.decide.confirm import gateway_objection, is_other_run
from wasupervisor.host.restarter import Restarted, Restarter
from wasupervisor.model.observation import Stores
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Outcome, Remedy
from wasupervisor.model.sessions import Reason
from wasupervisor.runtime.performing import FRESH_UPLINK, Attempt
from wasupervisor.runtime.watch import Readings, Watch

if TYPE_CHECKING:
    from wasupervisor.host.forcing import Force, Old

log = logging.getLogger(__name__)

DRAINING = "draining before a restart of the gateway"
RESTARTING = "the gateway is being restarted"
UNSEEN = "the gateway could not be looked at once more"


class GatewayRestart:
    """One way to restart it, and what has to happen around it."""

    def __init__(
        self,
        restarter: Restarter,
        *,
        drain: float,
        hold: Callable[[str | None], None],
        wake: Callable[[], None],
        force: Force | None = None,
    ) -> None:
        """Nothing is done yet.

        Args:
            restarter: who restarts it.
            drain: seconds for which readiness says no before.
            hold: has readiness say no, with the reason; None: no longer.
            wake: makes the next turn come at once.
            force: ends an old process that would stand in the way; None: only the restarter does.
        """
        self._restarter = restarter
        self._force = force
        self._drain = drain
        self._hold = hold
        self._wake = wake

    async def settle(self) -> None:
        """At our start: what an earlier run of ours wanted is not wanted any more."""
        await self._restarter.settle()

    async def perform(self, attempt: Attempt, policy: Policy, stores: Callable[[Watch], Awaitable[Stores]]) -> None:
        """Drain, look once more, restart. Nothing is drained that will not be restarted as far as can be seen."""
        remedy, watch = attempt.remedy, attempt.watch
        before = watch.last

        async def objection(readings: Readings | None) -> str | None:
            if readings is None:
                return None if remedy.forced else UNSEEN
            uplink, beside = await watch.uplink(max_age=FRESH_UPLINK), await stores(watch)
            latest = watch.last or readings  # asking these took its time: the gateway may have answered meanwhile
            restarted = before is not None and is_other_run(before, latest)
            return gateway_objection(remedy, latest.look, latest.process, uplink, policy, beside, restarted=restarted)

        try:
            against = await objection(watch.last)
            if against is None:
                await self._drained()
                against = await objection(await watch.anew(self._wake))
            if against is not None:
                attempt.end(Outcome.WITHHELD, against)
            elif attempt.begin():
                self._hold(RESTARTING)
                restarted = await self._restart(remedy, watch)
                attempt.end(restarted.outcome, restarted.detail)
        finally:
            self._hold(None)

    async def _drained(self) -> None:
        if self._drain > 0:
            log.info("%s: readiness says no for %g s", DRAINING, self._drain)
            self._hold(DRAINING)
            self._wake()  # for the health file
            await anyio.sleep(self._drain)

    async def _restart(self, remedy: Remedy, watch: Watch) -> Restarted:
        restarter, before = self._restarter, watch.last
        try:
            log.info("the gateway is restarted by %s", restarter.by)
            if self._force is None:
                done = await restarter.restart()
            else:
                done = await self._force.restart(restarter, _old(before, hung=remedy.cause is Reason.GATEWAY_HUNG))
            if done.outcome is not Outcome.ACCEPTED or not restarter.wanted_for:
                return done
            with anyio.move_on_after(restarter.wanted_for):
                await _new_process(watch, before)
                return Restarted(Outcome.ACCEPTED, f"{done.detail}; a new process was seen")
            text = f"{done.detail}, and no new process was seen within {restarter.wanted_for:g} s"
            return Restarted(Outcome.TIMED_OUT, text)
        finally:
            if restarter.wanted_for:
                await restarter.settle()


def _old(before: Readings | None, *, hung: bool) -> Old | None:
    """The run of the gateway that was seen last; None where it is not known."""
    from wasupervisor.host.forcing import Old  # noqa: PLC0415

    process = None if before is None else before.process
    if process is None or process.pid is None or process.born is None:
        return None
    return Old(process.pid, process.born, hung)


async def _new_process(watch: Watch, before: Readings | None) -> None:
    """Wait for another run of the gateway, or for answers after silence where nothing tells the run."""
    seen, silent = watch.last, before is not None and before.look.reachable is False
    while True:
        if seen is not None:
            silent = silent or seen.look.reachable is False
            if (before is not None and is_other_run(before, seen)) or (silent and seen.look.reachable):
                return
        seen = await watch.next()

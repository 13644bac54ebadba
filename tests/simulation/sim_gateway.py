"""The promises about restarts of the gateway process, and about sessions that were parked."""

from __future__ import annotations

from dataclasses import dataclass

from sim_steps import StepPromises
from sim_witness import Call

from wasupervisor.model.observation import Observation, Uplink, UplinkState
from wasupervisor.model.remedies import Outcome, Remedy, RemedyKind, Result
from wasupervisor.model.sessions import Reason, State

HOUR, DAY = 3600.0, 86400.0
BOOKED_BEFORE = 60.0
"""Seconds that may lie between the booking of a restart and its call: it is drained, and looked at once more."""
STORE_READ_WITHIN = 2.0
"""Seconds: the age up to which a reading of the store still counts right before a restart of the gateway."""
LOOK_TAKES = 10.0
"""Seconds: the longest look."""
LIMITED = (Reason.MEMORY_HIGH, Reason.CPU_HIGH)
PROCESS_REASONS = (Reason.GATEWAY_HUNG, Reason.GATEWAY_GONE)


@dataclass
class Restart:
    """A restart of the gateway process that was called."""

    at: float
    remedy: Remedy
    outcome: Outcome | None = None
    """What the supervisor heard."""


class GatewayPromises(StepPromises):
    """Looks on at the last rung."""

    def restarts(self, remedy: Remedy, seen: Observation, uplink: Uplink) -> None:
        """Right before the gateway process is restarted."""
        if self.site.policy.restarter == "none":
            self._broken("nobody restarts the gateway without a restarter", str(remedy))
        self._restart_is_on_the_books(remedy)
        self._restart_is_alone(remedy)
        self._keys_are_well(remedy)
        self._store_lets_restart(remedy, seen)
        if not remedy.forced and uplink.state is UplinkState.DOWN:
            self._broken("no uplink, no restart of the gateway", f"{remedy}, {uplink}")
        if not remedy.ordered:
            self._restart_budgets(remedy)
            self._restart_is_needed(remedy, seen)
        self.gateway_restarts.append(Restart(self.site.now, remedy))

    def _keys_are_well(self, remedy: Remedy) -> None:
        """By the truth of this moment: Redis is looked at last."""
        stores = self.site.stores
        whole = remedy.kind is RemedyKind.RESTART_GATEWAY
        if remedy.session in stores.mistyped or (whole and stores.mistyped):
            self._broken("no restart with a mistyped credential key", f"{remedy}: {stores}")
        if stores.redis_ok is False and not remedy.forced:
            self._broken("no remedy without the gateway's store", f"{remedy}: {stores}")

    def _restart_is_on_the_books(self, remedy: Remedy) -> None:
        written = self.site.disk.load().gateway
        if written.attempt is None or written.attempt.id != remedy.id or written.attempt.at not in written.restarts:
            self._broken("a restart of the gateway is on the books before it is made", str(remedy))

    def _restart_is_alone(self, remedy: Remedy) -> None:
        if self.site.restarter.busy:
            self._broken("the gateway is never restarted twice at once", str(remedy))
        timeout = self.site.policy.action_timeout
        running = [one for one in self.calls_made if one.is_running(self.site.now, timeout)]
        if running:
            self._broken("the gateway is not restarted while a remedy of a session is under way", f"{running}")

    def _store_lets_restart(self, remedy: Remedy, seen: Observation) -> None:
        if remedy.forced:
            return
        known_down = seen.look.store_ok is False
        silent = remedy.ordered and seen.look.reachable is not True  # its operator restarts what cannot tell
        excused = self.site.door.lies or silent or remedy.cause in PROCESS_REASONS or self.site.store_good
        if known_down or not (excused or self.site.now - self.site.store_good_at <= STORE_READ_WITHIN):
            self._broken("no restart of the gateway without its store", f"{remedy}: {seen.look.store_ok}")

    def _restart_budgets(self, remedy: Remedy) -> None:
        budget, now = self.site.policy.budget, self.site.now
        for length, most in ((HOUR, budget.gateway_per_hour), (DAY, budget.gateway_per_day)):
            made = [one for one in self.gateway_restarts if now - one.at < length - BOOKED_BEFORE]
            if len(made) >= most:
                self._broken("the budget of the gateway holds", f"{len(made) + 1} within {length:g} s: {remedy}")

    def _restart_is_needed(self, remedy: Remedy, seen: Observation) -> None:
        """In truth: a gateway that answers and whose sessions are all well is left alone, below its limits."""
        if remedy.cause in LIMITED:
            self._is_over_its_limit(remedy, seen)
            return
        world = self.site.world
        if remedy.cause is Reason.ENGINE_GONE:
            self._is_without_engine(remedy, seen)
        # What a look was told that began while the port lied is a lie too.
        lied = self.site.door.lies or self.site.now - self.site.door.lied_until <= LOOK_TAKES
        answers = world.alive and world.frozen_since is None and not lied
        wanted = remedy.sessions or (tuple(world.sessions) if remedy.cause not in PROCESS_REASONS else ())
        unwell = [name for name in wanted if not world.state_of(world.sessions[name])["healthy"]]  # type: ignore[arg-type]
        if answers and not unwell:
            self._broken("a gateway that is well is left alone", f"{remedy}, seen {seen.look.reachable}")

    def _is_without_engine(self, remedy: Remedy, seen: Observation) -> None:
        """In truth, and no session works without it."""
        works = [one.name for one in seen.look.sightings or () if one.state is State.WORKING]
        if not self.site.body.engine_is_gone or works:
            self._broken("a gateway with its engine is not restarted for it", f"{remedy}: {works}")

    def _is_over_its_limit(self, remedy: Remedy, seen: Observation) -> None:
        policy, process = self.site.policy, seen.process
        memory, cpu = process.rss_bytes, process.cpu_percent
        of_memory = remedy.cause is Reason.MEMORY_HIGH
        rule, used = (policy.memory, memory) if of_memory else (policy.cpu, cpu)
        if rule is None or rule.restart is None or used is None or used < rule.restart:
            self._broken("a gateway below its limits is not restarted for its resources", f"{remedy}: {process}")

    def _gateway_ended(self, result: Result) -> None:
        for one in self.gateway_restarts:
            if one.remedy.id == result.remedy_id and one.outcome is None:
                one.outcome = result.outcome

    # Parked

    def _parking(self, call: Call) -> None:
        """A session is stopped by us."""
        if self.site.schedule.kind != "waha":
            self._broken("only WAHA parks", str(call))
        if not call.remedy.ordered and self.site.policy.park != "auto":
            self._broken("nobody is parked unasked", str(call))

    def _stays_parked(self, call: Call) -> None:
        name = call.remedy.session
        if name in self.parked and call.remedy.kind is not RemedyKind.PARK_SESSION:
            self._broken("a parked session stays parked until a person recovers it", str(call))

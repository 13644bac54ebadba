"""The promises of DESIGN.md as invariants, looked at in each step, before each call and at the end.

They are held against the truth of the world where it can be known, and against the disk and the journal elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_gateway import GatewayPromises
from sim_witness import Call

from wasupervisor.decide.decision import Decision
from wasupervisor.decide.ladder import rung_for
from wasupervisor.decide.memory import Memory
from wasupervisor.model.observation import CloseLook, Observation, Uplink, UplinkState
from wasupervisor.model.remedies import Outcome, Remedy, RemedyKind, Result
from wasupervisor.model.sessions import Condition, Reason, State
from wasupervisor.simulator.evolution_world import EvolutionWorld
from wasupervisor.simulator.virtual import Pending
from wasupervisor.simulator.waha_world import WahaSession

if TYPE_CHECKING:
    from sim_daemon import Daemon
    from sim_wire import Answered

NEVER = frozenset({"logout", "delete", "create", "connect", "second_client", "force_stop", "false_open", "qr_burned"})
"""Harm that no automatic call may do. A crash has its exceptions."""

PROBE_TAKES = 20.0
"""Seconds for the probe right before a restart of a session whose work is doubted, and for what follows."""

BOOKED_BEFORE = 20.0
"""Seconds that may lie between a remedy's booking and its call: the uplink is asked and the session read again."""

HOUR = 3600.0
VERBS = {
    RemedyKind.START_SESSION: "start",
    RemedyKind.RESTART_SESSION: "restart",
    RemedyKind.PARK_SESSION: "stop",
}
RESTART = RemedyKind.RESTART_SESSION


class Promises(GatewayPromises):
    """Looks on."""

    def decided(self, daemon: Daemon, before: Memory, observation: Observation, decision: Decision, now: float) -> None:
        """A step, before anything of it is written."""
        self.look_at_step(before, observation, decision, now)
        self.look_for_harm()

    # Each call

    def calls(self, daemon: Daemon, remedy: Remedy, look: CloseLook, uplink: Uplink) -> None:
        """Right before a call."""
        call = Call(self.site.now, remedy, look, self.site.process().keeper)
        self._is_on_the_books(remedy)
        self._distance(call)
        self._stays_parked(call)
        if remedy.kind is not RemedyKind.PARK_SESSION:
            self._keys_are_well(remedy)
        if remedy.kind is RemedyKind.PARK_SESSION:
            self._parking(call)
        elif not remedy.forced:
            self._uplink_is_good(uplink)
            self._store_is_well(look)
        if not remedy.ordered and remedy.kind is not RemedyKind.PARK_SESSION:
            self._budgets(call)
            self._state_allows(call)
            self._stays_stopped(call)
            self._diagnosed_once(call)
        self.calls_made.append(call)
        self.look_for_harm()

    def acting(self, method: str, path: str, answered: Pending[Answered]) -> None:
        """An action on the wire."""
        call = self.calls_made[-1]
        name = call.remedy.session
        allowed = {
            "waha": (f"POST /api/sessions/{name}/{VERBS[call.remedy.kind]}",),
            "evolution": (f"POST /instance/restart/{name}", f"PUT /instance/restart/{name}"),
        }
        if f"{method} {path}" not in allowed[self.site.schedule.kind]:
            self._broken("no verb but start, restart and stop", f"{method} {path}")
        call.answered = answered
        if call.remedy.kind is RemedyKind.PARK_SESSION:
            answered.then(lambda: self._was_parked(name, call.at, answered))

    def _was_parked(self, name: str, called_at: float, answered: Pending[Answered]) -> None:
        session = self.site.world.sessions[name]
        if self._operator_acts.get(name, -1.0) >= called_at:
            return  # somebody had his hands on it at the same time
        if not answered.dropped and isinstance(session, WahaSession) and session.status == "STOPPED":
            self.parked.add(name)

    def ended(self, result: Result) -> None:
        """The supervisor heard the end of a call."""
        self._gateway_ended(result)
        for call in reversed(self.calls_made):
            if call.remedy.id == result.remedy_id and call.remedy.session == result.session:
                call.outcome = result.outcome
                if result.outcome is Outcome.ACCEPTED and call.remedy.cause is Reason.UNEXPLAINED:
                    self._told_by_restart[result.session] = call.at
                return

    def _is_on_the_books(self, remedy: Remedy) -> None:
        written = self.site.disk.load().sessions.get(remedy.session)
        if written is None or written.attempt is None or written.attempt.id != remedy.id:
            self._broken("an attempt is on the books before it is made", str(remedy))
        elif not remedy.ordered and written.condition in (Condition.FATAL, Condition.NEEDS_HUMAN):
            self._broken("a known fatal reason gets no remedy", f"{remedy} while {written.condition}")

    def _uplink_is_good(self, uplink: Uplink) -> None:
        # The check may be 5 s old, and a slow gateway takes its time for the last look.
        latest = self.site.uplink_good_at if not self.site.uplink_good else self.site.now
        allowed = 20.0 if self.site.door.lies else 10.2
        if uplink.state is not UplinkState.UP or self.site.now - latest > allowed:
            self._broken("no uplink, no remedy", f"{uplink}, really good {self.site.now - latest:.1f} s ago")

    def _store_is_well(self, look: CloseLook) -> None:
        world = self.site.world
        if not isinstance(world, EvolutionWorld):
            return
        truth = self.site.door.lies or (world.database_up and (world.redis_up or world.mode == "B"))
        if look.store_ok is not True or not truth:
            self._broken("no remedy without the gateway's store", f"{look}")

    def _distance(self, call: Call) -> None:
        name, spacing = call.remedy.session, self.site.policy.restart_spacing
        same = [one.at for one in self.calls_made if one.remedy.session == name]
        if same and call.at - same[-1] < spacing:
            self._broken("restarts of a session keep the gateway's distance", f"{name}: {same[-1]}, {call.at}")
        timeout = self.site.policy.action_timeout
        running = [one for one in self.calls_made if one.is_running(call.at, timeout)]
        if any(one.outcome is None for one in self.gateway_restarts[-1:]) and self.site.restarter.busy:
            self._broken("no remedy of a session while the gateway is being restarted", str(call))
        if len(running) >= self.site.policy.budget.concurrent and not call.remedy.ordered:
            self._broken("no more remedies at once than allowed", f"{call} beside {running}")
        if any(one.remedy.session == name for one in running):
            self._broken("one remedy for a session at a time", f"{call} beside {running}")

    def _budgets(self, call: Call) -> None:
        budget = self.site.policy.budget
        made = [one for one in self.calls_made if one.remedy.kind is not RemedyKind.PARK_SESSION]
        recent = [one for one in made if call.at - one.at < HOUR - BOOKED_BEFORE]
        same = sum(1 for one in recent if one.remedy.session == call.remedy.session)
        if same >= budget.per_session_per_hour:
            self._broken("the budget of a session holds", f"{same + 1} in an hour: {call.remedy}")
        if len(recent) >= budget.sessions_per_hour:
            self._broken("the budget of all sessions holds", f"{len(recent) + 1} in an hour: {call.remedy}")

    def _state_allows(self, call: Call) -> None:
        """What was read right before, and what is really so."""
        world, name, seen = self.site.world, call.remedy.session, call.look.sighting
        if seen is None:
            self._broken("unknown never triggers a remedy", str(call))
            return
        rung = rung_for(self.site.schedule.kind, seen.reason)
        doubted = call.remedy.cause is Reason.FALSE_WORKING and seen.state is State.WORKING
        if (
            call.remedy.kind is RESTART
            and seen.state is not State.STARTING
            and not doubted
            and rung.remedy is not RESTART
        ):
            self._broken("a remedy is for what it heals", str(call))
        # The last probe waits for its answer for 15 s, and what reconnects within these looks as it did before.
        just_back = doubted and self.site.now - self._unwell_at.get(name, -1e9) <= PROBE_TAKES
        if not self.site.door.lies and not just_back and world.state_of(world.sessions[name])["healthy"]:  # type: ignore[arg-type]
            self._broken("a healthy session is left alone", str(call))
        lone = call.remedy.kind is RESTART and seen.state is State.STARTING and call.look.others_working is not True
        never_dies = self.site.schedule.kind == "evolution"
        kept = call.keeper is not None or self.site.policy.restarter != "none" or never_dies
        if lone and not (call.remedy.lone and kept):
            self._broken(
                "no restart of a starting session while no other works, but one canary with a keeper", str(call)
            )

    def _stays_stopped(self, call: Call) -> None:
        name, world = call.remedy.session, self.site.world
        stopped = self._stopped_at.get(name)
        if stopped is None:
            return
        ours = any(_is_blurred_by(one, stopped) for one in self.calls_made if one.remedy.session == name)
        in_one_run = self._knew_run(stopped) and not self._died_since(stopped - 60.0)
        known = name in self._known_stopped or in_one_run
        if known and not ours and world.alive:
            self._broken("a session that its operator stopped stays stopped", f"{call}, stopped at {stopped}")

    def _diagnosed_once(self, call: Call) -> None:
        seen, name = call.look.sighting, call.remedy.session
        before = self._told_by_restart.get(name)
        if seen is None or seen.reason is not Reason.UNEXPLAINED or before is None:
            return
        incident = self.site.disk.load().incident
        if incident is not None and (incident.proven or incident.canary == name):
            return  # that all fail together is no account's fault: one of them is tried, and then the others
        if self._last_event < before and not self._died_since(before):
            self._broken("an unexplained failure gets one diagnosing restart", f"at {before} and {call.at}: {name}")

    # Harm

    def look_for_harm(self) -> None:
        """What was done to the gateway since the last time, and whether it was us."""
        world = self.site.world
        for number in range(self._harm_seen, len(world.harm)):
            harm = world.harm[number]
            if number not in self._excused and harm.at - self._operator_acts.get(harm.session, -1e9) > 15.0:
                self._judge_harm(harm.what, harm.session, harm.at)
        self._harm_seen = len(world.harm)

    def _judge_harm(self, what: str, name: str, at: float) -> None:
        ours = [call for call in self.calls_made if call.remedy.session == name and call.at <= at]
        if not ours or ours[-1].remedy.ordered:
            return
        call = ours[-1]
        if what == "crash" and call.outcome is Outcome.ACCEPTED:
            return  # it had ended well before
        if what in NEVER:
            self._broken("do no harm", f"{what} of {name} by {call}")
        kept = call.keeper is not None or self.site.policy.restarter != "none"
        lone_and_kept = call.remedy.lone and kept
        if what == "crash" and not lone_and_kept and call.look.others_working is not True:
            self._broken("do no harm", f"the gateway crashed by {call}")


def _is_blurred_by(call: Call, stopped: float) -> bool:
    """Whether a stop at that time cannot be told from a restart of ours that ended half-way."""
    near = stopped - 60.0 < call.at < stopped + 5.0
    seen = call.look.sighting
    told = call.outcome is Outcome.ACCEPTED and seen is not None and seen.state is State.FAILED
    return near and not (told and call.at + 4.0 < stopped)

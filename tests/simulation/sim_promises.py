"""The promises of DESIGN.md as invariants, looked at in each step, before each call and at the end.

They are held against the truth of the world where it can be known, and against the disk and the journal elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sim_events as events

from wasupervisor.decide.decision import Decision
from wasupervisor.decide.ladder import rung_for
from wasupervisor.decide.memory import BreakerState, Memory
from wasupervisor.decide.scene import OPERATOR_STOP_AFTER
from wasupervisor.model.health import Pause
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.observation import CloseLook, Observation, Uplink, UplinkState
from wasupervisor.model.remedies import OrderKind, Outcome, Remedy, RemedyKind, Result
from wasupervisor.model.sessions import Condition, Reason, State
from wasupervisor.simulator import faults
from wasupervisor.simulator.evolution_world import EvolutionWorld
from wasupervisor.simulator.virtual import Pending
from wasupervisor.simulator.waha_world import WahaWorld

if TYPE_CHECKING:
    from sim_daemon import Daemon
    from sim_site import Site
    from sim_wire import Answered

NEVER = frozenset({"logout", "delete", "create", "connect", "second_client", "force_stop", "false_open", "qr_burned"})
"""Harm that no automatic call may do. A crash has its exceptions."""

BOOKED_BEFORE = 20.0
"""Seconds that may lie between a remedy's booking and its call: the uplink is asked and the session read again."""

HOUR = 3600.0
RESTART = RemedyKind.RESTART_SESSION


class BrokenPromiseError(AssertionError):
    """Which promise, when, and how."""

    def __init__(self, promise: str, at: float, text: str) -> None:
        super().__init__(f"{promise}, broken at {at:.2f} s: {text}")
        self.promise = promise


@dataclass
class Call:
    """A call that was made."""

    at: float
    remedy: Remedy
    look: CloseLook
    keeper: str | None
    answered: Pending[Answered] | None = None
    outcome: Outcome | None = None
    """What the supervisor heard."""


class Promises:
    """Looks on."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.calls_made: list[Call] = []
        self.healed: list[tuple[float, str]] = []
        self._harm_seen = 0
        self._excused: set[int] = set()
        self._operator_acts: dict[str, float] = {}
        self._last_event = 0.0
        self._working_since: dict[str, float] = {}
        self._failed_at: dict[str, float] = {}
        self._told_by_restart: dict[str, float] = {}
        """When a restart of a FAILED session was answered and heard: if it fails again, that was the diagnosis."""
        self._stopped_at: dict[str, float] = {}
        self._seen_running: dict[str, int] = {}
        """The run of the gateway in which it was last seen other than stopped."""
        self._seen_stopped: dict[str, float] = {}
        """Since when the supervisor sees an operator's stop, in one run of the gateway."""
        self._known_stopped: set[str] = set()
        """Seen for so long that it can be nothing but an operator's stop."""
        self._paused: Pause | None = None
        """As it was written last."""
        self._watch_failures()

    # What happens around

    def happens(self, event: Any) -> None:
        """An event, before it happens."""
        self._last_event = self.site.now
        if isinstance(event, events.OperatorRestart):
            self._operator_acts[event.session] = self.site.now
            self._restarted_by_person(event.session)
        elif isinstance(event, faults.Stopped | faults.Started):
            for session in self.site.world.chosen(event.session):
                self._restarted_by_person(session.name)
                self._operator_acts[session.name] = self.site.now
                # A stop of what was not seen to run since the process began looks as if it was never started.
                seen = self._seen_running.get(session.name) == self.site.world.run
                if isinstance(event, faults.Stopped) and seen:
                    self._stopped_at[session.name] = self.site.now

    def _restarted_by_person(self, name: str) -> None:
        self._stopped_at.pop(name, None)
        self._seen_stopped.pop(name, None)
        self._known_stopped.discard(name)

    def by_operator(self, act: Callable[[], object]) -> None:
        """Harm that is done in here is the operator's own."""
        before = len(self.site.world.harm)
        act()
        self._excused.update(range(before, len(self.site.world.harm)))

    def _watch_failures(self) -> None:
        world = self.site.world
        if isinstance(world, WahaWorld):
            fail = world.fail

            def noted(session: Any) -> None:
                self._failed_at[session.name] = world.now
                fail(session)

            setattr(world, "fail", noted)  # noqa: B010 - mypy forbids to assign to a method

    # Each step

    def decided(self, daemon: Daemon, before: Memory, observation: Observation, decision: Decision, now: float) -> None:
        """A step, before anything of it is written."""
        self._track(observation)
        for order in observation.orders:
            if order.session is not None:
                self._restarted_by_person(order.session)
        self._partition(decision)
        self._books(before, observation, decision, now)
        if decision.journal or observation.results:
            self._journal(before, observation, decision)
        self._withheld(decision)
        self._held(before, decision)
        self._diagnoses(before, decision)
        self.look_for_harm()

    def _track(self, observation: Observation) -> None:
        now, seen = self.site.now, observation.look.sightings
        if observation.first:
            self._working_since.clear()
            self._seen_stopped.clear()
        for one in seen or ():
            if one.state is State.WORKING:
                self._working_since.setdefault(one.name, now)
                self._told_by_restart.pop(one.name, None)
            else:
                self._working_since.pop(one.name, None)
            # In one run of the gateway; after a restart of the process nobody can tell whose stop it is.
            stopped = self._stopped_at.get(one.name)
            if one.state is not State.STOPPED:
                self._seen_running[one.name] = self.site.world.run
            if one.state is State.STOPPED and stopped is not None and not self._died_since(stopped):
                since = self._seen_stopped.setdefault(one.name, now)
                run_known = observation.process.run is not None or observation.look.run is not None
                if run_known and now - since >= OPERATOR_STOP_AFTER + self.site.policy.poll_every:
                    self._known_stopped.add(one.name)

    def _partition(self, decision: Decision) -> None:
        health = decision.health
        told = health.connections
        parts = (told.active, told.failed, told.recovering, told.needs_human, told.stopped)
        if sum(parts) != told.total or told.total != len(decision.memory.sessions) or min(parts) < 0:
            self._broken("connections is a partition", f"{told} of {len(decision.memory.sessions)} sessions")
        for one in health.sessions:
            person = one.condition in (Condition.FATAL, Condition.NEEDS_HUMAN)
            if person and not one.advice and one.group == "needs_human":
                self._broken("a person is told what to do", f"{one.name} is {one.condition} without advice")

    def _books(self, before: Memory, observation: Observation, decision: Decision, now: float) -> None:
        own = [remedy for remedy in decision.remedies if not remedy.ordered]
        if decision.remedies and not observation.state_writable:
            self._broken("nothing is done that cannot be written", str(decision.remedies))
        if not own:
            return
        if not self.site.policy.act:
            self._broken("observe means hands off", str(own))
        resumed = any(order.kind is OrderKind.RESUME for order in observation.orders)
        paused = self._paused if not resumed else None
        holds = paused is not None and (paused.until is None or now < paused.until)
        if decision.memory.paused is not None or holds:
            self._broken("pause means hands off", str(own))
        last = before.gateway.last_remedy
        if len(own) > 1 or (last is not None and now - last < self.site.policy.budget.spacing):
            self._broken("remedies keep a distance", f"{own} at {now}, the last one at {last}")
        incident = decision.memory.incident
        if incident is not None and not incident.proven:
            for remedy in own:
                if remedy.session in incident.sessions and incident.canary != remedy.session:
                    self._broken("an incident has one canary", f"{remedy.session} beside {incident.canary}")

    def _journal(self, before: Memory, observation: Observation, decision: Decision) -> None:
        lines = {(entry.kind, entry.session) for entry in decision.journal}
        for remedy in decision.remedies:
            if (EntryKind.REMEDY, remedy.session) not in lines:
                self._broken("each remedy has a journal line", str(remedy))
        for result in observation.results:
            known = before.sessions.get(result.session)
            open_attempt = None if known is None else known.attempt
            if open_attempt is None or open_attempt.id != result.remedy_id or open_attempt.outcome is not None:
                continue
            kind = EntryKind.RESULT if result.outcome.was_made else EntryKind.WITHHELD
            if (kind, result.session) not in lines:
                self._broken("each end of a remedy has a journal line", str(result))
        for entry in decision.journal:
            if entry.kind is EntryKind.VERIFIED and entry.outcome == "healed":
                self._healed(entry)

    def _healed(self, entry: Entry) -> None:
        name, now = entry.session or "", self.site.now
        since = self._working_since.get(name)
        if since is None or now - since < self.site.policy.stable_for - 1e-6:
            self._broken("healed is only what was seen to work for stable_for", f"{entry.text}; seen since {since}")
        self.healed.append((now, name))

    def _withheld(self, decision: Decision) -> None:
        """What is told as withheld now was journaled when it began."""
        memory = decision.memory
        for one in decision.health.sessions:
            if one.next is None or " is withheld: " not in one.next:
                continue
            code = memory.sessions[one.name].withheld
            shared = memory.incident.withheld if memory.incident is not None else ""
            # Waiting for a turn is no withholding.
            turns = ("under way", "being verified", "canary", "did not tell its state", "another remedy")
            if not code and not shared and not any(turn in one.next for turn in turns):
                self._broken("each withheld remedy has a journal line", f"{one.name}: {one.next}")

    def _held(self, before: Memory, decision: Decision) -> None:
        """A breaker is held for a fatal reason and for no other: all else is tried again, however rarely."""
        for name, one in decision.memory.sessions.items():
            was = before.sessions.get(name)
            if one.breaker.state is not BreakerState.HELD or (was and was.breaker.state is BreakerState.HELD):
                continue
            if one.condition is not Condition.FATAL:
                self._broken("only a fatal reason is given up", f"{name} is {one.condition}, {one.cause}")

    def _diagnoses(self, before: Memory, decision: Decision) -> None:
        """WAHA: a session is called logged out only after a restart of ours that was followed by a failure."""
        if self.site.schedule.kind != "waha":
            return
        for entry in decision.journal:
            if entry.kind is not EntryKind.CONCLUDED or entry.reason is not Reason.LOGGED_OUT or entry.session is None:
                continue
            was = before.sessions.get(entry.session)
            if was is not None and was.diagnosed:
                continue
            calls = [call.at for call in self.calls_made if call.remedy.session == entry.session]
            if not calls or self._failed_at.get(entry.session, 0.0) <= calls[-1]:
                self._broken("logged out is only said after a diagnosis", f"{entry.session}: {calls}")

    def recorded(self, decision: Decision, *, written: bool) -> None:
        """The step was written down, or could not be."""
        if written:
            self._paused = decision.memory.paused

    def heard(self, results: tuple[Result, ...], entries: tuple[Entry, ...]) -> None:
        """The last words at a stop."""

    # Each call

    def calls(self, daemon: Daemon, remedy: Remedy, look: CloseLook, uplink: Uplink) -> None:
        """Right before a call."""
        call = Call(self.site.now, remedy, look, self.site.process().keeper)
        self._is_on_the_books(remedy)
        self._uplink_is_good(uplink)
        self._store_is_well(look)
        self._distance(call)
        if not remedy.ordered:
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
        verb = "start" if call.remedy.kind is RemedyKind.START_SESSION else "restart"
        allowed = {
            "waha": (f"POST /api/sessions/{name}/{verb}",),
            "evolution": (f"POST /instance/restart/{name}", f"PUT /instance/restart/{name}"),
        }
        if f"{method} {path}" not in allowed[self.site.schedule.kind]:
            self._broken("no verb but start and restart", f"{method} {path}")
        call.answered = answered

    def ended(self, result: Result) -> None:
        """The supervisor heard the end of a call."""
        for call in reversed(self.calls_made):
            if call.remedy.id == result.remedy_id and call.remedy.session == result.session:
                call.outcome = result.outcome
                seen = call.look.sighting
                if result.outcome is Outcome.ACCEPTED and seen is not None and seen.reason is Reason.UNEXPLAINED:
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
        running = [
            one
            for one in self.calls_made
            if one.outcome is None
            and call.at - one.at < timeout
            and not (one.answered is not None and one.answered.done)
        ]
        if len(running) >= self.site.policy.budget.concurrent and not call.remedy.ordered:
            self._broken("no more remedies at once than allowed", f"{call} beside {running}")
        if any(one.remedy.session == name for one in running):
            self._broken("one remedy for a session at a time", f"{call} beside {running}")

    def _budgets(self, call: Call) -> None:
        budget = self.site.policy.budget
        recent = [one for one in self.calls_made if call.at - one.at < HOUR - BOOKED_BEFORE]
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
        if call.remedy.kind is RESTART and seen.state is not State.STARTING and rung.remedy is not RESTART:
            self._broken("a remedy is for what it heals", str(call))
        if not self.site.door.lies and world.state_of(world.sessions[name])["healthy"]:  # type: ignore[arg-type]
            self._broken("a healthy session is left alone", str(call))
        lone = call.remedy.kind is RESTART and seen.state is State.STARTING and call.look.others_working is not True
        kept = call.keeper is not None or self.site.schedule.kind == "evolution"  # which never died of a restart
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
        known = name in self._known_stopped or not self._died_since(stopped - 60.0)
        if known and not ours and world.alive:
            self._broken("a session that its operator stopped stays stopped", f"{call}, stopped at {stopped}")

    def _died_since(self, at: float) -> bool:
        return any(death.at >= at for death in self.site.world.deaths)

    def _diagnosed_once(self, call: Call) -> None:
        seen, name = call.look.sighting, call.remedy.session
        before = self._told_by_restart.get(name)
        if seen is None or seen.reason is not Reason.UNEXPLAINED or before is None:
            return
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
        if what in NEVER:
            self._broken("do no harm", f"{what} of {name} by {call}")
        lone_and_kept = call.remedy.lone and call.keeper is not None
        if what == "crash" and not lone_and_kept and call.look.others_working is not True:
            self._broken("do no harm", f"the gateway crashed by {call}")

    def _broken(self, promise: str, text: str) -> None:
        raise BrokenPromiseError(promise, self.site.now, text)


def _is_blurred_by(call: Call, stopped: float) -> bool:
    """Whether a stop at that time cannot be told from a restart of ours that ended half-way."""
    near = stopped - 60.0 < call.at < stopped + 5.0
    seen = call.look.sighting
    told = call.outcome is Outcome.ACCEPTED and seen is not None and seen.state is State.FAILED
    return near and not (told and call.at + 4.0 < stopped)

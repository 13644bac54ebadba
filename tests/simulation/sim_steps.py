"""The promises that are looked at in each step of the decider."""

from __future__ import annotations

from math import inf

from sim_witness import Witness

from wasupervisor.decide.decision import Decision
from wasupervisor.decide.flaps import FOUGHT_WITHIN
from wasupervisor.decide.memory import BreakerState, Memory
from wasupervisor.model.alerts import Alert, Event
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.observation import Observation
from wasupervisor.model.remedies import OrderKind, RemedyKind
from wasupervisor.model.sessions import Condition, Reason

REPEATS_WITHIN, MOST_REPEATS = 60.0, 6
"""Seconds, and how often the same may be told within them: faults come and go as fast."""


class StepPromises(Witness):
    """Looks on at each step."""

    def look_at_step(self, before: Memory, observation: Observation, decision: Decision, now: float) -> None:
        """A step, before anything of it is written."""
        self._track(observation, self.site.now)
        for order in observation.orders:
            if order.session is not None and order.kind is not OrderKind.PARK:
                self._restarted_by_person(order.session)
        self._partition(decision)
        self._books(before, observation, decision, now)
        if decision.journal or observation.results:
            self._journal(before, observation, decision)
            self._repeats(decision)
        self._canary(before, decision)
        self._withheld(decision)
        self._held(before, decision)
        self._diagnoses(before, decision)

    def _repeats(self, decision: Decision) -> None:
        """What is withheld for a reason is told when that begins, and not again each turn."""
        now = self.site.now
        for entry in decision.journal:
            if entry.kind is EntryKind.WITHHELD:
                times = self._withheld_at.setdefault((entry.session, entry.outcome), [])
                times[:] = [*(at for at in times if now - at < REPEATS_WITHIN), now]
                if len(times) > MOST_REPEATS:
                    self._broken("a withheld remedy is told once for each reason", f"{len(times)} times: {entry.text}")

    def _canary(self, before: Memory, decision: Decision) -> None:
        """When the canary is healed, what the others' restarts told is forgotten: each may be tried once more."""
        was, now = before.incident, decision.memory.incident
        if was is not None and not was.proven and now is not None and now.proven:
            for name in was.sessions:
                self._told_by_restart.pop(name, None)

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
        self._keys(observation, decision)
        if not own:
            return
        if not self.site.policy.act:
            self._broken("observe means hands off", str(own))
        resumed = any(order.kind is OrderKind.RESUME for order in observation.orders)
        paused = self._paused if not resumed else None
        holds = paused is not None and (paused.until is None or now < paused.until)
        if decision.memory.paused is not None or holds:
            self._broken("pause means hands off", str(own))
        if any(one.kind is RemedyKind.RESTART_GATEWAY for one in own) and len(decision.remedies) > 1:
            self._broken("a restart of the gateway is alone", str(decision.remedies))
        own = [one for one in own if one.kind is not RemedyKind.RESTART_GATEWAY]
        last = before.gateway.last_remedy
        if len(own) > 1 or (own and last is not None and now - last < self.site.policy.budget.spacing - 1e-6):
            self._broken("remedies keep a distance", f"{own} at {now}, the last one at {last}")
        incident = decision.memory.incident
        if incident is not None and not incident.proven:
            for remedy in own:
                if remedy.session in incident.sessions and incident.canary != remedy.session:
                    self._broken("an incident has one canary", f"{remedy.session} beside {incident.canary}")

    def _keys(self, observation: Observation, decision: Decision) -> None:
        """What our own look at Redis tells, when a remedy is decided."""
        for remedy in decision.remedies:
            whole = remedy.kind is RemedyKind.RESTART_GATEWAY
            if remedy.kind is RemedyKind.PARK_SESSION:
                continue
            if remedy.session in observation.mistyped or (whole and observation.mistyped):
                self._broken("no restart with a mistyped credential key", f"{remedy}: {observation.mistyped}")
            if observation.redis_ok is False and not remedy.forced:
                self._broken("no remedy without the gateway's store", str(remedy))

    def _journal(self, before: Memory, observation: Observation, decision: Decision) -> None:
        lines = {(entry.kind, entry.session) for entry in decision.journal}
        for remedy in decision.remedies:
            if (EntryKind.REMEDY, remedy.session or None) not in lines:
                self._broken("each remedy has a journal line", str(remedy))
        for result in observation.results:
            known = before.sessions.get(result.session)
            open_attempt = before.gateway.attempt if not result.session else None if known is None else known.attempt
            if open_attempt is None or open_attempt.id != result.remedy_id or open_attempt.outcome is not None:
                continue
            kind = EntryKind.RESULT if result.outcome.was_made else EntryKind.WITHHELD
            if (kind, result.session or None) not in lines:
                self._broken("each end of a remedy has a journal line", str(result))
        for entry in decision.journal:
            if entry.kind is EntryKind.VERIFIED and entry.outcome == "healed":
                if entry.session is not None:
                    self._healed(entry, entry.session)
                else:
                    self._gateway_healed(entry, before)

    def _gateway_healed(self, entry: Entry, before: Memory) -> None:
        """Any of those that it was for works for long enough; for the gateway itself, that it answers."""
        names = before.gateway.attempt.sessions if before.gateway.attempt is not None else ()
        if any(before.sessions[name].condition is Condition.HEALTHY for name in names if name in before.sessions):
            return  # seen for long enough already, perhaps in an earlier life of the supervisor
        stable = self.site.now - self.site.policy.stable_for + 1e-6
        if names and not any(self._working_since.get(name, self.site.now) <= stable for name in names):
            self._broken("healed is only what was seen to work for stable_for", entry.text)

    def _healed(self, entry: Entry, name: str) -> None:
        now = self.site.now
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
            told = bool(memory.sessions[one.name].withheld)
            shared = memory.incident.told if memory.incident is not None else ()
            # Waiting for a turn is no withholding.
            turns = (
                "under way",
                "being verified",
                "canary",
                "did not tell its state",
                "another remedy",
                "is being",
                "instead",
            )
            if one.next.startswith(RemedyKind.RESTART_GATEWAY):
                told = bool(memory.gateway.told)
            if not told and not shared and not any(turn in one.next for turn in turns):
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
        """WAHA: a session is called logged out only after a restart of ours that was followed by a failure.

        Evolution: a fight is called another client's only after a new process could have ended it.
        """
        if self.site.schedule.kind != "waha":
            told = any(one.reason is Reason.REPLACED and one.kind is EntryKind.CONCLUDED for one in decision.journal)
            if told and not self._died_since(self.site.now - FOUGHT_WITHIN):
                self._broken("a fight is another client's only after a restart of the gateway", str(decision.journal))
            return
        for entry in decision.journal:
            if entry.kind is not EntryKind.CONCLUDED or entry.reason is not Reason.LOGGED_OUT or entry.session is None:
                continue
            was = before.sessions.get(entry.session)
            if was is not None and was.diagnosed:
                continue
            calls = [call.at for call in self.calls_made if call.remedy.session == entry.session]
            restarts = [*calls[-1:], self._operator_acts.get(entry.session, inf)]  # his tells as much as ours
            if not any(at < self._failed_at.get(entry.session, 0.0) for at in restarts):
                self._broken("logged out is only said after a diagnosis", f"{entry.session}: {calls}")

    def recorded(self, memory: Memory, told: tuple[Alert, ...] = (), *, written: bool) -> None:
        """What was remembered and told was written down, or could not be: then alerts wait for the next time."""
        self._unwritten += told
        if not written:
            return
        self._paused = memory.paused
        alerts, self._unwritten = self._unwritten, ()
        for alert in alerts:
            state = self.episodes.get(alert.id)
            if state is Event.END or (state is None) is not (alert.event is Event.BEGIN):
                self._broken("an episode is told with one begin and one end", f"{alert} after {state}")
            self.episodes[alert.id] = alert.event

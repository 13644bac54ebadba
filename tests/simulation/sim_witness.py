"""What a witness of the simulation remembers: the calls that were made, what could be seen, what operators did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import sim_events as events

from wasupervisor.decide.scene import OPERATOR_STOP_AFTER
from wasupervisor.model.alerts import Alert, Event
from wasupervisor.model.health import Pause
from wasupervisor.model.observation import CloseLook, Observation
from wasupervisor.model.remedies import Outcome, Remedy
from wasupervisor.model.sessions import State
from wasupervisor.simulator import faults
from wasupervisor.simulator.virtual import Pending
from wasupervisor.simulator.waha_world import WahaWorld

if TYPE_CHECKING:
    from sim_gateway import Restart
    from sim_site import Site
    from sim_wire import Answered


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

    def is_running(self, now: float, timeout: float) -> bool:
        """Whether nobody can say yet that it has ended."""
        answered = self.answered is not None and self.answered.done
        return self.outcome is None and now - self.at < timeout and not answered


class Witness:
    """Looks on."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.calls_made: list[Call] = []
        """For sessions."""
        self.gateway_restarts: list[Restart] = []
        self.parked: set[str] = set()
        """Stopped by us and not started by a person since."""
        self.healed: list[tuple[float, str]] = []
        self.episodes: dict[str, Event] = {}
        """What was told of each, last."""
        self._unwritten: tuple[Alert, ...] = ()
        """Alerts that wait, with the memory that they belong to, until the disk takes them."""
        self._harm_seen = 0
        self._excused: set[int] = set()
        self._operator_acts: dict[str, float] = {}
        self._last_event = 0.0
        self._unwell_at: dict[str, float] = {}
        """When a session was last seen not to be healthy, by the truth of the world."""
        self._working_since: dict[str, float] = {}
        self._failed_at: dict[str, float] = {}
        self._told_by_restart: dict[str, float] = {}
        """When a restart of a FAILED session was answered and heard: if it fails again, that was the diagnosis."""
        self._withheld_at: dict[tuple[str | None, str | None], list[float]] = {}
        self._stopped_at: dict[str, float] = {}
        self._seen_running: dict[str, int] = {}
        """The run of the gateway in which it was last seen other than stopped."""
        self._run_told: tuple[int, float] = (0, 0.0)
        """The run of the gateway that the supervisor was told of last, and since when it knows."""
        self._seen_stopped: dict[str, float] = {}
        """Since when the supervisor sees an operator's stop, in one run of the gateway."""
        self._known_stopped: dict[str, float] = {}
        """Seen for so long that it can be nothing but an operator's stop."""
        self._paused: Pause | None = None
        """As it was written last."""
        self._watch_failures()

    # What happens around

    def happens(self, event: Any) -> None:
        """An event, before it happens."""
        # A restart in the middle of an outage tells nothing of the account, so that its end counts as well.
        self._last_event = max(self._last_event, self.site.now + (getattr(event, "lasts", None) or 0.0))
        if isinstance(event, events.OperatorRestart):
            self.person_acts(event.session)
            self._restarted_by_person(event.session)
        elif isinstance(event, faults.Stopped | faults.Started):
            for session in self.site.world.chosen(event.session):
                self._restarted_by_person(session.name)
                self.person_acts(session.name)
                # A stop of what was not seen to run since the process began looks as if it was never started.
                seen = self._seen_running.get(session.name) == self.site.world.run
                if isinstance(event, faults.Stopped) and seen:
                    self._stopped_at[session.name] = self.site.now

    def person_acts(self, name: str) -> None:
        """Somebody has his hands on it in the gateway itself: what a frozen process was told happens when it thaws."""
        self._operator_acts[name] = self.site.now

    def _restarted_by_person(self, name: str) -> None:
        self._stopped_at.pop(name, None)
        self._seen_stopped.pop(name, None)
        self._known_stopped.pop(name, None)
        self.parked.discard(name)

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

    def goes_on(self, observation: Observation, until: float) -> None:
        """The supervisor sees the same until then."""
        self._track(observation, until)

    def _note_unwell(self, now: float) -> None:
        for name, session in self.site.world.sessions.items():
            if not self.site.world.state_of(session)["healthy"]:  # type: ignore[arg-type]
                self._unwell_at[name] = now

    def _track(self, observation: Observation, now: float) -> None:
        seen = observation.look.sightings
        self._note_unwell(now)
        if observation.first:
            self._working_since.clear()
            self._seen_stopped.clear()
            self._unwritten = ()
            if self.site.refused_at > self.site.written_at:
                self._forget_unwritten()
        told = observation.process.run is not None or observation.look.run is not None
        if told and self._is_told_of_run(observation) and self._run_told[0] != self.site.world.run:
            self._run_told = self.site.world.run, now
        for one in seen or ():
            if one.state is State.NEEDS_HUMAN:
                self.parked.discard(one.name)  # by all that can be seen somebody has started it
            if one.state is State.WORKING:
                self._working_since.setdefault(one.name, now)
                self._told_by_restart.pop(one.name, None)
            else:
                self._working_since.pop(one.name, None)
            # In one run of the gateway; after a restart of the process nobody can tell whose stop it is.
            stopped = self._stopped_at.get(one.name)
            if one.state is not State.STOPPED and self._is_told_of_run(observation):
                self._seen_running[one.name] = self.site.world.run
            if one.state is State.STOPPED and stopped is not None and not self._died_since(stopped):
                since = self._seen_stopped.setdefault(one.name, now)
                run_known = observation.process.run is not None or observation.look.run is not None
                if (
                    run_known
                    and self._knew_run(since)
                    and now - since >= OPERATOR_STOP_AFTER + self.site.policy.poll_every
                ):
                    self._known_stopped.setdefault(one.name, now)

    def _forget_unwritten(self) -> None:
        """What the last life learned and could not write: of what this one sees, it may be a stop by the process."""
        if self._died_since(self.site.written_at):
            self._seen_running.clear()
        for name in list(self._stopped_at):
            if self._known_stopped.get(name, inf) > self.site.written_at:
                self._known_stopped.pop(name, None)
                del self._stopped_at[name]

    def _is_told_of_run(self, observation: Observation) -> bool:
        """Whether the supervisor is not left in the belief that this is still an earlier run of the gateway."""
        world, told = self.site.world, observation.look.run
        if observation.process.run is not None or told is None:
            return True
        return told == str(round((world.epoch + world.started_at) * 1000))

    def _knew_run(self, at: float) -> bool:
        """Whether the supervisor knew at that time which run of the gateway it is, the one that it still is."""
        run, since = self._run_told
        return run == self.site.world.run and since <= at

    def _died_since(self, at: float) -> bool:
        return any(death.at >= at for death in self.site.world.deaths)

    def _broken(self, promise: str, text: str) -> None:
        raise BrokenPromiseError(promise, self.site.now, text)

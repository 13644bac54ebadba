"""What a running daemon is made of, once its doors are open and its state is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from anyio.abc import TaskGroup

from wasupervisor.config.policy import policy_of
from wasupervisor.config.schema import Settings
from wasupervisor.runtime.counting import Tally
from wasupervisor.runtime.cycle import Cycle
from wasupervisor.runtime.dead_man import DeadMan
from wasupervisor.runtime.inbox import Inbox
from wasupervisor.runtime.performing import PROBE_TIMEOUT, Performer
from wasupervisor.runtime.probing import Prober
from wasupervisor.runtime.publishing import Publisher
from wasupervisor.runtime.pulse import Pulse
from wasupervisor.runtime.recorder import StoreRecorder
from wasupervisor.runtime.recording import Recording
from wasupervisor.runtime.state import OpenState
from wasupervisor.runtime.systemd import Notifier
from wasupervisor.runtime.telling import Telling
from wasupervisor.runtime.tending import tend
from wasupervisor.runtime.watch import Watch
from wasupervisor.runtime.wiring import open_maintenance, open_restart


@dataclass(frozen=True)
class Parts:
    """The parts of one run, introduced to each other."""

    clock: Callable[[], float]
    notifier: Notifier
    state: OpenState
    pulse: Pulse
    inbox: Inbox
    performer: Performer
    prober: Prober
    publisher: Publisher
    cycle: Cycle
    recording: Recording
    telling: Telling
    dead_man: DeadMan

    @classmethod
    def wire(
        cls,
        settings: Settings,
        state: OpenState,
        watch: Watch,
        *,
        clock: Callable[[], float],
        notifier: Notifier,
        dice: Random,
        tasks: TaskGroup,
    ) -> Parts:
        """Make them; remedies and questions to the uplink run in `tasks`."""
        policy = policy_of(settings, watch.gateway.restart_spacing)
        pulse = Pulse(settings.gateway.poll_every, clock)
        inbox = Inbox(pulse.wake)
        telling = Telling(state.store.outbox, now=state.timeline.now, dice=dice)
        tally = Tally()
        recorder = StoreRecorder(state.store, state.written, state.timeline.now, telling, tally.take)
        performer = Performer(tasks, watch, policy, pulse.wake, disk_low=lambda: recorder.disk_low)
        prober = Prober(tasks, PROBE_TIMEOUT)
        recording = Recording(settings.state.directory, settings.state.record)
        publisher = Publisher(settings, state, notifier, clock, recording, tally)
        dead_man = DeadMan(telling.note)
        cycle = Cycle(
            state.memory,
            watch=watch,
            policy=policy,
            performer=performer,
            prober=prober,
            inbox=inbox,
            recorder=recorder,
            publish=publisher.publish,
            now=state.timeline.now,
            dice=dice,
            tasks=tasks,
            taken=recording.take,
        )
        cycle.note(*state.entries)
        notifier.wait_at_least(_patience(settings))
        parts = cls(
            clock, notifier, state, pulse, inbox, performer, prober, publisher, cycle, recording, telling, dead_man
        )
        parts._use_voice(settings)
        parts._use_hands(settings)
        cycle.in_maintenance = open_maintenance(settings)
        parts.look_after_keys(watch, tasks)
        if performer.restart is not None:
            tasks.start_soon(performer.restart.settle, name="settle an earlier restart")
        return parts

    def use(self, settings: Settings) -> None:
        """Follow other settings in what is not the cycle's."""
        self.pulse.every = settings.gateway.poll_every
        self.publisher.use(settings)
        self.notifier.wait_at_least(_patience(settings))
        self.recording.keep = settings.state.record
        store, limits = self.state.store, settings.state.journal
        store.keep, store.max_bytes = limits.keep, limits.max
        self._use_hands(settings)
        self._use_voice(settings)
        self.cycle.in_maintenance = open_maintenance(settings)

    def look_after_keys(self, watch: Watch, tasks: TaskGroup) -> None:
        """Have the work begin that the looks at the gateway's Redis ask for; it ends with the watch."""
        if watch.keys is not None:
            watch.keys.note = self.cycle.note
            tasks.start_soon(partial(tend, "looking after the gateway's Redis", watch.keys.run), name="keys")

    def _use_voice(self, settings: Settings) -> None:
        self.telling.use(settings)
        self.dead_man.use(settings.dead_man)

    def _use_hands(self, settings: Settings) -> None:
        performer, probe = self.performer, settings.sessions.probe
        performer.restart = open_restart(settings, hold=self.publisher.hold, wake=self.pulse.wake)
        performer.probe_timeout = self.prober.timeout = PROBE_TIMEOUT if probe is None else probe.timeout


def _patience(settings: Settings) -> float:
    """Seconds within which a turn must finish: the same by which the health document is too old."""
    return 3 * (settings.gateway.poll_every + settings.gateway.timeout)

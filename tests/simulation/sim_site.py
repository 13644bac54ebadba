"""Everything around a supervisor in the simulation: gateway, disk, clocks, uplink, operators, and its own lives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING

import msgspec
import sim_events as events
from sim_events import AnyEvent, Schedule
from sim_resources import Body
from sim_restarter import Restarter
from sim_wire import Door

from wasupervisor.decide.memory import Memory, dump, load
from wasupervisor.model.journal import Entry
from wasupervisor.model.observation import ProcessReading, Stores, Uplink, UplinkState
from wasupervisor.model.remedies import Remedy
from wasupervisor.simulator import faults
from wasupervisor.simulator import world as simulated
from wasupervisor.simulator.evolution_world import EvolutionSession, EvolutionWorld
from wasupervisor.simulator.happen import AnyWorld, apply
from wasupervisor.simulator.kinds import make_world
from wasupervisor.simulator.virtual import Pending
from wasupervisor.simulator.waha_world import WahaSession, WahaWorld
from wasupervisor.store.timeline import Saved, Timeline

if TYPE_CHECKING:
    from sim_daemon import Daemon
    from sim_promises import Promises

GOOD = (simulated.UplinkState.UP, simulated.UplinkState.NO_LOGIN)
"""The websocket's upgrade is answered with 101."""

IDLE_CPU, FIGHT_CPU = 1.5, 12.0
CHECK_TAKES, CHECK_TIMEOUT = 0.05, 5.0
PERSON_STARTS_AFTER = 90.0
"""A gateway that nothing keeps is started by a person, so long after its end."""


class Disk:
    """What outlives the supervisor."""

    def __init__(self) -> None:
        self.memory: bytes | None = None
        self.saved: Saved | None = None
        self.journal: list[tuple[float, Entry]] = []
        self.writable = True

    def save(self, memory: Memory, entries: tuple[Entry, ...], saved: Saved, at: float) -> bool:
        """Write all of it, or nothing."""
        if not self.writable:
            return False
        self.memory, self.saved = dump(memory), saved
        self.journal += [(at, entry) for entry in entries]
        return True

    def load(self) -> Memory:
        """What a new start finds."""
        return Memory() if self.memory is None else load(self.memory)


class Site:
    """One schedule under way. `promises` looks on, and raises when one is broken."""

    def __init__(
        self,
        schedule: Schedule,
        start: Callable[[Site], Daemon],
        promises: Callable[[Site], Promises],
        *,
        supervised: bool = True,
        jumps: bool = True,
    ) -> None:
        self.schedule = schedule
        self.jumps = jumps
        """Whether polls that change nothing are left out."""
        self.jumped = 0
        self.policy = schedule.rules.policy(schedule.kind, schedule.poll)
        self.world: AnyWorld = make_world(
            schedule.kind,
            schedule.names,
            keeper=schedule.process != "unkept",
            epoch=1.8e9,
            core=schedule.core,
            mode=schedule.mode,
        )
        self.door = Door(self.world)
        self.disk = Disk()
        self.restarter = Restarter(self.world)
        has_engine = any(isinstance(one.event, events.EngineEnds) for one in schedule.events)
        self.body = Body(self.world, measured=schedule.rules.limits, has_engine=has_engine)
        self.disk_low = False
        self.mistyped: tuple[str, ...] = ()
        """Sessions whose key of credentials is known to have the wrong type."""
        self.dice = Random(schedule.seed)
        self.armed: events.Crash | None = None
        self.daemon: Daemon | None = None
        self.lives = 0
        """How often the supervisor was started."""
        self.boot, self.booted_at, self.wall = 1, 0.0, 1.8e9
        self.orders = self.uplink_asked = 0
        self.refused_at = self.written_at = -1.0
        """When the disk last took nothing, and when it took something: what was learnt in between may be lost."""
        self.uplink_good_at = 0.0
        """When a gateway here would last have got through."""
        self.store_good_at = 0.0
        """When the gateway's database last answered."""
        self._start = start
        self._unwritable = 0
        self.promises = promises(self)
        self.world.on_change(self._changed)
        if supervised:
            self.begin()

    # Clocks

    @property
    def now(self) -> float:
        """The world's time: what really passes."""
        return self.world.now

    def boottime(self) -> float:
        """CLOCK_BOOTTIME."""
        return self.world.now - self.booted_at

    def timeline(self) -> Timeline:
        """The line on which a new start goes on."""
        return Timeline.resume(self.disk.saved, f"boot-{self.boot}", self.boottime)

    def save(self, memory: Memory, entries: tuple[Entry, ...], timeline: Timeline) -> bool:
        """Write it down."""
        saved = self.disk.save(memory, entries, timeline.moment(self.wall + self.now), self.now)
        if saved:
            self.written_at = self.now
        else:
            self.refused_at = self.now
        return saved

    # The supervisor's lives

    def begin(self) -> None:
        """Start it, unless it runs."""
        if self.daemon is None:
            self.lives += 1
            self.daemon = self._start(self)

    def die(self, away: float) -> None:
        """It is gone; what its calls do, they do."""
        daemon, self.daemon, self.armed = self.daemon, None, None
        if daemon is not None and daemon.fibers.alive:
            daemon.fibers.stop()
        self.world.later(away, self.begin)

    def is_struck(self, where: str, remedies: Iterable[Remedy]) -> bool:
        """Whether the supervisor dies just here."""
        armed = self.armed
        if armed is None or armed.where != where:
            return False
        return any(armed.remedy in (None, one.kind) for one in remedies)

    # What it reads

    def process(self) -> ProcessReading:
        """The gateway's process as `host/` tells of it."""
        if self.schedule.process == "unseen":
            return ProcessReading(detail="its port does not lead to a pid for our user")
        keeper = "systemd gateway.service" if self.schedule.process == "kept" else None
        if not self.world.alive:
            return ProcessReading(exists=False, keeper=keeper)
        born = self.world.started_at - self.booted_at
        return ProcessReading(
            exists=True,
            pid=4000 + self.world.run,
            started=self.wall + born,
            born=born,
            cpu_percent=self._cpu(),
            rss_bytes=self.body.rss_bytes,
            limit_bytes=self.body.limit_bytes,
            processes=None if self.body.programs is None else 1 + len(self.body.programs),
            programs=self.body.programs or (),
            oom_kills=self.body.oom_kills,
            keeper=keeper,
        )

    def _cpu(self) -> float:
        """Measured on Evolution: 1 to 2 per cent, and 8 to 20 in a fight for one account."""
        if self.body.spins:
            return 100.0
        sessions = self.world.sessions.values()
        fights = any(isinstance(one, EvolutionSession) and one.second_client for one in sessions)
        return FIGHT_CPU if fights else IDLE_CPU

    @property
    def hour_of_week(self) -> int:
        """Of the wall clock."""
        return int((self.wall + self.now) // 3600.0) % 168

    @property
    def next_hour(self) -> float:
        """When, by the world's time, the hour of the wall clock ends."""
        return self.now + 3600.0 - (self.wall + self.now) % 3600.0

    @property
    def redis_ok(self) -> bool | None:
        """As the supervisor's own look at Redis tells."""
        watched = self.schedule.redis_watched and isinstance(self.world, EvolutionWorld)
        return self.world.redis_up if watched else None  # type: ignore[union-attr]

    @property
    def stores(self) -> Stores:
        """What a look right before a remedy tells."""
        return Stores(self.redis_ok, self.mistyped, disk_low=self.disk_low)

    def ask_uplink(self) -> Pending[Uplink]:
        """Ask WhatsApp, as `host/uplink.py` does."""
        self.uplink_asked += 1
        state = self.world.uplink
        good = UplinkState.UP if state in GOOD else UplinkState.DOWN
        refused = state is simulated.UplinkState.UPGRADE_503
        asked: Pending[Uplink] = Pending()
        takes = CHECK_TIMEOUT if state is simulated.UplinkState.BLACK_HOLE else CHECK_TAKES
        self.world.later(takes, lambda: asked.finish(Uplink(state=good, refused=refused)))
        return asked

    @property
    def uplink_good(self) -> bool:
        """The truth."""
        return self.world.uplink in GOOD

    @property
    def store_good(self) -> bool:
        """The truth."""
        return not isinstance(self.world, EvolutionWorld) or self.world.database_up

    # What happens

    def happen(self, event: AnyEvent) -> None:
        """Let it happen now."""
        if isinstance(event, faults.SessionFault):
            for name in [name for name in self._hit(event) if self._can_have(event, name)]:
                self._happen(msgspec.structs.replace(event, session=name))
        else:
            self._happen(event)

    def _happen(self, event: AnyEvent) -> None:
        self.promises.happens(event)
        row = _OURS.get(type(event))
        if row is not None:
            row(self, event)
        elif isinstance(event, faults.Http):
            self.door.lie(event)
        elif isinstance(event, faults.HttpCalm):
            self.door.calm()
        else:
            was_good, had_store = self.uplink_good, self.store_good
            apply(self.world, event)  # type: ignore[arg-type]
            if was_good:
                self.uplink_good_at = self.now
            if had_store:
                self.store_good_at = self.now

    def _hit(self, event: faults.SessionFault) -> list[str]:
        return list(self.world.sessions) if event.session == "*" else [event.session]

    def _can_have(self, event: faults.SessionFault, name: str) -> bool:
        """Whether it can happen to the session as it is now: what does not run cannot fail."""
        session = self.world.sessions[name]
        if isinstance(event, faults.Healed | faults.Claims | faults.NotLoaded):
            return self.world.alive
        if isinstance(event, faults.Stopped | faults.Started):
            return self.world.alive and self.world.frozen_since is None
        runs = session.status != "STOPPED" if isinstance(session, WahaSession) else session.memory is not None
        return self.world.alive and runs

    def _changed(self) -> None:
        if self.uplink_good:
            self.uplink_good_at = self.now
        if not self.world.alive and self.schedule.process == "unkept":
            run = self.world.run
            if run != getattr(self, "_awaited", None):
                self._awaited = run
                self.world.later(PERSON_STARTS_AFTER, lambda: self._start_gateway(run))

    def _start_gateway(self, run: int) -> None:
        if not self.world.alive and self.world.run == run:
            self.world.boot(0.0)

    def crash(self, event: events.Crash) -> None:
        """See `events.Crash`."""
        if event.where == "now":
            self.die(event.away)
        else:
            self.armed = event

    def stop_daemon(self, event: events.StopDaemon) -> None:
        """SIGTERM."""
        if self.daemon is not None:
            self.daemon.finish(lambda: self.die(event.away))

    def unwritable(self, event: events.Unwritable) -> None:
        """A full disk, for a while."""
        self._unwritable += 1
        self.disk.writable = False

        def end() -> None:
            self._unwritable -= 1
            self.disk.writable = self._unwritable == 0

        self.world.later(event.lasts or 60.0, end)

    def restarter_trouble(self, event: events.RestarterTrouble) -> None:
        """See `events.RestarterTrouble`."""
        self.restarter.trouble = event.answer

        def end() -> None:
            if self.restarter.trouble == event.answer:
                self.restarter.trouble = None

        self.world.later(event.lasts or 300.0, end)

    def mistype(self, event: events.Mistyped) -> None:
        """See `events.Mistyped`."""
        if not isinstance(self.world, EvolutionWorld):
            return
        session = self.world.sessions[event.session]
        session.creds_readable = False
        if self.schedule.redis_watched:
            self.mistyped = (*(name for name in self.mistyped if name != session.name), session.name)

        def end() -> None:
            session.creds_readable = True
            self.mistyped = tuple(name for name in self.mistyped if name != session.name)

        self.world.later(event.lasts or 120.0, end)

    def disk_fills(self, event: events.DiskLow) -> None:
        """See `events.DiskLow`."""
        self.disk_low = True
        self.world.later(event.lasts or 120.0, lambda: setattr(self, "disk_low", False))

    def leak(self, event: events.Leak) -> None:
        """See `events.Leak`."""
        self.body.leak(event)

    def spin(self, event: events.Spin) -> None:
        """See `events.Spin`."""
        self.body.spin(event)

    def engine_ends(self, _event: events.EngineEnds) -> None:
        """See `events.EngineEnds`."""
        self.body.end_engine()

    def reboot(self, event: events.Reboot) -> None:
        """The whole machine."""
        self.boot += 1
        self.world.kill(137, event.away)
        self.die(event.away + 1.0)
        self.booted_at = self.now

    def set_wall_clock(self, event: events.WallClock) -> None:
        """Only what is shown and written beside depends on it."""
        self.wall += event.by

    def order(self, event: events.Ordered) -> None:
        """On the control socket: lost when nobody listens."""
        if self.daemon is not None:
            self.orders += 1
            self.daemon.order(event, f"o{self.orders}")

    def operator_restart(self, event: events.OperatorRestart) -> None:
        """In the gateway itself, past the supervisor."""
        world, name = self.world, event.session
        if not world.alive:
            return
        if isinstance(world, WahaWorld):
            waha = world
            waha.thawed().then(lambda: self.promises.person_acts(name))
            waha.thawed().bind(lambda _: waha.restart(name))
        else:
            evolution, session = world, world.sessions[name]
            if session.memory is not None:
                evolution.thawed().bind(lambda _: evolution.redis_answers()).then(
                    lambda: self.promises.by_operator(lambda: evolution.restart(session))
                )


_OURS: dict[type, Callable[[Site, AnyEvent], None]] = {
    events.Crash: Site.crash,  # type: ignore[dict-item]
    events.StopDaemon: Site.stop_daemon,  # type: ignore[dict-item]
    events.Unwritable: Site.unwritable,  # type: ignore[dict-item]
    events.Reboot: Site.reboot,  # type: ignore[dict-item]
    events.WallClock: Site.set_wall_clock,  # type: ignore[dict-item]
    events.Ordered: Site.order,  # type: ignore[dict-item]
    events.OperatorRestart: Site.operator_restart,  # type: ignore[dict-item]
    events.RestarterTrouble: Site.restarter_trouble,  # type: ignore[dict-item]
    events.Mistyped: Site.mistype,  # type: ignore[dict-item]
    events.DiskLow: Site.disk_fills,  # type: ignore[dict-item]
    events.Leak: Site.leak,  # type: ignore[dict-item]
    events.Spin: Site.spin,  # type: ignore[dict-item]
    events.EngineEnds: Site.engine_ends,  # type: ignore[dict-item]
}

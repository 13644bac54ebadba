"""What the gateway process uses in the simulation: a leak that the kernel ends at last, and a loop without end.

And its engine's process, where it has one of its own: what a WAHA does without it is not measured. Here its sessions
are FAILED, and so is each that logs in, until the gateway process ends.
"""

from __future__ import annotations

import sim_events as events

from wasupervisor.simulator.happen import AnyWorld
from wasupervisor.simulator.waha_world import WahaWorld
from wasupervisor.simulator.world import Ailment

MB = 10**6
USES = 300 * MB
KILLED_AT = 1600 * MB
"""What the control group grants; then the kernel kills it."""
STEP = 20.0
"""Seconds between two steps of a leak."""


class Body:
    """Memory and CPU of the present run of the process."""

    def __init__(self, world: AnyWorld, *, measured: bool, has_engine: bool = False) -> None:
        self._world = world
        self._has_engine = has_engine and isinstance(world, WahaWorld)
        self._without_engine: int | None = None
        """The run whose engine has ended."""
        self._ailments: dict[str, Ailment | None] = {}
        """What the sessions had before."""
        self._measured = measured
        self._leaked: tuple[int, int] = (0, 0)
        """The run and what it has leaked."""
        self._spins: int | None = None
        """The run that does."""
        self._calm = False
        self.oom_kills = 0
        world.on_change(self._has_changed)

    @property
    def rss_bytes(self) -> int | None:
        """None where the schedule has no limits, so that quiet time can be jumped over."""
        return USES + self._lost() if self._measured else None

    @property
    def limit_bytes(self) -> int | None:
        """Of its control group."""
        return KILLED_AT if self._measured else None

    @property
    def spins(self) -> bool:
        """Whether it uses a CPU for nothing."""
        return self._spins == self._world.run

    @property
    def programs(self) -> tuple[str, ...] | None:
        """Of its descendants; None: nobody looks at them."""
        return None if not self._has_engine else () if self.engine_is_gone else ("gows",)

    @property
    def engine_is_gone(self) -> bool:
        """Whether this run has lost it."""
        return self._without_engine == self._world.run

    def end_engine(self) -> None:
        """Until the process ends."""
        world = self._world
        if not self._has_engine or not isinstance(world, WahaWorld) or not world.alive or self.engine_is_gone:
            return
        self._without_engine = world.run
        for session in world.sessions.values():
            self._ailments[session.name] = session.ailment
            session.ailment = Ailment("failed", None)
            if session.status in ("WORKING", "STARTING"):
                world.fail(session)
        world.changed()

    def _has_changed(self) -> None:
        if self._ailments and not self.engine_is_gone:
            before, self._ailments = self._ailments, {}
            for name, ailment in before.items():
                self._world.sessions[name].ailment = ailment

    def leak(self, event: events.Leak) -> None:
        """So much each 20 s, until the process ends."""
        if self._world.alive:
            self._step(event)

    def spin(self, event: events.Spin) -> None:
        """Until the process ends, or for a while."""
        run = self._world.run
        if self._world.alive:
            self._spins = run
            self._world.later(event.lasts or 1e6, lambda: self._rest(run))

    def rest(self) -> None:
        """Leak and spin no more: what was lost stays so until the process ends."""
        self._spins, self._calm = None, True

    def _lost(self) -> int:
        run, leaked = self._leaked
        return leaked if run == self._world.run else 0

    def _step(self, event: events.Leak) -> None:
        if self._calm:
            return
        self._leaked = self._world.run, self._lost() + event.megabytes * MB
        if USES + self._lost() >= KILLED_AT:
            self.oom_kills += 1
            self._world.kill(137)
        else:
            self._world.after(STEP, lambda: self._step(event))

    def _rest(self, run: int) -> None:
        if self._spins == run:
            self._spins = None

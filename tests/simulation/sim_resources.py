"""What the gateway process uses in the simulation: a leak that the kernel ends at last, and a loop without end."""

from __future__ import annotations

import sim_events as events

from wasupervisor.simulator.happen import AnyWorld

MB = 10**6
USES = 300 * MB
KILLED_AT = 1600 * MB
"""What the control group grants; then the kernel kills it."""
STEP = 20.0
"""Seconds between two steps of a leak."""


class Body:
    """Memory and CPU of the present run of the process."""

    def __init__(self, world: AnyWorld, *, measured: bool) -> None:
        self._world = world
        self._measured = measured
        self._leaked: tuple[int, int] = (0, 0)
        """The run and what it has leaked."""
        self._spins: int | None = None
        """The run that does."""
        self._calm = False
        self.oom_kills = 0

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

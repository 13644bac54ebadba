"""What restarts the gateway process in the simulation: a command of the operator's, as `host/restart_command.py` runs.

SIGTERM, SIGKILL when it has not ended in time, and a start in every case. It is a process of its own: what it has begun
it ends, whatever becomes of the supervisor.
"""

from __future__ import annotations

from wasupervisor.model.remedies import Outcome
from wasupervisor.simulator.happen import AnyWorld
from wasupervisor.simulator.virtual import Pending

STOP_WITHIN = 30.0
"""Seconds from SIGTERM to SIGKILL."""
DEADLINE = 120.0
"""Seconds after which nobody waits for it any more."""
REFUSES_AFTER, SLOWER_BY, LOOKS_EVERY = 0.2, 130.0, 0.5


class Restarter:
    """One way to restart the gateway."""

    def __init__(self, world: AnyWorld) -> None:
        self._world = world
        self.trouble: str | None = None
        """refuses, slow or hangs."""
        self.busy = 0
        """Restarts that are being carried out."""
        self.made = 0

    def restart(self) -> Pending[Outcome]:
        """Stop it and start it; ends with what the supervisor is told."""
        told: Pending[Outcome] = Pending()
        world, trouble = self._world, self.trouble
        if trouble == "refuses":
            world.later(REFUSES_AFTER, lambda: told.finish(Outcome.REFUSED))
            return told
        world.later(DEADLINE, lambda: told.finish(Outcome.TIMED_OUT))
        if trouble != "hangs":
            self.busy += 1
            world.later(SLOWER_BY if trouble == "slow" else 0.0, lambda: self._stop(told))
        return told

    def _stop(self, told: Pending[Outcome]) -> None:
        world, run = self._world, self._world.run
        self.made += 1
        if world.alive:
            world.terminate(world.timings.boot)
            world.later(STOP_WITHIN, lambda: self._kill(run))
        else:
            world.boot()
        self._wait(run if world.alive else run - 1, told)

    def _kill(self, run: int) -> None:
        if self._world.alive and self._world.run == run:
            self._world.kill(137, self._world.timings.boot)

    def _wait(self, old: int, told: Pending[Outcome]) -> None:
        if self._world.alive and self._world.run != old:
            self.busy -= 1
            told.finish(Outcome.ACCEPTED)
        else:
            self._world.later(LOOKS_EVERY, lambda: self._wait(old, told))

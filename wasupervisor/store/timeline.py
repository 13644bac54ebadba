"""The supervisor's timeline: one number of seconds that only moves forward and outlives the process.

Breakers, budgets and waits are counted on it. The wall clock can be set, and CLOCK_BOOTTIME begins again at each boot;
on this line neither a reboot, a crash nor a wrong clock lets time pass that did not pass.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wasupervisor.model.value import Value

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Saved(Value, frozen=True):
    """A moment as it is written down, so that a later run can continue from it."""

    timeline: float
    """Seconds on the timeline."""
    boottime: float
    """CLOCK_BOOTTIME at that moment, in seconds."""
    wall: float
    """Seconds since the epoch; only for people."""
    boot_id: str | None = None
    """Names the boot in which it was written; None: not known."""


def elapsed_since(saved: Saved, boot_id: str | None, boottime: float) -> float:
    """How many seconds are known to have passed since `saved`: those of the same boot, else none.

    After a reboot nothing is known, and none is the answer that lets no breaker close and no budget refill.
    """
    if boot_id is None or boot_id != saved.boot_id:
        return 0.0
    return max(0.0, boottime - saved.boottime)


class Timeline:
    """Where this run stands on the timeline. The first run ever begins at 0."""

    def __init__(self, start: float, boot_id: str | None, boottime: Callable[[], float], at: float) -> None:
        self._start = start
        self._start_boottime = at
        self._latest_boottime = at
        self._boot_id = boot_id
        self._boottime = boottime

    @classmethod
    def resume(cls, saved: Saved | None, boot_id: str | None, boottime: Callable[[], float]) -> Timeline:
        """Continue from what an earlier run wrote.

        Args:
            saved: the last moment that was written; None when there is none.
            boot_id: names this boot (`read_boot_id`).
            boottime: CLOCK_BOOTTIME in seconds.
        """
        at = boottime()
        start = 0.0 if saved is None else saved.timeline + elapsed_since(saved, boot_id, at)
        return cls(start, boot_id, boottime, at)

    def now(self) -> float:
        """Seconds on the timeline; never less than at an earlier call."""
        self._latest_boottime = max(self._latest_boottime, self._boottime())
        return self._start + (self._latest_boottime - self._start_boottime)

    def moment(self, wall: float) -> Saved:
        """This moment, to be written down; `wall` is in seconds since the epoch."""
        now = self.now()
        return Saved(timeline=now, boottime=self._latest_boottime, wall=wall, boot_id=self._boot_id)


def read_boot_id(path: Path = _BOOT_ID) -> str | None:
    """The kernel's name for this boot (proc(5), random/boot_id); None where it cannot be read."""
    try:
        return path.read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None

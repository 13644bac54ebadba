"""The one monotonic clock, and the name of this boot, without which its values mean nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

Clock = Callable[[], float]
"""Gives seconds that never go back."""

BUILT = 2026
"""No clock is right that shows an earlier year."""


def boottime() -> float:
    """Seconds since this machine booted, suspended time included (CLOCK_BOOTTIME).

    The timeline of the kernel's own process start times (proc(5), stat field 22), and the same for every process of a
    boot: what one daemon writes, the next can compare, as long as `boot_id` is the same.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str | None:
    """Names this boot (random(4)); None where the kernel does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


def wall_time_of(moment: float) -> float:
    """A moment of `boottime` in seconds since the epoch, by the wall clock as it is set now."""
    return time.time() - boottime() + moment


def hour_of_week(now: float | None = None) -> int | None:
    """The hour of the week by the wall clock: 0 is Monday 00:00-00:59 local time.

    Returns:
        None while the wall clock was obviously never set, as on a board without a battery.
    """
    local = time.localtime(now)
    return None if local.tm_year < BUILT else local.tm_wday * 24 + local.tm_hour

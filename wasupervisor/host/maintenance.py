"""Whether a maintenance window is open, by the wall clock."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, tzinfo

from wasupervisor.config.recovery import DAYS, Maintenance
from wasupervisor.host.moments import BUILT

log = logging.getLogger(__name__)

DAY = 1440
"""Minutes."""


class Window:
    """The windows of `recovery.maintenance`."""

    def __init__(self, wanted: Maintenance, wall: Callable[[], float] = time.time) -> None:
        """A zone that this host does not know leaves it unknown for ever, and is told in the log."""
        self._wanted = wanted
        self._wall = wall
        self._zone = _zone(wanted.zone)

    def __call__(self) -> bool | None:
        """Whether one is open now; None: the wall clock was never set, or the zone is not known."""
        if self._zone is None:
            return None
        local = datetime.fromtimestamp(self._wall(), self._zone)
        return None if local.year < BUILT else is_open(self._wanted, local.weekday(), local.hour * 60 + local.minute)


def is_open(wanted: Maintenance, weekday: int, minute: int) -> bool:
    """Whether a window is open at this minute of this day (0: Monday). One over midnight is of the day it began on."""
    start, end = wanted.hours
    begun_today = DAYS[weekday] in wanted.days and minute >= start and (minute < end or end < start)
    begun_yesterday = DAYS[weekday - 1] in wanted.days and end < start and minute < end
    return begun_today or begun_yesterday


def _zone(name: str) -> tzinfo | None:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only where a window is configured

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        log.warning("recovery.maintenance.zone is %s, and this host knows no such zone: no window ever opens", name)
        return None

"""Times as they stand in names: each another one, also within one microsecond."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

FORM = "%Y%m%dT%H%M%S.%fZ"


class Stamps:
    """Gives the time in UTC, a microsecond later than the last one at the least."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        """`wall`: seconds since the epoch."""
        self._wall = wall
        self._last = 0

    def __call__(self) -> str:
        """The next one: `20260131T120000.000000Z`."""
        self._last = max(self._last + 1, int(self._wall() * 1e6))
        seconds, micros = divmod(self._last, 1_000_000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros).strftime(FORM)

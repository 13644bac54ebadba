"""When all keys are looked at: at the start, when errors say that it is worth it, before a restart, and now and then.

Pure: the times are seconds of one clock, given by the caller, who asks each cycle.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from wasupervisor.keyspace.counter import Growth
from wasupervisor.model.value import Value

SPACING = 60.0
"""Seconds between two sweeps on growth, and after a sweep that broke off."""

FRESH = 30.0
"""A sweep that ended so many seconds ago is as good as one right before a restart."""

SELDOM = 6
"""Times `sweep_every`: how often there is a sweep where errors are counted. It finds mistyped keys that nobody has
touched yet. Those that matter most, credentials, do not wait for it: they are looked at in every cycle."""


class Cause(StrEnum):
    """Why a sweep is due."""

    START = "start"
    RESTART = "restart"
    GROWTH = "growth"
    JOINED = "joined"
    UNCOUNTED = "uncounted"
    SELDOM = "seldom"


class Due(Value, frozen=True):
    """A sweep that is to begin now."""

    cause: Cause
    text: str
    """Why, for the log and the journal: `WRONGTYPE errors grew by 3`."""


class _Heard(Value, frozen=True):
    """What a sweep is to answer for."""

    errors: int = 0
    joined: tuple[str, ...] = ()

    def with_(self, errors: int, joined: tuple[str, ...]) -> _Heard:
        return _Heard(errors=self.errors + errors, joined=tuple(dict.fromkeys(self.joined + joined)))


class SweepSchedule:
    """Says when a sweep is due. At most one is under way."""

    def __init__(self, sweep_every: float) -> None:
        """Nothing was looked at yet.

        Args:
            sweep_every: seconds between two sweeps where errors are not counted.
        """
        self._every = sweep_every
        self._running: Due | None = None
        self._complete: float | None = None
        """When the last complete sweep ended, whatever its cause."""
        self._anew = "no sweep yet since the start"
        self._on_growth: float | None = None
        """When the last complete sweep on growth ended."""
        self._in_vain = 0
        """Sweeps on growth that found nothing, one after the other."""
        self._not_before: float | None = None
        self._heard = _Heard()
        self._answering = _Heard()
        """What the sweep that is under way answers for."""
        self._uncounted = ""

    def heard(self, growth: Growth) -> None:
        """What the counters of all servers said, once a cycle, also while a sweep is under way."""
        self._heard = self._heard.with_(growth.errors or 0, growth.joined)
        self._uncounted = "; ".join(growth.unknown)

    def other_rules(self) -> None:
        """What was looked at so far was looked at by other rules: all of it is to be looked at anew."""
        self._complete = self._not_before = None
        self._anew = "the rules are others than at the last sweep"

    @property
    def is_counted(self) -> bool:
        """Whether the servers say when somebody meets a mistyped key."""
        return not self._uncounted

    def is_fresh(self, now: float) -> bool:
        """Whether a restart need not wait for a sweep."""
        return self._complete is not None and now - self._complete <= FRESH

    def due(self, now: float, *, before_restart: bool = False) -> Due | None:
        """The sweep that is to begin; None: none, or one is under way. The caller then says `began`."""
        if self._running is not None:
            return None
        if before_restart and not self.is_fresh(now):
            return Due(cause=Cause.RESTART, text="a restart is wanted, and no key may be of the wrong type then")
        if self._not_before is not None and now < self._not_before:
            return None
        for cause, test in _ROWS:
            text = test(self, now)
            if text is not None:
                return Due(cause=cause, text=text)
        return None

    def began(self, now: float, due: Due) -> None:
        """A sweep began. Errors from now on may be of keys that it has already passed: they count for the next."""
        if self._on_growth is not None and now - self._on_growth >= 2 * self._wait:
            self._in_vain = 0  # quiet for so long: these errors are others
        self._running = due
        self._answering, self._heard = self._heard, _Heard()

    def ended(self, now: float, *, complete: bool, found: int = 0) -> None:
        """The sweep ended.

        Args:
            now: the time.
            complete: whether every key was looked at. What is not complete is done again, a minute later.
            found: mistyped keys that no sweep before had found.
        """
        due, self._running = self._running, None
        if not complete:
            self._heard = self._answering.with_(self._heard.errors, self._heard.joined)
            self._not_before = now + SPACING
            return
        self._complete = now
        self._not_before = None
        if due is not None and due.cause is Cause.GROWTH:
            self._on_growth = now
            self._in_vain = 0 if found else self._in_vain + 1

    @property
    def _wait(self) -> float:
        """Between two sweeps on growth.

        Errors that no sweep explains come from a client that is wrong itself: each sweep in vain doubles the wait.
        """
        return min(SPACING * 2.0 ** min(self._in_vain, 20), max(SPACING, self._every))

    def _start(self, _now: float) -> str | None:
        return self._anew if self._complete is None else None

    def _growth(self, now: float) -> str | None:
        waiting = self._on_growth is not None and now - self._on_growth < self._wait
        return f"WRONGTYPE errors grew by {self._heard.errors}" if self._heard.errors and not waiting else None

    def _joined(self, _now: float) -> str | None:
        names = self._heard.joined
        return f"{', '.join(names)}: not seen before" if names else None

    def _is_past(self, now: float, length: float) -> bool:
        return self._complete is not None and now - self._complete >= length

    def _by_schedule(self, now: float) -> str | None:
        if not self._uncounted or not self._is_past(now, self._every):
            return None
        return f"every {self._every:g} s, as WRONGTYPE errors are not counted ({self._uncounted})"

    def _seldom(self, now: float) -> str | None:
        often = SELDOM * self._every
        return f"every {often:g} s, for keys that nobody touched" if self._is_past(now, often) else None


_ROWS: tuple[tuple[Cause, Callable[[SweepSchedule, float], str | None]], ...] = (
    (Cause.START, SweepSchedule._start),
    (Cause.GROWTH, SweepSchedule._growth),
    (Cause.JOINED, SweepSchedule._joined),
    (Cause.UNCOUNTED, SweepSchedule._by_schedule),
    (Cause.SELDOM, SweepSchedule._seldom),
)
"""The first that says why counts."""

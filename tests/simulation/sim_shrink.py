"""Makes a failing schedule short: the fewest events that still break the same promise."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace
from sim_events import At, Rules, Schedule
from sim_run import run

Fails = Callable[[Schedule], bool]


def shrink(schedule: Schedule, promise: str, *, most_runs: int = 300) -> Schedule:
    """The shortest schedule that was found in so many runs and breaks the same promise."""
    left = most_runs

    def fails(candidate: Schedule) -> bool:
        nonlocal left
        left -= 1
        if left < 0:
            return False
        broken = run(candidate).broken
        return broken is not None and broken.promise == promise

    schedule = schedule.with_events(_fewest(schedule, fails))
    for simpler in _simpler(schedule):
        candidate = replace(schedule, **simpler)
        if candidate != schedule and fails(candidate):
            schedule = candidate
    return schedule.with_events(_fewest(schedule, fails))


def _fewest(schedule: Schedule, fails: Fails) -> tuple[At, ...]:
    """Delta debugging (Zeller's ddmin): leave ever smaller parts out for as long as it still fails."""
    events, parts = schedule.events, 2
    while events:
        size = max(1, len(events) // parts)
        for start in range(0, len(events), size):
            fewer = events[:start] + events[start + size :]
            if fails(schedule.with_events(fewer)):
                events, parts = fewer, max(parts - 1, 2)
                break
        else:
            if size == 1:
                return events
            parts = min(parts * 2, len(events))
    return events


def _simpler(schedule: Schedule) -> tuple[dict[str, object], ...]:
    """What may be made plainer one after the other."""
    named = {getattr(one.event, "session", None) for one in schedule.events}
    needed = max((number for number in range(1, schedule.sessions + 1) if f"s{number}" in named), default=1)
    return ({"rules": Rules()}, {"poll": 5.0}, {"process": "kept"}, {"sessions": needed}, {"mode": "A"})

"""Memory that grows: when it will reach its limit, from a slope that single readings cannot move.

The points are thinned as they grow older, so that a run of any length has at most `MOST` of them. A sum is made only
when a point is taken, each few minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median

from msgspec.structs import replace

from wasupervisor.decide.draft import Draft
from wasupervisor.decide.limits import MEMORY, RESTART, used_bytes
from wasupervisor.decide.memory import Leak, Resources
from wasupervisor.decide.scene import DAY
from wasupervisor.decide.words import size, span
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.value import Value

Point = tuple[int, int]
"""A moment and bytes."""

SPACING = 120.0
"""Seconds between two points at first: ten of them in the first twenty minutes."""

WIDEST = 480.0
"""Seconds between two points at the most: then `MOST` of them are eight hours, and the oldest goes for each new one."""

MOST = 60
"""Points. 1770 pairs are summed up in a millisecond."""

WARM_UP = 600.0
"""Seconds of a run that tell nothing: sessions log in, caches fill (all 90 of a WAHA took 20 minutes, issue 2012)."""

LEAST_TIME = 1200.0
"""Seconds of points before anything is said."""

LEAST_POINTS = 8

LATER = 1.5
"""A forecast ends when its limit is so much farther away than what begins one."""


class Sure(Value, frozen=True):
    """How plain growth must be."""

    rising: float
    """Share of the pairs of points that rise: of chance alone half of them do, of a collector's saw-tooth no more."""
    lasting: float
    """How fast the newer half of the points grows, as a share of the older: a cache fills ever more slowly."""
    grown: float
    """By which share of the limit it grows in the whole window: less is noise."""


BEGINS, GOES_ON = Sure(rising=0.8, lasting=0.6, grown=0.02), Sure(rising=0.6, lasting=0.3, grown=0.01)


class Slope(Value, frozen=True):
    """How a series of points goes."""

    rate: float
    """Bytes a second: the median of the slopes of all pairs (Theil and Sen), which outliers do not move."""
    rising: float
    """Share of the pairs that rise."""


def slope_of(points: Sequence[Point]) -> Slope:
    """The slope of at least two points; their moments differ."""
    slopes = [(later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in combinations(points, 2)]
    return Slope(rate=median(slopes), rising=sum(1 for one in slopes if one > 0) / len(slopes))


def seconds_left(points: Sequence[Point], limit: float, sure: Sure) -> float | None:
    """Seconds from the last point until memory reaches the limit; None where it does not grow, or it is not sure.

    What grew at first and then less is followed by its newer half.
    """
    time = points[-1][0] - points[0][0] if points else 0
    if len(points) < LEAST_POINTS or time < LEAST_TIME:
        return None
    middle = len(points) // 2
    whole, older, newer = slope_of(points), slope_of(points[: middle + 1]), slope_of(points[middle:])
    rate = min(whole.rate, newer.rate)
    rises = min(whole.rising, newer.rising) >= sure.rising
    if not rises or newer.rate < sure.lasting * older.rate or rate * time < sure.grown * limit:
        return None
    return max(0.0, limit - points[-1][1]) / rate


def memory_limit(draft: Draft) -> float | None:
    """What memory would reach first: `process.memory.restart`, or what the kernel grants."""
    known = (MEMORY.limit(draft.policy, RESTART), draft.observation.process.limit_bytes)
    return min((one for one in known if one is not None), default=None)


def track_leak(draft: Draft) -> None:
    """Take a point where one is due, and forecast."""
    used, limit, known = used_bytes(draft.observation.process), memory_limit(draft), draft.gateway.resources
    since = draft.gateway.run_since
    warm = since is None or draft.now - since >= WARM_UP
    due = not known.points or draft.now - known.points[-1][0] >= known.spacing
    if used is None or limit is None or not warm or not due:
        return
    after = with_point(known, (round(draft.now), round(used)))
    leak = _leak(draft, after, limit)
    draft.gateway = replace(draft.gateway, resources=replace(after, leak=leak))
    if leak is not None and known.leak is None:
        draft.say(EntryKind.GATEWAY, f"{forecast(leak, draft.now)}", warn=True)
    elif leak is None and known.leak is not None:
        draft.say(EntryKind.GATEWAY, "the gateway's memory does not grow towards its limit any more")


def with_point(known: Resources, point: Point) -> Resources:
    """One point more. When there is no room, every second one goes, or the oldest where they are wide apart."""
    points, spacing = (*known.points, point), known.spacing or SPACING
    if len(points) > MOST and spacing < WIDEST:
        points, spacing = points[::2], spacing * 2
    return replace(known, points=points[-MOST:], spacing=spacing)


def forecast(leak: Leak, now: float) -> str:
    """A leak as a sentence."""
    when = f"in {span(leak.full_at - now)}" if leak.full_at > now else "at any moment"
    return f"the gateway's memory grows and will reach its limit ({size(leak.limit)}) {when}"


def seconds_to_limit(draft: Draft) -> float | None:
    """Until memory is full, where that is forecast."""
    leak = draft.gateway.resources.leak
    return None if leak is None else max(0.0, leak.full_at - draft.now)


def horizon(draft: Draft) -> float:
    """Seconds within which a limit is near: a day, or until the end of the next maintenance window but one."""
    return max(DAY, draft.policy.maintenance or 0.0)


def _leak(draft: Draft, resources: Resources, limit: float) -> Leak | None:
    known = resources.leak
    far = horizon(draft) * (1.0 if known is None else LATER)
    left = seconds_left(resources.points, limit, BEGINS if known is None else GOES_ON)
    if left is None or left >= far:
        return None
    since = draft.now if known is None else known.since
    return Leak(since=since, full_at=round(draft.now + left), limit=round(limit))

"""What was heard in each hour of the week, in one character an hour: the last five times that the hour was watched."""

from __future__ import annotations

from types import MappingProxyType

HOURS = 168

_SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
"""The place of a sign tells a leading 1 and behind it a bit for each time: 1 is busy, the last time is last."""
_FULL = 0b100000
"""Five times."""

NEW_WEEK = _SIGNS[1] * HOURS
"""Nothing is known of any hour."""


def _after(place: int, busy: int) -> str:
    return _SIGNS[(place << 1 | busy) if place < _FULL else _FULL | (place << 1 | busy) & (_FULL - 1)]


def _is_habit(place: int) -> bool:
    """Busy each time, or all times but one of four or five; once alone is chance."""
    times = place.bit_length() - 1
    missed = times - (place.bit_count() - 1)
    return times >= 2 and missed <= (1 if times >= 4 else 0)


_NEXT = MappingProxyType({sign: (_after(place, 0), _after(place, 1)) for place, sign in enumerate(_SIGNS) if place})
_HABITS = frozenset(sign for place, sign in enumerate(_SIGNS) if place and _is_habit(place))


def noted(week: str, hour: int, *, busy: bool) -> str:
    """The week after an hour of it was watched once more."""
    return week[:hour] + _NEXT[week[hour]][busy] + week[hour + 1 :]


def is_habit(week: str, hour: int) -> bool:
    """Whether this hour was busy almost always when it was watched."""
    return week[hour] in _HABITS


def habits(week: str) -> int:
    """How many hours of the week are almost always busy."""
    return sum(map(week.count, _HABITS))

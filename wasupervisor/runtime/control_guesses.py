"""Slows down who guesses at the token of the changing verbs.

A wrong token takes from the allowance of its source and from the one of all sources together; both fill up again with
time. Who has none left is told to come back later, and what he sends is not compared. So a guess is never refused for
longer than one of these takes to come back, whatever was sent before: nobody can be locked out for good.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable

import msgspec


class Allowance(msgspec.Struct, frozen=True):
    """How many wrong tokens are taken."""

    at_once: int
    every: float
    """Seconds until one more is."""


EACH = Allowance(5, 10.0)
"""Of one source: 5, then 6 a minute."""
ALL = Allowance(30, 1.0)
"""Of all sources but this host: 30, then one a second, however many take part."""
LOOPBACK = Allowance(20, 0.1)
"""Of this host, where everybody who comes through a proxy is from: 20, then 10 a second."""
MOST_KNOWN = 64
"""Sources that had the right token before, which others can then not hold up."""

HERE = "this host"


class _Bucket:
    """One allowance, and what is left of it."""

    def __init__(self, allowance: Allowance, now: float) -> None:
        self._allowance = allowance
        self._full_at = now

    def wait(self, now: float) -> float:
        """Seconds until a guess may be made; 0: now."""
        left = self._full_at - now - (self._allowance.at_once - 1) * self._allowance.every
        return max(0.0, round(left, 6))  # a sum of tenths is not quite what it should be

    def take(self, now: float) -> None:
        """One wrong guess."""
        self._full_at = max(self._full_at, now) + self._allowance.every

    def is_full(self, now: float) -> bool:
        """Whether nothing is held against anybody any more."""
        return self._full_at <= now


class Guesses:
    """The wrong tokens of late. Its size is bounded: what all together may do bounds the number of sources."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        now = clock()
        self._here = _Bucket(LOOPBACK, now)
        self._all = _Bucket(ALL, now)
        self._sources: dict[str, _Bucket] = {}
        self._known: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        """How many sources are remembered."""
        return len(self._sources) + len(self._known)

    def wait(self, address: str) -> int:
        """Whole seconds until a token of this address is looked at; 0: now."""
        now, source = self._clock(), source_of(address)
        if source == HERE:
            return math.ceil(self._here.wait(now))
        bucket = self._sources.get(source)
        own = 0.0 if bucket is None else bucket.wait(now)
        return math.ceil(own if source in self._known else max(own, self._all.wait(now)))

    def wrong(self, address: str) -> None:
        """A token of this address was looked at and was wrong."""
        now, source = self._clock(), source_of(address)
        if source == HERE:
            self._here.take(now)
            return
        if source not in self._known:
            self._all.take(now)
        self._sources = {name: bucket for name, bucket in self._sources.items() if not bucket.is_full(now)}
        self._sources.setdefault(source, _Bucket(EACH, now)).take(now)

    def right(self, address: str) -> None:
        """A token of this address was looked at and was right."""
        source = source_of(address)
        if source == HERE:
            return
        self._known[source] = None
        self._known.move_to_end(source)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)


def source_of(address: str) -> str:
    """Who is counted as one: an address, the whole network that an IPv6 user has (/64), or this host."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found
    if found.is_loopback:
        return HERE
    return str(found) if found.version == 4 else str(ipaddress.ip_network((int(found), 64), strict=False))

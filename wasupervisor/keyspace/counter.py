"""The count of WRONGTYPE errors: somebody touched a mistyped key, found out for nothing.

Redis counts its error replies by their first word since 6.2 (`INFO errorstats`; redis.io, INFO), also those of commands
inside scripts, caught or not (seen on 6.2.14 and 7.0.15). Until then the text is "", from then on the section is there
even when it is empty.
"""

from __future__ import annotations

from collections.abc import Iterable

from wasupervisor.keyspace.connection import Node
from wasupervisor.keyspace.info import Info, read_info
from wasupervisor.model.value import Value

COUNTER = "errorstat_WRONGTYPE"

SECTIONS = ("errorstats", "server")
"""Of INFO, that a reading needs."""

MOST_KINDS = 128
"""Different errors that a server tells apart from 7.2 on."""


class Reading(Value, frozen=True):
    """What one server says at one time."""

    node: str
    run_id: str = ""
    """Of its process: another one counts from nothing. Empty: not told."""
    count: int | None = None
    """WRONGTYPE errors; None: not known."""
    why_unknown: str = ""


class Growth(Value, frozen=True):
    """What came since the readings before, over all servers."""

    errors: int | None = 0
    """None: no server counts them."""
    unknown: tuple[str, ...] = ()
    """Why it is not known how many more, one sentence for each server that does not tell."""
    joined: tuple[str, ...] = ()
    """Servers that were not there before: a cluster grew, or made a replica a primary."""


def reading_of(node: str, info: Info) -> Reading:
    """The count that stands in this INFO, if it can be believed."""
    run_id = info.text("run_id") or ""
    why = why_uncounted(info)
    if why:
        # What it refused to tell names it already.
        return Reading(node=node, run_id=run_id, why_unknown=why if why == info.withheld else f"{node}: {why}")
    return Reading(node=node, run_id=run_id, count=info.count(COUNTER) or 0)


async def read_wrongtype(node: Node) -> Reading:
    """One exchange.

    Raises:
        KeyspaceError: the server cannot be asked.
    """
    return reading_of(node.name, await read_info(node, *SECTIONS))


class WrongtypeCounter:
    """Turns successive counts into growth."""

    def __init__(self) -> None:
        """Nothing was read yet: the first readings are only the base of what follows."""
        self._last: dict[str, Reading] = {}
        self._total: int | None = None

    @property
    def total(self) -> int | None:
        """Errors since the supervisor's start; None: no server has ever told."""
        return self._total

    def take(self, readings: Iterable[Reading]) -> Growth:
        """One round over the servers that there are now. One that is left out keeps its base."""
        first = not self._last
        grown, unknown, joined, known = 0, [], [], False
        for reading in readings:
            if reading.node not in self._last and not first:
                joined.append(reading.node)
            if reading.count is None:
                unknown.append(reading.why_unknown)
                self._last.setdefault(reading.node, reading)
                continue
            known = True
            grown += _grown(self._last.get(reading.node), reading)
            self._last[reading.node] = reading
        if known:
            self._total = (self._total or 0) + grown
        return Growth(errors=grown if known else None, unknown=tuple(unknown), joined=tuple(joined))


def _grown(before: Reading | None, now: Reading) -> int:
    """The errors between two readings of one server.

    A count that fell was set to zero (CONFIG RESETSTAT) and is all that came since. So is that of another process.
    """
    assert now.count is not None
    if before is None:
        return 0
    if now.run_id and before.run_id and now.run_id != before.run_id:
        return now.count
    if before.count is None:
        return 0
    return now.count if now.count < before.count else now.count - before.count


def why_uncounted(info: Info) -> str:
    """Why the count of WRONGTYPE errors in this INFO proves nothing; empty: it does.

    From 7.2 on a flood of different errors ends the counting by kind until CONFIG RESETSTAT (redis.io, INFO); Valkey 8
    instead counts further kinds under one name (valkey, networking.c).
    """
    if "errorstats" not in info.sections:
        return info.withheld or "it does not count errors by kind (Redis does from 6.2 on)"
    if "errorstat_ERRORSTATS_DISABLED" in info.fields:
        return f"it stopped counting errors by kind, since there were more than {MOST_KINDS} kinds"
    if "errorstat_ERRORSTATS_OVERFLOW" in info.fields and COUNTER not in info.fields:
        return "it has too many kinds of errors to count each"
    if "dragonfly_version" in info.fields:  # names the kinds in its own words, without `errorstat_`
        return "it does not count errors by the names that Redis gives them"
    if COUNTER in info.fields and info.count(COUNTER) is None:
        return f"its {COUNTER} has no count"
    return ""

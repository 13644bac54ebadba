"""How many jobs stand in the queues of Bull and BullMQ, and how long the oldest of them has been waiting.

Keys are `<prefix>:<queue>:<what>`. Sources: BullMQ 5.81 (src/commands: getCounts, pause, addJobWithPriority,
promoteDelayedJobs) and Bull 4.15 (lib/getters.js; lib/commands: addJob, pause, promote).

What waits: `wait`, or `paused` while the queue is paused (new BullMQ leaves it in `wait` even then), and BullMQ's
`prioritized` from version 4 on. The zset `priority` of Bull and older BullMQ is only an index of what stands in `wait`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from wasupervisor.config.schema import QueueWarn
from wasupervisor.config.units import format_duration
from wasupervisor.model.value import Value

Word = bytes | str | int | float

Flavour = Literal["bullmq", "bull"]


class Pipeline(Protocol):
    """Who carries out commands of Redis."""

    async def calls(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """Several at once; a reply that is an error stands in the list as an exception, a lost connection raises."""
        ...


NodeOf = Callable[[bytes], Pipeline]
"""Who holds a key: always the same one, but in a cluster."""


class Depth(Value, frozen=True):
    """One queue at one moment. A number that could not be read is None."""

    name: str
    flavour: Flavour | None
    """None: there is no such queue, or it cannot be told which kind it is."""
    waiting: int | None = None
    """With those of a paused queue and those with a priority."""
    active: int | None = None
    delayed: int | None = None
    failed: int | None = None
    completed: int | None = None
    oldest_seconds: float | None = None
    """Since the oldest waiting job was made; of a delayed one, since it was due. None: nothing waits, or not known."""
    paused: bool = False
    trouble: str | None = None
    """What could not be read and why, as a sentence."""


class Totals(Value, frozen=True):
    """Of all queues. None: of one of them it is not known."""

    waiting: int | None = 0
    active: int | None = 0
    failed: int | None = 0

    @classmethod
    def of(cls, depths: Sequence[Depth]) -> Totals:
        """The sums."""
        return cls(
            waiting=_sum(one.waiting for one in depths),
            active=_sum(one.active for one in depths),
            failed=_sum(one.failed for one in depths),
        )


def _sum(numbers: Iterable[int | None]) -> int | None:
    total = 0
    for number in numbers:
        if number is None:
            return None
        total += number
    return total


KEPT = (
    ("wait", "list"),
    ("paused", "list"),
    ("prioritized", "zset"),
    ("active", "list"),
    ("delayed", "zset"),
    ("failed", "zset"),
    ("completed", "zset"),
    ("meta", "hash"),
    ("events", "stream"),
    ("marker", "zset"),
)
"""What a queue has, and of which type it must be. The last two are BullMQ's, and only looked at."""

SIGNS = ("meta-paused", "priority", "id")
"""What only tells that there is a queue."""

# TYPE and the reading of a key stand in one script, so that no read of ours ever meets a key of the wrong type: such an
# error would be counted with the gateway's, and set off a sweep. It costs a few microseconds, however long the queue.
SCRIPT = """
local base = KEYS[1]
local function call(command, suffix, ...) return redis.call(command, base .. suffix, ...) end
local function kind(suffix) return call('TYPE', suffix).ok end

-- Of a job only what tells its age, never its data.
local function job(id)
  if not id or kind(id) ~= 'hash' then return false end
  return call('HMGET', id, 'timestamp', 'delay', 'priority', 'opts')
end

-- The next to be taken stands at the right. BullMQ before version 5 kept a marker there, which is no job.
local function list(suffix)
  local length, next = call('LLEN', suffix), call('LINDEX', suffix, -1)
  if next and string.sub(next, 1, 2) == '0:' then
    length, next = length - 1, call('LINDEX', suffix, -2)
  end
  if length == 0 then return {0} end
  return {length, job(next), job(call('LINDEX', suffix, 0))}
end

-- The score is priority * 2^32 + a counter: the first of all, and the first of the lowest priority.
local function prioritized(suffix)
  local last = call('ZREVRANGE', suffix, 0, 0, 'WITHSCORES')
  local band = string.format('%.0f', math.floor(tonumber(last[2]) / 0x100000000) * 0x100000000)
  local lowest = call('ZRANGEBYSCORE', suffix, band, '+inf', 'LIMIT', 0, 1)
  return {call('ZCARD', suffix), job(call('ZRANGE', suffix, 0, 0)[1]), job(lowest[1])}
end

local read = {
  wait = list, paused = list, prioritized = prioritized,
  meta = function(suffix) return call('HMGET', suffix, 'version', 'opts.maxLenEvents', 'paused') end,
}
local count = {list = 'LLEN', zset = 'ZCARD'}

local result = {}
for i = 1, #ARGV, 2 do
  local suffix, right = ARGV[i], ARGV[i + 1]
  local found = kind(suffix)
  local row = {found}
  if found == right and read[suffix] then
    row[2] = read[suffix](suffix)
  elseif found == right and count[right] then
    row[2] = {call(count[right], suffix)}
  end
  result[#result + 1] = row
end
return result
"""


async def depths(names: Sequence[str], prefix: str, node_of: NodeOf, now: float) -> tuple[Depth, ...]:
    """Read all queues, in one pipeline for each server.

    Args:
        names: the queues, literally; blanks and pipes are nothing special.
        prefix: of their keys, literally.
        node_of: who holds a key.
        now: seconds since the epoch.

    Raises:
        Exception: what `calls` raises when there is no connection.
    """
    by_node: dict[int, tuple[Pipeline, list[str]]] = {}
    for name in dict.fromkeys(names):
        node = node_of(base_of(prefix, name))
        by_node.setdefault(id(node), (node, []))[1].append(name)
    read: dict[str, Depth] = {}
    for node, held in by_node.values():
        replies = await node.calls([_command(base_of(prefix, name)) for name in held])
        read |= {name: depth_of(name, prefix, reply, now) for name, reply in zip(held, replies, strict=True)}
    return tuple(read[name] for name in dict.fromkeys(names))


def base_of(prefix: str, name: str) -> bytes:
    """How all keys of a queue begin."""
    return f"{prefix}:{name}:".encode()


def _command(base: bytes) -> tuple[Word, ...]:
    words = [word for suffix, kind in KEPT for word in (suffix, kind)]
    words += [word for suffix in SIGNS for word in (suffix, "-")]
    return ("EVAL", SCRIPT, 1, base, *words)


class _Job(NamedTuple):
    """What tells the age of a waiting job."""

    due: float | None
    """Seconds since the epoch."""
    jumps: bool
    """LIFO, or with a priority: it is taken though others are older."""


class _Found(NamedTuple):
    """What the script read: of each key its type, and the values where it is the right one."""

    types: dict[str, str]
    values: dict[str, list[Any]]

    def number(self, suffix: str) -> int | None:
        """How many stand in it; None: it is of the wrong type."""
        if suffix in self.values:
            return int(self.values[suffix][0])
        return 0 if self.types[suffix] == "none" else None

    def meta(self) -> tuple[bool, bool]:
        """Whether it is BullMQ's, and whether it says that the queue is paused."""
        version, events, paused = self.values.get("meta", (None, None, None))
        return version is not None or events is not None, paused is not None


def depth_of(name: str, prefix: str, reply: Any, now: float) -> Depth:
    """Judge what the script answered for one queue."""
    if isinstance(reply, Exception):
        return Depth(name=name, flavour=None, trouble=f"queue {name!r} cannot be read: {reply}")
    suffixes = (*(suffix for suffix, _kind in KEPT), *SIGNS)
    rows = dict(zip(suffixes, reply, strict=True))
    found = _Found(
        types={suffix: row[0].decode() for suffix, row in rows.items()},
        values={suffix: row[1] for suffix, row in rows.items() if len(row) > 1},
    )
    return Depth(
        name=name,
        flavour=_flavour(found),
        waiting=_sum(found.number(suffix) for suffix in ("wait", "paused", "prioritized")),
        active=found.number("active"),
        delayed=found.number("delayed"),
        failed=found.number("failed"),
        completed=found.number("completed"),
        oldest_seconds=_oldest(found, now),
        paused=found.meta()[1] or found.types["meta-paused"] != "none",
        trouble=_trouble(found, prefix, name),
    )


def _flavour(found: _Found) -> Flavour | None:
    """BullMQ notes the length of its events, or its version, in `meta`, and keeps `events`, `prioritized`, `marker`.

    Bull (3 and 4 alike) has none of them; from 3.18 on it notes in `meta`, but only `paused`.
    """
    signs = (("events", "stream"), ("prioritized", "zset"), ("marker", "zset"))
    if found.meta()[0] or any(found.types[suffix] == kind for suffix, kind in signs):
        return "bullmq"
    if found.types["meta"] not in ("hash", "none"):
        return None
    return "bull" if any(kind != "none" for kind in found.types.values()) else None


def _oldest(found: _Found, now: float) -> float | None:
    due = list(_due(found))
    return max(0.0, now - min(due)) if due else None


def _due(found: _Found) -> Iterator[float]:
    """Of a list the next one counts, for those behind it are younger, or were put back and only seem older.

    Where the next one jumped the queue, the one at the other end counts too. What lies between is not looked at.
    """
    for suffix in ("wait", "paused", "prioritized"):
        _number, *ends = found.values.get(suffix, [0])
        first, last = ([_job(one) for one in ends] + [_Job(None, False)] * 2)[:2]
        yield from (one.due for one in (first, last)[: 2 if first.jumps else 1] if one.due is not None)


def _job(fields: list[bytes | None] | None) -> _Job:
    timestamp, delay, priority, opts = fields or (None, None, None, None)
    try:
        options = json.loads(opts or b"{}")
        # `delay` of the hash is 0 again once it is over; of a job that runs daily `timestamp` is of the day before.
        waits = max(float(delay or 0), float(options.get("delay") or 0))
        due = None if timestamp is None else (float(timestamp) + waits) / 1000
        return _Job(due, bool(options.get("lifo")) or float(priority or 0) > 0)
    except (ValueError, TypeError, AttributeError, OverflowError):
        return _Job(None, False)


def _trouble(found: _Found, prefix: str, name: str) -> str | None:
    wrong = [
        f"{prefix}:{name}:{suffix} is of type {found.types[suffix]} and must be {kind}"
        for suffix, kind in KEPT
        if found.types[suffix] not in (kind, "none")
    ]
    if not wrong:
        return None
    return f"queue {name!r} cannot be read whole: {'; '.join(wrong)} (see `wasupervisor redis check`)"


def warnings(depths: Sequence[Depth], warn: QueueWarn) -> tuple[str, ...]:
    """What is worth a word, and what to do about it; a sentence each."""
    return tuple(sentence for one in depths for sentence in _warnings_of(one, warn))


def _warnings_of(one: Depth, warn: QueueWarn) -> Iterator[str]:
    if one.trouble is not None:
        yield one.trouble
    if one.failed is not None and one.failed >= warn.failed:
        yield f"queue {one.name!r}: {_jobs(one.failed)} failed; {_how_to_retry(one)}"
    if one.waiting is not None and one.waiting >= warn.waiting:
        yield f"queue {one.name!r}: {_jobs(one.waiting)} {_verb(one.waiting)} waiting; {_why_they_wait(one)}"
    if one.oldest_seconds is not None and one.oldest_seconds >= warn.oldest:
        age = format_duration(_rounded(one.oldest_seconds))
        yield f"queue {one.name!r}: the oldest job has been waiting for {age}; {_why_they_wait(one)}"


def _how_to_retry(one: Depth) -> str:
    if one.flavour != "bullmq":
        return "it is of Bull, not BullMQ: retry them with the application's own tools (job.retry())"
    resumed = "when the queue is resumed, " if one.paused else ""
    return f"{resumed}put them back with: wasupervisor queue retry-failed --queue {shlex.quote(one.name)}"


def _why_they_wait(one: Depth) -> str:
    if one.paused:
        return "the queue is paused: resume it in the application when that was not meant"
    if one.active == 0:
        return "nobody works on it: see that its worker runs and is connected"
    return "its worker does not keep up: see what it does, or give it more concurrency"


def _jobs(number: int) -> str:
    return f"{number} job" if number == 1 else f"{number} jobs"


def _verb(number: int) -> str:
    return "is" if number == 1 else "are"


def _rounded(seconds: float) -> float:
    """To what a person reads: whole seconds, minutes from two on, hours from two days on."""
    unit = next(unit for unit, until in ((1, 120), (60, 172_800), (3600, float("inf"))) if seconds < until)
    return float(round(seconds / unit) * unit)

"""What the health document tells of Redis and of the job queues."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from wasupervisor.decide.words import count
from wasupervisor.report.document import OneQueuePart, QueuePart, RedisPart, SweepPart, rfc3339

if TYPE_CHECKING:
    from wasupervisor.keyspace.wanted import Known
    from wasupervisor.queue.depth import Depth
    from wasupervisor.runtime.backlog import Backlog
    from wasupervisor.runtime.watch import Readings


def redis_part(readings: Readings) -> RedisPart | None:
    """None where it is not watched."""
    known = readings.keys
    if known is None:
        return None
    status, why = _status(known, (*readings.redis.mistyped, *readings.redis.lost))
    sweep = known.last_sweep
    return RedisPart(
        status=status,
        wrongtype_errors=known.wrongtype_errors,
        mistyped_keys=known.mistyped,
        why=why,
        quarantined=known.quarantined,
        last_sweep=None
        if sweep is None
        else SweepPart(at=rfc3339(sweep.at), seconds=round(sweep.seconds, 2), keys=sweep.keys),
    )


def queue_part(backlog: Backlog | None) -> QueuePart | None:
    """None where none is watched, or they could not be read."""
    if backlog is None:
        return None
    totals = backlog.totals
    return QueuePart(totals.waiting, totals.active, totals.failed, tuple(map(_one_queue, backlog.queues)))


def notes_of_keys(readings: Readings) -> Iterator[str]:
    """A sentence each."""
    known = readings.keys
    if known is not None:
        yield from (f"Redis: {one.sentence}" for one in known.findings)
        if known.trouble:
            yield f"Redis: keys are not looked after as they should be: {known.trouble}"
        if known.quarantined:
            yield f"Redis: {count(known.quarantined, 'key')} in quarantine: `wasupervisor redis quarantine` lists them"
    if readings.backlog is not None:
        yield from (f"Queue: {one}" for one in readings.backlog.warnings)


def _status(known: Known, keyless: tuple[str, ...]) -> tuple[str, str]:
    """As a table: the first row that holds."""
    worth_a_word = [one for one in known.findings if one.is_trouble]
    rows = (
        (known.ok is False, "fail", known.detail or "it does not answer"),
        (bool(keyless), "fail", "a credential key is mistyped, gone or set aside"),
        (known.mistyped > 0, "warn", f"left as found, though not as a rule says: {count(known.mistyped, 'key')}"),
        (bool(known.trouble), "warn", known.trouble),
        (bool(worth_a_word), "warn", worth_a_word[0].text if worth_a_word else ""),
        (bool(known.detail), "warn", known.detail),
        (known.ok is None, "warn", "it was not looked at yet"),
    )
    return next(((status, why) for holds, status, why in rows if holds), ("pass", "it answers, and all is well"))


def _one_queue(one: Depth) -> OneQueuePart:
    return OneQueuePart(
        name=one.name,
        kind=one.flavour,
        waiting=one.waiting,
        active=one.active,
        delayed=one.delayed,
        failed=one.failed,
        completed=one.completed,
        oldest_seconds=one.oldest_seconds,
        paused=one.paused,
    )

"""Failed jobs put back for another try: only by a person's order, and by BullMQ's own package (`wasupervisor[queue]`).

Read in bullmq 3.4 (Python): `Queue.retryJobs` goes on until no failed job is left, whatever its `count`; one call of
the script below it moves at most `count`. So that is what is called, and never with 0, which it takes for 1000.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import anyio

from wasupervisor.model.value import Value
from wasupervisor.queue.depth import Depth

WITHIN = 30.0
"""Seconds for all of it. The script that moves a thousand jobs holds Redis for some milliseconds."""

CLOSE_WITHIN = 1.0

BATCH = 1000

ANY_TIME = 2**53 - 1
"""Milliseconds since the epoch: whatever the clock of the worker was when a job failed."""

INSTALL = "it needs the package bullmq: pip install 'wasupervisor[queue]'"


class RetryError(Exception):
    """Nothing was put back, and why."""


class Retried(Value, frozen=True):
    """What became of one queue."""

    queue: str
    number: int = 0
    """How many jobs were put back for certain."""
    text: str = ""
    """A sentence."""
    done: bool = True
    """All that was asked for happened, if only because nothing had failed."""


class Step(NamedTuple):
    """What is to be done with one queue."""

    queue: str
    number: int
    why_not: str | None = None
    """None: it can be done."""
    well: bool = False
    """It need not be done."""


class _Objection(NamedTuple):
    holds: Callable[[Depth], bool]
    text: str
    well: bool = False
    """There is nothing to do, and nothing wrong with that."""


BULL = "it is of Bull, not BullMQ: its {failed} failed must be retried with the application's own tools (job.retry())"

# The package puts jobs into `wait`, as BullMQ 6 does. BullMQ up to 5 renames `paused` to `wait` when the queue is
# resumed, and what stood in `wait` is lost (pause-7.lua of 5.81).
PAUSED = "the queue is paused, and some versions of BullMQ lose what is put back meanwhile: resume it first"

_OBJECTIONS = (
    _Objection(lambda one: one.failed is None, "{trouble}"),
    _Objection(lambda one: one.flavour is None and one.trouble is None, "there is no such queue", well=True),
    _Objection(lambda one: one.failed == 0, "no job failed", well=True),
    _Objection(lambda one: one.trouble is not None, "{trouble}"),
    _Objection(lambda one: one.flavour != "bullmq", BULL),
    _Objection(lambda one: one.paused, PAUSED),
)
"""What stands against it, the first that holds."""


def plan(depths: Sequence[Depth], limit: int | None) -> tuple[Step, ...]:
    """What to do with each queue; `limit` is for all of them together."""
    steps = []
    left = sum(one.failed or 0 for one in depths) if limit is None else limit
    for one in depths:
        step = _step(one, left)
        left -= step.number
        steps.append(step)
    return tuple(steps)


def _step(one: Depth, left: int) -> Step:
    for objection in _OBJECTIONS:
        if objection.holds(one):
            text = objection.text.format(trouble=one.trouble, failed=one.failed)
            return Step(one.name, 0, text if objection.well else f"nothing is put back: {text}", objection.well)
    if left == 0:
        return Step(one.name, 0, "nothing is put back: the limit is reached", well=True)
    return Step(one.name, min(one.failed or 0, left))


async def retry_failed(
    steps: Sequence[Step], prefix: str, connection: Mapping[str, Any], within: float = WITHIN
) -> tuple[Retried, ...]:
    """Carry out a plan.

    Args:
        steps: what `plan` made.
        prefix: of the keys.
        connection: keyword arguments of redis-py's client.
        within: seconds for all of it.

    Raises:
        RetryError: the package is not there.
    """
    results = []
    end = anyio.current_time() + within
    for step in steps:
        if step.why_not is not None:
            results.append(Retried(queue=step.queue, text=step.why_not, done=step.well))
        else:
            results.append(await _put_back(step, prefix, connection, end))
    return tuple(results)


class _Count:
    """How many were put back: it outlives a call that is given up."""

    number = 0
    unsure = 0
    """How many more may have been."""


async def _put_back(step: Step, prefix: str, connection: Mapping[str, Any], end: float) -> Retried:
    try:
        library = importlib.import_module("bullmq")
    except ImportError as error:
        raise RetryError(INSTALL) from error
    count, trouble = _Count(), "it took too long"
    queue = library.Queue(step.queue, {"prefix": prefix, "connection": dict(connection)})
    try:
        with anyio.CancelScope(deadline=end):
            await _move(queue, step.number, count)
            trouble = ""
    except Exception as error:  # of redis-py, which this room does not know
        trouble = f"{error or type(error).__name__}"
    finally:
        await _close(queue.close)
    return Retried(
        queue=step.queue,
        number=count.number,
        text=_told(count, trouble),
        done=not trouble and not count.unsure,
    )


async def _move(queue: Any, number: int, count: _Count) -> None:
    while count.number < number:
        there = int((await queue.getJobCounts("failed"))["failed"])
        batch = min(BATCH, number - count.number, there)
        if batch == 0:
            return
        count.unsure = batch
        if await queue.scripts.retryJobs("failed", batch, ANY_TIME) != 1:
            return  # somebody else took of them in between: how many it moved it does not say
        count.number += batch
        count.unsure = 0


async def _close(close: Callable[[], Awaitable[object]]) -> None:
    with anyio.move_on_after(CLOSE_WITHIN, shield=True):
        with suppress(Exception):  # what was moved is moved
            await close()


def _told(count: _Count, trouble: str) -> str:
    jobs = "1 failed job waits again" if count.number == 1 else f"{count.number} failed jobs wait again"
    perhaps = f", and perhaps {count.unsure} more" if count.unsure else ""
    return f"{jobs}{perhaps}{f'; then it ended: {trouble}' if trouble else ''}"


def journal_text(one: Retried) -> str:
    """Which queue and how many; who asked for it stands in the entry of the order."""
    return f"queue {one.queue!r}: {one.text}"

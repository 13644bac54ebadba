"""The keys of job queues: which part of Bull and BullMQ keeps what in which type.

Sources: BullMQ's `queue-keys.ts` and Lua scripts (read at 1.85, 3.15, 5.7, 5.53, 6.2), Bull's `queue.js` and scripts
(3.29, 4.15); the types of BullMQ's keys were also seen with 5.81 on a real Redis.

Only keys whose whole name is known have a rule. Those with an id of a job, a scheduler or a group in it have none (its
hash, `:lock`, `:logs`, `:dependencies`, `repeat:<id>`, `de:<id>`): an id may be any text, so that what a key ends with
tells nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from wasupervisor.keyspace.globs import escape
from wasupervisor.keyspace.rules import OnWrong, Rule

Flavour = Literal["bullmq", "bull"]


class QueueKeys(NamedTuple):
    """Where a queue keeps its keys: `<prefix>:<name>:<part>`."""

    prefix_glob: bytes
    """A glob: `waha-*`, or an escaped prefix."""
    name: str
    """As it is, with its spaces and pipes; no glob."""
    flavour: Flavour | None
    """None: not known. Then only what is the same in both is looked at."""


class Part(NamedTuple):
    """One key of each queue."""

    part: bytes
    what: str
    bullmq: str | None
    """Its type; None: there is no such key."""
    bull: str | None
    why: str
    on_wrong: OnWrong = OnWrong.QUARANTINE

    def type_for(self, flavour: Flavour | None) -> str | None:
        """Its type where that is certain."""
        if flavour is None:
            return self.bullmq if self.bullmq == self.bull else None
        return self.bullmq if flavour == "bullmq" else self.bull


_ADD = "no job can be added to its queue, so that what it should have carried is lost"
_WORK = "the workers of its queue fail on it, over and over and without a pause"
_PACE = "its queue cannot tell how many jobs it may still do, and the workers fail"
_METRICS = "a job that ends cannot be counted, and may be done again"

PARTS: tuple[Part, ...] = (
    Part(b"wait", "jobs that wait", "list", "list", _ADD),
    Part(b"paused", "jobs that wait while the queue is paused", "list", "list", _ADD),
    Part(b"active", "jobs at work", "list", "list", _WORK),
    Part(b"delayed", "delayed jobs", "zset", "zset", _WORK),
    Part(b"prioritized", "jobs with a priority", "zset", None, _WORK),
    Part(b"priority", "jobs with a priority", None, "zset", _WORK),
    Part(b"completed", "jobs that are done", "zset", "zset", _WORK),
    Part(b"failed", "failed jobs", "zset", "zset", _WORK),
    Part(b"waiting-children", "jobs that wait for others", "zset", None, _WORK),
    Part(b"repeat", "repeated jobs", "zset", "zset", "its repeated jobs are not made any more"),
    Part(b"marker", "the marker that wakes the workers", "zset", None, _ADD),
    Part(b"stalled", "jobs whose worker is gone", "set", "set", "jobs whose worker is gone are not taken up again"),
    Part(
        b"stalled-check", "when that was looked after", "string", "string",
        "jobs whose worker is gone are not taken up again",
    ),
    Part(b"limiter", "the counter of the rate limit", "string", "string", _PACE),
    Part(b"pc", "the counter of priorities", "string", None, "no job with a priority can be added to its queue"),
    Part(b"meta-paused", "whether the queue is paused", None, "string", "its queue cannot be paused or resumed"),
    Part(b"events", "events of the queue", "stream", None, _ADD),
    Part(b"metrics:completed", "counts of jobs that are done", "hash", "hash", _METRICS),
    Part(b"metrics:failed", "counts of failed jobs", "hash", "hash", _METRICS),
    Part(b"metrics:completed:data", "counts of jobs that are done, each minute", "list", "list", _METRICS),
    Part(b"metrics:failed:data", "counts of failed jobs, each minute", "list", "list", _METRICS),
    # To set these two aside is to lose what is in them.
    Part(
        b"id", "the counter of job ids", "string", "string",
        _ADD + "; not moved by itself, for then the ids would begin anew, and new jobs be taken for old ones",
        OnWrong.REPORT,
    ),
    Part(
        b"meta", "settings of the queue", "hash", "hash",
        _ADD + "; not moved by itself, for then a pause and limits would be forgotten",
        OnWrong.REPORT,
    ),
)  # fmt: skip

WAHA_QUEUES: tuple[str, ...] = (
    "chatwoot.waha | session.status",
    "chatwoot.waha | message.any",
    "chatwoot.waha | message.ack",
    "chatwoot.waha | message.reaction",
    "chatwoot.waha | message.edited",
    "chatwoot.waha | message.revoked",
    "chatwoot.waha | call.received",
    "chatwoot.waha | call.accepted",
    "chatwoot.waha | call.rejected",
    "chatwoot.inbox | message_created",
    "chatwoot.inbox | message_updated",
    "chatwoot.inbox | message_deleted",
    "chatwoot.inbox | conversation_created",
    "chatwoot.inbox | conversation_status_changed",
    "chatwoot.inbox | commands",
    "chatwoot.task | contacts.pull",
    "chatwoot.task | messages.pull",
    "chatwoot.scheduled | message.cleanup",
    "chatwoot.scheduled | check.version",
    "chatwoot.scheduled | check.tier",
)
"""Of WAHA's apps, 2025.7 and later: `src/apps/chatwoot/consumers/QueueName.ts`."""

WAHA_PREFIX = b"waha-*"
"""`waha-${WAHA_WORKER_ID}`, of whatever worker: `src/apps/apps.module.enabled.ts`."""


def waha_queues() -> tuple[QueueKeys, ...]:
    """The queues of WAHA's apps; without apps, or before 2025.7, WAHA has no key in Redis."""
    return tuple(QueueKeys(WAHA_PREFIX, name, "bullmq") for name in WAHA_QUEUES)


def rules_of_queue(queue: QueueKeys) -> Iterator[Rule]:
    """One for each key whose type is certain. Rules of the same part have the same name in all queues."""
    beginning = queue.prefix_glob + b":" + escape(queue.name.encode()) + b":"
    for part in PARTS:
        kind = part.type_for(queue.flavour)
        if kind is not None:
            yield Rule(part.what, beginning + escape(part.part), (kind,), on_wrong=part.on_wrong, why=part.why)

"""The table of the metrics: each series with its one sentence, which docs/metrics.md tells too.

Names and units are by Prometheus' conventions: seconds, bytes, ratios from 0 to 1. What is unknown has no series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from wasupervisor.model.health import Status
from wasupervisor.model.remedies import RemedyKind
from wasupervisor.report.counts import Counted, Counts
from wasupervisor.report.document import Document, OneQueuePart, RedisPart, SweepPart
from wasupervisor.report.resources import ResourcesPart

PREFIX = "wasupervisor_"


class View(NamedTuple):
    """What the series are read from."""

    document: Document
    counts: Counts
    fresh: bool
    """A look has finished, and in time."""


Sample = tuple[tuple[str, ...], float | None]
"""The values of the labels, and the value; None: unknown."""


class Row(NamedTuple):
    """One metric."""

    name: str
    kind: str
    """gauge or counter."""
    help: str
    read: Callable[[View], Iterable[Sample]]
    labels: tuple[str, ...] = ()
    lasting: bool = False
    """Told also when no look has finished in time, and before the first one."""


def _one(read: Callable[[View], float | None]) -> Callable[[View], Iterable[Sample]]:
    return lambda view: (((), read(view)),)


def _resources(read: Callable[[ResourcesPart], float | None]) -> Callable[[View], Iterable[Sample]]:
    return _one(lambda view: read(view.document.resources))


def _percent(read: Callable[[ResourcesPart], float | None]) -> Callable[[View], Iterable[Sample]]:
    def ratio(resources: ResourcesPart) -> float | None:
        percent = read(resources)
        return None if percent is None else round(percent / 100, 4)

    return _resources(ratio)


def _redis(read: Callable[[RedisPart], float | None]) -> Callable[[View], Iterable[Sample]]:
    return _one(lambda view: None if view.document.redis is None else read(view.document.redis))


def _sweep(read: Callable[[SweepPart], float]) -> Callable[[View], Iterable[Sample]]:
    return _redis(lambda redis: None if redis.last_sweep is None else read(redis.last_sweep))


def _each_queue(read: Callable[[OneQueuePart], float | None]) -> Callable[[View], Iterable[Sample]]:
    return lambda view: (((one.name,), read(one)) for one in _queues(view))


def _each_remedy(what: Counted) -> Callable[[View], Iterable[Sample]]:
    return lambda view: (((remedy,), view.counts.of(what, remedy)) for remedy in RemedyKind)


def _count(what: Counted) -> Callable[[View], Iterable[Sample]]:
    return _one(lambda view: view.counts.of(what))


def _states(words: Iterable[str], word: str | None) -> Iterator[Sample]:
    """One series for each word, of which one is 1."""
    return (((one,), one == word) for one in words) if word is not None else iter(())


def _queues(view: View) -> tuple[OneQueuePart, ...]:
    return () if view.document.queue is None else view.document.queue.queues


def _jobs(view: View) -> Iterator[Sample]:
    for one in _queues(view):
        states = ("waiting", "active", "delayed", "failed", "completed")
        yield from (((one.name, state), getattr(one, state)) for state in states)


def _sessions(view: View) -> Iterator[Sample]:
    for group in ("active", "failed", "recovering", "needs_human", "stopped"):
        yield (group,), getattr(view.document.connections, group)


def _gateway(view: View) -> Iterator[Sample]:
    gateway = view.document.gateway
    yield (gateway.kind, gateway.version or ""), 1


def _gateway_memory(view: View) -> Iterator[Sample]:
    memory = view.document.resources.memory
    yield ("used",), memory.used_bytes
    yield ("rss",), memory.rss_bytes
    yield ("pss",), memory.pss_bytes


def _breakers(view: View) -> Iterator[Sample]:
    for state in ("open", "half_open", "held"):
        yield (state,), getattr(view.document.breakers, state)


def _redis_status(view: View) -> Iterator[Sample]:
    redis = view.document.redis
    return _states(("pass", "warn", "fail"), None if redis is None else redis.status)


ROWS: tuple[Row, ...] = (
    Row(
        "up",
        "gauge",
        "1: the supervisor looks in time. 0: no look has finished in time, or none yet; only what it knows of itself "
        "is told then.",
        _one(lambda view: view.fresh),
        lasting=True,
    ),
    Row(
        "build_info",
        "gauge",
        "Always 1; the supervisor's version.",
        lambda view: (((view.document.version,), 1),),
        ("version",),
        lasting=True,
    ),
    Row(
        "uptime_seconds",
        "gauge",
        "Since the supervisor's start, as of its last look.",
        _one(lambda view: view.document.uptime),
        lasting=True,
    ),
    Row(
        "status",
        "gauge",
        "1 for the status of the health document, 0 for the others.",
        lambda view: _states(Status, view.document.status),
        ("status",),
        lasting=True,
    ),
    Row(
        "ready",
        "gauge",
        "Whether traffic should go to the gateway, as /readyz says.",
        _one(lambda view: view.document.ready),
        lasting=True,
    ),
    Row(
        "paused",
        "gauge",
        "Whether a person has ordered hands off.",
        _one(lambda view: view.document.paused is not None),
        lasting=True,
    ),
    Row(
        "remedies_made_total",
        "counter",
        "Calls for a remedy that reached the gateway or may have, and restarts of its process.",
        _each_remedy(Counted.MADE),
        ("remedy",),
        lasting=True,
    ),
    Row(
        "remedies_healed_total",
        "counter",
        "Remedies after which what they were for was seen well.",
        _each_remedy(Counted.HEALED),
        ("remedy",),
        lasting=True,
    ),
    Row(
        "remedies_not_healed_total",
        "counter",
        "Remedies that were in vain.",
        _each_remedy(Counted.NOT_HEALED),
        ("remedy",),
        lasting=True,
    ),
    Row(
        "remedies_withheld_total",
        "counter",
        "Remedies that were due and not made; once for each reason, as in the journal.",
        _each_remedy(Counted.WITHHELD),
        ("remedy",),
        lasting=True,
    ),
    Row(
        "breaker_trips_total",
        "counter",
        "How often a breaker opened, a session's or the gateway's.",
        _count(Counted.BREAKER_TRIPS),
        lasting=True,
    ),
    Row(
        "alerts_told_total",
        "counter",
        "Messages that a channel of alerts took.",
        _count(Counted.ALERTS_TOLD),
        lasting=True,
    ),
    Row(
        "alerts_failed_total",
        "counter",
        "Messages that their channel will never get: refused, too old, or too many.",
        _count(Counted.ALERTS_FAILED),
        lasting=True,
    ),
    Row("gateway_info", "gauge", "Always 1; the gateway's kind and version.", _gateway, ("kind", "version")),
    Row(
        "gateway_reachable",
        "gauge",
        "Whether the gateway's API answered the last look.",
        _one(lambda view: view.document.gateway.reachable),
    ),
    Row(
        "gateway_latency_seconds",
        "gauge",
        "How long the gateway took for the last look.",
        _one(lambda view: view.document.gateway.latency_seconds),
    ),
    Row("sessions", "gauge", "Sessions by how they are; each is in one group.", _sessions, ("group",)),
    Row(
        "session_usable",
        "gauge",
        "Whether traffic for the session makes sense.",
        lambda view: (((one.name,), one.usable) for one in view.document.sessions),
        ("session",),
    ),
    Row(
        "session_expected",
        "gauge",
        "Whether the session should be up.",
        lambda view: (((one.name,), one.expected) for one in view.document.sessions),
        ("session",),
    ),
    Row(
        "session_needs_qr",
        "gauge",
        "Whether the session waits for a person with a phone.",
        lambda view: (((one.name,), one.needs_qr) for one in view.document.sessions),
        ("session",),
    ),
    Row("breakers", "gauge", "Breakers that are not closed.", _breakers, ("state",)),
    Row(
        "incident_sessions",
        "gauge",
        "Sessions in the incident; 0: there is none.",
        _one(lambda view: 0 if view.document.incident is None else len(view.document.incident.sessions)),
    ),
    Row(
        "notes",
        "gauge",
        "Sentences in the health document's notes: what a person can do something about.",
        _one(lambda view: len(view.document.notes)),
    ),
    Row(
        "gateway_cpu_ratio",
        "gauge",
        "Of the CPUs that the gateway may use, what its processes use.",
        _percent(lambda it: it.cpu),
    ),
    Row(
        "gateway_event_loop_ratio",
        "gauge",
        "Of one CPU, what the gateway's event loop uses; 1 is one that spins.",
        _percent(lambda it: it.loop),
    ),
    Row(
        "gateway_stopped",
        "gauge",
        "Whether the gateway's process is stopped by a signal, a tracer or a freezer.",
        _resources(lambda it: it.stopped),
    ),
    Row(
        "gateway_memory_bytes",
        "gauge",
        "Memory of the gateway's processes: what counts against the limit (used), the sum over them (rss), and with "
        "what is shared counted once (pss).",
        _gateway_memory,
        ("of",),
    ),
    Row(
        "gateway_memory_limit_bytes",
        "gauge",
        "The limit of the gateway's memory.",
        _resources(lambda it: it.memory.limit_bytes),
    ),
    Row(
        "gateway_memory_full_in_seconds",
        "gauge",
        "Until the gateway's memory reaches its limit, as forecast; none: it does not, as far as is known.",
        _resources(lambda it: it.memory.full_in_seconds),
    ),
    Row(
        "gateway_oom_kills_total",
        "counter",
        "How often the kernel killed in the gateway's control group for want of memory.",
        _resources(lambda it: it.oom_kills),
    ),
    Row("gateway_threads", "gauge", "Threads of the gateway's processes.", _resources(lambda it: it.threads)),
    Row("gateway_children", "gauge", "Living descendants of the gateway.", _resources(lambda it: it.children)),
    Row(
        "gateway_orphans",
        "gauge",
        "Processes that an earlier run of the gateway left behind.",
        _resources(lambda it: it.orphans),
    ),
    Row("gateway_open_fds", "gauge", "Open descriptors of the gateway.", _resources(lambda it: it.fds.open)),
    Row("gateway_max_fds", "gauge", "How many descriptors it may open.", _resources(lambda it: it.fds.limit)),
    Row(
        "gateway_container_restarts_total",
        "counter",
        "Restarts of the gateway's container by its engine.",
        _resources(lambda it: None if it.container is None else it.container.restarts),
    ),
    Row(
        "gateway_disk_free_bytes",
        "gauge",
        "Free disk where the gateway's working folder is.",
        _resources(lambda it: it.host.gateway_disk_free_bytes),
    ),
    Row(
        "state_disk_free_bytes",
        "gauge",
        "Free disk where the supervisor's state is; without any, no remedy is made.",
        _resources(lambda it: it.host.disk_free_bytes),
    ),
    Row(
        "redis_status",
        "gauge",
        "1 for how the gateway's Redis is, 0 for the others: pass, warn, fail.",
        _redis_status,
        ("status",),
    ),
    Row(
        "redis_wrongtype_errors_total",
        "counter",
        "Commands that met a key of the wrong type, by Redis' own count.",
        _redis(lambda it: it.wrongtype_errors),
    ),
    Row("redis_mistyped_keys", "gauge", "Mistyped keys left where they were.", _redis(lambda it: it.mistyped_keys)),
    Row(
        "redis_keys_set_aside_total",
        "counter",
        "Mistyped keys that the supervisor has set aside by itself.",
        _one(lambda view: view.counts.keys_set_aside),
    ),
    Row("redis_quarantined_keys", "gauge", "Keys in quarantine.", _redis(lambda it: it.quarantined)),
    Row(
        "redis_last_sweep_timestamp_seconds",
        "gauge",
        "When all keys were last looked at.",
        _sweep(lambda it: datetime.fromisoformat(it.at).timestamp()),
    ),
    Row("redis_last_sweep_duration_seconds", "gauge", "How long that took.", _sweep(lambda it: it.seconds)),
    Row("redis_last_sweep_keys", "gauge", "How many keys that were.", _sweep(lambda it: it.keys)),
    Row("queue_jobs", "gauge", "Jobs of a queue by their state.", _jobs, ("queue", "state")),
    Row(
        "queue_oldest_waiting_seconds",
        "gauge",
        "How long the oldest job has waited.",
        _each_queue(lambda one: one.oldest_seconds),
        ("queue",),
    ),
    Row("queue_paused", "gauge", "Whether a queue is paused.", _each_queue(lambda one: one.paused), ("queue",)),
)

AGE = Row(
    "cycle_age_seconds",
    "gauge",
    "Since the last look has finished; before the first one, since the start.",
    lambda _: (),
    lasting=True,
)
"""The only one that moves between two looks."""

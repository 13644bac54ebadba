"""Whether the gateway's memory or CPU is over a limit of the operator's: for long enough, by enough readings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from wasupervisor.decide.draft import Draft
from wasupervisor.decide.memory import Over, Resources
from wasupervisor.decide.words import size
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import ProcessReading
from wasupervisor.model.policy import LimitRule, Policy
from wasupervisor.model.sessions import Reason
from wasupervisor.model.value import Value

ENOUGH = 3
"""Readings over a limit in a row; one peak of a garbage collector is seen once."""

ENDS_BELOW = 0.95
"""Of a limit: what swings around it is one episode."""

WARN, RESTART = "warn", "restart"


class Gauge(Value, frozen=True):
    """Something that is measured and may have limits."""

    name: str
    """As its section of `process` is called."""
    noun: str
    reason: Reason
    read: Callable[[ProcessReading], float | None]
    rule: Callable[[Policy], LimitRule | None]
    told: Callable[[float], str]

    def limit(self, policy: Policy, level: str) -> float | None:
        """From where on it is too much; None: never."""
        rule = self.rule(policy)
        return None if rule is None else rule.warn if level == WARN else rule.restart

    def lasts(self, policy: Policy) -> float:
        """Seconds for which it must be too much."""
        rule = self.rule(policy)
        return 0.0 if rule is None else rule.lasts


def used_bytes(process: ProcessReading) -> float | None:
    """The memory that limits are compared with: what the health document shows as a percentage of its limit.

    The RSS of a tree counts what its processes share once for each of them, so it is the last resort.
    """
    return process.rss_bytes if process.memory_bytes is None else process.memory_bytes


MEMORY = Gauge("memory", "memory", Reason.MEMORY_HIGH, used_bytes, lambda policy: policy.memory, size)
CPU = Gauge(
    "cpu",
    "CPU",
    Reason.CPU_HIGH,
    lambda process: process.cpu_percent,
    lambda policy: policy.cpu,
    lambda percent: f"{percent:.0f} %",
)
GAUGES = (MEMORY, CPU)


def track_limits(draft: Draft) -> None:
    """Take this look's reading into what is known of each limit."""
    known = draft.gateway.resources
    over: dict[str, Over] = {}
    for gauge in GAUGES:
        for level in (WARN, RESTART):
            before, after = _track(draft, gauge, level)
            if after is not None:
                over[key(gauge, level)] = after
            _tell(draft, gauge, level, before, after)
    if over != known.over:
        draft.gateway = replace(draft.gateway, resources=replace(known, over=over))


def key(gauge: Gauge, level: str) -> str:
    """What a limit is remembered by: `memory.warn`."""
    return f"{gauge.name}.{level}"


def of_this_run(draft: Draft) -> None:
    """What another process used tells nothing of this one."""
    if draft.gateway.resources.run != draft.gateway.run:
        draft.gateway = replace(draft.gateway, resources=Resources(run=draft.gateway.run))


def is_over(draft: Draft, gauge: Gauge) -> bool:
    """Whether the gateway is to be restarted for it: over the limit for its time, and in this very look."""
    over = draft.gateway.resources.over.get(key(gauge, RESTART))
    if over is None or not over.holds or over.samples < ENOUGH or draft.now - over.since < gauge.lasts(draft.policy):
        return False
    return exceeds(gauge, draft.observation.process, draft.policy) is True


def exceeds(gauge: Gauge, process: ProcessReading, policy: Policy) -> bool | None:
    """Whether one reading is over the limit of a restart; None: it was not read, or there is no such limit."""
    value, limit = gauge.read(process), gauge.limit(policy, RESTART)
    return None if value is None or limit is None else value >= limit


def held(draft: Draft) -> Iterator[tuple[Gauge, str, Over]]:
    """The limits that are known to be exceeded, the stricter one of each gauge."""
    for gauge in GAUGES:
        for level in (RESTART, WARN):
            over = draft.gateway.resources.over.get(key(gauge, level))
            if over is not None and over.holds:
                yield gauge, level, over
                break


def too_much(draft: Draft, gauge: Gauge, level: str) -> str:
    """How far a limit is exceeded, as a sentence."""
    value, limit = gauge.read(draft.observation.process), gauge.limit(draft.policy, level) or 0.0
    uses = "used too much" if value is None else f"uses {gauge.told(value)} of"
    return f"the gateway {uses} {gauge.noun}: process.{gauge.name}.{level} is {gauge.told(limit)}"


def _track(draft: Draft, gauge: Gauge, level: str) -> tuple[Over | None, Over | None]:
    """What is known of one limit, before and after this look."""
    known, limit = draft.gateway.resources.over.get(key(gauge, level)), gauge.limit(draft.policy, level)
    if limit is None:
        return None, None
    value = gauge.read(draft.observation.process)
    if value is None:
        return known, _unseen(known, draft.now)
    again = None if known is None else _seen_again(draft, known)
    return known, _next(again, value, limit, draft.now, gauge.lasts(draft.policy))


def _unseen(known: Over | None, now: float) -> Over | None:
    """An unknown reading counts neither for nor against it."""
    return known if known is None or known.unseen_since is not None else replace(known, unseen_since=now)


def _seen_again(draft: Draft, known: Over) -> Over | None:
    """After a gap nobody knows how it was in between: what lasted counts anew, what was told stays told."""
    patience = max(draft.policy.failing_after, draft.policy.poll_every)
    blind = 0.0 if known.unseen_since is None else draft.now - known.unseen_since
    if not draft.observation.first and blind < patience:
        return known if known.unseen_since is None else replace(known, unseen_since=None)
    return Over(since=draft.now, samples=0, holds=True) if known.holds else None


def _next(known: Over | None, value: float, limit: float, now: float, lasts: float) -> Over | None:
    """One reading more. Until it holds each must be over the limit; it ends only clearly below."""
    if value < limit:
        return known if known is not None and known.holds and value >= limit * ENDS_BELOW else None
    if known is None:
        return Over(since=now)
    samples = min(known.samples + 1, ENOUGH)
    holds = known.holds or (samples == ENOUGH and now - known.since >= lasts)
    return replace(known, samples=samples, holds=holds)


def _tell(draft: Draft, gauge: Gauge, level: str, before: Over | None, after: Over | None) -> None:
    did, does = before is not None and before.holds, after is not None and after.holds
    if does and not did:
        draft.say(EntryKind.GATEWAY, too_much(draft, gauge, level), warn=True)
    elif did and not does:
        draft.say(EntryKind.GATEWAY, f"the gateway's {gauge.noun} is below process.{gauge.name}.{level} again")

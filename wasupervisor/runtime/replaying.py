"""Runs the decider over a recording, and tells what it would do differently."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from wasupervisor.decide.decision import Decision
from wasupervisor.decide.memory import Memory, load
from wasupervisor.decide.step import step as decide
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.policy import Policy
from wasupervisor.runtime.recording import digest, made_by
from wasupervisor.store.recording import Made, Step

SAME_WITHIN = 600.0
"""Seconds by which one thing may come earlier or later and is still the same thing."""

TOLD = (EntryKind.WITHHELD, EntryKind.BREAKER, EntryKind.INCIDENT)
"""Entries of the journal that are compared; the rest follows from them, or is no deed."""

_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+)?")


class Deed(NamedTuple):
    """Something that was done, withheld or said."""

    what: str
    """The kind of remedy, `withheld`, `breaker`, `incident`, `reply` or `alert`."""
    session: str | None
    about: str
    """What tells it from others of its kind: equal for the same thing, whenever it is done."""
    text: str
    """The sentence for it."""


class At(NamedTuple):
    """A deed and when."""

    wall: float
    """Seconds since the epoch."""
    deed: Deed


class Difference(NamedTuple):
    """What is not the same now."""

    then: At | None
    """None: it was not done."""
    now: At | None
    """None: it would not be done."""

    @property
    def first(self) -> At:
        """Where it belongs in the order of time."""
        found = [one for one in self if one is not None]
        return min(found, key=lambda one: one.wall)


@dataclass
class Replayed:
    """What a replay gave."""

    began: float | None = None
    """Of the first step that was compared, in seconds since the epoch."""
    ended: float | None = None
    steps: int = 0
    identical: int = 0
    """Steps whose decision is the recorded one, byte by byte."""
    same_policy: bool = True
    """Whether each step was decided by the recorded policy."""
    breaks: int = 0
    """How often the recording begins anew: starts of the daemon, and gaps."""
    probes_then: int = 0
    probes_now: int = 0
    then: list[At] = field(default_factory=list)
    now: list[At] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Memories that this release cannot read, a sentence each."""

    def differences(self) -> list[Difference]:
        """What would have been done differently, in order of time."""
        return sorted(_differences(self.then, self.now), key=lambda one: one.first.wall)


def replay(steps: Iterable[Step], since: float, choose: Callable[[Policy], Policy] | None = None) -> Replayed:
    """Decide each step again.

    Args:
        steps: as they were recorded; the first, and each that stands `anew`, with the memory before it.
        since: what came before (seconds since the epoch) is decided too, and not compared.
        choose: gives the policy to use, of the recorded one; None: the recorded one.
    """
    replayed = Replayed()
    memory: Memory | None = None
    chosen: tuple[Policy, Policy] | None = None
    for step in steps:
        if step.anew or memory is None:
            memory = _memory_of(step, replayed)
            if memory is None:
                continue
        if chosen is None or chosen[0] is not step.policy:
            chosen = step.policy, step.policy if choose is None else choose(step.policy)
        decision = decide(memory, step.observation, step.now, step.dice, chosen[1])
        memory = decision.memory
        if step.wall >= since:
            replayed.same_policy = replayed.same_policy and chosen[0] == chosen[1]
            _compare(replayed, step, decision)
    return replayed


def _memory_of(step: Step, replayed: Replayed) -> Memory | None:
    if step.memory is None:
        return None
    try:
        return load(step.memory)
    except ValueError as error:
        replayed.unreadable.append(str(error))
        return None


def _compare(replayed: Replayed, step: Step, decision: Decision) -> None:
    if replayed.began is None:
        replayed.began = step.wall
    elif step.anew:
        replayed.breaks += 1
    replayed.ended = step.wall
    replayed.steps += 1
    replayed.identical += digest(decision) == step.digest
    made = made_by(decision)
    replayed.probes_then += len(step.made.probes)
    replayed.probes_now += len(made.probes)
    replayed.then += [At(step.wall, deed) for deed in _deeds(step.made)]
    replayed.now += [At(step.wall, deed) for deed in _deeds(made)]


def _deeds(made: Made) -> Iterator[Deed]:
    for remedy in made.remedies:
        yield Deed(remedy.kind, remedy.session or None, "ordered" if remedy.ordered else "", remedy.why)
    for entry in made.journal:
        if entry.kind in TOLD:
            yield Deed(entry.kind, entry.session, _without_numbers(entry.text), entry.text)
    for reply in made.replies:
        yield Deed("reply", None, f"{reply.order_id} {reply.verdict}", f"{reply.verdict}: {reply.text}")
    for alert in made.alerts:
        about = f"{alert.kind} ({alert.event})"
        yield Deed("alert", alert.session, about, f"{about}: {alert.what}" if alert.what else about)


def _without_numbers(text: str) -> str:
    """Waits and counts may differ without anything else being different."""
    return _NUMBERS.sub("#", text)


def _differences(then: list[At], now: list[At]) -> Iterator[Difference]:
    then_by, now_by = _by_deed(then), _by_deed(now)
    for key in {**then_by, **now_by}:  # not a set: its order is another one in each process
        yield from _matched(then_by.get(key, []), now_by.get(key, []))


def _by_deed(deeds: list[At]) -> dict[tuple[str, str | None, str], list[At]]:
    found: dict[tuple[str, str | None, str], list[At]] = {}
    for one in deeds:
        found.setdefault(one.deed[:3], []).append(one)
    return found


def _matched(then: list[At], now: list[At]) -> Iterator[Difference]:
    """The same deed then and now: what came at the same time is the same, then what came at about the same time."""
    then, now = _without(then, now), _without(now, then)
    while then and now:
        apart = now[0].wall - then[0].wall
        if abs(apart) <= SAME_WITHIN:
            yield Difference(then.pop(0), now.pop(0))
        elif apart > 0:
            yield Difference(then.pop(0), None)
        else:
            yield Difference(None, now.pop(0))
    yield from (Difference(one, None) for one in then)
    yield from (Difference(None, one) for one in now)


def _without(some: list[At], others: list[At]) -> list[At]:
    """Each of the others takes one of the same moment away."""
    walls = Counter(one.wall for one in others)
    left = []
    for one in some:
        walls[one.wall] -= 1
        if walls[one.wall] < 0:
            left.append(one)
    return left

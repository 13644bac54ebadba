"""The last word right before a remedy: the state is read again, and a session that came back is left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from wasupervisor.decide.asked import FITTING
from wasupervisor.decide.engine import is_there
from wasupervisor.decide.ladder import rung_for
from wasupervisor.decide.limits import CPU, MEMORY, exceeds, used_bytes
from wasupervisor.decide.reasons import FOR_RESOURCES
from wasupervisor.model.observation import UNWATCHED, CloseLook, Look, ProcessReading, Stores, Uplink, UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Remedy, RemedyKind
from wasupervisor.model.sessions import Reason, State
from wasupervisor.model.value import Value


class Near(Value, frozen=True):
    """Everything that is looked at right before a call that acts on one session."""

    remedy: Remedy
    look: CloseLook
    uplink: Uplink
    policy: Policy
    stores: Stores

    @property
    def parks(self) -> bool:
        """Whether the session is stopped and not started: then nothing is read from a store."""
        return self.remedy.kind is RemedyKind.PARK_SESSION

    def claims(self, *states: State) -> bool:
        """Whether the gateway claims one of these now."""
        return self.look.sighting is not None and self.look.sighting.state in states


class Row(Value, frozen=True):
    """One objection, and whether it holds against an operator's `restart` too, and against his `--force`."""

    holds: Callable[[Near], bool]
    text: str
    for_ordered: bool = False
    for_forced: bool = False


ROWS: tuple[Row, ...] = (
    Row(
        lambda seen: not seen.parks and seen.remedy.session in seen.stores.not_whole,
        "its credential key in Redis is not whole: a restart would throw its identity away",
        for_ordered=True,
        for_forced=True,
    ),
    Row(lambda seen: seen.look.sighting is None, "its state could not be read again", for_ordered=True),
    Row(
        lambda seen: (
            not seen.parks
            and not (seen.look.store_ok is True or (seen.look.store_ok is None and seen.policy.gateway_kind == "waha"))
        ),
        "the gateway's database is not known to be well",
        for_ordered=True,
    ),
    Row(
        lambda seen: not seen.parks and seen.stores.redis_ok is False,
        "the gateway's Redis does not answer: a restart now would throw identities away",
        for_ordered=True,
    ),
    Row(lambda seen: not seen.parks and seen.stores.disk_low, "the disk is nearly full"),
    Row(
        lambda seen: (
            seen.policy.uplink_watched
            and seen.uplink.state is not UplinkState.UP
            and not (seen.parks and not seen.claims(State.STARTING))
        ),
        "the uplink to WhatsApp is not good now",
        for_ordered=True,
    ),
    Row(
        lambda seen: seen.remedy.cause is not Reason.FALSE_WORKING and seen.claims(State.WORKING),
        "it came back by itself",
    ),
    Row(lambda seen: seen.claims(State.NEEDS_HUMAN), "it waits for a person now"),
    Row(
        lambda seen: seen.claims(State.UNKNOWN, State.NOT_LOADED),
        "the gateway does not say clearly how it is",
    ),
    Row(
        lambda seen: seen.remedy.kind is RemedyKind.START_SESSION and not seen.claims(*FITTING[seen.remedy.kind]),
        "it is not stopped any more",
    ),
    Row(
        lambda seen: seen.remedy.kind is not RemedyKind.START_SESSION and seen.claims(State.STOPPED),
        "it is being stopped",
    ),
    Row(
        lambda seen: (
            seen.remedy.kind is RemedyKind.RESTART_SESSION
            and seen.look.sighting is not None
            and seen.look.sighting.state is State.FAILED
            and rung_for(seen.policy.gateway_kind, seen.look.sighting.reason).remedy is not RemedyKind.RESTART_SESSION
        ),
        "the gateway now tells a reason that no restart heals",
    ),
    Row(
        lambda seen: (
            seen.remedy.kind is not RemedyKind.START_SESSION
            and not seen.remedy.lone
            and seen.claims(State.STARTING)
            and seen.look.others_working is not True
        ),
        "no other session works any more: a restart of a starting one could kill the gateway",
    ),
)


def objection(
    remedy: Remedy, look: CloseLook, uplink: Uplink, policy: Policy, stores: Stores = UNWATCHED
) -> str | None:
    """Why the remedy is not performed after all, as a sentence; None: go."""
    seen = Near(remedy, look, uplink, policy, stores)
    for row in ROWS:
        if _counts(row, remedy) and row.holds(seen):
            return f"{row.text}: {look.detail}" if look.detail and look.sighting is None else row.text
    return None


class Wide(Value, frozen=True):
    """Everything that is looked at right before a restart of the gateway process."""

    remedy: Remedy
    look: Look
    process: ProcessReading
    uplink: Uplink
    policy: Policy
    stores: Stores
    restarted: bool
    """Whether the process began anew since the restart was decided, by whomever."""

    @property
    def for_process(self) -> bool:
        """Whether the process itself is the trouble, so that its answers cannot be waited for."""
        return self.remedy.cause in (Reason.GATEWAY_HUNG, Reason.GATEWAY_GONE)

    @property
    def for_resources(self) -> bool:
        """Whether its memory or CPU is the trouble, however its sessions are."""
        return self.remedy.cause in FOR_RESOURCES


class WideRow(Value, frozen=True):
    """One objection to a restart of the gateway process."""

    holds: Callable[[Wide], bool]
    text: str
    for_ordered: bool = False
    for_forced: bool = False
    tells_detail: bool = False
    """Whether what was wrong with the look belongs into the sentence."""


GATEWAY_ROWS: tuple[WideRow, ...] = (
    WideRow(
        lambda seen: bool(seen.stores.not_whole),
        "credential keys in Redis are not whole: their identities would be lost",
        for_ordered=True,
        for_forced=True,
    ),
    WideRow(
        lambda seen: seen.stores.redis_ok is False,
        "the gateway's Redis does not answer: a gateway that starts without it throws its identities away",
        for_ordered=True,
    ),
    WideRow(lambda seen: seen.stores.disk_low, "the disk is nearly full", for_ordered=True),
    WideRow(
        lambda seen: seen.look.store_ok is False,
        "the gateway's database does not answer: a gateway that starts without it throws its identities away",
        for_ordered=True,
    ),
    WideRow(
        lambda seen: (
            seen.look.store_ok is None and seen.policy.gateway_kind == "evolution" and seen.look.reachable is True
        ),
        "it is not known whether the gateway's database is well",
        for_ordered=True,
    ),
    WideRow(
        lambda seen: seen.policy.uplink_watched and seen.uplink.state is UplinkState.DOWN,
        "WhatsApp cannot be reached from here: no session would come back",
        for_ordered=True,
    ),
    WideRow(
        lambda seen: seen.policy.uplink_watched and seen.uplink.state is UplinkState.UNKNOWN and not seen.for_process,
        "it is not known whether WhatsApp can be reached from here",
    ),
    WideRow(lambda seen: seen.restarted, "the gateway process was restarted meanwhile"),
    WideRow(lambda seen: seen.for_process and seen.look.reachable is True, "the gateway answers again"),
    WideRow(
        lambda seen: seen.remedy.cause is Reason.GATEWAY_GONE and seen.process.exists is not False,
        "its process is there again, or it is not known that it is gone",
    ),
    WideRow(
        lambda seen: seen.remedy.cause is Reason.GATEWAY_HUNG and seen.process.exists is not True,
        "its process is not there any more, or it is not known whether it is",
    ),
    WideRow(
        lambda seen: seen.remedy.cause is Reason.MEMORY_HIGH and exceeds(MEMORY, seen.process, seen.policy) is not True,
        "its memory is below its limit again, or it is not known that it is not",
    ),
    WideRow(
        lambda seen: seen.remedy.cause is Reason.CPU_HIGH and exceeds(CPU, seen.process, seen.policy) is not True,
        "its CPU is below its limit again, or it is not known that it is not",
    ),
    WideRow(
        lambda seen: seen.remedy.cause is Reason.MEMORY_LEAK and used_bytes(seen.process) is None,
        "it is not known how much memory it uses",
    ),
    WideRow(
        lambda seen: seen.for_resources and seen.look.reachable is not True,
        "the gateway does not answer just now, so that nobody knows how its store is",
    ),
    WideRow(
        lambda seen: not (seen.for_process or seen.for_resources) and seen.look.sightings is None,
        "the list of sessions could not be read again",
        tells_detail=True,
    ),
    WideRow(
        lambda seen: not (seen.for_process or seen.for_resources) and _all_back(seen),
        "the sessions came back by themselves",
    ),
    WideRow(
        lambda seen: seen.remedy.cause is Reason.ENGINE_GONE and is_there(seen.process) is not False,
        "the process of its engine is there again, or it is not known that it is gone",
    ),
    WideRow(
        lambda seen: seen.remedy.cause is Reason.ENGINE_GONE and State.WORKING in _states(seen).values(),
        "a session works, so that the gateway cannot be without its engine",
    ),
    WideRow(
        lambda seen: seen.remedy.cause is Reason.STUCK_STARTING and State.WORKING in _states(seen).values(),
        "a session works again, so that a restart of the others alone is milder",
    ),
)


class Seen(Protocol):
    """What a look told of the gateway and of its process."""

    @property
    def look(self) -> Look: ...
    @property
    def process(self) -> ProcessReading: ...


def is_other_run(before: Seen, now: Seen) -> bool:
    """Whether the process began anew between two looks; unknown is not another one."""
    runs = ((before.process.run, now.process.run), (before.look.run, now.look.run))
    return any(old is not None and new is not None and old != new for old, new in runs)


def gateway_objection(
    remedy: Remedy,
    look: Look,
    process: ProcessReading,
    uplink: Uplink,
    policy: Policy,
    stores: Stores = UNWATCHED,
    *,
    restarted: bool = False,
) -> str | None:
    """Why the gateway process is not restarted after all, as a sentence; None: go."""
    seen = Wide(remedy, look, process, uplink, policy, stores, restarted)
    for row in GATEWAY_ROWS:
        if _counts(row, remedy) and row.holds(seen):
            return f"{row.text}: {look.detail}" if look.detail and row.tells_detail else row.text
    return None


def _counts(row: Row | WideRow, remedy: Remedy) -> bool:
    if remedy.forced:
        return row.for_forced
    return row.for_ordered or not remedy.ordered


def _all_back(seen: Wide) -> bool:
    """Whether every session that it is for works now. A claim to work is none where just that is doubted."""
    if seen.remedy.cause in (Reason.FALSE_WORKING, Reason.FIGHT):
        return False
    states = _states(seen)
    return all(states.get(name) is State.WORKING for name in seen.remedy.sessions)


def _states(seen: Wide) -> dict[str, State]:
    return {one.name: one.state for one in seen.look.sightings or ()}

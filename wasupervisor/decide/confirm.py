"""The last word right before a remedy: the state is read again, and a session that came back is left alone."""

from __future__ import annotations

from collections.abc import Callable

from wasupervisor.decide.asked import FITTING
from wasupervisor.decide.ladder import rung_for
from wasupervisor.model.observation import CloseLook, Look, ProcessReading, Uplink, UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Remedy, RemedyKind
from wasupervisor.model.sessions import Reason, State
from wasupervisor.model.value import Value


class _Row(Value, frozen=True):
    """One objection, and whether it holds against an operator's `restart` too."""

    holds: Callable[[Remedy, CloseLook, Uplink, Policy], bool]
    text: str
    for_ordered: bool = False


def _claims(*states: State) -> Callable[[Remedy, CloseLook, Uplink, Policy], bool]:
    return lambda _remedy, look, _uplink, _policy: look.sighting is not None and look.sighting.state in states


def _is_restart(remedy: Remedy) -> bool:
    return remedy.kind is RemedyKind.RESTART_SESSION


ROWS: tuple[_Row, ...] = (
    _Row(lambda _r, look, _u, _p: look.sighting is None, "its state could not be read again", for_ordered=True),
    _Row(
        lambda remedy, look, _u, policy: (
            remedy.kind is not RemedyKind.PARK_SESSION
            and not (look.store_ok is True or (look.store_ok is None and policy.gateway_kind == "waha"))
        ),
        "the gateway's database is not known to be well",
        for_ordered=True,
    ),
    _Row(
        lambda remedy, look, uplink, policy: (
            policy.uplink_watched
            and uplink.state is not UplinkState.UP
            and not (remedy.kind is RemedyKind.PARK_SESSION and not _in(look, frozenset({State.STARTING})))
        ),
        "the uplink to WhatsApp is not good now",
        for_ordered=True,
    ),
    _Row(
        lambda remedy, look, _u, _p: remedy.cause is not Reason.FALSE_WORKING and _in(look, frozenset({State.WORKING})),
        "it came back by itself",
    ),
    _Row(_claims(State.NEEDS_HUMAN), "it waits for a person now"),
    _Row(_claims(State.UNKNOWN, State.NOT_LOADED), "the gateway does not say clearly how it is"),
    _Row(
        lambda remedy, look, _u, _p: remedy.kind is RemedyKind.START_SESSION and not _in(look, FITTING[remedy.kind]),
        "it is not stopped any more",
    ),
    _Row(
        lambda remedy, look, _u, _p: (
            remedy.kind is not RemedyKind.START_SESSION and _in(look, frozenset({State.STOPPED}))
        ),
        "it is being stopped",
    ),
    _Row(
        lambda remedy, look, _u, policy: (
            _is_restart(remedy)
            and look.sighting is not None
            and look.sighting.state is State.FAILED
            and rung_for(policy.gateway_kind, look.sighting.reason).remedy is not RemedyKind.RESTART_SESSION
        ),
        "the gateway now tells a reason that no restart heals",
    ),
    _Row(
        lambda remedy, look, _u, _p: (
            remedy.kind is not RemedyKind.START_SESSION
            and not remedy.lone
            and _in(look, frozenset({State.STARTING}))
            and look.others_working is not True
        ),
        "no other session works any more: a restart of a starting one could kill the gateway",
    ),
)


def objection(remedy: Remedy, look: CloseLook, uplink: Uplink, policy: Policy) -> str | None:
    """Why the remedy is not performed after all, as a sentence; None: go."""
    if remedy.forced:
        return None
    for row in ROWS:
        if (row.for_ordered or not remedy.ordered) and row.holds(remedy, look, uplink, policy):
            return f"{row.text}: {look.detail}" if look.detail and look.sighting is None else row.text
    return None


def _in(look: CloseLook, states: frozenset[State]) -> bool:
    return look.sighting is not None and look.sighting.state in states


class Wide(Value, frozen=True):
    """Everything that is looked at right before a restart of the gateway process."""

    remedy: Remedy
    look: Look
    process: ProcessReading
    uplink: Uplink
    policy: Policy

    @property
    def for_process(self) -> bool:
        """Whether the process itself is the trouble, so that its answers cannot be waited for."""
        return self.remedy.cause in (Reason.GATEWAY_HUNG, Reason.GATEWAY_GONE)


class WideRow(Value, frozen=True):
    """One objection to a restart of the gateway process."""

    holds: Callable[[Wide], bool]
    text: str
    for_ordered: bool = False
    tells_detail: bool = False
    """Whether what was wrong with the look belongs into the sentence."""


GATEWAY_ROWS: tuple[WideRow, ...] = (
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
        lambda seen: not seen.for_process and seen.look.sightings is None,
        "the list of sessions could not be read again",
        tells_detail=True,
    ),
    WideRow(lambda seen: not seen.for_process and _all_back(seen), "the sessions came back by themselves"),
    WideRow(
        lambda seen: seen.remedy.cause is Reason.STUCK_STARTING and State.WORKING in _states(seen).values(),
        "a session works again, so that a restart of the others alone is milder",
    ),
)


def gateway_objection(
    remedy: Remedy, look: Look, process: ProcessReading, uplink: Uplink, policy: Policy
) -> str | None:
    """Why the gateway process is not restarted after all, as a sentence; None: go."""
    if remedy.forced:
        return None
    seen = Wide(remedy, look, process, uplink, policy)
    for row in GATEWAY_ROWS:
        if (row.for_ordered or not remedy.ordered) and row.holds(seen):
            return f"{row.text}: {look.detail}" if look.detail and row.tells_detail else row.text
    return None


def _all_back(seen: Wide) -> bool:
    """Whether every session that it is for works now. A claim to work is none where just that is doubted."""
    if seen.remedy.cause in (Reason.FALSE_WORKING, Reason.FIGHT):
        return False
    states = _states(seen)
    return all(states.get(name) is State.WORKING for name in seen.remedy.sessions)


def _states(seen: Wide) -> dict[str, State]:
    return {one.name: one.state for one in seen.look.sightings or ()}

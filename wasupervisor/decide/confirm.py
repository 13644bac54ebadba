"""The last word right before a remedy: the state is read again, and a session that came back is left alone."""

from __future__ import annotations

from collections.abc import Callable

from wasupervisor.decide.gates import FITTING
from wasupervisor.decide.ladder import rung_for
from wasupervisor.model.observation import CloseLook, Uplink, UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Remedy, RemedyKind
from wasupervisor.model.sessions import State
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
        lambda _r, look, _u, policy: (
            not (look.store_ok is True or (look.store_ok is None and policy.gateway_kind == "waha"))
        ),
        "the gateway's database is not known to be well",
        for_ordered=True,
    ),
    _Row(
        lambda _r, _l, uplink, policy: policy.uplink_watched and uplink.state is not UplinkState.UP,
        "the uplink to WhatsApp is not good now",
        for_ordered=True,
    ),
    _Row(_claims(State.WORKING), "it came back by itself"),
    _Row(_claims(State.NEEDS_HUMAN), "it waits for a person now"),
    _Row(_claims(State.UNKNOWN, State.NOT_LOADED), "the gateway does not say clearly how it is"),
    _Row(
        lambda remedy, look, _u, _p: _is_restart(remedy) and not _in(look, FITTING[RemedyKind.RESTART_SESSION]),
        "it is being stopped",
    ),
    _Row(
        lambda remedy, look, _u, _p: not _is_restart(remedy) and not _in(look, FITTING[RemedyKind.START_SESSION]),
        "it is not stopped any more",
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
            _is_restart(remedy)
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

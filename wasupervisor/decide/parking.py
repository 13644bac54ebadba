"""Sessions that hammer WhatsApp with logins that will not work: stopped, or offered to be stopped.

WAHA alone logs a banned account in 1,600 times an hour (2024.10.8, NOWEB). Evolution has no stop that keeps the
credentials.
"""

from __future__ import annotations

from wasupervisor.decide.ladder import WAHA
from wasupervisor.decide.memory import SessionMemory
from wasupervisor.decide.scene import Scene
from wasupervisor.model.policy import Policy
from wasupervisor.model.sessions import Condition, Reason

OFFERED_AFTER = 2
"""Restarts in vain after which a person is told that it can be parked."""

FLAPS_FOR = 300.0
"""Seconds of flapping after which it counts as hammering."""

HAMMERING = frozenset({Reason.STUCK_STARTING, Reason.FLAPPING})


def hammers(session: SessionMemory, policy: Policy, now: float) -> bool:
    """Whether it logs in over and over, in vain, where it can be stopped without losing anything."""
    if policy.gateway_kind != WAHA or session.condition is not Condition.FAILING or session.cause not in HAMMERING:
        return False
    if session.cause is Reason.FLAPPING:
        return now - session.condition_since >= FLAPS_FOR
    return session.failures >= OFFERED_AFTER


def is_to_be_parked(session: SessionMemory, scene: Scene, *, in_incident: bool) -> bool:
    """Whether the configuration lets us stop it now: its breaker has opened once, and it is not one of many."""
    if scene.policy.park != "auto" or in_incident or not hammers(session, scene.policy, scene.now):
        return False
    return session.cause is Reason.FLAPPING or session.breaker.trips > 0


def offer(name: str, session: SessionMemory, policy: Policy, now: float) -> str:
    """What a person is told who may want to stop it; empty where there is nothing to offer."""
    if policy.park == "never" or not hammers(session, policy, now):
        return ""
    return f"To stop its logins and keep its credentials: wasupervisor park {name}"

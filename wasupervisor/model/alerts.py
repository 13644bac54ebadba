"""What a person is told: one alert when an episode begins and one when it ends."""

from __future__ import annotations

from enum import StrEnum

from wasupervisor.model.sessions import Reason
from wasupervisor.model.value import Value


class AlertKind(StrEnum):
    """What sort of episode it is: the words of `alerts[].on`."""

    NEEDS_HUMAN = "needs_human"
    """A session waits for a person, or its breaker is held."""
    GATEWAY_DOWN = "gateway_down"
    INCIDENT = "incident"
    BREAKER_OPEN = "breaker_open"
    """Remedies are in vain and are made ever more rarely."""
    STORE_DOWN = "store_down"
    RESTART_WANTED = "restart_wanted"
    """Only a restart of the gateway process heals, and a person has to make it."""
    MISSING = "missing"
    """An expected session that the gateway does not list or does not run."""
    DEAF = "deaf"
    """A session that works and hears nothing."""


class Alert(Value, frozen=True):
    """One message to a person: the begin or the end of an episode."""

    id: str
    """Names the episode; the same in its begin, its reminders and its end."""
    kind: AlertKind
    ended: bool
    since: float
    """When the episode began, on the supervisor's timeline."""
    session: str | None = None
    reason: Reason = Reason.NONE
    what: str = ""
    """What is wrong, as a sentence."""
    tried: tuple[str, ...] = ()
    """What was done so far, a sentence each."""
    why_no_more: str = ""
    """Why nothing more is tried, or not now."""
    todo: str = ""
    """What a person should do."""

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
    """Remedies are in vain and are made ever more rarely, or it fails for ten minutes though none is made."""
    STORE_DOWN = "store_down"
    RESTART_WANTED = "restart_wanted"
    """Only a restart of the gateway process heals, and a person has to make it."""
    MISSING = "missing"
    """An expected session that the gateway does not list or does not run."""
    DEAF = "deaf"
    """A session that works and hears nothing."""
    RESOURCES = "resources"
    """The gateway's memory or CPU is over a limit of `process.memory` or `process.cpu`."""
    LEAK = "leak"
    """The gateway's memory grows and will reach its limit."""
    CRASHES = "crashes"
    """The gateway dies again and again, or the kernel killed it for want of memory."""


class Event(StrEnum):
    """Which of the messages of one episode it is."""

    BEGIN = "begin"
    REMIND = "remind"
    """It lasts."""
    END = "end"


class Alert(Value, frozen=True):
    """One message to a person. All times are on the supervisor's timeline."""

    id: str
    """Names the episode; the same in its begin, its reminders and its end."""
    kind: AlertKind
    event: Event
    since: float
    """When the episode began."""
    at: float
    """When this is told."""
    told_before: float | None = None
    """When the message before this one was decided; None: this is the first."""
    session: str | None = None
    """None: it is about the gateway, or about several sessions."""
    sessions: tuple[str, ...] = ()
    """All sessions that it is about."""
    reason: Reason = Reason.NONE
    what: str = ""
    """What is wrong, as a sentence."""
    tried: tuple[str, ...] = ()
    """What was done so far, a sentence each."""
    why_no_more: str = ""
    """Why nothing more is tried, or not now."""
    todo: str = ""
    """What a person should do."""

    def is_due(self, remind: float | None) -> bool:
        """Whether somebody hears of it who wants a reminder each so many seconds; None: none.

        Reminders are decided at the pace of the most impatient, and counted from the begin for each.
        """
        if self.event is not Event.REMIND or self.told_before is None:
            return True
        return remind is not None and (self.at - self.since) // remind > (self.told_before - self.since) // remind

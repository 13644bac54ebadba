"""The body of a webhook: one JSON object that tells a person, or a program, what is wrong and what to do."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from wasupervisor.model.alerts import Alert, AlertKind, Event
from wasupervisor.model.sessions import Reason
from wasupervisor.report.document import rfc3339

MOST_NAMES = 100
"""Sessions that a body names; `session_count` is that of all."""


class Sender(NamedTuple):
    """Who tells it."""

    kind: str
    """Of the gateway."""
    host: str
    """Of the gateway's URL, with its port; nothing else of it."""
    hostname: str
    """Of this host."""
    version: str
    """Of the supervisor."""


class GatewayPart(msgspec.Struct, frozen=True):
    """Which gateway it is."""

    kind: str
    host: str


class Body(msgspec.Struct, frozen=True):
    """These keys and types never change; more may be added at the end."""

    event: Event
    id: str
    """Of the episode: the same in its begin, its reminders and its end."""
    kind: AlertKind
    text: str
    """All of it in one line; chat services show a key of this name."""
    what: str
    since: str
    at: str
    session: str | None
    sessions: tuple[str, ...]
    session_count: int
    reason: Reason
    docs: str | None
    """The page of the reason, in the project's documentation."""
    tried: tuple[str, ...]
    why_no_more: str
    todo: str
    gateway: GatewayPart
    hostname: str
    version: str


def body_of(alert: Alert, sender: Sender, *, now: float, wall: float) -> bytes:
    """The body as JSON. `now` on the timeline and `wall` since the epoch are the same moment."""
    none = alert.reason is Reason.NONE
    return msgspec.json.encode(
        Body(
            event=alert.event,
            id=alert.id,
            kind=alert.kind,
            text=_text(alert, sender),
            what=alert.what,
            since=rfc3339(wall - (now - alert.since)),
            at=rfc3339(wall - (now - alert.at)),
            session=alert.session,
            sessions=alert.sessions[:MOST_NAMES],
            session_count=len(alert.sessions),
            reason=alert.reason,
            docs=None if none else f"docs/reasons/{alert.reason}.md",
            tried=alert.tried,
            why_no_more=alert.why_no_more,
            todo=alert.todo,
            gateway=GatewayPart(sender.kind, sender.host),
            hostname=sender.hostname,
            version=sender.version,
        )
    )


WORD_OF: dict[Event, str] = {Event.BEGIN: "begins", Event.REMIND: "lasts", Event.END: "is over"}


def about(alert: Alert) -> str:
    """What is told, for a line of the journal."""
    return f"{alert.kind} {WORD_OF[alert.event]}: {alert.what}"


def _text(alert: Alert, sender: Sender) -> str:
    parts = [f"{sender.hostname}, {sender.kind} {sender.host}: {about(alert)}."]
    if alert.todo:
        parts.append(f"To do: {alert.todo}")
    return " ".join(parts)

"""When a person may see a session's QR code, as a table: the first row that holds refuses, with its sentence.

On Evolution the very question can do harm: `connect` on an instance that is reconnecting by itself starts a second
client, and the two fight for the account for ever (2.3.6, pitfall P3). So memory and database must both say `close`,
and for a while, or both `connecting`.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from wasupervisor.decide.draft import Draft
from wasupervisor.decide.ladder import WAHA
from wasupervisor.decide.memory import GatewayMemory, SessionMemory
from wasupervisor.decide.reasons import QR_REASONS, TABLE, advice_for
from wasupervisor.decide.scene import Scene
from wasupervisor.decide.words import span
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.remedies import Verdict
from wasupervisor.model.sessions import Condition, Reason, Sighting, State
from wasupervisor.model.value import Value

CLOSED_FOR = 30.0
"""Seconds for which Evolution must have said `close` before a client is started (gateways/evolution.md, section 6)."""

CLOSE, CONNECTING = "close", "connecting"

BEGUN = "the QR code is asked for now"


class Asked(Value, frozen=True):
    """A QR code that is asked for, with everything that the rows look at."""

    name: str
    session: SessionMemory
    sighting: Sighting | None
    """What this look saw of it; None: nothing."""
    gateway: GatewayMemory
    scene: Scene
    state_writable: bool
    mistyped: bool

    @property
    def on_waha(self) -> bool:
        """Whether the gateway is a WAHA."""
        return self.scene.policy.gateway_kind == WAHA

    @property
    def truths(self) -> tuple[str | None, str | None]:
        """What memory and database say (Evolution)."""
        seen = None if self.sighting is None else self.sighting.truths
        return (None, None) if seen is None else (seen.memory, seen.database)


Found = tuple[str, float | None] | None
"""The sentence and, where it is known, when it is worth to ask again; None when nothing stands against it."""


class Row(Value, frozen=True):
    """One refusal."""

    code: str
    sentence: str
    """What it is, for the docs; what it says of one session comes from `test`."""
    test: Callable[[Asked], Found]


def _works(asked: Asked) -> Found:
    seen = asked.sighting
    return ("it works; nothing is to be scanned", None) if seen is not None and seen.state is State.WORKING else None


def _unread(asked: Asked) -> Found:
    if asked.sighting is not None:
        return None
    return "the gateway did not tell its state in this look; ask again when it answers", None


def _read_only(asked: Asked) -> Found:
    if asked.state_writable:
        return None
    return "the state cannot be written, so that nothing would be on the books", None


def _under_way(asked: Asked) -> Found:
    attempt, restart = asked.session.attempt, asked.gateway.attempt
    if attempt is not None and attempt.outcome is None:
        return f"{attempt.kind} is under way; ask again when it has ended", None
    if restart is not None and restart.back_at is None:
        return "the gateway process is being restarted; ask again when it has come back", None
    return None


def _not_wanted(asked: Asked) -> Found:
    session = asked.session
    if session.cause in QR_REASONS and session.condition in (Condition.NEEDS_HUMAN, Condition.FATAL):
        return None
    if session.told in QR_REASONS:
        return "it has waited for one for too short a time to be believed; ask again in a moment", None
    if session.cause is Reason.NONE:
        return f"it does not wait for one: it is {session.condition}", None
    told = f"{TABLE[session.cause].sentence}. {advice_for(session.cause, asked.name)}"
    return f"it does not wait for one: {told.strip(' .')}", None


def _not_shown_by_waha(asked: Asked) -> Found:
    cause = asked.session.cause
    if not asked.on_waha:
        return None
    if cause is Reason.LOGGED_OUT:
        text = "WAHA shows none before it is logged out there: log it out in WAHA's dashboard, then ask again"
        return text, None
    if cause is Reason.QR_EXPIRED:
        text = f"with the phone at hand, order wasupervisor restart {asked.name}, then ask again"
        return f"WAHA has stopped to show it: {text}", None
    if asked.sighting is not None and asked.sighting.reason is not Reason.QR_WANTED:
        return "WAHA does not show it just now; ask again in a moment", None
    return None


def _not_safe_on_evolution(asked: Asked) -> Found:
    if asked.on_waha or asked.truths in ((CLOSE, CLOSE), (CONNECTING, CONNECTING)):
        return None
    if asked.truths == (CONNECTING, CLOSE):
        return "Evolution is about to show it; ask again in a moment", None
    if asked.session.cause is Reason.QR_EXPIRED:
        return "Evolution has stopped to show it (QRCODE_LIMIT): ask for a new one in its manager", None
    text = "memory and database do not both say close, or both connecting: a second client could be started, and fight"
    return text, None


def _closed_too_briefly(asked: Asked) -> Found:
    if asked.on_waha or asked.truths != (CLOSE, CLOSE):
        return None
    since = max(asked.session.claim_since or asked.scene.now, asked.gateway.run_since or 0.0)
    lasts = asked.scene.now - since
    if lasts >= CLOSED_FOR:
        return None
    text = f"it has been closed for {span(lasts)} only, and may be about to reconnect by itself: then two would fight"
    return text, since + CLOSED_FOR


def _uplink(asked: Asked) -> Found:
    if asked.on_waha or asked.truths != (CLOSE, CLOSE) or asked.scene.uplink_up:
        return None
    if asked.scene.uplink is UplinkState.DOWN:
        return "WhatsApp cannot be reached from here, so that no QR code can be had", None
    return "it is not known whether WhatsApp can be reached from here", None


def _store(asked: Asked) -> Found:
    if asked.scene.store_well:
        return None
    return "the gateway's store is not known to be well: a new link could not be kept", None


def _mistyped(asked: Asked) -> Found:
    if not asked.mistyped:
        return None
    return "its credential key in Redis has the wrong type: a new link could not be kept", None


def _interval(asked: Asked) -> Found:
    at, every = asked.session.qr_at, asked.scene.policy.qr_interval
    if at is None or asked.scene.now - at >= every:
        return None
    return (
        f"its QR code was asked for {span(asked.scene.now - at)} ago; recovery.qr_interval is {span(every)}",
        at + every,
    )


ROWS: tuple[Row, ...] = (
    Row("unread", "This look did not show the session.", _unread),
    Row("works", "It works: nothing is to be scanned.", _works),
    Row("read_only", "The state cannot be written.", _read_only),
    Row("under_way", "The call of a remedy, or a restart of the gateway, is under way.", _under_way),
    Row("not_wanted", "It does not wait for a QR code.", _not_wanted),
    Row("not_shown", "WAHA shows a QR code only in SCAN_QR_CODE.", _not_shown_by_waha),
    Row("second_client", "Evolution: not both truths say close, or both connecting.", _not_safe_on_evolution),
    Row("closed", "Evolution: both have said close for less than 30 s.", _closed_too_briefly),
    Row("uplink", "Evolution says close, and WhatsApp cannot surely be reached.", _uplink),
    Row("store", "The gateway's store is not known to be well.", _store),
    Row("mistyped", "The credential key in Redis has the wrong type.", _mistyped),
    Row("interval", "Its QR code was asked for within recovery.qr_interval.", _interval),
)


def show_qr(draft: Draft, scene: Scene, name: str) -> tuple[Verdict, str, float | None]:
    """Answer whether the QR code may be asked for now, and put it on the books if so.

    Returns:
        The verdict, its sentence, and the seconds after which it is worth to ask again.
    """
    session = draft.sessions[name]
    asked = Asked(
        name=name,
        session=session,
        sighting=next((one for one in draft.observation.look.sightings or () if one.name == name), None),
        gateway=draft.gateway,
        scene=scene,
        state_writable=draft.observation.state_writable,
        mistyped=name in draft.observation.mistyped,
    )
    found = next((found for row in ROWS if (found := row.test(asked)) is not None), None)
    if found is None:
        draft.sessions[name] = replace(session, qr_at=draft.now)
        return Verdict.ACCEPTED, BEGUN, None
    why, until = found
    wait = None if until is None else max(0.0, until - draft.now)
    text = f"the QR code is withheld{'' if wait is None else f' for {span(wait)}'}: {why}"
    draft.say(EntryKind.WITHHELD, text, name)
    return (Verdict.WITHHELD if wait is None else Verdict.LATER), text, wait

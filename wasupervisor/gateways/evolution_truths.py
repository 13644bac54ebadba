"""From Evolution's truths to a state: the table of gateways/evolution.md, measured on Evolution API 2.3.6.

Memory is what `/metrics` and `connectionState` say. The database is what `fetchInstances` says: written when the
instance is made, at each QR, when it opens, and when it is finally logged out; no drop, reconnect or crash changes it.
"""

from __future__ import annotations

from wasupervisor.gateways.codes import codes_of
from wasupervisor.model.sessions import Reason, Sighting, State, Truths
from wasupervisor.model.value import Value

OPEN, CONNECTING, CLOSE, REFUSED = "open", "connecting", "close", "refused"
ABSENT = "not loaded"
"""Of memory: the instance has a row in the database and nothing runs it."""
ANY = "*"
UNKNOWN = "unknown"
"""Could not be read, or not lately enough."""

BAILEYS = ("", "WHATSAPP-BAILEYS")
"""Integrations with a socket of their own; the others are WhatsApp's cloud API, where nothing can be restarted."""


class Row(Value, frozen=True):
    """What the database says of one instance; all that is kept of its row, which also holds its token."""

    database: str | None
    code: int | None = None
    """`disconnectionReasonCode`. Never cleared, so it is history unless the database says `close`."""
    integration: str = ""
    paired: bool | None = None
    always_online: bool | None = None
    """`Setting.alwaysOnline`: its account is to be shown online, which a probe would end. None: not told (v1)."""
    activity: int | None = None
    """`_count.Message`: how many messages the database holds."""
    identity: str | None = None
    """The id of the instance: its keys in Redis are named by it. None: not told (v1 names them otherwise)."""


class Truth(Value, frozen=True):
    """One row of the table. The first that fits counts."""

    memory: str
    database: str
    codes: tuple[int, ...]
    """Any code when empty."""
    state: State
    reason: Reason
    sentence: str


TABLE: tuple[Truth, ...] = (
    Truth(
        ABSENT, ANY, (), State.NOT_LOADED, Reason.NOT_LOADED,
        "it is in the database and nothing runs it; Evolution loads instances only when its process starts",
    ),
    Truth(
        OPEN, ANY, (), State.WORKING, Reason.NONE,
        "the socket was open when Evolution last heard of it; only a probe could tell more",
    ),
    Truth(
        CONNECTING, OPEN, (), State.STARTING, Reason.RECONNECTING,
        "a linked instance reconnects by itself; when it lasts for over 60 s it is stuck and one restart cures it",
    ),
    Truth(
        CONNECTING, CONNECTING, (), State.NEEDS_HUMAN, Reason.QR_WANTED,
        "a QR is shown; each restart would burn one",
    ),
    Truth(
        CONNECTING, CLOSE, (), State.NEEDS_HUMAN, Reason.QR_WANTED,
        "an instance that was never linked, or is not any more, is about to show its QR",
    ),
    Truth(
        CONNECTING, UNKNOWN, (), State.STARTING, Reason.RECONNECTING,
        "it connects; whether it shows a QR is not known while the database cannot be read",
    ),
    Truth(
        CLOSE, OPEN, (), State.FAILED, Reason.CONNECTION_LOST,
        "a linked instance cannot reach WhatsApp and tries twice a second; a restart would do nothing",
    ),
    Truth(
        CLOSE, CONNECTING, (), State.NEEDS_HUMAN, Reason.QR_EXPIRED,
        "nobody scanned, and Evolution has stopped to show QRs (QRCODE_LIMIT)",
    ),
    Truth(
        CLOSE, CLOSE, codes_of(Reason.LOGGED_OUT), State.FAILED, Reason.LOGGED_OUT,
        "WhatsApp has logged the device out, and Evolution has thrown its credentials away",
    ),
    Truth(
        CLOSE, CLOSE, codes_of(Reason.BANNED), State.FAILED, Reason.BANNED,
        "WhatsApp has refused the account for good, and Evolution has thrown its credentials away",
    ),
    # Unverified, from here to the last code: 2.3.6 reconnects on these at once and never writes them with `close`.
    Truth(
        CLOSE, CLOSE, codes_of(Reason.REPLACED), State.FAILED, Reason.REPLACED,
        "another client logged in with its credentials, and Evolution gave way",
    ),
    Truth(
        CLOSE, CLOSE, codes_of(Reason.OUTDATED), State.FAILED, Reason.OUTDATED,
        "WhatsApp does not accept this version of the client any more",
    ),
    Truth(
        CLOSE, CLOSE, codes_of(Reason.RATE_LIMITED), State.FAILED, Reason.RATE_LIMITED,
        "WhatsApp was asked too often, and wants to be left alone for a while",
    ),
    Truth(
        CLOSE, CLOSE, codes_of(Reason.BAD_SESSION), State.FAILED, Reason.BAD_SESSION,
        "its data is broken, says Baileys",
    ),
    Truth(
        CLOSE, CLOSE, codes_of(Reason.CONNECTION_LOST, Reason.RECONNECTING, Reason.UNEXPLAINED),
        State.FAILED, Reason.CONNECTION_LOST,
        "it was closed for a reason that passes, and Evolution does not try again",
    ),
    Truth(
        CLOSE, CLOSE, (), State.NEEDS_HUMAN, Reason.QR_WANTED,
        "it was never linked; a person asks for a QR when the phone is at hand",
    ),
    Truth(
        CLOSE, UNKNOWN, (), State.FAILED, Reason.CONNECTION_LOST,
        "it is closed; whether it is still linked is not known while the database cannot be read",
    ),
    # Unverified: 2.3.6 tells this word in a webhook only, and its memory says `close` right after.
    Truth(
        REFUSED, ANY, (), State.NEEDS_HUMAN, Reason.QR_EXPIRED,
        "Evolution has refused to go on, for nobody scanned its QRs",
    ),
)  # fmt: skip

UNREADABLE = Truth(
    ANY, ANY, (), State.UNKNOWN, Reason.UNREADABLE,
    "Evolution did not say, or in a word that this version does not know",
)  # fmt: skip

CLOUD = Truth(
    OPEN, ANY, (), State.WORKING, Reason.NONE,
    "an instance of WhatsApp's cloud API: there is no socket that could be lost or restarted",
)  # fmt: skip


def judge(memory: str | None, row: Row | None) -> Truth:
    """The row of the table for what memory and the database say; None is unknown."""
    if row is not None and row.integration not in BAILEYS:
        return CLOUD if memory == OPEN else UNREADABLE
    database = (row.database if row is not None else None) or UNKNOWN
    code = row.code if row is not None else None
    for truth in TABLE:
        if truth.memory == memory and truth.database in (ANY, database) and (not truth.codes or code in truth.codes):
            return truth
    return UNREADABLE


def sight(name: str, memory: str | None, row: Row | None, *, fresh: bool = True) -> Sighting:
    """One instance as a sighting, with the truths that led to it."""
    truth = judge(memory, row)
    database = row.database if row is not None else None
    return Sighting(
        name=name,
        state=truth.state,
        reason=truth.reason,
        claim=f"memory {memory or UNKNOWN}, database {database or UNKNOWN}",
        paired=row.paired if row is not None else None,
        activity=row.activity if row is not None else None,
        fresh=fresh,
        truths=Truths(memory=memory, database=database),
        identity=row.identity if row is not None else None,
    )

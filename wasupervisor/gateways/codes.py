"""Why WhatsApp, or an engine, closed a connection: one table of codes and of the engines' names for the same.

Codes are those of Baileys (WAHA's NOWEB, Evolution) and of WhatsApp's own `<failure>` and `<stream:error>` answers.
Names are of whatsmeow's events and constants (WAHA's GOWS: `types/events/events.go`) and of whatsapp-web.js (WAHA's
WEBJS: `WAState` in `src/util/Constants.js`, and the reason of its `disconnected` event). What they mean for an operator
stands in docs/gateways.md.
"""

from __future__ import annotations

from wasupervisor.model.sessions import Reason
from wasupervisor.model.value import Value


class Cause(Value, frozen=True):
    """One row: a code, its names, and what it means."""

    code: int | None
    """None: only engines without codes know it."""
    names: tuple[str, ...]
    reason: Reason
    sentence: str
    source: str
    """Who says so: `measured`, or where it is written."""


BAILEYS, WHATSMEOW, WEBJS = "Baileys DisconnectReason", "whatsmeow events.go", "whatsapp-web.js"

TABLE: tuple[Cause, ...] = (
    Cause(
        401, ("loggedOut", "LoggedOut", "ConnectFailureLoggedOut", "LOGOUT", "UNPAIRED"), Reason.LOGGED_OUT,
        "the device was unlinked, on the phone or by WhatsApp", "measured",
    ),
    Cause(
        402, ("TemporaryBan", "ConnectFailureTempBanned"), Reason.BANNED,
        "the account is banned for a time", WHATSMEOW,
    ),
    Cause(
        403, ("forbidden", "ConnectFailureMainDeviceGone", "TOS_BLOCK", "SMB_TOS_BLOCK"), Reason.BANNED,
        "WhatsApp refuses the account: banned, locked, or moved to another phone", "measured",
    ),
    Cause(
        405, ("ClientOutdated", "ConnectFailureClientOutdated", "DEPRECATED_VERSION"), Reason.OUTDATED,
        "WhatsApp does not accept the version of the client any more", WHATSMEOW,
    ),
    Cause(
        406, ("ConnectFailureUnknownLogout",), Reason.BANNED,
        "the account is banned (whatsmeow: logged out for an unknown reason)", "measured",
    ),
    Cause(
        408, ("connectionLost", "timedOut", "KeepAliveTimeout", "TIMEOUT"), Reason.CONNECTION_LOST,
        "WhatsApp did not answer in time", BAILEYS,
    ),
    Cause(
        409, ("ConnectFailureBadUserAgent",), Reason.OUTDATED,
        "WhatsApp does not accept what the client says of itself", WHATSMEOW,
    ),
    Cause(
        411, ("multideviceMismatch",), Reason.UNEXPLAINED,
        "the phone and the client do not agree on linked devices; one restart tells whether it is still linked",
        BAILEYS,
    ),
    Cause(
        428, ("connectionClosed", "Disconnected"), Reason.CONNECTION_LOST,
        "the connection was closed", BAILEYS,
    ),
    Cause(
        429, (), Reason.RATE_LIMITED,
        "WhatsApp was asked too often", "users' reports (rate-overlimit)",
    ),
    Cause(
        440, ("connectionReplaced", "StreamReplaced", "CONFLICT"), Reason.REPLACED,
        "another client logged in with the same credentials", "measured",
    ),
    Cause(
        500, ("badSession",), Reason.BAD_SESSION,
        "the data of the session is broken", BAILEYS,
    ),
    Cause(
        503, ("unavailableService", "ConnectFailureServiceUnavailable"), Reason.CONNECTION_LOST,
        "WhatsApp is not available for the moment", BAILEYS,
    ),
    Cause(
        515, ("restartRequired",), Reason.RECONNECTING,
        "WhatsApp wants a new connection, as always right after linking", BAILEYS,
    ),
    Cause(
        None, ("UNPAIRED_IDLE",), Reason.QR_EXPIRED,
        "nobody scanned the QR code in time", WEBJS,
    ),
    Cause(
        None, ("QRScannedWithoutMultidevice",), Reason.QR_WANTED,
        "the QR code was scanned with a phone that has linked devices switched off", WHATSMEOW,
    ),
    Cause(
        None, ("OPENING", "PAIRING", "UNLAUNCHED"), Reason.RECONNECTING,
        "it is still being opened", WEBJS,
    ),
    Cause(
        None, ("PROXYBLOCK",), Reason.CONNECTION_LOST,
        "WhatsApp cannot be reached through the proxy", WEBJS,
    ),
    Cause(
        None, ("ConnectFailure", "StreamError"), Reason.UNEXPLAINED,
        "WhatsApp refused the connection for a reason that the engine does not know", WHATSMEOW,
    ),
)  # fmt: skip

_BY_CODE = {row.code: row for row in TABLE if row.code is not None}
_BY_NAME = {name: row for row in TABLE for name in row.names}


def cause_of_code(code: int | None) -> Cause | None:
    """What a code means; None when it is not known."""
    return None if code is None else _BY_CODE.get(code)


def cause_of_name(name: object) -> Cause | None:
    """What an engine's name means; None when it is not known, or no name."""
    return _BY_NAME.get(name) if isinstance(name, str) else None


def codes_of(*reasons: Reason) -> tuple[int, ...]:
    """All codes that mean one of these."""
    return tuple(row.code for row in TABLE if row.code is not None and row.reason in reasons)

"""The faults that the simulator knows, as frozen values: for tests in process, for the script, and as JSON for the
control port, where `fault` names the kind: `{"fault": "failed", "session": "s1", "heals_after_restarts": 1}`.

Of a session (`session` is a name, or `*` for all; `lasts` seconds later the cause goes away, null: it stays):

    failed          WAHA: FAILED; Evolution has no such state and gets stuck. `heals_after_restarts`: 1, n, null: never
    stuck           STARTING or connecting for ever, the login is not answered; `heals_after_restarts` as above
    false_working   WORKING or open without being so; WAHA: a restart heals it, Evolution: only a new process
    silent          the peer says nothing any more; noticed by the gateway after 58.7 s (WAHA) or 43 s (Evolution)
    drop            the socket is reset; heals by itself in about 2 s
    unreachable     this session alone does not get through to WhatsApp; heals by itself when it ends
    qr_wanted       the credentials are gone, a QR is shown
    qr_expired      nobody scanned it. WAHA 2025 and later: FAILED without `me`; Evolution: QR limit
    logged_out      unlinked on the phone (401): nobody but a person can heal it
    banned          403. WAHA 2024 logs in again every 2 s for ever; Evolution closes it
    not_loaded      Evolution: in the database only; WAHA: not in the list. Until the process starts anew
    fight           Evolution: two clients kick each other (440) until the process starts anew
    claims          WAHA: shows `status`, whatever is true (null: the true one again)
    scanned         a person scans the QR: paired again
    stopped         its operator stops it (WAHA)
    started         its operator starts it (WAHA)
    heard           no fault: a message comes, and is heard where the socket is really open
    healed          the cause goes away; what heals by itself then does, a WAHA FAILED still wants its restart

Of what lies around:

    uplink          `state`: up, refused, black_hole, upgrade_503, no_login; `cut`: reset the open sockets as well
    process         `action`: kill (-9), terminate, restart (SIGTERM and start), start, freeze, thaw.
                    `back_after`: seconds until it answers again (default: 1.7 s with a keeper, else never)
    store           `database` and `redis`: up or down (Evolution)
    memory          the process really takes so many `megabytes` more, until it ends: a leak, a piece at a time

Of the HTTP answers (`path`: a shell pattern on path and query; `method`: a verb or `*`; `times`: null is always):

    http            `answer`: hang, slow (`seconds`), status (`status`), html, truncated, empty, huge (`size`),
                    redirect, drop
    http_calm       all answers are right again
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from wasupervisor.simulator.world import UplinkState


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="fault", kw_only=True):
    """Something that goes wrong, or right again."""

    lasts: float | None = None


class SessionFault(Fault, frozen=True, kw_only=True):
    """Something that happens to one session, or to all (`*`)."""

    session: str


class Failed(SessionFault, frozen=True, tag="failed"):
    """See the module."""

    heals_after_restarts: int | None = 1


class Stuck(SessionFault, frozen=True, tag="stuck"):
    """See the module."""

    heals_after_restarts: int | None = 1


class FalseWorking(SessionFault, frozen=True, tag="false_working"):
    """See the module."""


class Silent(SessionFault, frozen=True, tag="silent"):
    """See the module."""


class Drop(SessionFault, frozen=True, tag="drop"):
    """See the module."""


class Unreachable(SessionFault, frozen=True, tag="unreachable"):
    """See the module."""


class QrWanted(SessionFault, frozen=True, tag="qr_wanted"):
    """See the module."""


class QrExpired(SessionFault, frozen=True, tag="qr_expired"):
    """See the module."""


class LoggedOut(SessionFault, frozen=True, tag="logged_out"):
    """See the module."""


class Banned(SessionFault, frozen=True, tag="banned"):
    """See the module."""


class NotLoaded(SessionFault, frozen=True, tag="not_loaded"):
    """See the module."""


class Fight(SessionFault, frozen=True, tag="fight"):
    """See the module."""


class Claims(SessionFault, frozen=True, tag="claims"):
    """See the module."""

    status: str | None


class Scanned(SessionFault, frozen=True, tag="scanned"):
    """See the module."""


class Stopped(SessionFault, frozen=True, tag="stopped"):
    """See the module."""


class Started(SessionFault, frozen=True, tag="started"):
    """See the module."""


class Heard(SessionFault, frozen=True, tag="heard"):
    """See the module."""


class Healed(SessionFault, frozen=True, tag="healed"):
    """See the module."""


class Uplink(Fault, frozen=True, tag="uplink", kw_only=True):
    """See the module."""

    state: UplinkState
    cut: bool = True


class Process(Fault, frozen=True, tag="process", kw_only=True):
    """See the module."""

    action: Literal["kill", "terminate", "restart", "start", "freeze", "thaw"]
    back_after: float | None = None


class Store(Fault, frozen=True, tag="store", kw_only=True):
    """See the module."""

    database: Literal["up", "down"] | None = None
    redis: Literal["up", "down"] | None = None


class Memory(Fault, frozen=True, tag="memory", kw_only=True):
    """See the module."""

    megabytes: int


class Http(Fault, frozen=True, tag="http", kw_only=True):
    """See the module."""

    answer: Literal["hang", "slow", "status", "html", "truncated", "empty", "huge", "redirect", "drop"]
    path: str = "*"
    method: str = "*"
    times: int | None = None
    seconds: float = 5.0
    status: int = 500
    size: int = 100_000_000


class HttpCalm(Fault, frozen=True, tag="http_calm", kw_only=True):
    """See the module."""


WorldFault: TypeAlias = (
    Failed | Stuck | FalseWorking | Silent | Drop | Unreachable | QrWanted | QrExpired | LoggedOut | Banned | NotLoaded
    | Fight | Claims | Scanned | Stopped | Started | Heard | Healed | Uplink | Process | Store
)  # fmt: skip
AnyFault: TypeAlias = WorldFault | Memory | Http | HttpCalm


def parse(document: object) -> AnyFault:
    """A fault from its JSON form. Raises ValueError that says what is wrong with it."""
    try:
        fault: AnyFault = msgspec.convert(document, AnyFault)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    return fault

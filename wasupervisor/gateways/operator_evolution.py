"""The QR code of an Evolution instance, for a person. Recorded and measured on 2.3.6.

`connect` on an instance that is reconnecting by itself makes a second client beside the first: both log in 10 times a
second and kick each other for ever, and only a restart of the process ends it. In an outage it looks harmless and the
fight begins when WhatsApp is back. So the truths are read right before, memory last, and all but two pairs refuse.
"""

from __future__ import annotations

from urllib.parse import quote

from wasupervisor.gateways.answers import told, usable
from wasupervisor.gateways.base import fits
from wasupervisor.gateways.evolution_answers import says_error
from wasupervisor.gateways.evolution_database import HINTS, KEY_HINT, ROWS, rows_of
from wasupervisor.gateways.evolution_memory import ask_state
from wasupervisor.gateways.evolution_truths import BAILEYS, CLOSE, CONNECTING, UNKNOWN, Row, judge
from wasupervisor.gateways.http import LIST_LIMIT, Clock, Failure, HttpClient, Reply, Turn
from wasupervisor.gateways.operator import QrAnswer, fit, none, object_of
from wasupervisor.model.sessions import Reason

CALL = "/instance/connect/"

SAFE = ((CLOSE, CLOSE), (CONNECTING, CONNECTING))
"""Memory and database. For how long it has been closed is the decider's to know, which watches all the time."""


class EvolutionOperator:
    """What a person may ask one Evolution API for."""

    def __init__(self, url: str, api_key: str | None, *, timeout: float, action_timeout: float, clock: Clock) -> None:
        self._http = HttpClient(url, {"apikey": api_key} if api_key else {})
        self._timeout, self._action_timeout, self._clock = timeout, action_timeout, clock

    async def qr(self, session: str) -> QrAnswer:
        """Ask for the QR code; where all is closed, this starts the client that shows one."""
        if not fits(session):
            return none("no instance can have this name; nothing was asked")
        against = await self._objection(session)
        if against is not None:
            return none(against)
        path = f"{CALL}{quote(session, safe='')}"
        return read_qr(await self._http.act("GET", path, timeout=self._action_timeout))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _objection(self, session: str) -> str | None:
        """Why it is not asked: both truths are read now, and memory, which changes within milliseconds, last."""
        turn = Turn(self._http, self._clock, self._timeout)
        answer = await turn.ask("GET", f"{ROWS}?instanceName={quote(session, safe='')}", limit=LIST_LIMIT)
        rows = rows_of(answer, KEY_HINT)
        if isinstance(rows, Failure):
            return rows.detail
        row = rows.by_name.get(session)
        if row is None:
            return "Evolution's database does not list the instance"
        memory = await ask_state(turn, session)
        return f"connectionState: {memory.detail}" if isinstance(memory, Failure) else objection(memory, row)


def objection(memory: str | None, row: Row) -> str | None:
    """Why `connect` is not called for an instance of these truths, as a sentence; None: it may be."""
    if row.integration not in BAILEYS:
        return "an instance of WhatsApp's cloud API has no QR code"
    if row.always_online is None:  # unverified: v1, whose list copies memory
        return "this Evolution does not tell a reconnect from a QR code; ask for one in its manager"
    if (memory, row.database) not in SAFE:
        return (
            f"memory says {memory or UNKNOWN} and database {row.database or UNKNOWN} now: a second client could start"
        )
    if (truth := judge(memory, row)).reason not in (Reason.QR_WANTED, Reason.LOGGED_OUT):
        return truth.sentence
    return None


def read_qr(answer: Reply | Failure) -> QrAnswer:
    """What Evolution answered to `connect`. Nothing of the body is quoted: it holds the secret."""
    answer = usable(answer, "Evolution's QR code", KEY_HINT, HINTS)
    if isinstance(answer, Failure):
        return none(answer.detail)
    body = object_of(answer.body)
    if "instance" in body:
        return none("it has connected by itself meanwhile: nothing is to be scanned")
    if says_error(answer.body):
        return none("Evolution refused: its process does not run the instance, and loads it only when it starts")
    code, count = fit(body.get("code")), body.get("count")
    if code is not None:
        return QrAnswer(code, f"{_which(count)}; the first one is valid for 60 s, each later one for 20 s")
    if count == 0:
        return none("Evolution has none yet; ask again in a minute")
    return none(f"Evolution's QR code: {told(answer.status)} with something else")


def _which(count: object) -> str:
    known = isinstance(count, int) and not isinstance(count, bool) and 0 < count < 1000
    number = f"QR code {count}" if known else "One QR code"
    return f"{number} of QRCODE_LIMIT (30 by default) that Evolution shows"

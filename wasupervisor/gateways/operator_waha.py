"""The QR code of a WAHA session, for a person. Recorded and measured on 2024.10.8."""

from __future__ import annotations

from urllib.parse import quote

from wasupervisor.gateways.answers import told, usable
from wasupervisor.gateways.base import fits
from wasupervisor.gateways.http import LIST_LIMIT, Clock, Failure, HttpClient, Reply, Turn
from wasupervisor.gateways.operator import QrAnswer, fit, none, object_of
from wasupervisor.gateways.waha import HINTS, KEY_HINT, LIST, read_list
from wasupervisor.model.sessions import Reason

CALL = "/api/{}/auth/qr?format=raw"
"""200 only in SCAN_QR_CODE. Else it waits for 5 s and says 422; of a stopped session 404."""

VALID = "WAHA's first QR code is valid for 60 s, each later one for 20 s"
"""Of NOWEB: which one it is, is not told."""


class WahaOperator:
    """What a person may ask one WAHA for."""

    def __init__(self, url: str, api_key: str | None, *, timeout: float, action_timeout: float, clock: Clock) -> None:
        self._http = HttpClient(url, {"X-Api-Key": api_key} if api_key else {})
        self._timeout, self._action_timeout, self._clock = timeout, action_timeout, clock

    async def qr(self, session: str) -> QrAnswer:
        """Ask for the QR code that the session shows now."""
        if not fits(session):
            return none("no WAHA session can have this name; nothing was asked")
        against = await self._objection(session)
        if against is not None:
            return none(against)
        path = CALL.format(quote(session, safe=""))
        return read_qr(await self._http.act("GET", path, timeout=self._action_timeout))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _objection(self, session: str) -> str | None:
        """Why it is not asked, read from the list, which no session's lock blocks."""
        turn = Turn(self._http, self._clock, self._timeout)
        answer = usable(await turn.ask("GET", LIST, limit=LIST_LIMIT), "WAHA's session list", KEY_HINT)
        listing = answer if isinstance(answer, Failure) else read_list(answer.body)
        if isinstance(listing, Failure):
            return listing.detail
        seen = next((one for one in listing.sightings if one.name == session), None)
        if seen is None:
            return "WAHA does not list the session"
        return None if seen.reason is Reason.QR_WANTED else f"WAHA says {seen.claim or 'nothing'} now, and shows none"


def read_qr(answer: Reply | Failure) -> QrAnswer:
    """What WAHA answered. Nothing of the body is quoted: it holds the secret."""
    if isinstance(answer, Reply) and answer.status == 422 and b"not as expected" in answer.body:
        return none("WAHA does not show it any more: it was scanned, or it has expired")
    answer = usable(answer, "WAHA's QR code", KEY_HINT, HINTS)
    if isinstance(answer, Failure):
        return none(answer.detail)
    code = fit(object_of(answer.body).get("value"))
    return none(f"WAHA's QR code: {told(answer.status)} with something else") if code is None else QrAnswer(code, VALID)

"""The verbs on the health port too, for who has the token of `control.token_file`.

A browser never sends a bearer token by itself, and we allow no other site to have it sent (no CORS header): so a page
that somebody reads cannot order anything, whatever its origin.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from wasupervisor.config.secret import Secret
from wasupervisor.report.connection import Request, Response
from wasupervisor.runtime.control import Control
from wasupervisor.runtime.control_guesses import Guesses

log = logging.getLogger(__name__)

TELL_EVERY = 3600.0
"""Seconds between two lines about wrong tokens: whoever guesses must not fill the log."""

_CHALLENGE = 'Bearer realm="wasupervisor"'


class TokenDoor:
    """The handler of the health port. Without a token the verbs do not exist here."""

    def __init__(
        self,
        control: Control,
        *,
        read_only: Callable[[Request], Response],
        token: Callable[[], Secret | None],
        clock: Callable[[], float],
    ) -> None:
        """`token`: gives the one in force, which a reload may change."""
        self._control = control
        self._read_only = read_only
        self._token = token
        self._clock = clock
        self._guesses = Guesses(clock)
        self._tell_from = clock()

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        """Answer."""
        token = self._token()
        if token is None or not self._control.knows(request.path):
            return self._read_only(request)
        refusal = self._refusal(request, token)
        return self._control(request) if refusal is None else refusal

    def _refusal(self, request: Request, token: Secret) -> Response | None:
        given = _bearer(request.headers.get("authorization", ""))
        if given is None:
            return _refused(401, "this wants the header Authorization: Bearer TOKEN", _CHALLENGE)
        address = request.address or ""
        wait = self._guesses.wait(address)
        if wait:
            text = f"too many wrong tokens; none is looked at for {wait} s"
            return Response.json(429, {"error": text}, (("Retry-After", str(wait)),))
        if _same(given, token):
            self._guesses.right(address)
            return None
        self._guesses.wrong(address)
        if self._guesses.wait(address):
            self._tell(address)
        return _refused(401, "this is not the token of control.token_file", f'{_CHALLENGE}, error="invalid_token"')

    def _tell(self, address: str) -> None:
        now = self._clock()
        if now >= self._tell_from:
            self._tell_from = now + TELL_EVERY
            log.warning(
                "Somebody guesses at the token of control.token_file on the health port, just now from %s: slowed "
                "down, and told at most once an hour",
                address or "an address that is gone",
            )


def _bearer(header: str) -> str | None:
    """The token of an Authorization header (RFC 6750, 2.1); None: there is none of that kind."""
    scheme, _, rest = header.partition(" ")
    return (rest.strip() or None) if scheme.lower() == "bearer" else None


def _same(given: str, token: Secret) -> bool:
    """Whether it is the token; how long that takes tells nothing of where the two differ."""
    import hmac  # noqa: PLC0415 - 0.8 MB, which most daemons never need

    # Headers came as Latin-1 (report/connection.py): this gives the bytes back that were sent.
    return hmac.compare_digest(given.encode("latin-1"), token.reveal().encode())


def _refused(status: int, text: str, challenge: str) -> Response:
    return Response.json(status, {"error": text}, (("WWW-Authenticate", challenge),))

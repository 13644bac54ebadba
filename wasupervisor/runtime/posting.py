"""One HTTP call to an address that an operator named: time-limited, no redirects, and nothing secret in its words."""

from __future__ import annotations

import base64
import os
import socket
import ssl
from collections.abc import Iterator
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

import anyio
import httpcore

from wasupervisor import __version__
from wasupervisor.host.uplink import tls_context

WITHIN = 10.0
"""Seconds for the whole of a call."""

_IN_A_TARGET = "/%:@!$&'()*+,;=~?-._[]"


class Sent(NamedTuple):
    """What became of a call."""

    status: int | None
    """None: there was no answer."""
    text: str
    """For a person: `answered 500`, `nobody listens there`."""

    @property
    def ok(self) -> bool:
        """Whether it was taken."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """Whether the same call will never be taken: 4xx, but for what passes by itself."""
        passing = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
        return self.status is not None and 400 <= self.status < 500 and self.status not in passing


def shown(url: str) -> str:
    """What of an address may be shown: the scheme and the host, for all else may be a token."""
    try:
        parts = urlsplit(url)
        netloc = _netloc(parts)
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{netloc.decode(errors='replace')}"


async def call(method: str, url: str, body: bytes | None = None, headers: tuple[tuple[str, str], ...] = ()) -> Sent:
    """Make the call. Never raises, but for cancellation."""
    try:
        with anyio.fail_after(WITHIN):
            return await _exchange(method, url, body, headers)
    except Exception as error:  # whatever it is, the next call must be possible
        return Sent(None, _explain(error))


async def _exchange(method: str, url: str, body: bytes | None, headers: tuple[tuple[str, str], ...]) -> Sent:
    parts = urlsplit(url)
    target = quote(parts.path or "/", safe=_IN_A_TARGET)
    if parts.query:
        target += "?" + quote(parts.query, safe=_IN_A_TARGET)
    address = httpcore.URL(
        scheme=parts.scheme.encode(), host=_ascii(parts.hostname or ""), port=parts.port, target=target.encode()
    )
    sent: list[tuple[bytes | str, bytes | str]] = [
        ("Host", _netloc(parts).decode()),
        ("User-Agent", f"wasupervisor/{__version__}"),
        ("Accept-Encoding", "identity"),
        *_authorization(parts),
        *headers,
    ]
    # A pool for each call, and these are rare: the certificates cost 2.7 MB that need not stay.
    # A TLS handshake that is cancelled leaves its socket to the garbage collector; one that times out closes it.
    limits = {"connect": WITHIN * 0.45}
    context = tls_context() if parts.scheme == "https" else None
    async with (
        httpcore.AsyncConnectionPool(ssl_context=context) as pool,
        pool.stream(method, address, headers=sent, content=body, extensions={"timeout": limits}) as response,
    ):
        status = response.status  # the answer's body may be endless, and tells nothing
    where = ", and redirects are not followed" if 300 <= status < 400 else ""
    return Sent(status, f"answered {status}{where}")


def _ascii(host: str) -> bytes:
    # The codec loads tables of 0.4 MB that plain names do not need.
    return host.encode() if host.isascii() else host.encode("idna")


def _netloc(parts: SplitResult) -> bytes:
    host = _ascii(parts.hostname or "")
    place = b"[%b]" % host if b":" in host else host
    return place if parts.port is None else b"%b:%d" % (place, parts.port)


def _authorization(parts: SplitResult) -> list[tuple[str, str]]:
    if not parts.username and not parts.password:
        return []
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return [("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")]


def _explain(error: Exception) -> str:
    """What went wrong, in our words only: a library's may repeat a header or an address."""
    causes = list(_causes(error))
    rows = (
        (isinstance(error, TimeoutError | httpcore.TimeoutException), f"no answer in {WITHIN:g} s"),
        (_any(causes, socket.gaierror), "its host name cannot be resolved"),
        (_any(causes, ssl.SSLCertVerificationError), "its certificate is not accepted"),
        (_any(causes, ssl.SSLError), "TLS cannot be agreed"),
        (_any(causes, ConnectionRefusedError), "nobody listens there"),
        (_any(causes, OSError), f"it cannot be reached ({_errno(causes)})"),
        (_any(causes, httpcore.ProtocolError), "the connection broke, or its answer was no HTTP"),
    )
    return next((text for holds, text in rows if holds), f"the call failed ({type(error).__name__})")


def _any(causes: list[BaseException], kind: type[BaseException]) -> bool:
    return any(isinstance(one, kind) for one in causes)


def _errno(causes: list[BaseException]) -> str:
    return next((os.strerror(one.errno) for one in causes if isinstance(one, OSError) and one.errno), "no reason given")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it comes from: httpcore and anyio each wrap, and several addresses fail each in its way."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _causes(one)
    under = error.__cause__ or error.__context__
    if under is not None:
        yield from _causes(under)

"""HTTP as the adapters need it: every call ends as a typed value, never as an exception.

Polls share one long-lived client; each action has a connection of its own, so that neither waits for the other. Bodies
are read up to a limit, redirects are not followed, compressed bodies are refused (none is asked for), and nothing of a
URL, a header or a body gets into a text that a person sees.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator, Mapping
from enum import IntEnum
from typing import Any

import anyio
import httpcore

from wasupervisor import __version__
from wasupervisor.gateways.address import address_of
from wasupervisor.model.observation import Trouble
from wasupervisor.model.value import Value

LIST_LIMIT = 16 * 1024 * 1024
"""Bytes of a list that are read at the most. 1,000 sessions with their webhooks are about 2 MB."""

ACTION_LIMIT = 64 * 1024
"""Bytes of any other answer. The longest one recorded is Evolution's restart with a QR picture: 12 kB."""

KEEP_IDLE = 4.0
"""Seconds for which an idle connection is used again. Both gateways close theirs after 5 (`keep-alive: timeout=5`)."""

CONNECTIONS = 10
"""More than any adapter asks for at once."""


class Progress(IntEnum):
    """How far a call got before it failed."""

    NOT_SENT = 0
    """The gateway has certainly not seen it."""
    SENT = 1
    """It may have been carried out, or may still be."""
    ANSWERED = 2
    """A status came back, so somebody is there."""


class Reply(Value, frozen=True):
    """A whole answer, whatever its status."""

    status: int
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the status is one of success. WAHA answers 201 to every POST, Evolution mostly 200."""
        return 200 <= self.status < 300

    def __repr__(self) -> str:
        return f"Reply(status={self.status}, {len(self.body)} bytes)"


class Failure(Value, frozen=True):
    """No usable answer."""

    trouble: Trouble
    detail: str
    """One line for a person; no secret in it."""
    progress: Progress = Progress.NOT_SENT

    @property
    def answered(self) -> bool:
        """Whether the gateway's API answered, with any status."""
        return self.progress is Progress.ANSWERED


class HttpClient:
    """Calls one gateway.

    Args:
        url: the gateway's address, http or https; may have a path of its own and a user and password.
        headers: sent with each call; may hold the API key.

    Raises:
        ValueError: when the address cannot be used. The text does not repeat it: it may hold a password.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._address = address_of(url)
        self._headers = {
            b"Accept": b"*/*",
            b"Accept-Encoding": b"identity",
            b"User-Agent": f"wasupervisor/{__version__}".encode(),
            **self._address.headers,
            **_as_bytes(headers),
        }
        # The system's own certificates; for http none are loaded (20 ms, 2 MB).
        self._tls = ssl.create_default_context() if self._address.is_tls else None
        self._polls: httpcore.AsyncConnectionPool | None = None
        # It logs headers, and with them the key, at DEBUG.
        logging.getLogger("httpcore").setLevel(logging.WARNING)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        timeout: float,
        limit: int = ACTION_LIMIT,
        headers: Mapping[str, str] | None = None,
    ) -> Reply | Failure:
        """Ask something that does no harm when it is asked twice, over a connection that is kept.

        A gateway that closes a kept connection just when it is used again has not read the call: that is asked once
        more over a new one (WAHA 2024.10.8 and Evolution 2.3.6 close after 5 s of idling).
        """
        if self._polls is None:
            self._polls = self._open()
        call = self._call(method, path, timeout, limit, headers or {})
        answer = await call.make(self._polls)
        if call.broke and not call.connected and call.time_left > 0:
            async with self._open() as fresh:
                answer = await call.make(fresh)
        if call.library_failed:
            await self._forget()
        return answer

    async def act(self, method: str, path: str, *, timeout: float) -> Reply | Failure:
        """Perform an action: over a connection of its own, and never a second time."""
        async with self._open() as fresh:
            return await self._call(method, path, timeout, ACTION_LIMIT, {}).make(fresh)

    async def ask_apart(self, method: str, path: str, *, timeout: float, body: bytes | None = None) -> Reply | Failure:
        """Ask something whose answer may take long, over a connection of its own, so that no poll waits behind it.

        Args:
            method: the verb.
            path: ASCII, with its query.
            timeout: seconds for all of it.
            body: JSON to send; None: none.
        """
        headers = {} if body is None else {"Content-Type": "application/json"}
        async with self._open() as fresh:
            return await self._call(method, path, timeout, ACTION_LIMIT, headers, body or b"").make(fresh)

    async def at_once(self, work: Callable[[], Coroutine[Any, Any, None]], times: int) -> None:
        """Run some work so many times at once, and wait for all of it."""
        async with anyio.create_task_group() as group:
            for _ in range(times):
                group.start_soon(work)

    async def aclose(self) -> None:
        """Close the kept connections. The client may be used again afterwards."""
        await self._forget()

    async def _forget(self) -> None:
        client, self._polls = self._polls, None
        if client is not None:
            await client.aclose()

    def _open(self) -> httpcore.AsyncConnectionPool:
        """Connections that are kept for a while. All time limits are left to us."""
        return httpcore.AsyncConnectionPool(
            ssl_context=self._tls, max_connections=CONNECTIONS, keepalive_expiry=KEEP_IDLE
        )

    def _call(
        self, method: str, path: str, timeout: float, limit: int, headers: Mapping[str, str], body: bytes = b""
    ) -> _Call:
        together = {**self._headers, **_as_bytes(headers)}
        return _Call(method, self._address.url(path), timeout, limit, list(together.items()), body)


class _Call:
    """One call and how far it got. httpcore tells that through its `trace` extension."""

    def __init__(
        self,
        method: str,
        url: httpcore.URL,
        timeout: float,
        limit: int,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
    ) -> None:
        self._method, self._url, self._limit, self._headers, self._body = method, url, limit, headers, body
        self._deadline = anyio.current_time() + timeout
        self.progress = Progress.NOT_SENT
        self.connected = False
        """Whether it opened a connection, rather than use a kept one."""
        self.broke = False
        """Whether the connection broke before any answer came."""
        self.library_failed = False
        """Whether the client itself is in doubt and had better be replaced."""

    @property
    def time_left(self) -> float:
        return self._deadline - anyio.current_time()

    async def make(self, pool: httpcore.AsyncConnectionPool) -> Reply | Failure:
        """Make the call. Nothing but cancellation gets out of here."""
        self.progress, self.connected, self.broke = Progress.NOT_SENT, False, False
        try:
            with anyio.fail_after(max(self.time_left, 0.0)):
                return await self._exchange(pool)
        except Exception as error:
            return self._failed(error)

    async def _exchange(self, pool: httpcore.AsyncConnectionPool) -> Reply | Failure:
        content = None if self._method == "GET" else self._body  # also when empty: a POST says how long its body is
        async with pool.stream(
            self._method, self._url, headers=self._headers, content=content, extensions={"trace": self._trace}
        ) as response:
            self.progress = Progress.ANSWERED
            return await _read(response, self._limit)

    async def _trace(self, event: str, _: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.started":
            self.connected = True
        elif event == "http11.send_request_headers.started":
            self.progress = Progress.SENT

    def _failed(self, error: Exception) -> Failure:
        trouble, detail, at_least = _explain(error)
        # A pool that never gives a connection, or an error that no library announces, would last for ever.
        stuck = trouble is Trouble.TIMED_OUT and self.progress is Progress.NOT_SENT and not self.connected
        self.library_failed = stuck or not isinstance(error, _EXPECTED)
        self.broke = trouble is Trouble.DROPPED and self.progress is Progress.SENT
        return Failure(trouble, detail, max(self.progress, at_least))


_EXPECTED = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    TimeoutError,
)


async def _read(response: httpcore.Response, limit: int) -> Reply | Failure:
    """Read the body, no more than `limit` bytes of it."""
    status = response.status
    headers = {name.lower(): value.strip().lower() for name, value in response.headers}
    encoding = headers.get(b"content-encoding", b"")
    if encoding not in (b"", b"identity"):
        # A small body may unpack to anything; neither gateway compresses for a client that does not ask.
        return Failure(Trouble.BAD_BODY, f"answered {status} with a compressed body", Progress.ANSWERED)
    declared = headers.get(b"content-length", b"")
    too_long = declared.isdigit() and len(declared) < 20 and int(declared) > limit
    body = bytearray()
    if not too_long:
        async for chunk in response.aiter_stream():
            body += chunk
            if len(body) > limit:
                too_long = True
                break
    if too_long:
        return Failure(Trouble.BAD_BODY, f"answered {status} with more than {limit // 1024} kB", Progress.ANSWERED)
    return Reply(status, bytes(body))


def _explain(error: Exception) -> tuple[Trouble, str, Progress]:
    """What an error means, in our words only, and how far the call got at the least.

    The library's own texts are not used: h11 repeats a header that it refuses, which may be the key. Nor is a number
    that changes from call to call: what is told again and again had better be the same.
    """
    not_sent, sent = Progress.NOT_SENT, Progress.SENT
    match error:
        case httpcore.ConnectTimeout() | httpcore.PoolTimeout():
            return Trouble.TIMED_OUT, "no connection in time", not_sent
        case httpcore.TimeoutException():
            return Trouble.TIMED_OUT, "no answer in time", sent
        case TimeoutError():
            return Trouble.TIMED_OUT, "no answer in time", not_sent
        case httpcore.ConnectError():
            return *_explain_connect(error), not_sent
        case httpcore.LocalProtocolError() | httpcore.UnsupportedProtocol():
            detail = "the call cannot be formed: gateway.url or gateway.api_key has a character that HTTP forbids"
            return Trouble.BAD_STATUS, detail, not_sent
        case httpcore.NetworkError() | httpcore.ProtocolError() | httpcore.ProxyError():
            return Trouble.DROPPED, "the connection broke before the answer was complete", sent
    return Trouble.BAD_BODY, f"the HTTP client failed ({type(error).__name__})", not_sent


def _explain_connect(error: Exception) -> tuple[Trouble, str]:
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Trouble.UNRESOLVED, "the host name of gateway.url cannot be resolved"
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return Trouble.BAD_BODY, f"TLS cannot be agreed ({cause.reason or 'no reason given'})"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Trouble.REFUSED, "nobody listens on the port"
    if any(isinstance(cause, ConnectionError) for cause in causes):
        return Trouble.DROPPED, "the connection broke while it was made"
    codes = [cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno]
    why = os.strerror(codes[0]) if codes else "no reason given"
    return Trouble.TIMED_OUT, f"the host of gateway.url cannot be reached ({why})"


def _causes(error: BaseException, depth: int = 8) -> Iterator[BaseException]:
    """The error and everything that led to it; one for each address that was tried."""
    yield error
    if depth == 0:
        return
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _causes(part, depth - 1)
    cause = error.__cause__ or error.__context__
    if cause is not None:
        yield from _causes(cause, depth - 1)


def _as_bytes(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    # By us: the library would show a text that is not ASCII, which may be the key, in its error.
    return {name.encode("latin-1"): value.encode("utf-8", "surrogateescape") for name, value in headers.items()}


Clock = Callable[[], float]
"""Seconds, monotonic."""


class Turn:
    """The calls of one look: they share its time, and it is known whether anybody answered."""

    def __init__(self, http: HttpClient, clock: Clock, seconds: float) -> None:
        self._http, self._clock = http, clock
        self._end = clock() + seconds
        self.heard = False
        """Whether any call got an answer, with any status."""
        self.latency: float | None = None
        """Seconds that the first answer took."""

    @property
    def left(self) -> float:
        """Seconds left. Never quite none, so that a call that is made can at least be refused."""
        return max(self._end - self._clock(), 0.001)

    @property
    def over(self) -> bool:
        """Whether no time is left."""
        return self._clock() >= self._end

    async def ask(
        self,
        method: str,
        path: str,
        *,
        at_most: float = math.inf,
        limit: int = ACTION_LIMIT,
        headers: Mapping[str, str] | None = None,
    ) -> Reply | Failure:
        """Ask, as `HttpClient.ask`, within what time is left."""
        began = self._clock()
        answer = await self._http.ask(method, path, timeout=min(self.left, at_most), limit=limit, headers=headers)
        if not self.heard and (isinstance(answer, Reply) or answer.answered):
            self.heard, self.latency = True, self._clock() - began
        return answer

    async def at_once(self, work: Callable[[], Coroutine[Any, Any, None]], times: int) -> None:
        """Run some work so many times at once, and wait for all of it."""
        await self._http.at_once(work, times)

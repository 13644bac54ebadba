"""Whether a gateway on this machine would get through to WhatsApp."""

from __future__ import annotations

import base64
import errno
import logging
import os
import socket
import ssl
from collections.abc import Iterator
from http import HTTPStatus
from ipaddress import ip_address
from typing import Literal

import anyio
import certifi
import httpcore
from msgspec.structs import replace

from wasupervisor.host.moments import Clock, boottime
from wasupervisor.model.observation import Uplink, UplinkState

log = logging.getLogger(__name__)

Check = Literal["upgrade", "tls", "tcp"]

_PATH = "/ws/chat"
_ORIGIN = "https://web.whatsapp.com"

# Our own want, not the network's: out of descriptors or memory, forbidden by our unit's sandbox.
_OURS = {
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS),
    *(errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL),
    *(socket.EAI_SYSTEM, socket.EAI_MEMORY),
}

_OF_THE_NETWORK = (OSError, httpcore.NetworkError, httpcore.ProtocolError)


class UplinkWatch:
    """Asks the way a gateway would, when it is asked to, and remembers the answer.

    `upgrade` opens WhatsApp's websocket without logging in; only 101 is good. A black hole that accepts TCP, a captive
    portal or a 503 let a gateway hang in CONNECTING, where a restart of its session does harm.
    `tls`: the handshake is done and the certificate is right. `tcp`: connected.
    """

    def __init__(
        self,
        host: str = "web.whatsapp.com",
        port: int = 443,
        check: Check = "upgrade",
        timeout: float = 5.0,
        *,
        clock: Clock = boottime,
        tls: bool | None = None,
    ) -> None:
        """Nothing is asked yet.

        Args:
            host: of WhatsApp, or of a stand-in.
            port: its port.
            check: what is good enough.
            timeout: seconds for the whole of a check.
            clock: gives seconds that never go back.
            tls: whether `upgrade` speaks TLS. None: yes, but not to a stand-in for tests and labs, which is known by
                a loopback address and another port than 443.
        """
        self._host = host
        self._port = port
        self._check: Check = check
        self._timeout = timeout
        self._clock = clock
        by_place = port == 443 or not _is_loopback(host)
        self._tls = check == "tls" or (check == "upgrade" and (by_place if tls is None else tls))
        self._lock = anyio.Lock()
        self._last: tuple[float, Uplink] | None = None
        self._checks = 0

    @property
    def last(self) -> Uplink:
        """The last reading and its age; unknown before the first. Asks nobody."""
        if self._last is None:
            return Uplink(detail="not asked yet")
        at, reading = self._last
        return replace(reading, age_seconds=self._clock() - at)

    async def ask(self, max_age: float) -> Uplink:
        """A reading that is younger than `max_age` seconds: the last one, or a new one.

        Never two checks at once: who asks during a check gets its result. Never raises.
        """
        checks = self._checks
        async with self._lock:
            if checks == self._checks and not self._is_younger_than(max_age):
                reading = await self._answer()
                if self._last is None or self._last[1] != reading:
                    log.info("the uplink is %s: %s", reading.state, reading.detail)
                self._last = (self._clock(), reading)
                self._checks += 1
        return self.last

    def _is_younger_than(self, max_age: float) -> bool:
        return self._last is not None and self._clock() - self._last[0] < max_age

    async def _answer(self) -> Uplink:
        try:
            context = tls_context() if self._tls else None
        except OSError as error:
            return Uplink(state=UplinkState.UNKNOWN, detail=f"the certificates to trust cannot be loaded: {error}")
        try:
            with anyio.fail_after(self._timeout):
                return await self._ask_once(context)
        except TimeoutError:
            return Uplink(state=UplinkState.DOWN, detail=f"{self._where} did not answer in {self._timeout:g} s")
        except Exception as error:  # whatever it is, the next cycle must be able to ask again
            return self._blame(error)

    async def _ask_once(self, context: ssl.SSLContext | None) -> Uplink:
        if self._check == "upgrade":
            return await self._upgrade(context)
        if context is None:
            await (await anyio.connect_tcp(self._host, self._port)).aclose()
            return Uplink(state=UplinkState.UP, detail=f"{self._where} accepted the connection")
        # Not 'standard compatible': the peer's goodbye is not waited for.
        stream = await anyio.connect_tcp(
            self._host, self._port, tls=True, ssl_context=context, tls_standard_compatible=False
        )
        await stream.aclose()
        return Uplink(state=UplinkState.UP, detail=f"{self._where} completed the TLS handshake")

    async def _upgrade(self, context: ssl.SSLContext | None) -> Uplink:
        url = httpcore.URL(scheme="https" if self._tls else "http", host=self._host, port=self._port, target=_PATH)
        # A pool for each check, and these are rare: the certificates cost 2.7 MB that need not stay.
        async with (
            httpcore.AsyncConnectionPool(ssl_context=context) as pool,
            pool.stream("GET", url, headers=_upgrade_headers()) as response,
        ):
            status = response.status
        if status == HTTPStatus.SWITCHING_PROTOCOLS:
            return Uplink(state=UplinkState.UP, detail=f"{self._where} accepted the websocket")
        return Uplink(
            state=UplinkState.DOWN,
            detail=f"{self._where} answered {status} to the websocket upgrade, not 101",
            refused=True,
        )

    def _blame(self, error: Exception) -> Uplink:
        causes = list(_causes(error))
        told = ", ".join(dict.fromkeys(_text(cause) for cause in causes))
        if not isinstance(error, _OF_THE_NETWORK) or all(_is_ours(cause) for cause in causes):
            return Uplink(state=UplinkState.UNKNOWN, detail=f"{self._where} could not be asked from here: {told}")
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return Uplink(state=UplinkState.DOWN, detail=f"the name {self._host} could not be resolved: {told}")
        return Uplink(state=UplinkState.DOWN, detail=f"{self._where} could not be reached: {told}")

    @property
    def _where(self) -> str:
        return f"{self._host}:{self._port}"


def tls_context() -> ssl.SSLContext:
    """Trusts whom a gateway trusts, Mozilla's list, unless the operator names another, as OpenSSL's variables do."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    return ssl.create_default_context(cafile=file or (None if folder else certifi.where()), capath=folder)


def _upgrade_headers() -> list[tuple[str, str]]:
    """What Baileys sends, and nothing that it does not send (such as a User-Agent)."""
    return [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode("ascii")),
        ("Origin", _ORIGIN),
    ]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What it comes from: httpcore and anyio each wrap, and several addresses fail each in its own way."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _causes(one)
    elif (under := error.__cause__ or error.__context__) is not None:  # httpcore's pool raises 'from None'
        yield from _causes(under)
    else:
        yield error


def _is_ours(cause: BaseException) -> bool:
    # The numbers of SSLError are of another kind: its 1 is not EPERM.
    return isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and cause.errno in _OURS


def _text(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({cause.verify_message})"
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError | socket.gaierror) and cause.errno:
        return os.strerror(cause.errno)
    told = (cause.strerror if isinstance(cause, socket.gaierror) else None) or str(cause) or type(cause).__name__
    return " ".join(told.split())


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

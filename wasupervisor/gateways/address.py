"""The gateway's address, taken apart once: what to connect to, and what each call says of it."""

from __future__ import annotations

import base64
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

import httpcore

_UNFIT = "cannot use gateway.url: it is not an http or https address with a host"
_IN_A_PATH = "/%:@!$&'()*+,;=~"


class Address(NamedTuple):
    """Where the gateway answers. Its repr may hold a password: never show it."""

    scheme: bytes
    host: bytes
    port: int | None
    path: str
    """Before each call's own path, for a gateway behind a proxy."""
    headers: dict[bytes, bytes]
    """`Host`, and `Authorization` where the address has a user or a password."""

    @property
    def is_tls(self) -> bool:
        """Whether it is https."""
        return self.scheme == b"https"

    def url(self, path: str) -> httpcore.URL:
        """Of a call; its path is ASCII already."""
        return httpcore.URL(scheme=self.scheme, host=self.host, port=self.port, target=(self.path + path).encode())


def address_of(url: str) -> Address:
    """Take an address apart. Query and fragment are dropped.

    Raises:
        ValueError: when it cannot be used. The text does not repeat it: it may hold a password.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        host, port = _ascii_host(parts.hostname or ""), parts.port
    except ValueError:
        raise ValueError(_UNFIT) from None
    # urlsplit drops line breaks, and allows blanks.
    fit = url.isprintable() and " " not in parts.netloc and parts.scheme in ("http", "https")
    if not fit or not host or port == 0:
        raise ValueError(_UNFIT)
    return Address(
        scheme=parts.scheme.encode(),
        host=host,
        port=port,
        path=quote(parts.path, safe=_IN_A_PATH).rstrip("/"),
        headers={b"Host": _netloc(host, port), **_authorization(parts)},
    )


def _ascii_host(host: str) -> bytes:
    # The codec loads tables of 0.4 MB that plain names do not need.
    return host.encode() if host.isascii() else host.encode("idna")


def _netloc(host: bytes, port: int | None) -> bytes:
    shown = b"[%b]" % host if b":" in host else host
    return shown if port is None else b"%b:%d" % (shown, port)


def _authorization(parts: SplitResult) -> dict[bytes, bytes]:
    if not parts.username and not parts.password:
        return {}
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return {b"Authorization": b"Basic " + base64.b64encode(pair.encode())}

"""A text that shows itself only when it is asked to."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

MASK = "***"


class Secret:
    """A key, a password, a URL that holds one. Printed, logged or put into an f-string it is `***`.

    No msgspec struct on purpose: to encode one is an error, and so no document can carry it by accident.
    """

    __slots__ = ("_shown", "_text")

    def __init__(self, text: str, shown: str = MASK) -> None:
        self._text = text
        self._shown = shown

    def reveal(self) -> str:
        """The text itself, for the one call that needs it."""
        return self._text

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"Secret({self._shown!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


_HOST_IS_PUBLIC = frozenset({"http", "https", "redis", "rediss", "sentinel", "cluster"})
_HOST = r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
_HOSTS = re.compile(f"{_HOST}(?:,{_HOST})*")


def masked_url(url: str) -> str:
    """The scheme and hosts of a URL; everything that may be a token (user, path, query) is masked.

    Chat services and dead man's switches carry their token in the path, Redis its password before the host, and
    many of Apprise's own schemes carry it where the host stands.
    """
    scheme, separator, _ = url.partition("://")
    if not separator:
        return MASK
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{scheme}://{MASK}"
    _userinfo, at, hosts = parts.netloc.rpartition("@")
    # A password with a raw / ? or # in it ends what looks like the host; the @ is then behind it.
    is_cut = "@" in url.partition("://")[2][len(parts.netloc) :]
    if scheme not in _HOST_IS_PUBLIC or is_cut or not _HOSTS.fullmatch(hosts):
        return f"{scheme}://{MASK}"
    rest = f"/{MASK}" if parts.path.strip("/") or parts.query or parts.fragment else ""
    return f"{parts.scheme}://{MASK + at if at else ''}{hosts.lower()}{rest}"

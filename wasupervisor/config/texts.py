"""The rules for texts, paths, addresses, URLs and secrets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from wasupervisor.config.rules import WHOLE_NUMBER, Plain, RefusedError, Rule, Scalar, told
from wasupervisor.config.secret import Secret, masked_url

_LONGEST_SOCKET_PATH = 107
"""sun_path of unix(7) holds 108 bytes with its final zero."""
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\]"
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104
_UNREADABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def as_text(scalar: Scalar) -> str:
    """The text as written, when no reader of YAML can take it for anything else.

    A whole number in plain digits is taken: names of sessions are often phone numbers.

    Raises:
        RefusedError: for `no`, `010`, `12:30:45`, `1.10`, a date; and for nothing at all.
    """
    if scalar.kind != "str" and not WHOLE_NUMBER.fullmatch(scalar.text):
        raise RefusedError('be read as text: YAML takes it for a number, a date, yes or no; put it in "quotes"')
    if not scalar.text.strip():
        raise RefusedError("be an empty text")
    return scalar.text


class Text(Rule):
    """A text. With a pattern, `wants` says what it has to be."""

    def __init__(self, wants: str = "a text", pattern: str | None = None) -> None:
        self.wants = wants
        self._pattern = pattern

    def read(self, scalar: Scalar) -> str:
        text = as_text(scalar)
        if _UNREADABLE.search(text):
            raise RefusedError("hold control characters")
        if "${" in text:
            raise RefusedError("take ${...}: only keys, tokens and URLs are filled in from the environment")
        if self._pattern is not None and not re.fullmatch(self._pattern, text):
            raise RefusedError(f"be this: write {self.wants}")
        return text

    def plain(self, value: str) -> Plain:
        return value

    def schema(self) -> dict[str, Any]:
        if self._pattern is None:
            return {"type": ["string", "integer"]}
        return {"type": "string", "pattern": f"^(?:{self._pattern})$"}


class Verbatim(Rule):
    """A text that is handed on as it is: an argument of a command, a pattern for a command line."""

    wants = "a text"

    def read(self, scalar: Scalar) -> str:
        text = as_text(scalar)
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise RefusedError("hold characters that no command takes")
        return text

    def plain(self, value: str) -> Plain:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "integer"]}


class PathName(Rule):
    """The path of a file or a folder."""

    def __init__(self, *, relative: bool = False, socket: bool = False) -> None:
        self._relative, self._socket = relative, socket
        self.wants = "a path" if relative else "a path from the root, such as /run/wasupervisor/file"

    def read(self, scalar: Scalar) -> Path:
        text = Text().read(scalar)
        if not self._relative and not text.startswith("/"):
            raise RefusedError(f"be {told(text)}: write {self.wants}")
        if self._socket and len(text.encode()) > _LONGEST_SOCKET_PATH:
            raise RefusedError(f"be {told(text)}: the path of a socket has at most {_LONGEST_SOCKET_PATH} bytes")
        return Path(text)

    def plain(self, value: Path) -> Plain:
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string"} if self._relative else {"type": "string", "pattern": "^/"}


class Address(NamedTuple):
    """Where to listen."""

    host: str
    """Without brackets."""
    port: int
    """0: any free one."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def overlaps(self, other: Address) -> bool:
        """Whether both cannot be listened on at once."""
        hosts = {self.host, other.host}
        return self.port == other.port != 0 and (len(hosts) == 1 or not hosts.isdisjoint(_WILDCARDS))

    def is_open_to_others(self) -> bool:
        """Whether other hosts may reach it; of a name that is not resolved here, that is taken for granted."""
        return self.host in _WILDCARDS or not is_local(self.host)


class HostPort(Rule):
    """A host and a port."""

    wants = "host:port, such as 127.0.0.1:8090"
    _pattern = rf"({_HOST}):([0-9]{{1,5}})"

    def read(self, scalar: Scalar) -> Address:
        match = re.fullmatch(self._pattern, scalar.text)
        if match is None or int(match[2]) > 65535:
            raise RefusedError(f"be {told(scalar.text)}: write {self.wants}")
        return Address(match[1].strip("[]"), int(match[2]))

    def plain(self, value: Address) -> Plain:
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self._pattern}$"}


class Url(Rule):
    """An http or https URL that holds no secret."""

    wants = "a URL such as http://127.0.0.1:3000"
    expands = True

    def read(self, scalar: Scalar) -> str:
        text = as_text(scalar)
        parts = _split(text, ("http", "https"))
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise RefusedError("hold a user, a password, a '?' or a '#' in this URL: a key belongs into api_key")
        if not re.fullmatch(r"[A-Za-z0-9._:-]+", parts.hostname or ""):
            raise RefusedError("be read as a URL: its host has characters that no host name has")
        return text.rstrip("/")

    def unresolved(self, text: str) -> str:
        return text

    def plain(self, value: str) -> Plain:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^(https?://|.*\$\{)"}


class SecretUrl(Rule):
    """A URL that may hold a password or a token."""

    expands = True

    def __init__(self, example: str, schemes: tuple[str, ...] | None = None) -> None:
        self._schemes = schemes
        self.wants = f"a URL such as {example}"

    def read(self, scalar: Scalar) -> Secret:
        text = as_text(scalar)
        _split(text, self._schemes)
        return Secret(text, masked_url(text))

    def unresolved(self, text: str) -> Secret:
        return Secret(text)

    def plain(self, value: Secret) -> Plain:
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"(://|\$\{)"}


class SecretText(Rule):
    """A key or a password. It must fit into an HTTP header, or the gateway could never be asked."""

    wants = "a key, or ${NAME} for one from the environment"
    expands = True

    def __init__(self, pattern: str = r"[\x21-\x7e]+", refusal: str = "") -> None:
        self._pattern = pattern
        self._refusal = refusal or "be used as a key: it holds a space, a line break or a character beyond ASCII"

    def read(self, scalar: Scalar) -> Secret:
        text = as_text(scalar)
        if not re.fullmatch(self._pattern, text):
            raise RefusedError(self._refusal)
        return Secret(text)

    def unresolved(self, text: str) -> Secret:
        return Secret(text)

    def plain(self, value: Secret) -> Plain:
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "integer"]}


def _split(text: str, schemes: tuple[str, ...] | None) -> SplitResult:
    """The parts of a URL. Never tells the URL, for it may hold a secret.

    Host and port are looked at only where they are what they say: Apprise's own schemes put tokens there, and
    sentinel and cluster URLs several hosts.

    Raises:
        RefusedError: when it is none, or of another scheme.
    """
    if re.search(r"[\s\x00-\x1f\x7f\ud800-\udfff]", text):
        raise RefusedError("hold spaces or control characters in a URL")
    try:
        parts = urlsplit(text)
        plain = parts.scheme in ("http", "https", "redis", "rediss")
        host, port = (parts.hostname, parts.port) if plain else (parts.scheme, None)
    except ValueError:
        raise RefusedError("be read as a URL: its host or port is malformed") from None
    if schemes is not None and parts.scheme not in schemes:
        begins = " or ".join(f"{scheme}://" for scheme in schemes)
        raise RefusedError(f"be read as a URL: write one that begins with {begins}")
    if "://" not in text or not host:
        raise RefusedError("be read as a URL: write scheme://host:port")
    if port == 0:
        raise RefusedError("be read as a URL: its port is 0")
    return parts


def url_host_port(url: str) -> tuple[str, int] | None:
    """Host and port of an http URL; None while a variable in it is not filled in."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or "${" in url:
        return None
    return host, port or (443 if parts.scheme == "https" else 80)


def is_local(host: str) -> bool:
    """Whether a host is surely this one, told without asking anybody."""
    return host in ("localhost", "::1", *_WILDCARDS) or host.startswith("127.")

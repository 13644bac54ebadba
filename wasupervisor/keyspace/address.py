"""A URL of Redis, taken apart. What is said of a bad one holds nothing of what may be a password."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble

_PORTS = {"redis": 6379, "rediss": 6379, "sentinel": 26379, "cluster": 6379}


class Tls(NamedTuple):
    """Whom we trust, and who we are."""

    ca_file: Path | None = None
    """None: the authorities that the system trusts."""
    cert_file: Path | None = None
    key_file: Path | None = None
    """None: it stands in `cert_file` too."""


NO_TLS_FILES = Tls()


class Place(NamedTuple):
    """Where one server listens: host and port, or the path of a Unix socket."""

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Login(NamedTuple):
    """Who we are to Redis. Its text shows neither."""

    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return "Login(***)"


class Address(NamedTuple):
    """What a URL says."""

    scheme: str
    places: tuple[Place, ...]
    """The server; of `sentinel` the sentinels, of `cluster` some of its nodes."""
    login: Login
    database: int = 0
    service: str = ""
    """The name under which the sentinels know the primary."""
    tls: bool = False


def parse(url: str) -> Address:
    """Take a URL apart.

    Raises:
        KeyspaceError: it is none of ours; the text says which part of it is wrong, and shows no part that is secret.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _wrong("is not a URL") from None
    if parts.scheme != "unix" and parts.scheme not in _PORTS:
        raise _wrong("must begin with redis://, rediss://, unix://, sentinel:// or cluster://")
    userinfo, _, hosts = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    options = _options(parts)
    steps = [unquote(step) for step in parts.path.split("/") if step]
    login = Login(unquote(user) or None, unquote(password) or None)
    if parts.scheme == "unix":
        if hosts or not parts.path.strip("/"):
            raise _wrong("must have three slashes before the path: unix:///run/redis.sock?db=6")
        return Address("unix", (Place("", 0, unquote(parts.path)),), login, _number(options.get("db", "0")))
    places = tuple(_place(text, _PORTS[parts.scheme]) for text in hosts.split(","))
    if parts.scheme in ("redis", "rediss") and len(places) > 1:
        raise _wrong("names several hosts: that is for sentinel:// and cluster://")
    service = steps.pop(0) if parts.scheme == "sentinel" and steps else ""
    if parts.scheme == "sentinel" and not service:
        raise _wrong("must name the service that the sentinels watch: sentinel://host:26379/mymaster/0")
    if len(steps) > 1:
        raise _wrong("has a path that is more than a database number; in a password, write / as %2F")
    database = _number(options.get("db", steps[0] if steps else "0"))
    if parts.scheme == "cluster" and database:
        raise _wrong("names a database: a cluster has only 0")
    tls = parts.scheme == "rediss" or options.get("tls", "false") == "true"
    return Address(parts.scheme, places, login, database, service, tls)


def _options(parts: SplitResult) -> dict[str, str]:
    if parts.fragment:
        raise _wrong("holds a #; in a password, write it as %23")
    allowed = {"db", "tls"} if parts.scheme in ("sentinel", "cluster") else {"db"}
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if set(options) - allowed:
        known = " and ".join(sorted(allowed))
        raise _wrong(f"has an option after the ? that is not known (only {known}); in a password, write ? as %3F")
    if options.get("tls", "true") not in ("true", "false"):
        raise _wrong("has an option tls that is neither true nor false")
    return options


def _place(text: str, port: int) -> Place:
    try:
        parts = urlsplit(f"//{text}")
        host, given = parts.hostname, parts.port
    except ValueError:
        host, given = None, None
    if not host:
        raise _wrong("has no host, or a port that is no number; in a password, write / as %2F, @ as %40")
    return Place(unquote(host), given or port)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise _wrong("must end in the number of a database: redis://host:6379/6; in a password, write / as %2F")
    return int(text)


def _wrong(what: str) -> KeyspaceError:
    return KeyspaceError(RedisTrouble.OTHER, f"redis.url {what}")

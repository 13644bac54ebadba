"""The URLs of Redis: one server, sentinels, a cluster."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from wasupervisor.config.rules import RefusedError, Scalar
from wasupervisor.config.secret import MASK, Secret
from wasupervisor.config.texts import SecretUrl

_PORTS = {"redis": 6379, "rediss": 6379, "sentinel": 26379, "cluster": 6379}
SCHEMES = (*_PORTS, "unix")


class Place(NamedTuple):
    """Where one server listens: host and port, or the path of a Unix socket."""

    host: str
    """Without brackets."""
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
        return f"Login({MASK})"


class RedisAddress(NamedTuple):
    """What a URL of Redis says."""

    scheme: str
    places: tuple[Place, ...]
    """The server; of `sentinel` the sentinels, of `cluster` some of its nodes."""
    login: Login
    database: int = 0
    service: str = ""
    """The name under which the sentinels know the primary."""
    tls: bool = False


class RedisUrl(SecretUrl):
    """A URL of Redis, which may hold user and password."""

    def __init__(self) -> None:
        super().__init__("redis://127.0.0.1:6379/6", SCHEMES)

    def read(self, scalar: Scalar) -> Secret:
        secret = super().read(scalar)
        if MASK not in scalar.text:  # so that what `config show` printed can be read again
            redis_address(scalar.text)
        return secret


def redis_address(url: str) -> RedisAddress:
    """Take a URL apart; `keyspace.connection.connect` lists the forms.

    Raises:
        RefusedError: it is none of ours. The text says which part is wrong, and shows none.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _wrong("its host or port is malformed") from None
    if parts.scheme not in SCHEMES:
        raise _wrong(f"write one that begins with {' or '.join(f'{scheme}://' for scheme in SCHEMES)}")
    userinfo, _, hosts = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    login = Login(unquote(user) or None, unquote(password) or None)
    options = _options(parts)
    if parts.scheme == "unix":
        if hosts or not parts.path.strip("/"):
            raise _wrong("write a path after three slashes: unix:///run/redis.sock?db=6")
        return RedisAddress("unix", (Place("", 0, unquote(parts.path)),), login, _number(options.get("db", "0")))
    places = tuple(_place(text, _PORTS[parts.scheme]) for text in hosts.split(","))
    service, database = _path(parts)
    if len(places) > 1 and parts.scheme in ("redis", "rediss"):
        raise _wrong("it has several hosts, which only sentinel:// and cluster:// have")
    number = _number(options.get("db", database))
    if number and parts.scheme == "cluster":
        raise _wrong("it has a database, but a cluster has only 0")
    tls = parts.scheme == "rediss" or options.get("tls") == "true"
    return RedisAddress(parts.scheme, places, login, number, service, tls)


def _path(parts: SplitResult) -> tuple[str, str]:
    """The service of sentinels, and the database."""
    steps = [unquote(step) for step in parts.path.split("/") if step]
    service = ""
    if parts.scheme == "sentinel":
        if not steps:
            raise _wrong("write the service that the sentinels watch too: sentinel://host:26379/mymaster/0")
        service = steps.pop(0)
    if len(steps) > 1:
        raise _wrong("its path is more than a number; in a password, write / as %2F")
    return service, steps[0] if steps else "0"


def _options(parts: SplitResult) -> dict[str, str]:
    if parts.fragment:
        raise _wrong("it has a '#'; in a password, write it as %23")
    allowed = {"db", "tls"} if parts.scheme in ("sentinel", "cluster") else {"db"}
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if (parts.query and not options) or set(options) - allowed:
        raise _wrong(f"after '?' it may have only {' and '.join(sorted(allowed))}; in a password, write ? as %3F")
    if options.get("tls", "true") not in ("true", "false"):
        raise _wrong("its tls is neither true nor false")
    return options


def _place(text: str, port: int) -> Place:
    try:
        parts = urlsplit(f"//{text}")
        host, given = parts.hostname, parts.port
    except ValueError:
        host, given = None, None
    if not host or given == 0:
        raise _wrong("a host or port of it is malformed; in a password, write / as %2F, ? as %3F, # as %23")
    return Place(unquote(host), given or port)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise _wrong("its path is not the number of a database; in a password, write / as %2F")
    return int(text)


def _wrong(what: str) -> RefusedError:
    return RefusedError(f"be read as a URL of Redis: {what}")

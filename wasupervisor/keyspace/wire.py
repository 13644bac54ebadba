"""One connection to one server. The only file that knows redis-py, which is loaded at the first connection.

Its errors do not show where they come from (`from None`): a traceback could hold a password.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio

from wasupervisor.keyspace.address import Login, Place, Tls
from wasupervisor.keyspace.failures import explained
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

Word = bytes | str | int | float
"""One word of a command."""


class Way(NamedTuple):
    """How a server is spoken to, wherever it is."""

    login: Login
    database: int
    context: ssl.SSLContext | None
    client_name: str

    def __repr__(self) -> str:
        return f"Way(database={self.database})"


class Wire:
    """One connection. After an error, or when a call on it was given up, it must be dropped: a reply may be on the way.

    Its calls have no deadline of their own; they can be cancelled at any point.
    """

    def __init__(self, connection: AbstractConnection, place: Place, way: Way) -> None:
        self._connection = connection
        self._place = place
        self._way = way
        self._transport: asyncio.WriteTransport | None = None
        self._reader: asyncio.StreamReader | None = None

    @classmethod
    async def open(cls, place: Place, way: Way) -> Wire:
        """Connect, log in, choose the database."""
        wire = cls(_connection(place, way), place, way)
        try:
            await wire._connect()
        except KeyspaceError as error:
            await wire.drop()
            raise _cut_at_login(place, way) if error.trouble is RedisTrouble.CUT else error from None
        except BaseException:
            await wire.drop()
            raise
        return wire

    async def _connect(self) -> None:
        try:
            await self._connection.connect()  # type: ignore[no-untyped-call]
        except Exception as error:
            raise self._explained(error, "the login") from None
        # The streams are redis-py's private matter, but it has no other way to look at a connection without waiting,
        # nor one to end it without waiting for the peer.
        self._reader, self._transport = self._connection._reader, self._connection._writer.transport  # type: ignore[union-attr]
        if self._way.client_name:
            named = await self.exchange([("CLIENT", "SETNAME", self._way.client_name)])
            if isinstance(named[0], KeyspaceError) and named[0].trouble not in _NEEDS_NO_NAME:
                raise named[0]

    async def exchange(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """Send them at once and read a reply to each; one that is an error stands among them as `KeyspaceError`.

        Raises:
            KeyspaceError: there are no replies, or not all of them.
        """
        from redis.exceptions import ResponseError  # noqa: PLC0415

        name = _name(commands[0])
        replies: list[Any] = []
        try:
            await self._connection.send_packed_command(self._connection.pack_commands(commands))
            for command in commands:
                name = _name(command)
                try:
                    replies.append(await self._connection.read_response())
                except ResponseError as error:
                    replies.append(self._explained(error, name))
        except Exception as error:
            raise self._explained(error, name) from None
        return replies

    @property
    def is_fit(self) -> bool:
        """Whether it can be used again: open, and with nothing to read, neither an end nor a reply to nobody."""
        if self._reader is None or self._transport is None or self._transport.is_closing() or self._reader.at_eof():
            return False
        there = select.poll()
        there.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not there.poll(0)

    async def drop(self) -> None:
        """End it at once. What was not sent yet never is."""
        if self._transport is not None:
            self._transport.abort()
        with anyio.CancelScope(shield=True):
            await self._connection.disconnect(nowait=True)

    def _explained(self, error: Exception, command: str) -> KeyspaceError:
        return explained(error, str(self._place), command, self._way.login.password)


_NEEDS_NO_NAME = (RedisTrouble.FORBIDDEN, RedisTrouble.OTHER)


@asynccontextmanager
async def dialled(place: Place, way: Way) -> AsyncIterator[Wire]:
    """A connection for a question or two."""
    wire = await Wire.open(place, way)
    try:
        yield wire
    finally:
        await wire.drop()


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Trusts the authority that is named, else those of the system.

    Raises:
        KeyspaceError: a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ValueError) as error:
        raise _unusable("ca_file", error) from error
    if tls.cert_file is not None:
        try:
            # Without a password of ours OpenSSL would ask for one at the terminal.
            context.load_cert_chain(tls.cert_file, tls.key_file, password="")
        except (OSError, ValueError) as error:
            raise _unusable("cert_file or redis.tls.key_file", error) from error
    return context


def _unusable(field: str, error: Exception) -> KeyspaceError:
    told = getattr(error, "strerror", None) or str(error)
    return KeyspaceError(RedisTrouble.OTHER, f"redis.tls.{field} cannot be used: {told}")


def _connection(place: Place, way: Way) -> AbstractConnection:
    """One that is not connected yet: no retries, no time-outs and no decoding of redis-py's, RESP2."""
    try:
        from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection  # noqa: PLC0415
    except ImportError as error:  # as of async_timeout, which it needs before Python 3.11.3
        raise KeyspaceError(RedisTrouble.OTHER, f"redis-py cannot be loaded: {error}") from None

    common: dict[str, Any] = {
        "db": way.database,
        "username": way.login.user,
        "password": way.login.password,
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "protocol": 2,
    }
    connection: AbstractConnection
    if place.path:
        connection = UnixDomainSocketConnection(path=place.path, **common)
    elif way.context is None:
        connection = Connection(host=place.host, port=place.port, **common)
    else:
        connection = SSLConnection(host=place.host, port=place.port, **common)
        # One for all connections: the authorities take 2.7 MB.
        connection.ssl_context.context = way.context
    # CLIENT SETINFO would leave two lines in ACL LOG for each connection of a user who may not.
    for attribute in ("driver_info", "lib_name", "lib_version"):
        setattr(connection, attribute, None)
    return connection


def _cut_at_login(place: Place, way: Way) -> KeyspaceError:
    """No command was on the way yet. What TLS 1.3 has to say against us often comes too late to be read."""
    hint = "if it speaks only TLS, write rediss:// in redis.url"
    if way.context is not None:
        hint = "if it asks for a certificate, set redis.tls.cert_file and redis.tls.key_file to one that it trusts"
    return KeyspaceError(RedisTrouble.UNREACHABLE, f"{place} ended the connection at the login: {hint}")


def _name(command: Sequence[Word]) -> str:
    """Its first word, which is no key and no value."""
    word = command[0]
    return (word.decode("ascii", "replace") if isinstance(word, bytes) else str(word)).upper()

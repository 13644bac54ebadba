"""The way to Redis: one server, or the primaries of a cluster. What knows redis-py is in `wire`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

import anyio
import anyio.lowlevel

from wasupervisor.keyspace.address import NO_TLS_FILES, Place, Tls, parse
from wasupervisor.keyspace.finding import Finder, Found, finder_of, slot_of
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble
from wasupervisor.keyspace.wire import Way, Wire, Word, tls_context

__all__ = ["Node", "Script", "Servers", "Tls", "Word", "connect"]

AT_A_TIME = 4
"""Connections to one server. More calls at a time wait for one, within their deadline."""

_LOOK_AGAIN = frozenset(
    {
        RedisTrouble.UNREACHABLE,
        RedisTrouble.TIMED_OUT,
        RedisTrouble.CUT,
        RedisTrouble.MOVED,
        RedisTrouble.READ_ONLY,
    }
)
"""After these another server may be the primary."""


class Script(NamedTuple):
    """A Lua script and what it is for."""

    name: str
    text: str


class Node:
    """One server. All its calls have a deadline and raise `KeyspaceError`, and nothing of redis-py.

    Replies are those of RESP2, without decoding: bytes, int, None, lists of them. Several calls at a time are allowed.
    """

    def __init__(self, place: Place, way: Way, servers: Servers) -> None:
        """Nothing is connected yet; who asks does that."""
        self.place = place
        self._way = way
        self._servers = servers
        self._turn = anyio.Semaphore(AT_A_TIME)
        self._wires: set[Wire] = set()
        self._idle: list[Wire] = []
        self._closed = False

    @property
    def name(self) -> str:
        """`127.0.0.1:6379`, `/run/redis.sock`: no secret in it."""
        return str(self.place)

    def __repr__(self) -> str:
        return f"Node({self.name})"

    async def call(self, *words: Word) -> Any:
        """One command; replies as redis-py gives them without decoding (bytes)."""
        (reply,) = await self.calls([words])
        if isinstance(reply, KeyspaceError):
            raise reply
        return reply

    async def calls(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """Several in one pipeline, not as a transaction. A reply that is an error stands in it as `KeyspaceError`.

        Raises:
            KeyspaceError: the connection failed, so that there are no replies at all.
        """
        if not commands:
            return []
        failed: KeyspaceError | None = None
        try:
            with anyio.fail_after(self._servers.timeout):
                await self._servers.settle()
                try:
                    replies = await self._exchange(commands)
                    failed = next((one for one in replies if isinstance(one, KeyspaceError)), None)
                except KeyspaceError as error:
                    failed, replies = error, []
                if failed is None:
                    self._servers.trust(self)
                elif failed.trouble in _LOOK_AGAIN:
                    self._servers.doubt(self)
                    await self._servers.settle()
        except TimeoutError:
            self._servers.doubt(self)
            if failed is None:
                text = f"{self.name} did not answer in {self._servers.timeout:g} s"
                raise KeyspaceError(RedisTrouble.TIMED_OUT, text) from None
        if failed is not None and not replies:
            raise failed
        return replies

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[Word]) -> Any:
        """A script: EVALSHA, and EVAL where the server does not know it yet."""
        reply, _seconds = await self._run(script, keys, args, around=())
        return reply

    async def timed(self, script: Script, keys: Sequence[bytes], args: Sequence[Word]) -> tuple[Any, float | None]:
        """The same, and for how many seconds it kept the server busy, by its own clock; None: TIME is refused.

        The clock is asked before and after in the same pipeline: within a script it stands still from Redis 7.2 on
        (release notes, 'Time sampling is now frozen during command execution and in scripts').
        """
        return await self._run(script, keys, args, around=(("TIME",),))

    async def _run(
        self, script: Script, keys: Sequence[bytes], args: Sequence[Word], *, around: tuple[tuple[Word, ...], ...]
    ) -> tuple[Any, float | None]:
        digest = hashlib.sha1(script.text.encode(), usedforsecurity=False).hexdigest()
        for command in (("EVALSHA", digest), ("EVAL", script.text)):
            replies = await self.calls([*around, (*command, len(keys), *keys, *args), *around])
            reply = replies[len(around)]
            if not isinstance(reply, KeyspaceError):
                return reply, _seconds_between(replies[0], replies[-1]) if around else None
            if reply.code != "NOSCRIPT":
                break
        raise reply

    async def greet(self) -> None:
        """Connect and log in, if nobody has yet. Its deadline is that of who calls."""
        async with self._turn:
            self._idle.append(await self._wire())

    async def _exchange(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        async with self._turn:
            wire = await self._wire()
            try:
                replies = await wire.exchange(commands)
            except BaseException:
                # Cancelled, timed out or cut: its next reply would be that of another command. And what befell it may
                # have befallen the idle ones.
                await self._drop([wire, *self._idle])
                raise
            if self._closed:
                await self._drop([wire])
            else:
                self._idle.append(wire)
            return replies

    async def _wire(self) -> Wire:
        if self._closed:
            raise KeyspaceError(RedisTrouble.MOVED, f"{self.name} is not a primary any more, or was closed")
        while self._idle:
            wire = self._idle.pop()
            if wire.is_fit:
                return wire
            await self._drop([wire])
        wire = await Wire.open(self.place, self._way)
        self._wires.add(wire)
        return wire

    async def _drop(self, wires: Sequence[Wire]) -> None:
        for wire in wires:
            self._wires.discard(wire)
            if wire in self._idle:
                self._idle.remove(wire)
            await wire.drop()

    async def _close(self) -> None:
        """For good; calls that wait for a reply fail."""
        self._closed = True
        await self._drop(list(self._wires))


def _seconds_between(began: Any, ended: Any) -> float | None:
    """Of two replies to TIME; not negative, whoever has set the clock meanwhile."""
    if isinstance(began, KeyspaceError) or isinstance(ended, KeyspaceError):
        return None
    seconds, microseconds = (int(ended[at]) - int(began[at]) for at in (0, 1))
    return max(0.0, seconds + microseconds / 1e6)


class Servers:
    """Where the keys are."""

    def __init__(self, finder: Finder, way: Way, timeout: float) -> None:
        """Nothing is known yet: see `connect`."""
        self.timeout = timeout
        self._finder = finder
        self._way = way
        self._nodes: dict[Place, Node] = {}
        self._found = Found(())
        self._doubted: set[Place] = set()
        self._asking = anyio.Lock()
        self._asked = 0

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All that hold keys. Others after a failover, or when a cluster changed: do not keep them between cycles.

        A node that is none of them any more raises MOVED.
        """
        return tuple(self._nodes.values())

    def node_of(self, key: bytes) -> Node:
        """Who holds this key.

        Raises:
            KeyspaceError: no node of the cluster does.
        """
        if not self._finder.is_cluster:
            return self.nodes[0]
        place = self._found.place_of(slot_of(key))
        if place is None:
            raise KeyspaceError(RedisTrouble.MOVED, f"no node of the cluster serves slot {slot_of(key)}")
        return self._nodes[place]

    @property
    def is_cluster(self) -> bool:
        """Whether the keys of one command must share a slot."""
        return self._finder.is_cluster

    def doubt(self, node: Node) -> None:
        """This one had trouble: until it serves again, it is asked before each call who the primaries are."""
        if self._finder.may_change:
            self._doubted.add(node.place)

    def trust(self, node: Node) -> None:
        """This one served."""
        self._doubted.discard(node.place)

    async def settle(self) -> None:
        """Ask who the primaries are, if there is doubt. Where nobody knows all stays as it was.

        Each call does that by itself. Who does it before `nodes` or `node_of`, once a cycle, gets the new ones at once,
        and not MOVED at the next call. Never raises; waits at most half of `timeout`.
        """
        if not self._doubted:
            return
        asked = self._asked
        async with self._asking:
            if asked == self._asked:  # else another call has asked meanwhile, and there is no more to hear
                with suppress(KeyspaceError):
                    await self.find()

    async def find(self) -> None:
        """Ask who the primaries are.

        Raises:
            KeyspaceError: nobody said.
        """
        try:
            found = await self._finder.find(tuple(self._doubted), self.timeout / 2)
        finally:
            self._asked += 1
        gone = [node for place, node in self._nodes.items() if place not in found.places]
        self._nodes = {place: self._nodes.get(place) or Node(place, self._way, self) for place in found.places}
        self._found = found
        self._doubted &= set(found.places)
        for node in gone:
            await node._close()

    async def aclose(self) -> None:
        """Close the connections; never raises, never waits for long."""
        for node in self.nodes:
            await node._close()
        with anyio.CancelScope(shield=True):
            await anyio.lowlevel.checkpoint()  # in which the loop closes the sockets

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def connect(
    url: str, *, tls: Tls = NO_TLS_FILES, timeout: float = 2.0, client_name: str = "wasupervisor"
) -> Servers:
    """Find the servers and log in to each.

    Args:
        url: one of
            `redis://[user:password@]host:port/db`, `rediss://` with TLS,
            `unix://[user:password@]/path/redis.sock?db=6`,
            `sentinel://[user:password@]host:26379,host:26379/SERVICE/db`: the primary that most sentinels name,
            `cluster://[user:password@]host:7000,host:7001`: all primaries.
            The last two speak TLS with `?tls=true`, or when `tls` names an authority. User and password are
            percent-encoded. They are those of the servers; sentinels get them only when they ask for a password.
        tls: whom to trust; not looked at without TLS.
        timeout: seconds for each call, the connecting included, and for this one.
        client_name: as CLIENT LIST shows us.

    Raises:
        KeyspaceError: the URL is none, or a server cannot be used.
    """
    address = parse(url)
    with_tls = address.tls or (address.scheme in ("sentinel", "cluster") and tls.ca_file is not None)
    way = Way(address.login, address.database, tls_context(tls) if with_tls else None, client_name)
    servers = Servers(finder_of(address, way), way, timeout)
    try:
        with anyio.fail_after(timeout):
            await servers.find()
            for node in servers.nodes:
                await node.greet()
    except TimeoutError:
        await servers.aclose()
        where = ", ".join(str(place) for place in address.places)
        hint = "; is it a port that speaks TLS?" if with_tls else ""
        raise KeyspaceError(RedisTrouble.TIMED_OUT, f"{where} did not answer in {timeout:g} s{hint}") from None
    except BaseException:
        await servers.aclose()
        raise
    return servers

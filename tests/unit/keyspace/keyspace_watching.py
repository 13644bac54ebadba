"""A watch of a real Redis whose time the test sets, and whose journal it reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import anyio
import redis

from wasupervisor.keyspace.connection import Servers, connect
from wasupervisor.keyspace.wanted import Wanted
from wasupervisor.keyspace.watch import KeyspaceWatch
from wasupervisor.model.journal import Entry
from wasupervisor.model.observation import RedisReading

VERSION = "2.3.6"
SECRET = b"s3cr3t-noise-key"
"""Part of every value that `login` and `spoil` write."""


async def at_once(_seconds: float) -> None:
    """Rests for no time."""


class Scene:
    """One watch. `turn` is what the daemon does in a cycle: a look, and then the work that it asks for."""

    def __init__(self, url: str, *, timeout: float = 2.0, **wanted: Any) -> None:
        self.now = 1000.0
        self.journal: list[Entry] = []
        self.url = url
        self.timeout = timeout
        self._stamps = count()
        self.watch = KeyspaceWatch(
            self._connect,
            Wanted(**{"gateway_kind": "evolution", "prefix": "evo", **wanted}),
            clock=lambda: self.now,
            wall=lambda: 1_700_000_000.0 + self.now,
            stamp=lambda: f"20261121T200000.{next(self._stamps):06}Z",
            rest=at_once,
        )
        self.watch.note = self.journal.append

    async def _connect(self) -> Servers:
        return await connect(self.url, timeout=self.timeout)

    def know(self, *names: str, version: str | None = VERSION, working: bool = True) -> None:
        """These sessions, whose ids are `id-<name>`."""
        self.watch.know(version, tuple((name, f"id-{name}") for name in names), names if working else ())

    async def turn(self, seconds: float = 5.0) -> RedisReading:
        """The next cycle."""
        self.now += seconds
        await self.watch.look()
        await self.watch._work()
        return self.watch.last

    def told(self) -> list[str]:
        """The journal since the last time."""
        texts = [entry.text for entry in self.journal]
        self.journal.clear()
        return texts


@asynccontextmanager
async def scene(url: str, *names: str, **wanted: Any) -> AsyncIterator[Scene]:
    """One that knows these sessions, and is closed."""
    it = Scene(url, **wanted)
    if names:
        it.know(*names)
    try:
        yield it
    finally:
        await it.watch.aclose()


async def until(check: Callable[[], object]) -> None:
    """Wait for what others do."""
    with anyio.fail_after(20):
        while not check():  # noqa: ASYNC110 - it is another process that does it, or a task that tells nobody
            await anyio.sleep(0.01)


def creds(name: str) -> bytes:
    """The credential key of a session."""
    return f"evo:instance:id-{name}".encode()


def login(client: Any, *names: str) -> None:
    """Sessions that are logged in, their credentials in Redis (mode A)."""
    for name in names:
        client.hset(creds(name).decode(), mapping={"creds": SECRET, "pre-key-1": SECRET})


def spoil(client: Any, name: str) -> None:
    """Put a string where the credential hash belongs."""
    client.set(creds(name), SECRET)


def wrongtype(client: Any) -> None:
    """Somebody meets a mistyped key."""
    client.set("foreign", "text")
    with suppress(redis.ResponseError):
        client.hget("foreign", "field")


def everything(client: Any) -> dict[bytes, bytes | None]:
    """All keys but ours, as DUMP gives them."""
    return {key: client.dump(key) for key in client.keys("*") if not key.startswith(b"wasupervisor:")}


def aside(client: Any) -> list[bytes]:
    """The names in quarantine."""
    return sorted(client.keys("wasupervisor:quarantine:*"))

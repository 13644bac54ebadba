"""A small HTTP client that asks the same question over some connections, as fast as it is answered."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

HALF = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Never-Ending: "
DRIP_EVERY = 0.5


class Answers(NamedTuple):
    """What came of it."""

    per_second: float
    latencies: Sequence[float]
    """Seconds, sorted."""

    def percentile(self, share: float) -> float:
        """Seconds within which this share was answered."""
        return self.latencies[min(int(len(self.latencies) * share), len(self.latencies) - 1)]


async def load(port: int, path: str, connections: int, seconds: float) -> Answers:
    """Ask for so long over so many connections that are kept."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    began, end = time.monotonic(), time.monotonic() + seconds
    clients = [_Client(request, end, loop.create_future()) for _ in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*(client.done for client in clients))
    lasted = time.monotonic() - began
    latencies = sorted(latency for client in clients for latency in client.latencies)
    return Answers(len(latencies) / lasted, latencies)


class _Client(asyncio.Protocol):
    """One connection: the next request when the answer to the last is complete."""

    def __init__(self, request: bytes, end: float, done: asyncio.Future[None]) -> None:
        self.done = done
        self.latencies: list[float] = []
        self._request, self._end = request, end
        self._seen = b""
        self._asked = 0.0
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, blank, body = self._seen.partition(b"\r\n\r\n")
        if not blank or len(body) < _length(head):
            return
        now = time.monotonic()
        self.latencies.append(now - self._asked)
        self._seen = b""
        if now < self._end:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _ask(self) -> None:
        self._asked = time.monotonic()
        self._transport.write(self._request)


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.index(b"content-length:") + 15
    return int(lower[at:].split(b"\r\n", 1)[0])


@contextlib.asynccontextmanager
async def half_open(port: int, connections: int) -> AsyncIterator[None]:
    """Hold so many connections whose request never ends; one that is closed is opened again."""
    if not connections:
        yield
        return
    slow = [_SlowClient(port) for _ in range(connections)]
    task = asyncio.create_task(_drip(slow))
    await asyncio.sleep(2 * DRIP_EVERY)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for client in slow:
            client.close()


async def _drip(slow: list[_SlowClient]) -> None:
    """A few at a time, so that what these clients cost us does not come in bursts."""
    parts = 50
    while True:
        for part in range(parts):
            for client in slow[part::parts]:
                client.drip()
            await asyncio.sleep(DRIP_EVERY / parts)


class _SlowClient:
    """A byte now and then. On a bare socket, for the client that is measured shares our CPU with it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._begun = False

    def drip(self) -> None:
        """Connect, or begin, or go on; whatever is next."""
        if self._socket is None:
            self._socket, self._begun = socket.socket(), False
            self._socket.setblocking(False)
            self._socket.connect_ex(("127.0.0.1", self._port))
            return
        try:
            self._socket.send(b"x" if self._begun else HALF)
            self._begun = True
        except OSError:
            self.close()

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

"""A webhook that does what it is told: on a real socket, and it remembers what it heard."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
from anyio.abc import SocketStream


class Heard(NamedTuple):
    """One request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Hook:
    """What is set in `answer` is what it does: a status, `hang`, `drip`, `close`, `rubbish` or `endless`."""

    def __init__(self) -> None:
        self.answer: int | str = 200
        self.heard: list[Heard] = []
        self.url = ""
        self._news = anyio.Event()

    async def until(self, number: int) -> list[Heard]:
        """Wait until so many requests were heard."""
        with anyio.fail_after(20):
            while len(self.heard) < number:
                await self._news.wait()
        return self.heard

    async def handle(self, stream: SocketStream) -> None:
        async with stream:
            try:
                self.heard.append(await _read(stream))
                self._news.set()
                self._news = anyio.Event()
                await self._answer(stream)
            except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
                return

    async def _answer(self, stream: SocketStream) -> None:
        if self.answer == "hang":
            await anyio.sleep_forever()
        elif self.answer == "drip":
            for char in "HTTP/1.1 200 OK\r\nX: " + "x" * 100_000:
                await stream.send(char.encode())
                await anyio.sleep(0.02)
        elif self.answer == "rubbish":
            await stream.send(b"\0\1\2 rubbish\r\n\r\n")
        elif self.answer == "endless":
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
            while True:
                await stream.send(b"x" * 65536)
        elif isinstance(self.answer, int):
            place = f"Location: {self.url}elsewhere\r\n" if 300 <= self.answer < 400 else ""
            head = f"HTTP/1.1 {self.answer} Whatever\r\n{place}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
            await stream.send(head.encode())


async def _read(stream: SocketStream) -> Heard:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += await stream.receive()
    method, target, _ = first.split(" ")
    return Heard(method, target, headers, body)


@asynccontextmanager
async def hook() -> AsyncIterator[Hook]:
    """A webhook that listens until the end of the block."""
    subject = Hook()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    subject.url = f"http://127.0.0.1:{port}/"
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, subject.handle)
        yield subject
        tasks.cancel_scope.cancel()

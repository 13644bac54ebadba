"""A real TCP server on 127.0.0.1 whose answers a test scripts, to the byte."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Asked:
    """One request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    connection: int
    """Counted from 1: tells whether a connection was used again."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


Script = Callable[[Asked, asyncio.StreamWriter], Awaitable[bytes | None]]
"""Gives the bytes to answer with; None: close the connection."""


@dataclass
class Wire:
    """The server, and what it was asked."""

    script: Script
    port: int = 0
    connections: int = 0
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                method, path, _ = lines[0].split(" ")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
                await reader.readexactly(int(headers.get("content-length", 0)))
                asked = Asked(method, path, headers, number)
                self.asked.append(asked)
                answer = await self.script(asked, writer)
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


def http(status: int = 200, body: object = b"", **headers: str) -> bytes:
    """The bytes of an answer; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields: dict[str, Any] = {"content-length": len(content), **{k.replace("_", "-"): v for k, v in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value != "")
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + content


def always(answer: bytes | None) -> Script:
    """A script that knows one answer."""

    async def script(_: Asked, __: asyncio.StreamWriter) -> bytes | None:
        return answer

    return script


async def hang(_: Asked, __: asyncio.StreamWriter) -> bytes | None:
    """A script that accepts everything and answers nothing, as a stopped process does."""
    await asyncio.sleep(3600)
    return None


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def wired(script: Script) -> AsyncIterator[Wire]:
    """Serve for as long as the context lasts."""
    wire = Wire(script)
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.CancelledError):
            await wire.serve(reader, writer)
        tasks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1 << 20)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()

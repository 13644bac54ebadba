"""Servers for the tests of the connection that a real Redis cannot be made to be: they answer as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Answer = Callable[[list[bytes]], bytes | None]
"""What is sent for one command; None cuts the connection, b"" leaves it without an answer."""

CUT = b"<cut>"
"""At the end of an answer: the connection is cut after what stands before it."""


def ok(command: list[bytes]) -> bytes:
    """Agrees to all."""
    return b"+OK\r\n"


@asynccontextmanager
async def talker(answer: Answer, greeting: bytes = b"") -> AsyncIterator[int]:
    """A server on a port of the loopback, which is given."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(greeting)
        try:
            while True:
                count = int((await reader.readline())[1:])
                words = []
                for _ in range(count):
                    length = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(length + 2))[:-2])
                said = answer(words)
                if said is None:
                    break
                writer.write(said.removesuffix(CUT))
                if said.endswith(CUT):
                    break
        except (ValueError, OSError, asyncio.IncompleteReadError):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)

"""A server that hands its socket over: those that it has begun to serve get their answer, the others wait."""

from __future__ import annotations

import socket

import anyio
import pytest

from wasupervisor.report.http import Request, Response, Server

pytestmark = pytest.mark.anyio

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def answered(client: anyio.abc.SocketStream) -> bytes:
    with anyio.fail_after(30):
        return await client.receive()


async def test_who_is_served_gets_the_answer_and_who_comes_later_gets_the_next_server() -> None:
    asked, may_answer = anyio.Event(), anyio.Event()

    async def slow(_: Request) -> Response:
        asked.set()
        await may_answer.wait()
        return Response.text(200, "the first")

    first, second = Server(slow), Server(lambda _: Response.text(200, "the second"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.serve, listening)
            async with await anyio.connect_tcp("127.0.0.1", port) as early:
                await early.send(ASK)
                await asked.wait()
                first.retire()
                async with await anyio.connect_tcp("127.0.0.1", port) as late:
                    await late.send(ASK)
                    may_answer.set()
                    told = await answered(early)
                    assert told.endswith(b"the first\n")
                    assert b"\r\nConnection: close\r\n" in told  # else it would ask again, and get a reset
                    with pytest.raises(anyio.EndOfStream):
                        await answered(early)  # although HTTP/1.1 would keep it
                    assert first.connections == 0
                    tasks.start_soon(second.serve, listening)
                    assert (await answered(late)).endswith(b"the second\n")
            tasks.cancel_scope.cancel()


async def test_one_that_is_retired_before_it_serves_takes_nobody() -> None:
    server = Server(lambda _: Response.text(200, "never"))
    server.retire()
    with socket.create_server(("127.0.0.1", 0)) as listening, anyio.fail_after(30):
        await server.serve(listening)

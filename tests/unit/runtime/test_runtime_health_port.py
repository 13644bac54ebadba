"""The health port on a socket that outlives the daemon: what a client sees at the daemon's start and at its stop."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import anyio
import anyio.abc
import pytest

from wasupervisor.report.http import Request, Response, Server
from wasupervisor.runtime import health_port
from wasupervisor.runtime.activation import HealthSockets
from wasupervisor.runtime.health_port import HealthPort

pytestmark = pytest.mark.anyio

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield one


async def connected(listening: socket.socket) -> anyio.abc.SocketStream:
    return await anyio.connect_tcp("127.0.0.1", listening.getsockname()[1])


async def test_a_monitor_that_keeps_its_connection_is_not_told_that_the_supervisor_stops(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_port, "LEAVE_WITHIN", 0.01)
    server = Server(lambda _: Response.text(200, "ready"))
    port = HealthPort(HealthSockets((listening,), passed=True), server)
    port.looked()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(port.serve)
            async with await connected(listening) as monitor:
                await monitor.send(ASK)
                assert (await monitor.receive()).endswith(b"ready\n")
                await port.leave()
                # It stays quiet until the daemon writes its last words; then it would ask again.
                with pytest.raises(anyio.EndOfStream):
                    await monitor.receive()
    assert server.connections == 0


async def test_an_order_under_way_is_not_cut_off_when_the_port_is_left(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_port, "LEAVE_WITHIN", 0.01)
    asked, may_answer = anyio.Event(), anyio.Event()

    async def slow(_: Request) -> Response:
        asked.set()
        await may_answer.wait()
        return Response.text(200, "done")

    port = HealthPort(HealthSockets((listening,), passed=True), Server(slow))
    port.looked()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(port.serve)
            async with await connected(listening) as person:
                await person.send(ASK)
                await asked.wait()
                await port.leave()
                may_answer.set()
                assert (await person.receive()).endswith(b"done\n")

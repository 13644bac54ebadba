"""A stand-in for the daemon behind the changing verbs, on a real socket."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from wasupervisor.gateways.operator import QrAnswer
from wasupervisor.model.journal import Entry, EntryKind, Recorded
from wasupervisor.model.remedies import Order, Reply, Verdict
from wasupervisor.model.sessions import Reason
from wasupervisor.queue.retry import Retried
from wasupervisor.report.connection import Request, Response
from wasupervisor.report.http import Server
from wasupervisor.runtime.control import Control
from wasupervisor.runtime.inbox import Inbox
from wasupervisor.runtime.queues import Ordered
from wasupervisor.runtime.redis_orders import RedisOrders
from wasupervisor.runtime.reload import Reloaded

ACCEPTED = Reply(
    order_id="",
    verdict=Verdict.ACCEPTED,
    text="now",
    previous_status="failing",
    current_status="recovering",
    action="a7",
)


class Answer:
    """What came back."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = dict(line.split(": ", 1) for line in lines)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Daemon:
    """A daemon that answers each order as it is told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inbox = Inbox(self._wake)
        self.reply: Reply | None = ACCEPTED
        self.orders: list[Order] = []
        self.reloaded = Reloaded(True, "taken")
        self.qr = QrAnswer("2@secret", "valid for 20 s")
        self.retried = Ordered((Retried(queue="a b", number=2, text="2 failed jobs wait again"),))
        self.asked: list[tuple[Any, ...]] = []
        self.error: Exception | None = None
        self.control: Control
        self._woken = anyio.Event()

    def _wake(self) -> None:
        self._woken.set()

    async def decide(self) -> None:
        while True:
            await self._woken.wait()
            self._woken = anyio.Event()
            for order in self.inbox.take():
                self.orders.append(order)
                if self.reply is not None:
                    fields = {name: getattr(self.reply, name) for name in self.reply.__struct_fields__}
                    self.inbox.answer([Reply(**{**fields, "order_id": order.id})])

    async def reload(self) -> Reloaded:
        return self.reloaded

    async def show_qr(self, session: str, by: str) -> QrAnswer:
        self.asked.append((session, by))
        return self.qr

    async def retry_failed(self, *arguments: Any) -> Ordered:
        self.asked.append(arguments)
        return self.retried

    def redis_orders(self, by: str) -> RedisOrders:
        self.asked.append((by,))
        return RedisOrders(None, lambda _entry: None, by)

    async def history(self, *arguments: Any) -> list[Recorded]:
        if self.error is not None:
            raise self.error
        self.asked.append(arguments)
        entry = Entry(kind=EntryKind.REMEDY, text="t", session="s", reason=Reason.REPLACED, remedy="r", warn=True)
        return [Recorded(id=3, at=12.5, entry=entry)]

    async def call(self, method: str, path: str, body: object = None) -> Answer:
        return await to_thread.run_sync(self._call, method, path, body)

    def _call(self, method: str, path: str, body: object) -> Answer:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(str(self.path))
            return exchange(client, method, path, body)


def exchange(client: socket.socket, method: str, path: str, body: object = None, *headers: bytes) -> Answer:
    """One request over a connection of its own, and the answer to it."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(content)}\r\n".encode()
    client.sendall(head + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + content)
    raw = b""
    while chunk := client.recv(65536):
        raw += chunk
    return Answer(raw)


@asynccontextmanager
async def daemon(folder: Path, within: float = 30.0) -> AsyncIterator[Daemon]:
    it = Daemon(folder / "control.sock")

    def read_only(request: Request) -> Response:
        return Response.json(404, {"error": f"read-only {request.method} {request.path}"})

    control = it.control = Control(it, it.inbox, read_only=read_only, answer_within=lambda: within)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(it.path))
        listener.listen()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(it.decide)
            tasks.start_soon(Server(control).serve, listener)
            yield it
            tasks.cancel_scope.cancel()

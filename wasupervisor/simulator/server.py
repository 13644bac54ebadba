"""A simulated gateway on a real port: the world in real time, with faults in its HTTP, counting the calls it gets.

async with serve(make_world("waha", ["s1", "s2"]), api_key="secret") as gateway:
    gateway.apply(Failed(session="s1"))
    ... httpx.get(gateway.url + "/api/sessions?all=true", headers={"X-Api-Key": "secret"}) ...
    assert gateway.count("POST */restart") == 1
    assert gateway.world.harm == []
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

import anyio
import anyio.abc

from wasupervisor.simulator.ballast import Ballast
from wasupervisor.simulator.evolution import EvolutionHttp
from wasupervisor.simulator.faults import AnyFault, Http, HttpCalm, Memory
from wasupervisor.simulator.happen import AnyWorld, apply
from wasupervisor.simulator.httpd import Door, Handler, Reply, Request, converse
from wasupervisor.simulator.uplink import UplinkStandIn
from wasupervisor.simulator.virtual import Pending
from wasupervisor.simulator.waha import WahaHttp
from wasupervisor.simulator.waha_world import WahaWorld
from wasupervisor.simulator.world import UplinkState

HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


@dataclass
class Call:
    """One call that the gateway got."""

    at: float
    """The world's time, seconds."""
    method: str
    path: str
    """With its query."""
    status: int | None = None
    """None: not answered (yet)."""


class SimulatedGateway:
    """One gateway on one port. Made by `serve`."""

    def __init__(
        self,
        world: AnyWorld,
        *,
        api_key: str | None = None,
        metrics: bool = True,
        port: int = 0,
        uplink_port: int = 0,
        idle: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.world = world
        self.calls: list[Call] = []
        """All calls since the start, oldest first, those that got no answer too."""
        self.door = Door(port=port)
        self.uplink = UplinkStandIn(uplink_port)
        self._http: WahaHttp | EvolutionHttp = (
            WahaHttp(world, api_key) if isinstance(world, WahaWorld) else EvolutionHttp(world, api_key, metrics=metrics)
        )
        self._idle = idle
        """An unused connection is closed after so many seconds, as both gateways do."""
        self._clock = clock
        self._zero = clock() - world.now
        self._faults: list[_ActiveFault] = []
        self._ballast = Ballast(world)
        self._wake = anyio.Event()
        world.on_change(self._stir)

    @property
    def port(self) -> int:
        """The gateway's port, also while nobody listens on it."""
        return self.door.port

    @property
    def url(self) -> str:
        """The gateway's base URL."""
        return f"http://{self.door.host}:{self.port}"

    def count(self, pattern: str) -> int:
        """How many calls fit a shell pattern on `METHOD path?query`, such as `POST */restart`."""
        return sum(fnmatchcase(f"{call.method} {call.path}", pattern) for call in self.calls)

    def apply(self, fault: AnyFault) -> None:
        """Let it happen now. Raises ValueError when this gateway cannot have it."""
        self._catch_up()
        if isinstance(fault, Http):
            active = _ActiveFault(fault, fault.times, anyio.Event())
            self._faults.append(active)
            if fault.lasts is not None:
                self.world.later(fault.lasts, lambda: self._calm(active))
        elif isinstance(fault, Memory):
            self._ballast.take(fault.megabytes, fault.lasts)
        elif isinstance(fault, HttpCalm):
            for active in tuple(self._faults):
                self._calm(active)
        else:
            apply(self.world, fault)
        self._stir()

    # Running

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Live in real time until cancelled."""
        try:
            async with anyio.create_task_group() as tasks:
                await self._follow(tasks, task_status)
        finally:
            self.door.close()
            self.uplink.door.close()

    async def _follow(self, tasks: anyio.abc.TaskGroup, task_status: anyio.abc.TaskStatus[None]) -> None:
        gateway = _Listening(self.door, self._connection)
        uplink = _Listening(self.uplink.door, self.uplink.handle)
        first = True
        while True:
            self._wake = anyio.Event()
            self._catch_up()
            await gateway.follow(tasks, self.world.run if self.world.alive else None)
            state = self.uplink.state = self.world.uplink
            await uplink.follow(tasks, None if state is UplinkState.REFUSED else state)
            if first:
                task_status.started()
                first = False
            await self._until_something_happens()

    async def _until_something_happens(self) -> None:
        next_at = self.world.next_at
        with anyio.move_on_after(None if next_at is None else max(0.0, next_at - self._now())):
            await self._wake.wait()

    def _now(self) -> float:
        return self._clock() - self._zero

    def _catch_up(self) -> None:
        self.world.advance(self._now())

    def _stir(self) -> None:
        self._wake.set()

    # Answering

    async def _connection(self, stream: anyio.abc.ByteStream) -> None:
        await converse(stream, self._answer, idle=self._idle)

    async def _answer(self, request: Request) -> Reply | None:
        self._catch_up()
        call = Call(self.world.now, request.method, request.target)
        self.calls.append(call)
        reply = await self._answer_with_faults(request)
        call.status = reply.status if reply is not None else None
        return reply

    async def _answer_with_faults(self, request: Request) -> Reply | None:
        active = self._fault_for(request)
        if active is None:
            return await self._truth(request)
        fault = active.fault
        match fault.answer:
            case "hang":
                await active.over.wait()
                return None
            case "drop":
                return None
            case "slow":
                with anyio.move_on_after(fault.seconds):
                    await active.over.wait()
                return await self._truth(request)
            case "truncated":
                truth = await self._truth(request)
                return truth and Reply(truth.status, truth.body, truth.headers, cut_after=len(truth.body) // 2)
            case _:
                return _lie(fault)

    def _fault_for(self, request: Request) -> _ActiveFault | None:
        for active in reversed(self._faults):
            fault = active.fault
            fits = fault.method in ("*", request.method) and fnmatchcase(request.target, fault.path)
            # A used-up fault stays in the list, so that those who still hang in it can be let go.
            if fits and active.times_left != 0:
                if active.times_left is not None:
                    active.times_left -= 1
                return active
        return None

    def _calm(self, active: _ActiveFault) -> None:
        if active in self._faults:
            self._faults.remove(active)
        active.over.set()

    async def _truth(self, request: Request) -> Reply | None:
        if not self.world.alive:
            return None  # it came in with the process's last breath
        # A frozen process takes the request into the kernel's backlog and works on it when it wakes.
        pending: Pending[Reply] = self.world.thawed().bind(lambda _: self._http.answer(request))
        ended = anyio.Event()
        pending.then(ended.set)
        await ended.wait()
        return None if pending.dropped else pending.value


class _Listening:
    """Keeps a port open for as long as its reason stays the same; connections break when it changes."""

    def __init__(self, door: Door, handler: Handler) -> None:
        self._door = door
        self._handler = handler
        self._reason: object = None
        self._scope = anyio.CancelScope()
        self._closed = anyio.Event()
        self._closed.set()

    async def follow(self, tasks: anyio.abc.TaskGroup, reason: object) -> None:
        """Open, close, or close and open again; None is closed."""
        if reason == self._reason:
            return
        self._scope.cancel()
        await self._closed.wait()
        self._reason = reason
        if reason is not None:
            self._scope, self._closed = anyio.CancelScope(), anyio.Event()
            await tasks.start(self._listen)

    async def _listen(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        try:
            with self._scope:
                await self._door.serve(self._handler, task_status=task_status)
        finally:
            self._closed.set()


@dataclass(eq=False)
class _ActiveFault:
    fault: Http
    times_left: int | None
    over: anyio.Event


def _lie(fault: Http) -> Reply:
    json_type = (("Content-Type", "application/json; charset=utf-8"),)
    html_type = (("Content-Type", "text/html"),)
    match fault.answer:
        case "status":
            return Reply(fault.status, HTML, html_type)
        case "html":
            return Reply(200, HTML, html_type)
        case "huge":
            return Reply(200, b"", json_type, endless=fault.size)
        case "redirect":
            return Reply(302, b"", (("Location", "http://127.0.0.1:9/elsewhere"),))
        case _:
            return Reply(200, b"", json_type)


@asynccontextmanager
async def serve(world: AnyWorld, **options: object) -> AsyncIterator[SimulatedGateway]:
    """Run a simulated gateway; the options are those of `SimulatedGateway`. Raises OSError when a port is taken."""
    gateway = SimulatedGateway(world, **options)  # type: ignore[arg-type]
    async with anyio.create_task_group() as tasks:
        await tasks.start(gateway.run)
        try:
            yield gateway
        finally:
            tasks.cancel_scope.cancel()

"""The wire between an adapter and a simulated gateway: requests and answers as values, in virtual time, no sockets.

Takes the place of `gateways/http.py` below the adapters; everything that they read and conclude is their own code.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from sim_fibers import Fibers, Wait

from wasupervisor.gateways.http import ACTION_LIMIT, Failure, HttpClient, Progress, Reply
from wasupervisor.model.observation import Trouble
from wasupervisor.simulator.evolution import EvolutionHttp
from wasupervisor.simulator.faults import Http
from wasupervisor.simulator.happen import AnyWorld
from wasupervisor.simulator.httpd import Reply as Served
from wasupervisor.simulator.httpd import Request
from wasupervisor.simulator.virtual import Pending
from wasupervisor.simulator.waha import WahaHttp
from wasupervisor.simulator.waha_world import WahaWorld

Answered = Reply | Failure

REFUSED = Failure(Trouble.REFUSED, "nobody listens on the port", Progress.NOT_SENT)
DROPPED = Failure(Trouble.DROPPED, "the connection broke before the answer was complete", Progress.SENT)
CUT = Failure(Trouble.DROPPED, "the connection broke before the answer was complete", Progress.ANSWERED)
TIMED_OUT = Failure(Trouble.TIMED_OUT, "no answer in time", Progress.SENT)
HUGE = Failure(Trouble.BAD_BODY, "answered 200 with more than 16384 kB", Progress.ANSWERED)
HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


@dataclass(eq=False)
class _Active:
    fault: Http
    left: int | None
    over: Pending[None]


class Door:
    """The gateway's port, with the lies that were asked for."""

    def __init__(self, world: AnyWorld) -> None:
        self.world = world
        self._http = WahaHttp(world) if isinstance(world, WahaWorld) else EvolutionHttp(world)
        self._faults: list[_Active] = []
        self.lied_until = -1e9
        """When a lie ended last."""

    @property
    def lies(self) -> bool:
        """Whether any answer may be wrong or late now."""
        return bool(self._faults)

    def mind(self) -> tuple[int | None, ...]:
        """How often each lie will still be told."""
        return tuple(active.left for active in self._faults)

    def lie(self, fault: Http) -> None:
        """Answer wrongly from now on."""
        active = _Active(fault, fault.times, Pending())
        self._faults.append(active)
        if fault.lasts is not None:
            self.world.later(fault.lasts, lambda: self._calm(active))

    def calm(self) -> None:
        """Answer rightly again."""
        for active in tuple(self._faults):
            self._calm(active)

    def answer(self, request: Request) -> Pending[Answered]:
        """What comes back, now or later."""
        if not self.world.alive:
            return Pending.of(REFUSED)
        active = self._active_for(request)
        if active is None:
            return self._truth(request)
        match active.fault.answer:
            case "hang":
                return active.over.map(lambda _: DROPPED)
            case "drop":
                return Pending.of(DROPPED)
            case "slow":
                late: Pending[None] = Pending()
                self.world.later(active.fault.seconds, lambda: late.finish(None))
                return late.bind(lambda _: self._truth(request))
            case "truncated":
                return self._truth(request).map(lambda _: CUT)
            case _:
                return Pending.of(_lie(active.fault))

    def _active_for(self, request: Request) -> _Active | None:
        for active in reversed(self._faults):
            fault = active.fault
            fits = fault.method in ("*", request.method) and fnmatchcase(request.target, fault.path)
            if fits and active.left != 0:
                if active.left is not None:
                    active.left -= 1
                return active
        return None

    def _calm(self, active: _Active) -> None:
        if active in self._faults:
            self._faults.remove(active)
            self.lied_until = self.world.now
            active.over.finish(None)

    def _truth(self, request: Request) -> Pending[Answered]:
        if not self.world.alive:
            return Pending.of(DROPPED)
        served: Pending[Served] = self.world.thawed().bind(lambda _: self._http.answer(request))
        result: Pending[Answered] = Pending()

        def end() -> None:
            result.finish(DROPPED if served.dropped else Reply(served.value.status, served.value.body))

        served.then(end)
        return result


def _lie(fault: Http) -> Answered:
    if fault.answer == "huge":
        return HUGE
    status = {"status": fault.status, "redirect": 302}.get(fault.answer, 200)
    return Reply(status, HTML if fault.answer in ("status", "html") else b"")


class VirtualHttp(HttpClient):
    """An adapter's HTTP client that has no sockets."""

    def __init__(self, door: Door, fibers: Fibers, acting: Callable[[str, str, Pending[Answered]], None]) -> None:
        """`acting` is told of each action that is sent, with what will come back."""
        super().__init__("http://127.0.0.1:1", {})
        self._door = door
        self._fibers = fibers
        self._acting = acting

    async def ask(
        self,
        method: str,
        path: str,
        *,
        timeout: float,
        limit: int = ACTION_LIMIT,
        headers: Mapping[str, str] | None = None,
    ) -> Reply | Failure:
        """Ask, in virtual time."""
        return await self._wait(self._door.answer(_request(method, path)), timeout)

    async def act(self, method: str, path: str, *, timeout: float) -> Reply | Failure:
        """Act, in virtual time."""
        pending = self._door.answer(_request(method, path))
        self._acting(method, path, pending)
        return await self._wait(pending, timeout)

    async def ask_apart(self, method: str, path: str, *, timeout: float, body: bytes | None = None) -> Reply | Failure:
        """Ask what may take long, in virtual time."""
        return await self._wait(self._door.answer(Request(method, path, {}, body or b"")), timeout)

    async def at_once(self, work: Callable[[], Coroutine[Any, Any, None]], times: int) -> None:
        """As fibers."""
        started = [self._fibers.start(work()) for _ in range(times)]
        for fiber in started:
            await Wait(self._door.world, fiber.result, None)

    async def _wait(self, pending: Pending[Answered], seconds: float) -> Answered:
        return pending.value if await Wait(self._door.world, pending, seconds) else TIMED_OUT


def _request(method: str, path: str) -> Request:
    return Request(method, path, {})

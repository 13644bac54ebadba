"""Two policies that people use today, in the same world, for comparison: the harm that they do is known from the real
gateways.

*Restart whatever is not working*: a script that looks every so many seconds and restarts each session that is not
WORKING; on Evolution `GET connect` where the state is `close` or the restart says `error: true`.
*PM2-like restart of the process*: the process is started again when it ends, and nothing else is looked at.
"""

from __future__ import annotations

import json

from sim_fibers import Fibers, Wait, sleep
from sim_wire import Answered, Door

from wasupervisor.gateways.http import Reply
from wasupervisor.simulator.happen import AnyWorld
from wasupervisor.simulator.httpd import Request
from wasupervisor.simulator.waha_world import WahaWorld

CALL_TIMEOUT = 10.0


class RestartWhatIsNotWorking:
    """The naive script."""

    def __init__(self, world: AnyWorld, door: Door, every: float) -> None:
        self.world, self.door, self.every = world, door, every
        self.restarts = self.connects = 0
        self.fibers = Fibers(world, lambda: None)

    def begin(self, after: float) -> None:
        """Look for the first time so many seconds from now."""
        self.world.later(after, self._start)

    def _start(self) -> None:
        self.fibers.start(self._live())

    async def _live(self) -> None:
        while True:
            # setInterval: it does not wait for the last round.
            self.fibers.start(self._round())
            await sleep(self.world, self.every)

    async def _round(self) -> None:
        if isinstance(self.world, WahaWorld):
            listed = await self._call("GET", "/api/sessions?all=true", None)
            if isinstance(listed, Reply) and listed.ok:
                for one in json.loads(listed.body):
                    if one["status"] != "WORKING":
                        self.restarts += 1
                        await self._call("POST", f"/api/sessions/{one['name']}/restart", None)
        else:
            for name in tuple(self.world.sessions):
                await self._one_instance(name)

    async def _one_instance(self, name: str) -> None:
        told = await self._call("GET", f"/instance/connectionState/{name}", CALL_TIMEOUT)
        if _says(told, b'"open"'):
            return
        self.restarts += 1
        answer = await self._call("POST", f"/instance/restart/{name}", CALL_TIMEOUT)
        if _says(answer, b'"error":true') or _says(told, b'"close"'):
            self.connects += 1
            await self._call("GET", f"/instance/connect/{name}", CALL_TIMEOUT)

    async def _call(self, method: str, path: str, seconds: float | None) -> Answered | None:
        pending = self.door.answer(Request(method, path, {}))
        return pending.value if await Wait(self.world, pending, seconds) else None


def _says(answer: Answered | None, what: bytes) -> bool:
    return isinstance(answer, Reply) and what in answer.body.replace(b" ", b"")

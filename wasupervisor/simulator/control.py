"""The control port of a simulator that runs as a process of its own, so that the gateway's port stays as the real one.

POST /_simulator/fault    a fault as JSON (see `faults`), or a list of them     {"ok": true}, or 400 {"error": "..."}
GET  /_simulator/calls    the calls the gateway got: [{"at", "method", "path", "status"}]; `?match=POST */restart`
DELETE /_simulator/calls  forget them
GET  /_simulator/world    the truth: sessions, process, uplink, harm done, deaths of the process
POST /_simulator/script   play the demo's story: {"seconds": 60}
POST /_simulator/exit     end the simulator
"""

from __future__ import annotations

import dataclasses
import json
from fnmatch import fnmatchcase

import anyio
import anyio.abc

from wasupervisor.simulator import faults
from wasupervisor.simulator.httpd import Door, Reply, Request, converse, json_reply
from wasupervisor.simulator.script import parse_script, play
from wasupervisor.simulator.server import SimulatedGateway


class Control:
    """Drives one simulated gateway over HTTP."""

    def __init__(self, gateway: SimulatedGateway, port: int = 0) -> None:
        self.gateway = gateway
        self.door = Door(port=port)
        self.exit = anyio.Event()

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled."""
        try:
            async with anyio.create_task_group() as self._tasks:
                await self.door.serve(self._connection, task_status=task_status)
        finally:
            self.door.close()

    async def _connection(self, stream: anyio.abc.ByteStream) -> None:
        await converse(stream, self._answer, idle=60.0)

    async def _answer(self, request: Request) -> Reply:
        try:
            return self._route(request)
        except ValueError as error:
            return json_reply(400, {"error": str(error)})

    def _route(self, request: Request) -> Reply:
        match request.method, request.path:
            case "POST", "/_simulator/fault":
                document = json.loads(request.body)
                for fault in [faults.parse(part) for part in (document if isinstance(document, list) else [document])]:
                    self.gateway.apply(fault)
            case "POST", "/_simulator/script":
                script = parse_script(request.body)
                self._tasks.start_soon(play, script, self.gateway)
            case "GET", "/_simulator/calls":
                pattern = request.query.get("match", "*")
                calls = [c for c in self.gateway.calls if fnmatchcase(f"{c.method} {c.path}", pattern)]
                return json_reply(200, [dataclasses.asdict(call) for call in calls])
            case "DELETE", "/_simulator/calls":
                self.gateway.calls.clear()
            case "GET", "/_simulator/world":
                return json_reply(200, self.gateway.world.snapshot())
            case "POST", "/_simulator/exit":
                self.exit.set()
            case _:
                return json_reply(404, {"error": f"no route {request.method} {request.path}"})
        return json_reply(200, {"ok": True})

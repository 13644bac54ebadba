"""Stand-ins at the edges of the runtime: a gateway, a process and an uplink that do as they are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.lowlevel

from wasupervisor.config.loading import load
from wasupervisor.config.schema import Settings
from wasupervisor.gateways.base import Answer
from wasupervisor.model.observation import CloseLook, Look, ProbeResult, ProcessReading, Proof, Uplink, UplinkState
from wasupervisor.model.remedies import Outcome
from wasupervisor.model.sessions import Reason, Sighting, State
from wasupervisor.model.usage import Usage

GATEWAY = "gateway: {kind: waha, url: 'http://127.0.0.1:9', poll_every: 100ms, timeout: 2s}\n"


def working(name: str = "a") -> Sighting:
    return Sighting(name, State.WORKING, claim="WORKING", paired=True)


def failed(name: str = "a") -> Sighting:
    return Sighting(name, State.FAILED, Reason.UNEXPLAINED, claim="FAILED", paired=True)


def settings_in(folder: Path, more: str = "", gateway: str = GATEWAY) -> Settings:
    """Settings with every path below the folder."""
    return load(write_config(folder, more, gateway), {})


def write_config(folder: Path, more: str = "", gateway: str = GATEWAY) -> Path:
    file = folder / "config.yaml"
    file.write_text(
        f"{gateway}"
        f"health: {{listen: '127.0.0.1:0', file: {folder}/health.json}}\n"
        f"control: {{socket: {folder}/control.sock}}\n"
        f"state: {{directory: {folder}/state}}\n"
        f"uplink: null\n{more}"
    )
    return file


def stopped(name: str = "a") -> Sighting:
    return Sighting(name, State.STOPPED, Reason.STOPPED, claim="STOPPED")


class ScriptedGateway:
    """Answers at once, unless it is told to hold; what is set here is what it answers."""

    kind = "waha"
    restart_spacing = 0.0

    def __init__(self, *sightings: Sighting) -> None:
        self.sightings: tuple[Sighting, ...] | None = sightings
        self.others_working = True
        self.outcome = Outcome.ACCEPTED
        self.calls: list[tuple[str, str]] = []
        self.proof = Proof.ANSWERED
        self.probes: list[tuple[str, float]] = []
        self.looks = 0
        self.close_looks = 0
        self.closed = False
        self.read_anew_asked = 0
        self.during_look: Callable[[], Awaitable[None]] | None = None
        self.during_close_look: Callable[[], Awaitable[None]] | None = None
        self.during_call: Callable[[], Awaitable[None]] | None = None

    async def look(self) -> Look:
        self.looks += 1
        if self.during_look is not None:
            await self.during_look()
        return Look(reachable=True, sightings=self.sightings, version="2024.10.8")

    def read_anew(self) -> None:
        self.read_anew_asked += 1

    async def look_closely(self, session: str) -> CloseLook:
        self.close_looks += 1
        await anyio.lowlevel.checkpoint()
        if self.during_close_look is not None:
            await self.during_close_look()
        found = next((one for one in self.sightings or () if one.name == session), None)
        return CloseLook(sighting=found, others_working=self.others_working)

    async def start_session(self, session: str) -> Answer:
        return await self._act("start", session)

    async def restart_session(self, session: str) -> Answer:
        return await self._act("restart", session)

    async def park_session(self, session: str) -> Answer:
        return await self._act("stop", session)

    async def probe(self, session: str, timeout: float) -> ProbeResult:
        self.probes.append((session, timeout))
        return ProbeResult(session, self.proof, "told by the test")

    async def _act(self, verb: str, session: str) -> Answer:
        await anyio.lowlevel.checkpoint()
        self.calls.append((verb, session))
        if self.during_call is not None:
            await self.during_call()
        return Answer(self.outcome)

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.closed = True


class StillProcess:
    """A process that does nothing."""

    usage = Usage(threads=11)

    def __init__(self, *, hangs: bool = False) -> None:
        self.hangs = hangs
        self.surveys = 0

    async def read(self) -> ProcessReading:
        if self.hangs:
            await anyio.sleep_forever()
        return ProcessReading(exists=True, pid=4711, born=1.0, keeper="systemd waha.service")

    async def survey(self) -> None:
        self.surveys += 1


class ScriptedUplink:
    """Counts how often WhatsApp is asked."""

    def __init__(self, state: UplinkState = UplinkState.UP) -> None:
        self.state = state
        self.asked: list[float] = []
        self.error: Exception | None = None

    async def ask(self, max_age: float) -> Uplink:
        self.asked.append(max_age)
        if self.error is not None:
            raise self.error
        return Uplink(state=self.state)

"""`check`: looks, decides, and changes nothing."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from runtime_scenes import settings_in

from wasupervisor.config.schema import Settings
from wasupervisor.decide.memory import Memory, SessionMemory, dump
from wasupervisor.host.moments import boottime
from wasupervisor.model.health import Status
from wasupervisor.model.sessions import State
from wasupervisor.runtime import once as once_module
from wasupervisor.runtime.once import Once, look_once
from wasupervisor.runtime.state import open_state
from wasupervisor.simulator.faults import Failed
from wasupervisor.simulator.kinds import make_world
from wasupervisor.simulator.server import SimulatedGateway, serve
from wasupervisor.store.reader import Opened

pytestmark = pytest.mark.anyio


def settings_for(folder: Path, gateway: SimulatedGateway) -> Settings:
    settings = settings_in(folder, gateway=f"gateway: {{kind: waha, url: '{gateway.url}', timeout: 2s}}\n")
    (folder / "config.yaml").unlink()
    return settings


async def look(folder: Path, fault: Failed | None = None) -> tuple[Once, SimulatedGateway]:
    async with serve(make_world("waha", ["a", "b"])) as gateway:
        if fault is not None:
            gateway.apply(fault)
        return await look_once(settings_for(folder, gateway)), gateway


async def test_without_a_memory_what_looks_bad_is_judged_at_once_and_nothing_is_left_behind(tmp_path: Path) -> None:
    once, gateway = await look(tmp_path, Failed(session="a"))
    assert once.decision.health.status is Status.DEGRADED
    assert {one.name: str(one.condition) for one in once.decision.health.sessions} == {"a": "failing", "b": "healthy"}
    assert "no daemon has written any" in once.why_no_memory
    assert gateway.count("POST *") == 0
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_the_memory_of_a_daemon_is_decided_with(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    state = await open_state(settings, boottime)
    await state.store.save(
        dump(Memory(sessions={"old": SessionMemory(first_seen=0.0, state=State.WORKING, since=0.0)}))
    )
    await state.store.close()
    once, _gateway = await look(tmp_path)
    assert once.why_no_memory == ""
    assert "old" in {one.name for one in once.decision.health.sessions}


async def test_a_state_that_cannot_be_read_is_said_and_does_not_stop_the_look(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.db").write_bytes(b"no database" * 100)
    once, _gateway = await look(tmp_path)
    assert once.decision.health.status is Status.HEALTHY
    assert "state.db cannot be read" in once.why_no_memory


async def test_a_state_on_a_disk_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()

    def hang(_directory: Path) -> Opened:
        answers.wait(30)
        return Opened()

    monkeypatch.setattr(once_module, "read_state", hang)
    monkeypatch.setattr(once_module, "STATE_WITHIN", 0.05)
    once, _gateway = await look(tmp_path)
    answers.set()
    assert "did not answer within" in once.why_no_memory


async def test_a_gateway_that_is_not_there_is_told(tmp_path: Path) -> None:
    once = await look_once(settings_in(tmp_path))
    assert once.readings.look.reachable is False
    assert once.decision.health.status is not Status.HEALTHY

"""How the gateway process is restarted, from the settings to the performer, and readiness back from there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import anyio
import pytest
from runtime_scenes import ScriptedGateway, settings_in, working

from wasupervisor.host.maintenance import Window
from wasupervisor.host.moments import boottime
from wasupervisor.runtime.parts import Parts
from wasupervisor.runtime.performing import PROBE_TIMEOUT
from wasupervisor.runtime.restarting import DRAINING
from wasupervisor.runtime.state import open_state
from wasupervisor.runtime.systemd import Notifier
from wasupervisor.runtime.wiring import open_watch

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def parts(folder: Path, more: str = "") -> AsyncIterator[Parts]:
    settings = settings_in(folder, more)
    state = await open_state(settings, boottime)
    async with anyio.create_task_group() as tasks:
        watch = open_watch(settings, boottime)
        yield Parts.wire(settings, state, watch, clock=boottime, notifier=Notifier({}), dice=Random(1), tasks=tasks)
        tasks.cancel_scope.cancel()
    await state.store.close()


def kubelet(folder: Path) -> str:
    return f"recovery: {{restart_gateway: {{by: kubelet, file: {folder}/restart-wanted, drain: 7s}}}}\n"


async def test_without_a_way_there_are_no_hands(tmp_path: Path) -> None:
    async with parts(tmp_path) as it:
        assert it.performer.restart is None
        assert it.performer.probe_timeout == PROBE_TIMEOUT


async def test_the_way_and_the_probe_follow_the_settings(tmp_path: Path) -> None:
    async with parts(tmp_path, kubelet(tmp_path)) as it:
        assert it.performer.restart is not None
        assert (it.performer.restart._restarter.by, it.performer.restart._drain) == ("kubelet", 7.0)
        command = "recovery: {restart_gateway: {by: command, argv: [pm2, restart, waha]}}\n"
        it.use(settings_in(tmp_path, f"{command}sessions: {{probe: {{timeout: 4s}}}}\n"))
        assert it.performer.restart._restarter.by == "command"
        assert it.performer.probe_timeout == 4.0
        it.use(settings_in(tmp_path))
        assert it.performer.restart is None


async def test_the_maintenance_window_follows_the_settings(tmp_path: Path) -> None:
    always = "recovery: {maintenance: {hours: '00:00-23:59'}}\n"
    async with parts(tmp_path) as it:
        assert it.cycle.in_maintenance() is None
        it.use(settings_in(tmp_path, always))
        assert isinstance(it.cycle.in_maintenance, Window)
    async with parts(tmp_path, always) as it:
        assert isinstance(it.cycle.in_maintenance, Window)
        it.use(settings_in(tmp_path))
        assert it.cycle.in_maintenance() is None


async def test_at_our_start_no_kubelet_is_told_to_kill_what_an_earlier_run_wanted(tmp_path: Path) -> None:
    wanted = anyio.Path(tmp_path / "restart-wanted")
    await wanted.touch()
    async with parts(tmp_path, kubelet(tmp_path)):
        while await wanted.exists():  # the test's own time-out is the limit
            pass


class TestReadiness:
    """It is held back for as long as it is wanted, and then until the cycles can tell. First nobody answers."""

    async def turn(self, it: Parts) -> str:
        await it.cycle.turn()
        return it.publisher.document.ready_why

    def answer(self, it: Parts) -> None:
        it.cycle.watch.gateway = ScriptedGateway(working())

    async def test_it_is_held_back_whatever_the_cycles_find(self, tmp_path: Path) -> None:
        async with parts(tmp_path) as it:
            self.answer(it)
            it.publisher.hold(DRAINING)
            assert [await self.turn(it) for _ in range(5)] == [DRAINING] * 5
            assert not it.publisher.document.ready

    async def test_it_comes_back_with_the_first_look_that_the_gateway_answers(self, tmp_path: Path) -> None:
        async with parts(tmp_path) as it:
            it.publisher.hold(DRAINING)
            it.publisher.hold(None)
            assert await self.turn(it) == DRAINING
            self.answer(it)
            assert await self.turn(it) != DRAINING

    async def test_it_is_left_to_the_cycles_when_they_must_have_found_it_themselves(self, tmp_path: Path) -> None:
        async with parts(tmp_path) as it:
            it.publisher.hold(DRAINING)
            it.publisher.hold(None)
            told = [await self.turn(it) for _ in range(3)]
            assert told[:2] == [DRAINING] * 2
            assert told[2] != DRAINING
            assert not it.publisher.document.ready

    async def test_a_second_wish_is_not_ended_by_the_end_of_the_first(self, tmp_path: Path) -> None:
        async with parts(tmp_path) as it:
            self.answer(it)
            it.publisher.hold(DRAINING)
            it.publisher.hold(None)
            it.publisher.hold(DRAINING)
            assert await self.turn(it) == DRAINING

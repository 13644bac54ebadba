"""Probes beside the cycle: never twice at a time, never lost, never waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from runtime_scenes import ScriptedGateway, StillProcess

from wasupervisor.model.observation import ProbeResult, Proof
from wasupervisor.runtime.probing import AT_ONCE, Prober
from wasupervisor.runtime.watch import Watch

pytestmark = pytest.mark.anyio


class Probed(ScriptedGateway):
    """Holds each probe until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, float]] = []
        self.go = anyio.Event()
        self.error: Exception | None = None

    async def probe(self, session: str, timeout: float) -> ProbeResult:
        self.asked.append((session, timeout))
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return ProbeResult(session, Proof.MISSED, "no answer")


class Scene:
    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self.gateway = Probed()
        self.watch = Watch(self.gateway, StillProcess(), None, timeout=2.0, clock=lambda: 0.0)  # type: ignore[arg-type]
        self.prober = Prober(tasks, 7.0)

    async def start(self, *sessions: str) -> None:
        self.prober.start(sessions, self.watch)
        await anyio.wait_all_tasks_blocked()

    async def let_go(self) -> None:
        self.gateway.go.set()
        await anyio.wait_all_tasks_blocked()


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            yield Scene(tasks)


async def test_a_result_is_given_once_and_kept_when_it_is_put_back() -> None:
    async with scene() as it:
        await it.start("a", "b")
        assert it.prober.take() == ()
        await it.let_go()
        taken = it.prober.take()
        assert sorted(one.session for one in taken) == ["a", "b"]
        assert it.prober.take() == ()
        it.prober.put_back(taken)
        assert it.prober.take() == taken
        assert it.gateway.asked == [("a", 7.0), ("b", 7.0)]


async def test_a_session_is_not_asked_twice_at_a_time() -> None:
    async with scene() as it:
        await it.start("a")
        await it.start("a", "b")
        assert [name for name, _ in it.gateway.asked] == ["a", "b"]
        await it.let_go()
        await it.start("a")
        assert [name for name, _ in it.gateway.asked] == ["a", "b", "a"]


async def test_a_gateway_that_hangs_does_not_gather_probes_without_end() -> None:
    async with scene() as it:
        await it.start(*(f"s{at}" for at in range(AT_ONCE + 9)))
        assert len(it.gateway.asked) == AT_ONCE
        await it.let_go()


async def test_a_fault_of_our_own_proves_nothing() -> None:
    async with scene() as it:
        it.gateway.error = RuntimeError("boom")
        await it.start("a")
        await it.let_go()
        (result,) = it.prober.take()
        assert (result.proof, "boom" in result.detail) == (Proof.UNKNOWN, False)


async def test_a_stop_lets_them_go_and_begins_none() -> None:
    async with scene() as it:
        await it.start("a")
        it.prober.stop()
        await anyio.wait_all_tasks_blocked()
        await it.start("b")
        assert [name for name, _ in it.gateway.asked] == ["a"]
        assert it.prober.take() == ()

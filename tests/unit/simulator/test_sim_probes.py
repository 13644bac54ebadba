"""Our own adapters probe the simulated gateways: a lie about a session is found out, and an honest one is believed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from wasupervisor.gateways.base import Gateway, open_gateway
from wasupervisor.model.observation import Proof
from wasupervisor.model.sessions import Sighting, State
from wasupervisor.simulator import faults
from wasupervisor.simulator.happen import AnyWorld, apply
from wasupervisor.simulator.kinds import Kind, make_world
from wasupervisor.simulator.server import serve
from wasupervisor.simulator.timings import WahaTimings
from wasupervisor.simulator.waha_world import WahaWorld

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def watched(world: AnyWorld, clock: Callable[[], float] = lambda: 0.0) -> AsyncIterator[Gateway]:
    async with serve(world, api_key="key") as simulated:
        gateway = open_gateway(world.kind, simulated.url, "key", timeout=5.0, action_timeout=5.0, clock=clock)
        try:
            yield gateway
        finally:
            await gateway.aclose()


async def look(gateway: Gateway) -> dict[str, Sighting]:
    seen = (await gateway.look()).sightings
    assert seen is not None
    return {one.name: one for one in seen}


@pytest.mark.parametrize("kind", ["waha", "evolution"])
async def test_a_false_working_misses_and_the_other_session_answers(kind: Kind) -> None:
    world = make_world(kind, ["a", "b"])
    apply(world, faults.FalseWorking(session="a"))
    async with watched(world) as gateway:
        seen = await look(gateway)
        assert seen["a"].state is seen["b"].state is State.WORKING
        assert (await gateway.probe("a", 0.3)).proof is Proof.MISSED
        assert (await gateway.probe("b", 5.0)).proof is Proof.ANSWERED


async def test_evolution_answers_for_a_silent_socket_and_waha_does_not() -> None:
    for kind, proof in (("waha", Proof.MISSED), ("evolution", Proof.ANSWERED)):
        world = make_world(kind, ["a", "b"])  # type: ignore[arg-type]
        apply(world, faults.Silent(session="a"))
        async with watched(world) as gateway:
            await look(gateway)
            assert (await gateway.probe("a", 0.3)).proof is proof


@pytest.mark.parametrize("kind", ["waha", "evolution"])
async def test_activity_grows_with_each_message_that_is_really_heard(kind: Kind) -> None:
    epoch = 1.8e9
    world: AnyWorld = make_world(kind, ["a", "b"], epoch=epoch)
    if kind == "waha":
        world = WahaWorld(["a", "b"], timings=WahaTimings(), epoch=epoch, tells_activity=True)
    apply(world, faults.FalseWorking(session="b"))
    now = 0.0
    async with watched(world, lambda: now) as gateway:
        before = await look(gateway)
        now = 61.0  # Evolution's database is asked once a minute
        apply(world, faults.Heard(session="*"))
        after = await look(gateway)
    assert (after["a"].activity or 0) > (before["a"].activity or 0)
    assert after["b"].activity == before["b"].activity

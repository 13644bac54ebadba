"""What one turn costs: look, step, record, publish; on both gateways, for 1, 50 and 1,000 sessions."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

import anyio
import httpx
from bench_processes import Gateway, folder
from bench_table import milliseconds, ratio, table

from wasupervisor.config.loading import load
from wasupervisor.decide.step import step
from wasupervisor.host.moments import boottime
from wasupervisor.model.observation import Observation
from wasupervisor.runtime.parts import Parts
from wasupervisor.runtime.state import open_state
from wasupervisor.runtime.systemd import Notifier
from wasupervisor.runtime.wiring import open_watch

POLL_EVERY = 5.0
NO_TLS = httpx.create_ssl_context(verify=False)
WARM_UP = 12
"""Turns until every session is healthy and has been so for a while."""

GATEWAYS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("WAHA", "waha", ()),
    ("Evolution, /metrics", "evolution", ()),
    ("Evolution, one call each", "evolution", ("--no-metrics",)),
)


class Clock:
    """Goes on five seconds with each turn, so that what is done every minute is done every twelfth turn."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def __call__(self) -> float:
        return boottime() + self._skipped

    def skip(self) -> None:
        """The time between two turns."""
        self._skipped += POLL_EVERY


class Costs(NamedTuple):
    """CPU seconds of one turn and of its parts, and of the reference."""

    turn: float
    look: float
    step: float
    publish: float
    reference: float


def measure(seconds: float) -> Iterator[str]:
    """Measure each for about so long; gives what is to be printed."""
    rows = []
    for name, kind, options in GATEWAYS:
        for sessions in (1, 50, 1000):
            with Gateway(kind, sessions, *options) as gateway, folder() as place:
                costs = anyio.run(_costs, gateway, Path(place), seconds)
            rows.append(
                [
                    name,
                    f"{sessions:,}",
                    *map(milliseconds, costs[:4]),
                    milliseconds(costs.reference),
                    ratio(costs.turn, costs.reference),
                    f"{costs.turn * 3600 / POLL_EVERY:.1f}",
                ]
            )
    yield table(
        "One turn, nothing changed: CPU ms",
        ["", "sessions", "turn", "look", "step", "publish", "reference", "ratio", "s/h at 5 s"],
        rows,
        [
            "Reference: httpx asks for the list of all sessions, and json reads it; in the same process.",
            "As at a poll every 5 s, each turn connects anew (both gateways close after 5 s of idling).",
            "CPU of the whole process, its threads included. Turn follows turn, so caches are warm: one turn every 5 s",
            "costs about twice as much, see the footprint.",
        ],
    )


async def _costs(gateway: Gateway, place: Path, seconds: float) -> Costs:
    clock, costs = Clock(), []
    async with _parts(gateway, place, clock) as parts, anyio.create_task_group() as tasks:
        cycle, watch = parts.cycle, parts.cycle.watch

        async def turn() -> None:
            clock.skip()
            await cycle.turn()
            await watch.aclose()

        async def look() -> None:
            clock.skip()
            await watch.observe(ask_uplink=False, tasks=tasks)
            await watch.aclose()

        for _ in range(WARM_UP):
            await turn()
        readings = await watch.observe(ask_uplink=False, tasks=tasks)
        seen = Observation(look=readings.look, process=readings.process, uplink=readings.uplink)

        async def decide() -> None:
            step(cycle.memory, seen, parts.state.timeline.now(), 0.5, cycle.policy)

        decision = step(cycle.memory, seen, parts.state.timeline.now(), 0.5, cycle.policy)
        assert not decision.journal, decision.journal[:3]
        for work, share in (
            (turn, seconds),
            (look, seconds / 3),
            (decide, seconds / 3),
            (lambda: parts.publisher.publish(decision, readings), seconds / 3),
            (lambda: _reference(gateway), seconds / 3),
        ):
            costs.append(await _cpu(work, share))
    return Costs(*costs)


@asynccontextmanager
async def _parts(gateway: Gateway, place: Path, clock: Clock) -> AsyncIterator[Parts]:
    settings = load(gateway.config(place, f"{POLL_EVERY:g}s"), os.environ)
    state = await open_state(settings, clock)
    try:
        async with anyio.create_task_group() as tasks:
            watch = open_watch(settings, clock)
            yield Parts.wire(settings, state, watch, clock=clock, notifier=Notifier({}), dice=Random(1), tasks=tasks)
            await watch.aclose()
    finally:
        await state.store.close()


async def _reference(gateway: Gateway) -> None:
    async with httpx.AsyncClient(headers=[gateway.header], verify=NO_TLS, trust_env=False) as client:
        len(json.loads((await client.get(gateway.list_url, timeout=30.0)).content))


async def _cpu(work: Callable[[], Awaitable[None]], seconds: float) -> float:
    """CPU seconds of one run of the work, from as many as fit into the time, but five at the least."""
    await work()
    runs, began, cpu = 0, time.monotonic(), time.process_time()
    while runs < 5 or time.monotonic() - began < seconds:
        await work()
        runs += 1
    return (time.process_time() - cpu) / runs

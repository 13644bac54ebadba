"""One look without a daemon: what is there, and what would be done about it now."""

from __future__ import annotations

from typing import NamedTuple

import anyio
from anyio import to_thread
from msgspec.structs import replace

from wasupervisor.config.policy import policy_of
from wasupervisor.config.schema import Settings
from wasupervisor.decide.decision import Decision
from wasupervisor.decide.memory import Memory, load
from wasupervisor.decide.step import step
from wasupervisor.host.moments import boot_id, boottime, hour_of_week
from wasupervisor.model.observation import Observation
from wasupervisor.model.policy import Policy
from wasupervisor.model.sessions import State
from wasupervisor.runtime.watch import Readings
from wasupervisor.runtime.wiring import open_maintenance, open_watch
from wasupervisor.store.errors import StoreError
from wasupervisor.store.reader import read_state
from wasupervisor.store.timeline import Timeline

STATE_WITHIN = 5.0
"""Seconds for which the daemon's state is waited for."""


class Remembered(NamedTuple):
    """What a daemon left to decide with."""

    memory: Memory | None
    timeline: Timeline
    why_not: str = ""
    """Why there is no memory."""


class Once(NamedTuple):
    """What one look gave."""

    decision: Decision
    readings: Readings
    why_no_memory: str
    """Empty when the memory of a daemon was there to decide with."""


async def look_once(settings: Settings) -> Once:
    """Look and decide, with the memory of the daemon where it can be read; nothing is written and nothing done.

    Without a memory there is no 'how long', so that what looks bad is judged at once.

    Raises:
        ValueError: the gateway's address cannot be used.
    """
    watch = open_watch(settings, boottime)
    policy = policy_of(settings, watch.gateway.restart_spacing)
    try:
        async with anyio.create_task_group() as tasks:
            readings = await watch.observe(ask_uplink=False, tasks=tasks)
        readings = await watch.with_redis(readings)
        sightings = readings.look.sightings or ()
        if any(one.state is not State.WORKING for one in sightings):
            readings = readings._replace(uplink=await watch.uplink(0.0))
    finally:
        await watch.aclose()
    memory, timeline, why_not = await _remembered(settings)
    observation = Observation(
        look=readings.look,
        process=readings.process,
        uplink=readings.uplink,
        hour_of_week=hour_of_week(),
        in_maintenance=open_maintenance(settings)(),
        redis_ok=readings.redis.ok,
        mistyped=readings.redis.mistyped,
        lost=readings.redis.lost,
    )
    if memory is None:
        decision = step(Memory(), observation, timeline.now(), 0.0, _impatient(policy))
    else:
        decision = step(memory, observation, timeline.now(), 0.0, policy)
    return Once(decision, readings, why_not)


def _impatient(policy: Policy) -> Policy:
    return replace(policy, failing_samples=1, failing_after=0.0, startup_grace=0.0, stable_for=0.0)


async def _remembered(settings: Settings) -> Remembered:
    why_not = f"{settings.state.directory} did not answer within {STATE_WITHIN:g} s"
    with anyio.move_on_after(STATE_WITHIN):
        return await to_thread.run_sync(_read, settings, abandon_on_cancel=True)
    return Remembered(None, _new_timeline(), why_not)


def _read(settings: Settings) -> Remembered:
    try:
        opened = read_state(settings.state.directory)
        if opened.memory is None:
            return Remembered(None, _new_timeline(), f"no daemon has written any in {settings.state.directory}")
        return Remembered(load(opened.memory), Timeline.resume(opened.saved, boot_id(), boottime))
    except (OSError, StoreError, ValueError) as error:
        return Remembered(None, _new_timeline(), str(error))


def _new_timeline() -> Timeline:
    return Timeline.resume(None, boot_id(), boottime)

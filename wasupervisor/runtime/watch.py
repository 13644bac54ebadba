"""Everything that looks outside: the gateway, its process and Redis, the uplink. One value with all of it a cycle."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import anyio
from anyio.abc import TaskGroup
from msgspec.structs import replace

from wasupervisor.gateways.base import Gateway
from wasupervisor.host.process import ProcessWatch
from wasupervisor.host.uplink import UplinkWatch
from wasupervisor.model.observation import Look, ProcessReading, RedisReading, Trouble, Uplink, UplinkState
from wasupervisor.model.sessions import State
from wasupervisor.model.usage import Usage

if TYPE_CHECKING:
    from wasupervisor.keyspace.wanted import Known
    from wasupervisor.keyspace.watch import KeyspaceWatch
    from wasupervisor.runtime.backlog import Backlog, QueueWatch

log = logging.getLogger(__name__)

UPLINK_EVERY = 30.0
"""Seconds between two questions to WhatsApp while something is not well; none are asked otherwise."""

UPLINK_EVERY_WHILE_DOWN = 10.0
"""Seconds between two questions while it is down: patience with the sessions begins with the first good answer."""

UPLINK_STALE = 60.0
"""Seconds after which a reading of the uplink says nothing any more."""


CLOSE_WITHIN = 1.0
"""Seconds for saying goodbye to the gateway."""

TURN_MARGIN = 10.0
"""Seconds beyond two whole looks for which the next turn's is waited for: a disk that hangs costs 7."""


class Readings(NamedTuple):
    """What one cycle saw."""

    look: Look
    process: ProcessReading
    uplink: Uplink
    redis: RedisReading = RedisReading()
    keys: Known | None = None
    """More of Redis, for the health document; None: it is not watched."""
    backlog: Backlog | None = None
    """Of the job queues; None: none is watched, or they could not be read."""
    usage: Usage = Usage()
    """More of the gateway's process and of the host, for the health document."""


class Watch:
    """The eyes of the daemon."""

    def __init__(
        self,
        gateway: Gateway,
        process: ProcessWatch,
        uplink: UplinkWatch | None,
        *,
        timeout: float,
        clock: Callable[[], float],
        keys: KeyspaceWatch | None = None,
        queues: QueueWatch | None = None,
    ) -> None:
        """`keys` looks at the gateway's Redis, `queues` at its job queues, where they are configured."""
        self.gateway = gateway
        self.keys = keys
        self._queues = queues
        self._process = process
        self._uplink = uplink
        self._timeout = timeout
        self._clock = clock
        self._last_uplink: tuple[float, Uplink] | None = None
        self._asking = False
        self._begun = 0
        self._finished = 0
        """The number of the look that was finished last."""
        self._end_of_look = anyio.Event()
        self.last: Readings | None = None
        """What the last finished look saw."""

    async def observe(self, *, ask_uplink: bool, tasks: TaskGroup) -> Readings:
        """Look at everything. Takes no longer than `gateway.timeout`; what has not answered by then is unknown.

        Args:
            ask_uplink: whether something is not well, so that WhatsApp may be asked.
            tasks: where a question to the uplink runs on, for it must not delay the cycle.
        """
        self._begun += 1
        if ask_uplink and not self._asking and self._uplink_age() >= self._uplink_every():
            self._asking = True
            tasks.start_soon(self._ask_uplink, name="uplink")
        # What these have not told by the end of this look tells the next one.
        if self.keys is not None:
            tasks.start_soon(self.keys.look, name="redis")
        if self._queues is not None:
            tasks.start_soon(self._queues.look, name="queues")
        tasks.start_soon(self._process.survey, name="process")
        look = Look(reachable=False, trouble=Trouble.TIMED_OUT, detail=f"no answer within {self._timeout:g} s")
        process, usage = ProcessReading(detail="it could not be read in time"), Usage()
        with anyio.move_on_after(self._timeout):
            async with anyio.create_task_group() as both:

                async def read_process() -> None:
                    nonlocal process, usage
                    process = await self._process.read()
                    usage = self._process.usage

                both.start_soon(read_process)
                look = await self.gateway.look()
        if self.keys is not None and look.sightings is not None:
            know_sessions(self.keys, look)
        self.last, self._finished = self._readings(look, process)._replace(usage=usage), self._begun
        self._end_of_look.set()
        self._end_of_look = anyio.Event()
        return self.last

    def _readings(self, look: Look, process: ProcessReading) -> Readings:
        keys, uplink = self.keys, self._uplink_now()
        backlog = None if self._queues is None else self._queues.last
        if keys is None:
            return Readings(look, process, uplink, backlog=backlog)
        return Readings(look, process, uplink, keys.last, keys.known(), backlog)

    async def next(self) -> Readings | None:
        """Wait until a look is finished, whoever takes it."""
        await self._end_of_look.wait()
        return self.last

    async def anew(self, wake: Callable[[], None]) -> Readings | None:
        """What a look sees that begins from now on: the cycle's next, for the gateway is not to be asked twice.

        Args:
            wake: makes the next turn come at once.

        Returns:
            None when no turn was made in time.
        """
        asked = self._begun
        self.gateway.read_anew()
        with anyio.move_on_after(2 * self._timeout + TURN_MARGIN):
            while self._finished <= asked:
                wake()
                await self.next()
            return self.last
        return None

    async def with_uplink(self, readings: Readings) -> Readings:
        """The same with the uplink, when nobody asked for it lately: for an order, which has to be judged now."""
        if readings.uplink.state is not UplinkState.UNKNOWN:
            return readings
        with anyio.move_on_after(self._timeout):
            return readings._replace(uplink=await self.uplink(UPLINK_EVERY))
        return readings

    async def uplink(self, max_age: float) -> Uplink:
        """The uplink, asked anew when the last reading is older than `max_age` seconds."""
        if self._uplink is None:
            return Uplink()
        reading = await self._uplink.ask(max_age)
        self._last_uplink = self._clock() - reading.age_seconds, reading
        return reading

    async def with_redis(self, readings: Readings) -> Readings:
        """The same with Redis looked at after the sessions are known: their names tell their keys."""
        if self.keys is None:
            return readings
        await self.keys.look()
        return readings._replace(redis=self.keys.last, keys=self.keys.known())

    async def redis(self, max_age: float) -> RedisReading:
        """The gateway's Redis, looked at anew when the last reading is older than `max_age` seconds."""
        return RedisReading() if self.keys is None else await self.keys.reading(max_age)

    async def aclose(self) -> None:
        """Close all connections, also when cancelled; never raises and never waits for long."""
        for one in (self.gateway, *(() if self.keys is None else (self.keys,))):
            with anyio.move_on_after(CLOSE_WITHIN, shield=True):
                try:
                    await one.aclose()
                except Exception:
                    log.exception(
                        "the connections of %s could not be closed: a fault of wasupervisor", type(one).__name__
                    )

    async def _ask_uplink(self) -> None:
        try:
            await self.uplink(self._uplink_every())
        except Exception:
            log.exception("the uplink could not be asked: this is a fault of wasupervisor")
        finally:
            self._asking = False

    def _uplink_every(self) -> float:
        down = self._last_uplink is not None and self._last_uplink[1].state is UplinkState.DOWN
        return UPLINK_EVERY_WHILE_DOWN if down else UPLINK_EVERY

    def _uplink_age(self) -> float:
        if self._uplink is None:
            return 0.0
        return float("inf") if self._last_uplink is None else self._clock() - self._last_uplink[0]

    def _uplink_now(self) -> Uplink:
        age = self._uplink_age()
        if self._last_uplink is None or age > UPLINK_STALE:
            return Uplink()
        last = self._last_uplink[1]
        return replace(last, age_seconds=age)


def know_sessions(keys: KeyspaceWatch, look: Look) -> None:
    """Tell whose keys they are."""
    sightings = look.sightings or ()
    working = {one.name for one in sightings if one.state in (State.WORKING, State.STARTING)}
    keys.know(look.version, tuple((one.name, one.identity) for one in sightings), working)

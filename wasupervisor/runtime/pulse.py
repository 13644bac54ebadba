"""Decides when the next turn is due: at its cadence, or earlier when somebody wakes it."""

from __future__ import annotations

from collections.abc import Callable

import anyio

LEAST = 0.05
"""Seconds between the end of a turn and the next, however often somebody wakes us: the gateway is not to feel it."""


class Pulse:
    """A cadence by deadline, so that slow turns do not add up; a late one is not made up for."""

    def __init__(self, every: float, clock: Callable[[], float]) -> None:
        self.every = every
        self._clock = clock
        self._due = clock()
        self._event = anyio.Event()

    def wake(self) -> None:
        """Make the next turn come at once."""
        self._event.set()

    async def wait(self) -> None:
        """Wait for the next turn."""
        ended = self._clock()
        self._due = max(self._due + self.every, ended)
        with anyio.move_on_after(max(0.0, self._due - ended)):
            await self._event.wait()
            await anyio.sleep(max(0.0, ended + LEAST - self._clock()))
            self._due = self._clock()
        self._event = anyio.Event()

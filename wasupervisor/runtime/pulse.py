"""Decides when the next turn is due: at its cadence, or earlier when somebody wakes it."""

from __future__ import annotations

from collections.abc import Callable

import anyio


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
        self._due = max(self._due + self.every, self._clock())
        with anyio.move_on_after(max(0.0, self._due - self._clock())):
            await self._event.wait()
            self._due = self._clock()
        self._event = anyio.Event()

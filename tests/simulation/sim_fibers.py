"""Coroutines in virtual time: no event loop and no sleep; whoever waits is gone on with by the world's own timeline."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from wasupervisor.simulator.happen import AnyWorld
from wasupervisor.simulator.virtual import Pending

T = TypeVar("T")


class Stop(BaseException):
    """Raised in a coroutine that must end with everything that belongs to it: kill -9."""


class Fibers:
    """The coroutines of one process; they die together."""

    def __init__(self, world: AnyWorld, on_stop: Callable[[], None]) -> None:
        self.world = world
        self.alive = True
        self._on_stop = on_stop
        self._running: dict[Fiber[Any], None] = {}

    def start(self, work: Coroutine[Any, Any, T]) -> Fiber[T]:
        """Begin, at once."""
        fiber = Fiber(self, work)
        self._running[fiber] = None
        fiber.go_on()
        return fiber

    def ended(self, fiber: Fiber[Any]) -> None:
        """Let it go."""
        self._running.pop(fiber, None)

    def stop(self) -> None:
        """All end where they wait; no line of theirs runs any more."""
        self.alive = False
        fibers, self._running = list(self._running), {}
        for fiber in fibers:
            fiber.abandon()
        self._on_stop()


class Fiber(Generic[T]):
    """One coroutine."""

    def __init__(self, fibers: Fibers, work: Coroutine[Any, Any, T]) -> None:
        self.fibers = fibers
        self.result: Pending[T] = Pending()
        self._work = work
        self._busy = False

    def go_on(self) -> None:
        """Run until it waits or ends."""
        if not self.fibers.alive or self.result.done:
            return
        self._busy = True
        try:
            wait: Wait = self._work.send(None)
        except StopIteration as end:
            self._end(end.value)
        except Stop:
            self.fibers.stop()
        else:
            wait.arm(self)
        finally:
            self._busy = False

    def abandon(self) -> None:
        """Never go on."""
        self.fibers.ended(self)
        if not self.result.done:
            self.result.drop()
        if not self._busy:
            self._work.close()

    def _end(self, value: T) -> None:
        self.fibers.ended(self)
        self.result.finish(value)


class Wait:
    """Waits until a call has ended, for so many seconds at the most, or until a time of the world."""

    def __init__(
        self, world: AnyWorld, pending: Pending[Any], seconds: float | None = None, *, until: float | None = None
    ) -> None:
        self._world, self._pending, self._seconds, self._until = world, pending, seconds, until

    def __await__(self) -> Generator[Wait, None, bool]:
        if not self._pending.done:
            yield self
        return self._pending.done

    def arm(self, fiber: Fiber[Any]) -> None:
        """Go on with the fiber when it is time, once."""
        fired = False

        def fire() -> None:
            nonlocal fired
            if not fired:
                fired = True
                # Not from inside of what the gateway is just doing.
                self._world.later(0.0, fiber.go_on)

        self._pending.then(fire)
        if self._seconds is not None:
            self._world.later(self._seconds, fire)
        elif self._until is not None:
            self._world._timeline.add(self._until, fire, inside=False)


async def sleep(world: AnyWorld, seconds: float) -> None:
    """Let time pass."""
    await Wait(world, Pending(), seconds)

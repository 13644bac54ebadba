"""Virtual time: what will happen and when, and calls that take time. No clock is read; time is told from outside."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class Pending(Generic[T]):
    """A call under way: a gateway may take seconds to answer, and it may die before it does."""

    def __init__(self) -> None:
        self.done = False
        self.dropped = False
        """The connection broke without an answer."""
        self._value: list[T] = []
        self._then: list[Callable[[], None]] = []

    @classmethod
    def of(cls, value: T) -> Pending[T]:
        """An answer that is there at once."""
        pending = cls()
        pending.finish(value)
        return pending

    @property
    def value(self) -> T:
        """The answer; only when `done` and not `dropped`."""
        return self._value[0]

    def finish(self, value: T) -> None:
        """Answer. What was answered or dropped before stays so."""
        if not self.done:
            self._value.append(value)
            self._end()

    def drop(self) -> None:
        """Break the connection without an answer."""
        if not self.done:
            self.dropped = True
            self._end()

    def then(self, callback: Callable[[], None]) -> None:
        """Call back when it has ended, in either way; at once when it has already."""
        if self.done:
            callback()
        else:
            self._then.append(callback)

    def bind(self, follow: Callable[[T], Pending[U]]) -> Pending[U]:
        """What `follow` makes of the answer; dropped when this or that is dropped."""
        result: Pending[U] = Pending()

        def outer() -> None:
            if self.dropped:
                result.drop()
                return
            inner = follow(self.value)
            inner.then(lambda: result.drop() if inner.dropped else result.finish(inner.value))

        self.then(outer)
        return result

    def map(self, change: Callable[[T], U]) -> Pending[U]:
        """This call with its answer put in other words."""
        return self.bind(lambda value: Pending.of(change(value)))

    def _end(self) -> None:
        self.done = True
        callbacks, self._then = self._then, []
        for callback in callbacks:
            callback()


class Timeline:
    """A queue of events, each at its time. `held` stops those of the gateway process (SIGSTOP), not the others."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.held = False
        self._count = 0
        self._inside: list[tuple[float, int, Callable[[], None]]] = []
        self._outside: list[tuple[float, int, Callable[[], None]]] = []

    def add(self, at: float, action: Callable[[], None], *, inside: bool) -> None:
        """Do `action` at the time `at`; `inside`: it is a timer of the gateway process."""
        self._count += 1
        heapq.heappush(self._inside if inside else self._outside, (at, self._count, action))

    @property
    def next_at(self) -> float | None:
        """When the next event is due; None: nothing is under way."""
        heap = self._next()
        return heap[0][0] if heap else None

    def advance(self, now: float) -> None:
        """Let everything happen that is due until `now`, in order, each at its own time. Time never goes back."""
        while (heap := self._next()) and heap[0][0] <= now:
            at, _, action = heapq.heappop(heap)
            # A timer that was held by SIGSTOP fires late, not in the past.
            self.now = max(self.now, at)
            action()
        self.now = max(self.now, now)

    def _next(self) -> list[tuple[float, int, Callable[[], None]]]:
        """The queue whose head is the next event; empty: nothing is under way."""
        inside, outside = self._inside, self._outside
        if self.held or not inside:
            return outside
        return inside if not outside or inside[0][:2] < outside[0][:2] else outside

"""Orders of operators on their way to the next step, and the answers on their way back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import anyio
from msgspec.structs import replace

from wasupervisor.model.remedies import Order, Reply


class NoAnswerError(Exception):
    """The daemon stopped, or its cycle took too long, before the order was decided."""


class Inbox:
    """Takes orders at any time; the cycle empties it and hands in the replies."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._orders: list[Order] = []
        self._waiting: dict[str, tuple[anyio.Event, list[Reply]]] = {}
        self._count = 0

    async def put(self, order: Order, timeout: float) -> Reply:
        """Hand in an order and wait for its reply.

        Args:
            order: its id is given here.
            timeout: seconds.

        Raises:
            NoAnswerError: when no step has taken it within that time.
        """
        self._count += 1
        order = replace(order, id=f"o{self._count}")
        event, box = anyio.Event(), list[Reply]()
        self._waiting[order.id] = event, box
        self._orders.append(order)
        self._wake()
        try:
            with anyio.move_on_after(timeout):
                await event.wait()
        finally:
            self._waiting.pop(order.id, None)
            self._orders = [one for one in self._orders if one.id != order.id]
        if not box:
            raise NoAnswerError
        return box[0]

    def take(self) -> tuple[Order, ...]:
        """All orders that came since the last time."""
        taken, self._orders = tuple(self._orders), []
        return taken

    def answer(self, replies: Iterable[Reply]) -> None:
        """Give each reply to whoever waits for it."""
        for reply in replies:
            waiting = self._waiting.get(reply.order_id)
            if waiting is not None:
                waiting[1].append(reply)
                waiting[0].set()

"""Orders of operators on their way to the next step, and the answers on their way back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import anyio
from msgspec.structs import replace

from wasupervisor.model.remedies import Order, OrderKind, Reply


class NoAnswerError(Exception):
    """The order was not decided; the text says why."""


class _Waiting:
    """Somebody who waits for a reply."""

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.reply: Reply | None = None
        self.refusal = "the daemon did not come to it in time; look at `wasupervisor status` and try again"


class Inbox:
    """Takes orders at any time; the cycle empties it and hands in the replies."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._orders: list[Order] = []
        self._waiting: dict[str, _Waiting] = {}
        self._count = 0
        self._closed: str | None = None

    async def put(self, order: Order, timeout: float) -> Reply:
        """Hand in an order and wait for its reply.

        Args:
            order: its id is given here.
            timeout: seconds.

        Raises:
            NoAnswerError: it was not decided in time, or will never be.
        """
        if self._closed is not None:
            raise NoAnswerError(self._closed)
        self._count += 1
        order = replace(order, id=f"o{self._count}")
        waiting = self._waiting[order.id] = _Waiting()
        self._orders.append(order)
        self._wake()
        try:
            with anyio.move_on_after(timeout):
                await waiting.event.wait()
        finally:
            self._waiting.pop(order.id, None)
            self._orders = [one for one in self._orders if one.id != order.id]
        if waiting.reply is None:
            raise NoAnswerError(waiting.refusal)
        return waiting.reply

    @property
    def about_sessions(self) -> bool:
        """Whether an order waits that may restart a session, or all of them with the gateway."""
        return any(one.session is not None or one.kind is OrderKind.RESTART_GATEWAY for one in self._orders)

    def take(self) -> tuple[Order, ...]:
        """All orders that came since the last time."""
        taken, self._orders = tuple(self._orders), []
        return taken

    def answer(self, replies: Iterable[Reply]) -> None:
        """Give each reply to whoever waits for it."""
        for reply in replies:
            waiting = self._waiting.get(reply.order_id)
            if waiting is not None:
                waiting.reply = reply
                waiting.event.set()

    def refuse(self, orders: Iterable[Order], why: str) -> None:
        """Tell those who wait for these orders that they are not decided."""
        for order in orders:
            waiting = self._waiting.get(order.id)
            if waiting is not None:
                waiting.refusal = why
                waiting.event.set()

    def close(self, why: str) -> None:
        """Take no more orders, and refuse those that wait."""
        self._closed = why
        self.refuse(self.take(), why)

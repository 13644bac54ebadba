"""Every order gets exactly one answer, and never one that comes too late to be true."""

from __future__ import annotations

import anyio
import pytest

from wasupervisor.model.remedies import Order, OrderKind, Reply, Verdict
from wasupervisor.runtime.inbox import Inbox, NoAnswerError

pytestmark = pytest.mark.anyio


def order(kind: OrderKind = OrderKind.RESUME) -> Order:
    return Order(id="", kind=kind)


class Box:
    """An inbox and what became of the orders that were put into it."""

    def __init__(self) -> None:
        self.woken = 0
        self.inbox = Inbox(self._wake)
        self.replies: list[str] = []
        self.refusals: list[str] = []

    def _wake(self) -> None:
        self.woken += 1

    async def put(self, timeout: float = 30.0) -> None:
        try:
            self.replies.append((await self.inbox.put(order(), timeout)).text)
        except NoAnswerError as error:
            self.refusals.append(str(error))


def reply(to: Order, text: str) -> Reply:
    return Reply(order_id=to.id, verdict=Verdict.ACCEPTED, text=text)


async def test_each_order_wakes_the_cycle_and_gets_its_own_answer() -> None:
    box = Box()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(box.put)
        tasks.start_soon(box.put)
        await anyio.wait_all_tasks_blocked()
        first, second = box.inbox.take()
        assert box.woken == 2
        assert first.id != second.id
        box.inbox.answer([reply(second, "two"), reply(first, "one")])
    assert sorted(box.replies) == ["one", "two"]


async def test_an_order_that_nobody_took_in_time_is_never_carried_out_later() -> None:
    box = Box()
    await box.put(timeout=0.0)
    assert "did not come to it in time" in box.refusals[0]
    assert box.inbox.take() == ()


async def test_an_answer_to_somebody_who_is_gone_is_dropped() -> None:
    box = Box()
    box.inbox.answer([Reply(order_id="o9", verdict=Verdict.ACCEPTED, text="late")])
    assert box.replies == []


async def test_orders_of_a_step_that_failed_are_refused_at_once() -> None:
    box = Box()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(box.put)
        await anyio.wait_all_tasks_blocked()
        box.inbox.refuse(box.inbox.take(), "a fault")
    assert box.refusals == ["a fault"]


async def test_orders_at_a_stop_are_refused_those_that_wait_and_those_that_come() -> None:
    box = Box()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(box.put)
        await anyio.wait_all_tasks_blocked()
        box.inbox.close("the daemon is stopping")
        tasks.start_soon(box.put)
    assert box.refusals == ["the daemon is stopping"] * 2
    assert box.inbox.take() == ()


@pytest.mark.parametrize(
    ("waiting", "about"),
    [
        (Order(id="", kind=OrderKind.RESTART, session="a"), True),
        (Order(id="", kind=OrderKind.RESTART_GATEWAY), True),
        (Order(id="", kind=OrderKind.PAUSE), False),
    ],
)
async def test_what_may_restart_sessions_has_the_uplink_asked(waiting: Order, about: bool) -> None:
    inbox = Inbox(lambda: None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(inbox.put, waiting, 30.0)
        await anyio.wait_all_tasks_blocked()
        assert inbox.about_sessions is about
        tasks.cancel_scope.cancel()

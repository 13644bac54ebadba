"""Something asynchronous for a command, run so that nothing can keep the command from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


def run_apart(work: Callable[[], Awaitable[T]]) -> T:
    """Run it in a thread of its own: the end of a loop waits for a DNS that hangs, and the caller does not.

    Raises:
        Whatever it raises.
    """
    box: queue.SimpleQueue[tuple[T] | BaseException] = queue.SimpleQueue()

    async def tell() -> None:
        box.put((await work(),))

    def run() -> None:
        try:
            anyio.run(tell)
        except BaseException as error:
            box.put(error)

    threading.Thread(target=run, daemon=True).start()
    found = box.get()
    if isinstance(found, BaseException):
        raise found
    return found[0]

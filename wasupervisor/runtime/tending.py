"""Keeps work alive that may have faults of its own: they are told once, and none of them ends the daemon."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import anyio

log = logging.getLogger(__name__)

AGAIN_AFTER = 1.0
"""Seconds between the failure of side work and its next beginning."""


class Mishaps:
    """Failures of one kind of work: the first of a row is told with its traceback, and then how the row ended."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._known: tuple[type[BaseException], str, int] | None = None
        self.in_a_row = 0

    def failed(self, error: Exception) -> bool:
        """Take note of a failure. Gives whether it is another one than before, and so was told."""
        self.in_a_row += 1
        kind = _kind_of(error)
        if kind == self._known:
            return False
        self._known = kind
        log.error("%s failed: this is a fault of wasupervisor, please report it", self._what, exc_info=error)
        return True

    def went_well(self) -> None:
        """Take note that the work was done."""
        if self.in_a_row:
            log.warning("%s goes well again, after %d failures", self._what, self.in_a_row)
        self.in_a_row, self._known = 0, None


async def tend(what: str, work: Callable[[], Awaitable[None]], *, again_after: float = AGAIN_AFTER) -> None:
    """Do the work until it ends; when it fails, tell it and begin again after so many seconds."""
    mishaps = Mishaps(what)
    while True:
        try:
            await work()
        except Exception as error:
            mishaps.failed(error)
        else:
            return
        await anyio.sleep(again_after)


async def attempt(what: str, work: Awaitable[object]) -> None:
    """Do the work once; when it fails, tell it and go on."""
    try:
        await work
    except Exception as error:
        Mishaps(what).failed(error)


def _kind_of(error: BaseException) -> tuple[type[BaseException], str, int]:
    """What it is and where it was raised: equal for the same fault, whatever its words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    trace, place = error.__traceback__, ("", 0)
    while trace is not None:
        place, trace = (trace.tb_frame.f_code.co_filename, trace.tb_lineno), trace.tb_next
    return type(error), *place

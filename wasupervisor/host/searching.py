"""Looks at /proc that take long, away from the event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import move_on_after, to_thread

from wasupervisor.host.found import Missing

T = TypeVar("T")

SECONDS = 5.0
"""How long one look may take."""


class Searcher:
    """One look at a time: /proc can stand still (the arguments of a process whose memory is locked)."""

    def __init__(self) -> None:
        self._busy = False

    async def run(self, look: Callable[[], T]) -> T | Missing:
        """The look's result, or why there is none. What the look raises is raised."""
        if self._busy:
            return Missing("an earlier look through /proc has not come back: some process there is stuck")

        def work() -> T:
            self._busy = True
            try:
                return look()
            finally:
                self._busy = False

        with move_on_after(SECONDS):
            return await to_thread.run_sync(work, abandon_on_cancel=True)
        return Missing(f"looking through /proc took longer than {SECONDS:g} s")

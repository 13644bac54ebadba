"""The dead man's switch: a URL that is pinged while turns finish, so that somebody else notices when none does."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from wasupervisor.config.secret import Secret
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.runtime.posting import call, shown

EVERY = 60.0
"""Seconds from one ping to the next, at the least."""


class DeadMan:
    """Pings only when a turn has finished since the last ping. Nobody waits for it."""

    def __init__(self, note: Callable[[Entry], None]) -> None:
        self._note = note
        self._url: str | None = None
        self._beaten = anyio.Event()
        self._failing = False

    def use(self, url: Secret | None) -> None:
        """Ping this from now on; None: nobody."""
        self._url = None if url is None else url.reveal()

    def beat(self) -> None:
        """A turn has finished."""
        if self._url is not None:  # or the first ping after a reload would be late
            self._beaten.set()

    async def run(self) -> None:
        """Ping for ever."""
        while True:
            await self._beaten.wait()
            self._beaten = anyio.Event()
            if self._url is not None:
                await self._ping(self._url)
            await anyio.sleep(EVERY)

    async def _ping(self, url: str) -> None:
        sent = await call("GET", url)
        if sent.ok is self._failing:
            self._failing = not sent.ok
            text = f"the dead man's switch at {shown(url)}"
            text += " is pinged again" if sent.ok else f" could not be pinged: {sent.text}; it is tried again"
            self._note(Entry(kind=EntryKind.ALERT, text=text, warn=self._failing))

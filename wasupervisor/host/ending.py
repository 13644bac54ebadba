"""Ends a frozen gateway and what it started: CONT, TERM, a wait, KILL.

A SIGSTOPped process takes no TERM, so that who only sends one waits for ever.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import anyio

from wasupervisor.host import proc
from wasupervisor.host.handles import Handle, hold

log = logging.getLogger(__name__)

TERM_WITHIN = 30.0
"""Seconds from TERM to KILL. WAHA takes 3, and 20 in a handshake; with a query to WhatsApp in flight it takes 118, and
that is not waited for (2024.10.8)."""

KILL_WITHIN = 10.0
"""Seconds that a killed process has to be gone; one that waits for a dead disk is not."""

TICK = 0.05


class Ended(NamedTuple):
    """What became of it."""

    gone: bool
    text: str
    """What was done, for the journal."""


class Ending:
    """Ends one process tree. Cancelled while it waits, it kills: a gateway half stopped is started by nobody."""

    def __init__(self, *, term_within: float = TERM_WITHIN, kill_within: float = KILL_WITHIN) -> None:
        self._term_within = term_within
        self._kill_within = kill_within

    async def end(self, root: Handle) -> Ended:
        """End it, however it is."""
        with _holding(root) as descendants:
            asked = _wake([root, *descendants()])
            _send(root, signal.SIGTERM)
            log.warning("the gateway's process %d gets TERM, and %g s", root.pid, self._term_within)
            try:
                await _gone([root], self._term_within)
            except anyio.get_cancelled_exc_class():
                _kill(root, descendants())
                raise
            if root.ended:
                return Ended(True, f"{asked} ended it")
            return await self._kill(root, descendants(), asked)

    async def _kill(self, root: Handle, children: list[Handle], asked: str) -> Ended:
        with_it = _kill(root, children)
        log.warning("the gateway's process %d was killed, with %d of its children", root.pid, with_it)
        text = f"{asked} did not end it within {self._term_within:g} s (a query to WhatsApp in flight holds WAHA for "
        text += f"118 s), so that it was killed{_and_children(with_it)}"
        with anyio.CancelScope(shield=True):  # the start that follows must not meet the old one
            await _gone([root, *children], self._kill_within)
        if root.ended:
            return Ended(True, text)
        return Ended(False, f"{text}, and is still there {self._kill_within:g} s later (state {root.state})")


@contextmanager
def _holding(root: Handle) -> Iterator[Callable[[], list[Handle]]]:
    """Gives all descendants that were ever seen, looked for anew at each call; lets them go in the end.

    WAHA's Chromium is in a session of its own and outlives its parent (2024.10.8, WEBJS): it has to be known before.
    """
    held: dict[tuple[int, float], Handle] = {}

    def descendants() -> list[Handle]:
        with suppress(OSError):  # we lack descriptors, say: those that are known have to do
            top = None if root.ended else proc.stat(root.pid)
            for one in proc.tree(top) if top is not None else ():
                if one.pid != root.pid and one.identity not in held and (child := hold(*one.identity)) is not None:
                    held[one.identity] = child
        return list(held.values())

    try:
        yield descendants
    finally:
        for one in held.values():
            one.close()


def _wake(tree: list[Handle]) -> str:
    """CONT for all that is stopped: a child that stays so would be waited for by its parent. Gives what they get."""
    woken = [one for one in tree if one.stopped and _send(one, signal.SIGCONT)]
    return "CONT and TERM" if woken else "TERM"


def _kill(root: Handle, children: list[Handle]) -> int:
    """Kill it and then its children, so that it starts no new ones meanwhile. Returns how many were left of these."""
    _send(root, signal.SIGKILL)
    return sum(_send(one, signal.SIGKILL) for one in children if not one.ended)


def _send(one: Handle, number: int) -> bool:
    try:
        return one.send(number)
    except PermissionError:  # it became another user's
        return False


async def _gone(handles: list[Handle], seconds: float) -> None:
    """Wait until all have ended, for so long."""
    with anyio.move_on_after(seconds):
        while not all(one.ended for one in handles):  # noqa: ASYNC110 - others' processes tell us nothing
            await anyio.sleep(TICK)


def _and_children(number: int) -> str:
    return f" with {number} {'process' if number == 1 else 'processes'} that it had started" if number else ""

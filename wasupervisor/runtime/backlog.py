"""Watches the job queues: how deep they are, read beside each cycle, which never waits for it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import anyio

from wasupervisor.config.schema import Queue
from wasupervisor.keyspace.connection import Servers
from wasupervisor.keyspace.trouble import KeyspaceError
from wasupervisor.queue.depth import Depth, Totals, depths, warnings

log = logging.getLogger(__name__)

LOOK_WITHIN = 4.0
"""Seconds for one look."""


class Backlog(NamedTuple):
    """What the last look gave."""

    totals: Totals
    queues: tuple[Depth, ...]
    warnings: tuple[str, ...]
    """What is beyond its threshold, a sentence each."""


class QueueWatch:
    """Remembers the last look; what could not be read is not known."""

    def __init__(self, servers: Callable[[], Awaitable[Servers]], queue: Queue, *, wall: Callable[[], float]) -> None:
        """Nothing is asked yet.

        Args:
            servers: the way to Redis.
            queue: which queues, and from where on they are worth a word.
            wall: seconds since the epoch.
        """
        self.last: Backlog | None = None
        self._servers = servers
        self._queue = queue
        self._wall = wall
        self._looking = False
        self._why_not = ""

    async def look(self) -> None:
        """One look; `last` has what came of it. Never raises; at once when one is under way."""
        if self._looking:
            return
        self._looking = True
        found = None
        try:
            with anyio.move_on_after(LOOK_WITHIN):
                found = await self._read()
            self._why_not = ""
        except KeyspaceError as error:
            # That Redis does not answer tells the watch of its keys.
            level = logging.WARNING if error.answers and str(error) != self._why_not else logging.DEBUG
            log.log(level, "the queues could not be read: %s", error)
            self._why_not = str(error)
        except Exception:
            log.exception("the queues could not be read: this is a fault of wasupervisor")
        finally:
            self._looking = False
        self.last = found

    async def _read(self) -> Backlog:
        queue, servers = self._queue, await self._servers()
        found = await depths(queue.names, queue.prefix, servers.node_of, self._wall())
        return Backlog(Totals.of(found), found, warnings(found, queue.warn))

"""Performs probes beside the cycle, which never waits for one."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import anyio
from anyio.abc import TaskGroup

from wasupervisor.model.observation import ProbeResult, Proof
from wasupervisor.runtime.watch import Watch

log = logging.getLogger(__name__)

AT_ONCE = 50
"""Probes under way at the most; each has a connection of its own."""


class Prober:
    """Runs each probe in a task of its own and keeps its result for the next step."""

    def __init__(self, tasks: TaskGroup, timeout: float) -> None:
        self._tasks = tasks
        self._results: list[ProbeResult] = []
        self._under_way: dict[str, anyio.CancelScope] = {}
        self._stopping = False
        self.timeout = timeout
        """Seconds until a probe that is not answered is missed."""

    def start(self, sessions: Iterable[str], watch: Watch) -> None:
        """Probe these. One that is still being probed is not asked twice at a time."""
        for session in sessions:
            if self._stopping or session in self._under_way or len(self._under_way) >= AT_ONCE:
                continue
            self._under_way[session] = anyio.CancelScope()
            self._tasks.start_soon(self._probe, session, watch, name=f"probe {session}")

    def take(self) -> tuple[ProbeResult, ...]:
        """The results since the last time."""
        taken, self._results = tuple(self._results), []
        return taken

    def put_back(self, results: Iterable[ProbeResult]) -> None:
        """Keep results for the next step, for this one failed."""
        self._results[:0] = results

    def stop(self) -> None:
        """Begin none any more and let those under way go: nobody waits for their answers."""
        self._stopping = True
        for scope in self._under_way.values():
            scope.cancel()

    async def _probe(self, session: str, watch: Watch) -> None:
        try:
            with self._under_way[session]:
                result = await watch.gateway.probe(session, self.timeout)
                log.debug("probe of %s: %s", session, result.proof)
                self._results.append(result)
        except Exception:
            log.exception("the probe of %s failed: this is a fault of wasupervisor", session)
            self._results.append(ProbeResult(session, Proof.UNKNOWN, "a fault of wasupervisor's own, see its log"))
        finally:
            del self._under_way[session]

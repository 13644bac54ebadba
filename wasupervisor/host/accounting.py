"""What the gateway and its host have and use, put together from looks, surveys and the container engine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wasupervisor.host import browsers, pressure, proc
from wasupervisor.host.browsers import Orphans
from wasupervisor.host.meter import Measures, Meter
from wasupervisor.host.moments import Clock
from wasupervisor.host.proc import Stat
from wasupervisor.host.survey import Survey
from wasupervisor.model.usage import Host, Usage

if TYPE_CHECKING:
    from wasupervisor.host.containers import ContainerSearch

log = logging.getLogger(__name__)

_MOST_NAMED = 8


class Accounting:
    """Keeps the last account."""

    def __init__(self, *, clock: Clock, own_folder: Path | None, containers: ContainerSearch | None) -> None:
        """`containers`: what the engine tells, where it is asked."""
        self._survey = Survey(clock=clock, own_folder=own_folder)
        self._containers = containers
        self._orphans = Orphans(clock)
        self._measured: Measures | None = None
        self._surveying = False
        self._told: tuple[int, tuple[str, ...]] | None = None
        self.last = Usage()

    @property
    def keeper(self) -> str | None:
        """The engine, where it brings the gateway back."""
        return None if self._containers is None else self._containers.keeper

    @property
    def oom_killed(self) -> bool | None:
        """What the engine says of it."""
        container = None if self._containers is None else self._containers.container
        return None if container is None else container.oom_killed

    def measure(self, meter: Meter, root: Stat) -> Measures:
        """Look at the living gateway.

        Raises:
            OSError: something could not be read.
        """
        if self._containers is not None:
            meter.limits = self._containers.limits
        same = self._measured is not None and self._measured.tree[0].identity == root.identity
        shared = self._survey.last.shared if same else None
        meter.unshared = 1.0 if shared is None else shared.pss / shared.rss
        self._measured = measures = meter.read(root)
        orphans = self._orphans.seen(measures.tree)
        self.last = Usage(
            threads=measures.threads,
            open_files=proc.open_files(measures.main.pid),
            open_files_limit=proc.open_files_limit(measures.main.pid),
            children=measures.living - 1,
            orphans=tuple(one.pid for one in orphans),
            pss_bytes=None if shared is None else shared.pss,
            browsers=browsers.told(measures.tree, self._survey.last.sessions),
            pressure=measures.pressure,
            host=self._host(with_gateway=same),
            container=None if self._containers is None else self._containers.container,
            notes=self._notes(orphans),
        )
        return measures

    def none(self, exists: bool | None) -> None:
        """There is no gateway to look at. `exists`: False when it is gone, None when nothing is known."""
        if exists is False:
            self._measured = None
        orphans = self._orphans.seen(()) if exists is False else ()
        self.last = Usage(
            orphans=tuple(one.pid for one in orphans),
            host=self._host(with_gateway=False),
            container=None if self._containers is None else self._containers.container,
            notes=self._notes(orphans),
        )

    async def survey(self) -> None:
        """Look at what is dear or slow, if it is due. Never raises."""
        if self._surveying:
            return
        self._surveying = True
        try:
            if self._containers is not None and self._measured is not None:
                await self._containers.refresh()
            if (measured := self._measured) is not None:
                before = self._survey.last
                await self._survey.run(measured.tree, measured.main)
                if self._survey.last is not before:
                    self._orphans.add(self._survey.last.abandoned)
                    self._tell(measured.tree[0].pid)
        except Exception:  # whatever it is, it says nothing about the gateway
            log.debug("the gateway's process could not be surveyed", exc_info=True)
        finally:
            self._surveying = False

    def _host(self, *, with_gateway: bool) -> Host:
        surveyed = self._survey.last
        return Host(
            memory_available_bytes=pressure.memory_available(),
            disk_free_bytes=surveyed.disk_free,
            gateway_disk_free_bytes=surveyed.gateway_disk_free if with_gateway else None,
            pressure=pressure.of_host(),
        )

    def _notes(self, orphans: Sequence[Stat]) -> tuple[str, ...]:
        notes = []
        if self._containers is not None and self._containers.trouble and self._measured is not None:
            notes.append(f"The container of the gateway: {self._containers.trouble}")
        if orphans:
            named = ", ".join(f"{one.pid} ({one.comm})" for one in orphans[:_MOST_NAMED])
            more = " and more" if len(orphans) > _MOST_NAMED else ""
            notes.append(
                f"An earlier run of the gateway left processes behind that still run and use memory: {named}{more}; "
                "end them with kill when no other program needs them"
            )
        return tuple(notes)

    def _tell(self, pid: int) -> None:
        """What stays unknown, once for each process."""
        told = (pid, self._survey.last.unreadable)
        if told != self._told and told[1]:
            log.info(
                "of the gateway's process %d our user may not see %s: that stays unknown; "
                "a supervisor that runs as the gateway's user sees it",
                pid,
                ", ".join(told[1]),
            )
        self._told = told

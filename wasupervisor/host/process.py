"""The gateway's process: whether it lives, since when, and what it and its descendants use."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from wasupervisor.host import proc
from wasupervisor.host.accounting import Accounting
from wasupervisor.host.cgroups import Cgroups
from wasupervisor.host.finding import Finder
from wasupervisor.host.found import Absence, Find, Found
from wasupervisor.host.keeper import KeeperSearch
from wasupervisor.host.last_end import LastEnd
from wasupervisor.host.meter import Meter
from wasupervisor.host.moments import Clock, boottime, wall_time_of
from wasupervisor.host.proc import Stat
from wasupervisor.host.searching import Searcher
from wasupervisor.host.units import full_name
from wasupervisor.model.observation import ProcessReading
from wasupervisor.model.usage import Usage

log = logging.getLogger(__name__)


class _Known(NamedTuple):
    """The process that was found."""

    found: Found
    meter: Meter
    started: float


class ProcessWatch:
    """Watches one gateway's process. Not for two readers at once."""

    def __init__(
        self,
        find: Find,
        *,
        clock: Clock = boottime,
        memory_restart: int | None = None,
        own_folder: Path | None = None,
        systemctl_command: str = "systemctl",
    ) -> None:
        """Nothing is looked at yet.

        Args:
            find: how the process is found.
            clock: `moments.boottime`, or what runs alongside it.
            memory_restart: `process.memory.restart` in bytes: what memory is a share of, where its own control group
                has no limit.
            own_folder: where the supervisor keeps its state; None: its disk is not looked at.
            systemctl_command: the program that is asked about units.
        """
        self._clock = clock
        self._by_port = find.by_port
        self._memory_restart = memory_restart
        self._groups = Cgroups.mounted()
        searcher = Searcher()
        self._finder = Finder(
            find, searcher=searcher, groups=self._groups, clock=clock, systemctl_command=systemctl_command
        )
        self._keepers = KeeperSearch(
            searcher=searcher, groups=self._groups, clock=clock, systemctl_command=systemctl_command
        )
        self._accounting = Accounting(clock=clock, own_folder=own_folder, containers=self._finder.containers)
        unit = None if find.systemd_unit is None else full_name(find.systemd_unit)
        self._last_end = LastEnd(unit, systemctl_command=systemctl_command)
        self._known: _Known | None = None
        self._seen_before = False
        self._told: tuple[bool | None, str | None, str] | None = None

    @property
    def usage(self) -> Usage:
        """What the last reading gave beside, for a person."""
        return self._accounting.last

    async def survey(self) -> None:
        """Look at what is dear or slow, if it is due: beside the readings, the next of which will know. Never raises.

        One at a time; another returns at once.
        """
        await self._accounting.survey()

    async def read(self) -> ProcessReading:
        """Look now. Costs less than a millisecond while the process lives, and a search in a thread when it does not.

        Never raises: what could not be read is None, with the reason in `detail`.
        """
        try:
            reading = await self._look()
            if reading.exists is not True:
                self._accounting.none(reading.exists)
        except Exception as error:  # whatever it is, it says nothing about the gateway
            log.debug("the gateway's process could not be read", exc_info=True)
            reading = ProcessReading(detail=f"the gateway's process could not be read: {error}")
            self._accounting.last = Usage()
        self._tell(reading)
        return reading

    async def _look(self) -> ProcessReading:
        known, process = self._known, self._alive()
        if known is not None and process is not None and known.found.still():
            return await self._measured(known, process)
        found = await self._finder.find(seen_before=self._seen_before)
        if isinstance(found, Found):
            return await self._measured(self._take(found), found.process)
        if known is not None and process is not None and found.absence is not Absence.UNKNOWN:
            # It closed its port, or removed its pid file, and is not yet gone (WAHA's shutdown takes up to 20 s).
            return await self._measured(known, process, found.text)
        gone = found.absence is Absence.CERTAIN or (found.absence is Absence.NOT_SEEN and self._seen_before)
        if gone and self._seen_before:
            await self._last_end.look()
        return ProcessReading(
            exists=False if gone else None,
            by_port=self._by_port,
            oom_killed=self._oom_killed,
            detail=found.text,
        )

    def _alive(self) -> Stat | None:
        """The known process as it is now; None when it is gone, or another one got its number."""
        if self._known is None:
            return None
        now = proc.stat(self._known.found.process.pid)
        if now is None or now.dead or now.identity != self._known.found.process.identity:
            self._known = None
            return None
        return now

    def _take(self, found: Found) -> _Known:
        same = self._known is not None and self._known.found.process.identity == found.process.identity
        if same and self._known is not None:
            self._known = self._known._replace(found=found)
        else:
            meter = Meter(found.process, clock=self._clock, groups=self._groups, memory_restart=self._memory_restart)
            self._known = _Known(found, meter, wall_time_of(found.process.born))
            log.info("the gateway's process is %d (%s)", found.process.pid, found.how)
        self._seen_before = True
        return self._known

    async def _measured(self, known: _Known, process: Stat, detail: str = "") -> ProcessReading:
        measures = self._accounting.measure(known.meter, process)
        keeper = self._accounting.keeper or await self._keepers.of(process)
        self._last_end.lives(keeper)
        return ProcessReading(
            exists=True,
            pid=process.pid,
            started=known.started,
            born=process.born,
            cpu_percent=measures.cpu_percent,
            loop_percent=measures.loop_percent,
            stopped=measures.stopped,
            rss_bytes=measures.rss_bytes,
            memory_bytes=measures.memory_bytes,
            memory_percent=measures.memory_percent,
            limit_bytes=measures.limit_bytes,
            processes=measures.living,
            programs=measures.programs,
            oom_kills=measures.oom_kills,
            oom_kills_above=measures.oom_kills_above,
            oom_killed=self._oom_killed,
            keeper=keeper,
            detail=detail,
        )

    @property
    def _oom_killed(self) -> bool | None:
        """Of the last end, by the container engine or by systemd, whichever runs it."""
        by_engine = self._accounting.oom_killed
        return self._last_end.oom_killed if by_engine is None else by_engine

    def _tell(self, reading: ProcessReading) -> None:
        """On change only."""
        told = (reading.exists, reading.run, reading.detail)
        if told != self._told and reading.detail:
            word = "gone" if reading.exists is False else "not known" if reading.exists is None else "there"
            log.info("the gateway's process is %s: %s", word, reading.detail)
        self._told = told

"""Which process is the gateway: by port, pid file, systemd unit, container or command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from wasupervisor.host import proc, programs, units
from wasupervisor.host.cgroups import Cgroups
from wasupervisor.host.found import Absence, Find, Found, Missing, several
from wasupervisor.host.moments import Clock, wall_time_of
from wasupervisor.host.ports import PortSearch, local_endpoint
from wasupervisor.host.proc import Stat
from wasupervisor.host.searching import Searcher
from wasupervisor.host.units import UnitSearch

if TYPE_CHECKING:
    from wasupervisor.host.containers import ContainerSearch

# A pid file is written after its process began. The slack is for coarse file times.
_PID_FILE_SLACK = 5.0


class Finder:
    """Looks for the gateway's process."""

    def __init__(
        self, find: Find, *, searcher: Searcher, groups: Cgroups, clock: Clock, systemctl_command: str
    ) -> None:
        self._find = find
        self._groups = groups
        self._ports = PortSearch(clock)
        self._unit = (
            UnitSearch(find.systemd_unit, clock=clock, systemctl_command=systemctl_command)
            if find.systemd_unit is not None
            else None
        )
        self._searcher = searcher
        self.containers = _containers(find.docker, clock) if find.docker is not None else None
        """What the container engine tells; None: it is not asked."""

    async def find(self, *, seen_before: bool) -> Found | Missing:
        """Look now. `seen_before`: one was found this way earlier, so that seeing none says that it is gone.

        Raises:
            OSError: when this process lacks what it needs to look (such as file descriptors); nothing is known then.
        """
        if self.containers is not None:
            return await self.containers.find(seen_before=seen_before)
        if self._unit is None:
            return await self._searcher.run(lambda: self._search(seen_before=seen_before))
        unit = self._unit
        tops = await self._searcher.run(lambda: units.in_group(self._groups, unit.unit))
        return tops if isinstance(tops, Missing) else await unit.conclude(tops, seen_before=seen_before)

    def _search(self, *, seen_before: bool) -> Found | Missing:
        find = self._find
        if find.pid_file is not None:
            return by_pid_file(find.pid_file)
        if find.command_line is not None:
            return by_command_line(find.command_line)
        local = local_endpoint(find.url)
        if find.port is not None:
            return self._ports.find(local[0] if local else "localhost", find.port, seen_before=seen_before)
        if local is None:
            return Missing("the gateway's URL does not lead to this machine: its process is not watched")
        return self._ports.find(*local, seen_before=seen_before)


def _containers(container: str, clock: Clock) -> ContainerSearch:
    # Only loaded where it is wanted.
    from wasupervisor.host.containers import ContainerSearch  # noqa: PLC0415

    return ContainerSearch(container, clock=clock)


def by_pid_file(path: Path) -> Found | Missing:
    """The process that a file names, unless the file is older than it: then its number was given to another."""
    try:
        before = path.stat()
        words = path.read_text(encoding="ascii", errors="replace")[:64].split()
    except FileNotFoundError:
        return Missing(f"the pid file {path} does not exist", Absence.NOT_SEEN)
    except OSError as error:
        return Missing(f"the pid file {path} cannot be read: {error.strerror}")
    if not words or not words[0].isdecimal() or not 0 < int(words[0]) < 1 << 22:
        return Missing(f"the pid file {path} does not begin with the number of a process")
    pid = int(words[0])
    process = proc.stat(pid)
    if process is None or process.dead:
        if proc.hidden(pid):
            return Missing(f"process {pid} of the pid file {path} is hidden from our user (hidepid, ProtectProc)")
        return Missing(f"process {pid} of the pid file {path} does not exist", Absence.NOT_SEEN)
    if wall_time_of(process.born) > before.st_mtime + _PID_FILE_SLACK:
        return Missing(
            f"the pid file {path} is older than process {pid}, which is therefore another one than it means "
            "(or the clock was set since)"
        )
    return Found(process, f"pid file {path}", lambda: _same_file(path, before))


def _same_file(path: Path, before: os.stat_result) -> bool:
    try:
        now = path.stat()
    except OSError:
        return False
    return (now.st_dev, now.st_ino, now.st_mtime_ns) == (before.st_dev, before.st_ino, before.st_mtime_ns)


def by_command_line(part: str) -> Found | Missing:
    """The one process whose arguments, joined by blanks, contain a text; of a parent and its child the parent."""
    us = proc.stat(os.getpid())
    not_it = {us.pid, *(above.pid for above in proc.ancestors(us))} if us is not None else set()
    matching = [pid for pid in proc.pids() if pid not in not_it and part in " ".join(proc.command_line(pid))]
    tops = [one for one in proc.roots(matching) if not _is_other(one)]
    if not tops:
        return Missing(f"no process has {part!r} in its command line", Absence.NOT_SEEN)
    if len(tops) > 1:
        return several(tops, f"have {part!r} in their command line")
    return Found(tops[0], f"command line {part!r}")


def _is_other(process: Stat) -> bool:
    """What has the gateway's command or name among its arguments and is not the gateway."""
    return process.comm in (*programs.CLIENTS, *programs.FORWARDERS) or programs.named(process, programs.OURSELVES)

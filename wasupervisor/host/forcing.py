"""`recovery.restart_gateway.force`: a gateway that its command could not stop is ended by us, and started by it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import anyio
from msgspec.structs import replace

from wasupervisor.host import proc, systemctl
from wasupervisor.host.cgroups import Cgroups
from wasupervisor.host.ending import Ending
from wasupervisor.host.found import Missing
from wasupervisor.host.handles import Handle, hold
from wasupervisor.host.keeper import parent_of
from wasupervisor.host.proc import Stat
from wasupervisor.host.restarter import Restarted, Restarter
from wasupervisor.host.searching import Searcher
from wasupervisor.model.remedies import Outcome

START_WITHIN = 5.0
"""Seconds for beginning the command when we are being stopped ourselves; it ends without us."""


class Old(NamedTuple):
    """The run of the gateway that is to be replaced."""

    pid: int
    born: float
    """Its start on CLOCK_BOOTTIME."""
    hung: bool
    """Its API has not answered for too long."""


class Force:
    """Restarts through a command, and sees to it that the old process does not stand in its way.

    | the old process | |
    |---|---|
    | is not known, or has ended | only the command |
    | is run by systemd, PM2, another keeper or a container | only the command: its manager signals it |
    | is another user's | only the command |
    | is stopped (state T), or hung | CONT, TERM, a wait, KILL; then the command, in every case |
    | is well | the command; where that fails and it is still there: the same, and the command once more |
    """

    def __init__(self, ending: Ending | None = None, *, systemctl_command: str = "systemctl") -> None:
        self._ending = ending or Ending()
        self._systemctl = systemctl_command
        self._searcher = Searcher()

    async def restart(self, restarter: Restarter, old: Old | None) -> Restarted:
        """Stop the old process in any case, and start a new one."""
        handle = None if old is None else hold(old.pid, old.born)
        if old is None or handle is None:
            return await restarter.restart()
        try:
            against = await self._objection(handle)
            if against is not None:
                return _with(f"its process was not signalled by us, for {against}", await restarter.restart())
            if handle.stopped:
                return await self._ended_first(restarter, handle, "its process was stopped (state T)")
            if old.hung:
                return await self._ended_first(restarter, handle, "its process hung")
            done = await restarter.restart()
            if done.outcome is Outcome.ACCEPTED or handle.ended:
                return done
            return await self._ended_first(restarter, handle, f"{done.detail}; its process was still there")
        finally:
            handle.close()

    async def _ended_first(self, restarter: Restarter, handle: Handle, why: str) -> Restarted:
        try:
            ended = await self._ending.end(handle)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(START_WITHIN, shield=True):
                await restarter.restart()
            raise
        return _with(f"{why}: {ended.text}", await restarter.restart())

    async def _objection(self, handle: Handle) -> str | None:
        """Why the process is not ours to signal; None: it is."""
        try:
            handle.send(0)
        except PermissionError:
            return "it is another user's"
        process = proc.stat(handle.pid)
        return None if process is None else await self._managed(process)

    async def _managed(self, process: Stat) -> str | None:
        """Who else signals it. In doubt somebody does: a second kill on top does harm."""
        if _is_elsewhere(process.pid):
            return "it runs in a container"
        try:
            parent = await self._searcher.run(lambda: parent_of(process, Cgroups.mounted()))
        except OSError:  # it is gone
            return None
        if isinstance(parent, Missing):
            return f"who runs it could not be told ({parent.text})"
        if parent.keeper is not None:
            return f"{parent.keeper} runs it"
        if parent.unit is None:
            return None
        # What cron or a login started is in their unit, and is not its main process.
        answer = await systemctl.show(parent.unit, "MainPID", command=self._systemctl)
        of_unit = answer is None or answer.get("MainPID") == str(parent.top)
        return f"it is in the unit {parent.unit}, which systemd signals" if of_unit else None


def _is_elsewhere(pid: int) -> bool:
    """Whether it has a process namespace other than ours, as in a container."""
    try:
        return Path(f"/proc/{pid}/ns/pid").readlink() != Path("/proc/self/ns/pid").readlink()
    except OSError:
        return False


def _with(text: str, done: Restarted) -> Restarted:
    return replace(done, detail=f"{text}; then {done.detail}")

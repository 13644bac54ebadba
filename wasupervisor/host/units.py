"""The process of a systemd unit: from the unit's control group, for which nobody has to be asked."""

from __future__ import annotations

from wasupervisor.host import cgroups, proc, programs, systemctl
from wasupervisor.host.cgroups import Cgroups
from wasupervisor.host.found import DOCKER, Absence, Found, Missing
from wasupervisor.host.moments import Clock
from wasupervisor.host.proc import Stat

_ASK_AGAIN = 30.0
_DOWN = ("inactive", "failed", "activating", "deactivating")


def full_name(unit: str) -> str:
    """`waha` means `waha.service`, as for systemctl."""
    return unit if "." in unit else f"{unit}.service"


def in_group(groups: Cgroups, unit: str) -> list[Stat]:
    """The root-most processes in the unit's group, the oldest first; empty when it runs none that we may see."""
    for folder in groups.unit_folders(unit):
        if tops := proc.roots(cgroups.members(folder)):
            return tops
    return []


class UnitSearch:
    """Asks systemd where the group does not tell, and not often: each question is a process and a D-Bus call."""

    def __init__(self, unit: str, *, clock: Clock, systemctl_command: str) -> None:
        self._unit = full_name(unit)
        self._clock = clock
        self._command = systemctl_command
        self._said: tuple[float, Missing] | None = None
        self._by_group = False
        """Whether its control group was ever seen to hold a process: then an empty one tells."""

    @property
    def unit(self) -> str:
        """With its suffix."""
        return self._unit

    async def conclude(self, tops: list[Stat], *, seen_before: bool) -> Found | Missing:
        """From what its group holds."""
        self._by_group = self._by_group or bool(tops)
        if len(tops) == 1:
            self._said = None
            return self._checked(tops[0])
        if not tops and seen_before and self._by_group:
            return Missing(f"{self._unit} runs no process", Absence.NOT_SEEN)
        said = await self._ask()
        if isinstance(said, Missing) and tops:
            return self._checked(tops[0])
        return said

    async def _ask(self) -> Found | Missing:
        if self._said is not None and self._clock() - self._said[0] < _ASK_AGAIN:
            return self._said[1]
        answer = await systemctl.show(self._unit, "LoadState", "ActiveState", "MainPID", command=self._command)
        said = self._judge(answer)
        self._said = (self._clock(), said) if isinstance(said, Missing) else None
        return said

    def _judge(self, answer: dict[str, str] | None) -> Found | Missing:
        if answer is None:
            return Missing(f"no control group of {self._unit} is to be seen here, and systemd does not answer")
        load, active = answer.get("LoadState", ""), answer.get("ActiveState", "")
        if load != "loaded":
            return Missing(f"systemd has no unit {self._unit} ({load or 'no LoadState'})")
        number = answer.get("MainPID", "")
        pid = int(number) if number.isdigit() else 0
        if pid == 0:
            return Missing(
                f"systemd says that {self._unit} is {active}, without a main process",
                Absence.CERTAIN if active in _DOWN else Absence.UNKNOWN,
            )
        process = proc.stat(pid)
        if process is not None and not process.dead:
            return self._checked(process)
        if proc.hidden(pid):
            return Missing(f"process {pid} of {self._unit} is hidden from our user (hidepid, ProtectProc)")
        return Missing(f"process {pid} of {self._unit} has just ended", Absence.NOT_SEEN)

    def _checked(self, process: Stat) -> Found | Missing:
        if process.comm in programs.CLIENTS:
            return Missing(f"{self._unit} only waits for a container ({process.comm}, pid {process.pid}): use {DOCKER}")
        return Found(process, self._unit)

"""Who brings the gateway back when it dies. Named only when that is known: a canary may cost the process its life."""

from __future__ import annotations

from typing import NamedTuple

from wasupervisor.host import proc, programs, systemctl
from wasupervisor.host.cgroups import Cgroups
from wasupervisor.host.found import Missing
from wasupervisor.host.moments import Clock
from wasupervisor.host.proc import Stat
from wasupervisor.host.searching import Searcher

_ASK_AGAIN = 60.0
# By the program's name: they restart what they run unless told otherwise.
_KEEPERS = {"supervisord": "supervisord", "s6-supervise": "s6", "runsv": "runit", "supervise": "daemontools"}
# systemd.service(5), table of exit causes: only these two bring back what ended with an exit code other than 0,
# and a WAHA that a session's restart kills ends with code 7 (2024.10.8).
_RESTARTS = ("always", "on-failure")


class Parent(NamedTuple):
    """Who started the gateway, wrappers such as npm or sh left out."""

    keeper: str | None
    """Known by its name."""
    top: int
    """The pid of the gateway, or of the outermost of its wrappers."""
    unit: str | None
    """The system service whose process `top` is, when systemd started it."""


def parent_of(process: Stat, groups: Cgroups) -> Parent:
    """Climb from the gateway to what is no wrapper. May block on a frozen process.

    Raises:
        OSError: it is gone.
    """
    top = process
    for above in proc.ancestors(process):
        if programs.is_pm2(above):
            return Parent("PM2", top.pid, None)
        if above.pid == 1 or not programs.named(above, programs.WRAPPERS):
            keeper = next((called for name, called in _KEEPERS.items() if programs.named(above, (name,))), None)
            # What cron or sshd started stays in their service, which does not bring it back.
            by_systemd = keeper is None and (above.pid == 1 or above.comm == "systemd")
            return Parent(keeper, top.pid, unit_of(groups.groups_of(top.pid).unit_path) if by_systemd else None)
        top = above
    return Parent(None, top.pid, None)


def unit_of(path: str) -> str | None:
    """The system service in whose control group something runs: `/system.slice/waha.service`.

    None for sessions, scopes (containers), the root, and the services of a user's own systemd, which is not asked.
    """
    services = [part for part in path.split("/") if part.endswith(".service")]
    if not services or ".scope" in path or services[0].startswith("user@"):
        return None
    return services[-1]


class KeeperSearch:
    """Asks once for each process; again when its parent changed, or when systemd did not answer."""

    def __init__(self, *, searcher: Searcher, groups: Cgroups, clock: Clock, systemctl_command: str) -> None:
        self._searcher = searcher
        self._groups = groups
        self._clock = clock
        self._command = systemctl_command
        self._known: tuple[tuple[int, float, int], str | None] | None = None
        self._ask_again_at = 0.0

    async def of(self, process: Stat) -> str | None:
        """The keeper's name for a person, `systemd waha.service`; None: nobody that we know of.

        Raises:
            OSError: the process is gone.
        """
        key = (*process.identity, process.ppid)
        if self._known is None or self._known[0] != key or self._clock() >= self._ask_again_at:
            keeper, answered = await self._look(process)
            self._known = (key, keeper)
            self._ask_again_at = float("inf") if answered else self._clock() + _ASK_AGAIN
        return self._known[1]

    async def _look(self, process: Stat) -> tuple[str | None, bool]:
        """The keeper, and whether that is final."""
        parent = await self._searcher.run(lambda: parent_of(process, self._groups))
        if isinstance(parent, Missing):
            return None, False
        if parent.unit is None:
            return parent.keeper, True
        answer = await systemctl.show(parent.unit, "MainPID", "Restart", command=self._command)
        if answer is None:
            return None, False
        keeps = answer.get("MainPID") == str(parent.top) and answer.get("Restart") in _RESTARTS
        return f"systemd {parent.unit}" if keeps else None, True

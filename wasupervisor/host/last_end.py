"""How the gateway's systemd unit ended, as systemd tells it until it starts the unit again."""

from __future__ import annotations

from wasupervisor.host import systemctl

_OOM_KILL = "oom-kill"
"""Of a service's `Result`: the kernel killed one of its processes for want of memory, and OOMPolicy stopped the rest.

systemd removes the unit's control group then, and with it the counter of OOM kills.
"""

_MOST = 3
"""Questions after one end: a unit that is still stopping says `success`."""


class LastEnd:
    """Asks only while the process is gone, for a start makes systemd forget (RestartSec is the time for it)."""

    def __init__(self, unit: str | None, *, systemctl_command: str) -> None:
        """`unit`: with its suffix; None: not known, unless it is its keeper."""
        self._unit = unit
        self._command = systemctl_command
        self._asked = 0
        self.oom_killed: bool | None = None
        """Whether it was for want of memory, until it runs again. None: it was not seen to be told."""

    def lives(self, keeper: str | None) -> None:
        """The process is there. `keeper`: who brings it back, `systemd waha.service`."""
        self._asked = 0
        if keeper is not None and keeper.startswith("systemd "):
            self._unit = keeper.removeprefix("systemd ")
        if self.oom_killed:
            self.oom_killed = False

    async def look(self) -> None:
        """The process is gone."""
        if self._unit is None or self.oom_killed or self._asked >= _MOST:
            return
        self._asked += 1
        answer = await systemctl.show(self._unit, "Result", command=self._command)
        result = (answer or {}).get("Result", "")
        if result == _OOM_KILL:
            self.oom_killed = True
        elif result not in ("", "success"):
            self._asked = _MOST

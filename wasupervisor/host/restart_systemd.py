"""Restarts the gateway's unit. Only systemd signals its processes: it knows them all, and starts them in every case.

Its TERM is followed by a CONT, so that a stopped process ends too (systemd.kill(5)); after TimeoutStopSec comes KILL.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping

from wasupervisor.host import systemctl
from wasupervisor.host.restarter import Restarted
from wasupervisor.host.running import Ran, one_line, run
from wasupervisor.host.units import full_name
from wasupervisor.model.remedies import Outcome

LONGEST = 180.0
"""Seconds for which systemd is waited for at the most. Its own limits end the restart: TimeoutStopSec, then SIGKILL,
and TimeoutStartSec; whoever waits no longer for it changes nothing of that."""

BESIDES = 15.0
"""Seconds for what systemd does beside the stop and the start."""

STOP = 30.0
"""Seconds that a gateway needs to stop: WAHA takes 3, 20 in a handshake, and 118 with a query to WhatsApp in flight
(2024.10.8)."""

KEY = "recovery.restart_gateway.unit"

SCRIPT, OF_PACKAGE = "packaging/systemd/install.sh", "/usr/share/wasupervisor/install.sh"
"""What installs the polkit rule: in a checkout, and where the Debian package brought it along."""

_POLKIT = "let our user do it: {script} --allow-restart {unit} installs the polkit rule"
# What systemctl says (systemctl(1), exit status; systemd 252), and what a person should do about it.
_ADVICE = (
    ("not found", f"correct {KEY}"),
    ("masked", "unmask the unit"),
    ("Access denied", _POLKIT),
    ("authentication required", _POLKIT),
    ("Failed to connect to bus", "systemd or its D-Bus is not to be reached from here; by: command may be the way"),
    ("not been booted with systemd", "by: command may be the way"),
    ("attempted too often", "it ends soon after each start: see its log with journalctl -u"),
    ("Job for", "see its log with journalctl -u"),
)
# systemd.time(7), as systemd writes them.
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SPAN = re.compile(r"([\d.]+)(us|ms|s|min|h|d|w)")


class SystemdRestarter:
    """Asks systemd, as an unprivileged user through polkit."""

    by: str = "systemd"
    wanted_for: float = 0.0

    def __init__(
        self,
        unit: str,
        *,
        longest: float = LONGEST,
        command: str = "systemctl",
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._unit = full_name(unit)
        self._longest = longest
        self._command = command
        # What it says is read by us.
        self._environ = {**environ, "LC_ALL": "C.UTF-8"}

    async def restart(self) -> Restarted:
        """Wait for systemd's job; at the deadline only systemctl is ended, and systemd goes on with the job."""
        argv = (self._command, "restart", "--no-ask-password", "--", self._unit)
        stop, start = await self._limits()
        seconds = min(self._longest, stop + start + BESIDES)
        try:
            ran = await run(argv, seconds=seconds, environ=self._environ)
        except OSError as error:
            why = error.strerror or type(error).__name__
            return Restarted(Outcome.REFUSED, f"systemctl cannot be run: {why}; by: command may be the way")
        return self._judged(ran, stop, seconds)

    async def settle(self) -> None:
        """Nothing is left behind."""

    async def _limits(self) -> tuple[float, float]:
        """Seconds that the unit may take to stop and to start; without an end where systemd does not tell."""
        told = await systemctl.show(self._unit, "TimeoutStopUSec", "TimeoutStartUSec", command=self._command) or {}
        return seconds_of(told.get("TimeoutStopUSec", "")), seconds_of(told.get("TimeoutStartUSec", ""))

    def _judged(self, ran: Ran, stop: float, seconds: float) -> Restarted:
        if ran.status == 0:
            short = f"; it had {stop:g} s to stop, and WAHA needs {STOP:g}: set TimeoutStopSec" if stop < STOP else ""
            return Restarted(Outcome.ACCEPTED, f"systemd restarted {self._unit}{short}{_beside(ran)}")
        if ran.status is None:
            text = f"systemd has not restarted {self._unit} within {seconds:g} s; it goes on with it"
            return Restarted(Outcome.TIMED_OUT, f"{text}{_beside(ran)}")
        said = one_line(ran.said).rstrip(".") or f"systemctl ended with status {ran.status}"
        advice = next((words for piece, words in _ADVICE if piece in said), "")
        advice = advice.format(unit=self._unit, script=script_here())
        text = f"systemd did not restart {self._unit}: {said}"
        return Restarted(Outcome.REFUSED, f"{text}; {advice}" if advice else text)


def _beside(ran: Ran) -> str:
    """What systemctl had to say all the same, such as that the unit's file was changed."""
    said = one_line(ran.said)
    return f" ({said})" if said else ""


def script_here() -> str:
    """What installs the polkit rule on this host."""
    return OF_PACKAGE if os.path.exists(OF_PACKAGE) else SCRIPT  # noqa: PTH110


def seconds_of(span: str) -> float:
    """What systemd writes as `1min 30s`; `infinity`, and what cannot be read, is without an end."""
    pieces = _SPAN.findall(span)
    if " ".join(map("".join, pieces)) != span or not pieces:
        return math.inf
    return sum(float(number) * _UNITS[unit] for number, unit in pieces)

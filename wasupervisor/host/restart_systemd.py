"""Restarts the gateway's unit. Only systemd signals its processes: it knows them all, and starts them in every case."""

from __future__ import annotations

import os
from collections.abc import Mapping

from wasupervisor.host.restarter import Restarted
from wasupervisor.host.running import Ran, one_line, run
from wasupervisor.host.units import full_name
from wasupervisor.model.remedies import Outcome

DEADLINE = 150.0
"""Seconds for which systemd is waited for. Its own limits end the restart earlier: 90 s to stop, then SIGKILL, and 90
to start, where the unit does not say otherwise; and WAHA's TERM takes up to 118 s (2024.10.8)."""

KEY = "recovery.restart_gateway.unit"

_POLKIT = "let polkit allow our user org.freedesktop.systemd1.manage-units for this unit"
# What systemctl says (systemctl(1), exit status; systemd 252), and what a person should do about it.
_ADVICE = (
    ("not found", f"correct {KEY}"),
    ("masked", "unmask the unit"),
    ("Access denied", _POLKIT),
    ("authentication required", _POLKIT),
    ("Failed to connect to bus", "systemd or its D-Bus is not to be reached from here; by: command may be the way"),
    ("not been booted with systemd", "by: command may be the way"),
    ("Job for", "see its log with journalctl -u"),
)


class SystemdRestarter:
    """Asks systemd, as an unprivileged user through polkit."""

    by: str = "systemd"
    wanted_for: float = 0.0

    def __init__(
        self,
        unit: str,
        *,
        deadline: float = DEADLINE,
        command: str = "systemctl",
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._unit = full_name(unit)
        self._deadline = deadline
        self._argv = (command, "restart", "--no-ask-password", "--", self._unit)
        self._environ = environ

    async def restart(self) -> Restarted:
        """Wait for systemd's job; at the deadline only systemctl is ended, and systemd goes on with the job."""
        try:
            ran = await run(self._argv, seconds=self._deadline, environ=self._environ)
        except OSError as error:
            why = error.strerror or type(error).__name__
            return Restarted(Outcome.REFUSED, f"systemctl cannot be run: {why}; by: command may be the way")
        return self._judged(ran)

    async def settle(self) -> None:
        """Nothing is left behind."""

    def _judged(self, ran: Ran) -> Restarted:
        if ran.status == 0:
            return Restarted(Outcome.ACCEPTED, f"systemd restarted {self._unit}")
        if ran.status is None:
            text = f"systemd has not restarted {self._unit} within {self._deadline:g} s; it goes on with it"
            return Restarted(Outcome.TIMED_OUT, text)
        said = one_line(ran.said).rstrip(".") or f"systemctl ended with status {ran.status}"
        advice = next((words for piece, words in _ADVICE if piece in said), "")
        text = f"systemd did not restart {self._unit}: {said}"
        return Restarted(Outcome.REFUSED, f"{text}; {advice}" if advice else text)

"""Restarts the gateway with a command of the operator's: `pm2 restart waha`, `docker compose restart`, anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePath

from wasupervisor.host.restarter import Restarted
from wasupervisor.host.running import last_line, run
from wasupervisor.model.remedies import Outcome

DEADLINE = 120.0
"""Seconds for the whole command: WAHA needs 30 to stop (2024.10.8), and what restarts it may wait until it answers."""

KEY = "recovery.restart_gateway.argv"


class CommandRestarter:
    """Runs an argument list, without a shell."""

    by: str = "command"
    wanted_for: float = 0.0

    def __init__(
        self, argv: tuple[str, ...], *, deadline: float = DEADLINE, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._argv = argv
        self._deadline = deadline
        self._environ = environ

    async def restart(self) -> Restarted:
        """Run it to its end; at its deadline it is killed with its group."""
        name = PurePath(self._argv[0]).name
        try:
            ran = await run(self._argv, seconds=self._deadline, environ=self._environ)
        except OSError as error:
            why = error.strerror or type(error).__name__
            return Restarted(Outcome.REFUSED, f"{name} cannot be run: {why}; correct {KEY}")
        except ValueError:  # a NUL among the arguments
            return Restarted(Outcome.REFUSED, f"{name} cannot be run: an argument is not usable; correct {KEY}")
        if ran.status == 0:
            return Restarted(Outcome.ACCEPTED, _told(f"{name} ended well", ran.said))
        if ran.status is None:
            text = f"{name} did not end within {self._deadline:g} s and was killed with what it started"
            return Restarted(Outcome.TIMED_OUT, _told(text, ran.said))
        how = f"was ended by signal {-ran.status}" if ran.status < 0 else f"ended with status {ran.status}"
        return Restarted(Outcome.REFUSED, _told(f"{name} {how}", ran.said))

    async def settle(self) -> None:
        """Nothing is left behind."""


def _told(text: str, output: str) -> str:
    said = last_line(output)
    return f"{text}: {said}" if said else text

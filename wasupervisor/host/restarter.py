"""Restarts the gateway process through whatever runs it."""

from __future__ import annotations

from typing import Protocol

from wasupervisor.model.remedies import Outcome
from wasupervisor.model.value import Value


class Restarted(Value, frozen=True):
    """How a restart was carried out. Whether it helped is observed, not told."""

    outcome: Outcome
    """ACCEPTED, REFUSED, TIMED_OUT, or UNREACHABLE when it was certainly not made."""
    detail: str = ""
    """One line for a person; no secret in it."""


class Restarter(Protocol):
    """One way to restart the gateway. Never raises."""

    by: str
    """systemd, docker, command or kubelet."""

    async def restart(self) -> Restarted:
        """Stop the gateway gracefully and start it again, in every case."""
        ...

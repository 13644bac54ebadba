"""Restarts the gateway process through whatever runs it."""

from __future__ import annotations

from pathlib import Path
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
    """One way to restart the gateway. Never raises, and ends within minutes."""

    by: str
    """systemd, docker, command or kubelet."""
    wanted_for: float
    """Seconds for which what `restart` left behind may wait for a new process; 0: when it returns, all is done."""

    async def restart(self) -> Restarted:
        """Stop the gateway gracefully and start it again, in every case.

        Cancelled, it leaves what it has begun alone: half a restart is worse than one that nobody waits for.
        """
        ...

    async def settle(self) -> None:
        """Want no restart any more: a new process was seen, or none came in time, or we have just begun."""
        ...


def open_restarter(
    by: str, *, unit: str | None, container: str | None, argv: tuple[str, ...], file: Path | None
) -> Restarter:
    """Give the way that `recovery.restart_gateway` names. Nothing is done yet.

    Raises:
        ValueError: what it needs is not given, which the configuration does not let through.
    """
    # Only the one that is configured is loaded.
    if by == "systemd" and unit is not None:
        from wasupervisor.host.restart_systemd import SystemdRestarter  # noqa: PLC0415

        return SystemdRestarter(unit)
    if by == "docker" and container is not None:
        from wasupervisor.host.restart_docker import DockerRestarter  # noqa: PLC0415

        return DockerRestarter(container)
    if by == "command" and argv:
        from wasupervisor.host.restart_command import CommandRestarter  # noqa: PLC0415

        return CommandRestarter(argv)
    if by == "kubelet" and file is not None:
        from wasupervisor.host.restart_kubelet import KubeletRestarter  # noqa: PLC0415

        return KubeletRestarter(file)
    raise ValueError(f"cannot restart the gateway by {by!r}: it is unknown, or its key is missing")

"""What is looked for, and what a search ends with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from wasupervisor.host import proc
from wasupervisor.host.proc import Stat

_MOST_NAMED = 8
DOCKER = "process.find.docker"


@dataclass(frozen=True)
class Find:
    """What the operator says of the gateway's process: one of these, or nothing, and then `url` tells the port."""

    port: int | None = None
    pid_file: Path | None = None
    systemd_unit: str | None = None
    command_line: str | None = None
    """A part of the arguments, joined by blanks."""
    docker: str | None = None
    """A container's name, or `label=KEY=VALUE`."""
    url: str = ""
    """The gateway's URL."""

    @property
    def by_port(self) -> bool:
        """Whether it is looked for by the port that it listens on."""
        return (self.pid_file, self.systemd_unit, self.command_line, self.docker) == (None, None, None, None)


class Absence(StrEnum):
    """What it means that no process was found."""

    CERTAIN = "certain"
    """There is none."""
    NOT_SEEN = "not_seen"
    """There is none here: it is gone, if it ever was here."""
    UNKNOWN = "unknown"
    """It could not be told."""


@dataclass(frozen=True)
class Missing:
    """No process, and why."""

    text: str
    absence: Absence = Absence.UNKNOWN


@dataclass(frozen=True)
class Limits:
    """What the container engine allows; None: no limit, or nobody told."""

    memory: int | None = None
    """Bytes."""
    cpus: float | None = None


@dataclass(frozen=True)
class Found:
    """The gateway's process."""

    process: Stat
    how: str
    """`TCP port 3000`."""
    still: Callable[[], bool] = lambda: True
    """A cheap question: whether what led to it still does."""


def several(processes: Sequence[Stat], what: str) -> Missing:
    """Too many: all of them by what a person can tell them apart with. Never their arguments: these may hold secrets.

    `what` ends the sentence '3 processes ...'.
    """
    named = [_described(one) for one in processes[:_MOST_NAMED]]
    if len(processes) > _MOST_NAMED:
        named.append("and more")
    return Missing(
        f"{len(processes)} processes {what}: {', '.join(named)}; "
        "say which one with process.find.port, pid_file, systemd_unit or docker"
    )


def _described(process: Stat) -> str:
    try:
        # In a container it has a network of its own.
        ports = {f"socket:[{one.inode}]": one.port for one in proc.listeners(of=process.pid)}
        own = sorted({ports[socket.link] for socket in proc.sockets(process.pid) if socket.link in ports})
        told = "port " + " and ".join(map(str, own)) if own else "no port"
    except PermissionError:
        told = "port not known"
    return f"pid {process.pid} ({told}, folder {proc.folder(process.pid) or 'not known'})"

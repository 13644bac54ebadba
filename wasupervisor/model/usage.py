"""What the gateway and its host have left, for a person: nothing here decides. None is unknown."""

from __future__ import annotations

from wasupervisor.model.value import Value


class Pressure(Value, frozen=True):
    """The share of the last 10 s in which something waited, in per cent (PSI, proc_pressure(5))."""

    cpu_some: float | None = None
    memory_some: float | None = None
    memory_full: float | None = None
    """In which all waited."""
    io_some: float | None = None
    io_full: float | None = None


class Browser(Value, frozen=True):
    """A Chromium of the gateway (WAHA with WEBJS starts one for each session), with what descends from it."""

    session: str | None
    """By its profile folder; None: it does not tell."""
    pid: int
    rss_bytes: int


class Container(Value, frozen=True):
    """What the container engine says of the gateway's container."""

    name: str
    status: str
    """created, running, paused, restarting, removing, exited or dead."""
    restarts: int | None = None
    """By the engine's own policy, since the container was made."""
    oom_killed: bool | None = None
    health: str | None = None
    """starting, healthy or unhealthy; None: it has no health check."""


class Host(Value, frozen=True):
    """The machine."""

    memory_available_bytes: int | None = None
    disk_free_bytes: int | None = None
    """Where the supervisor keeps its state."""
    gateway_disk_free_bytes: int | None = None
    """Where the gateway's working folder is."""
    pressure: Pressure = Pressure()


class Usage(Value, frozen=True):
    """Beside what the decider gets to know."""

    threads: int | None = None
    """Of the whole tree."""
    open_files: int | None = None
    """Descriptors of the gateway itself, its wrappers and children left out."""
    open_files_limit: int | None = None
    children: int | None = None
    """Living descendants."""
    orphans: tuple[int, ...] = ()
    """Processes that an earlier run of the gateway left behind, by pid."""
    pss_bytes: int | None = None
    """The tree's memory with what is shared counted once."""
    browsers: tuple[Browser, ...] = ()
    pressure: Pressure = Pressure()
    """Of its control group, where that holds nothing but the gateway."""
    host: Host = Host()
    container: Container | None = None
    notes: tuple[str, ...] = ()
    """What a person can do something about, a sentence each."""

"""The part of the health document on what the gateway uses and what its host has left. What is unknown is null."""

from __future__ import annotations

import msgspec

from wasupervisor.model.observation import ProcessReading
from wasupervisor.model.usage import Container, Pressure, Usage
from wasupervisor.report.names import Names


class MemoryPart(msgspec.Struct, frozen=True):
    """Of the gateway's whole process tree; from `used_bytes` on, the keys are additions."""

    percentage: float | None
    """Of the limit, what is used."""
    rss_bytes: int | None
    limit_bytes: int | None
    used_bytes: int | None = None
    """What counts: the control group's where it holds nothing but the gateway, else with what is shared counted once
    as far as that is known."""
    pss_bytes: int | None = None
    full_in_seconds: float | None = None
    """Until it reaches its limit, as forecast."""


class FilesPart(msgspec.Struct, frozen=True):
    """Descriptors of the gateway itself."""

    open: int | None
    limit: int | None


class PressurePart(msgspec.Struct, frozen=True):
    """Per cent of the last 10 s in which some, or all, had to wait."""

    cpu_some_avg10: float | None
    memory_some_avg10: float | None
    memory_full_avg10: float | None
    io_some_avg10: float | None
    io_full_avg10: float | None


class HostPart(msgspec.Struct, frozen=True):
    """The machine."""

    memory_available_bytes: int | None
    disk_free_bytes: int | None
    """Where the supervisor's state is."""
    gateway_disk_free_bytes: int | None
    """Where the gateway's working folder is."""
    pressure: PressurePart


class BrowserPart(msgspec.Struct, frozen=True):
    """A Chromium of the gateway's."""

    session: str | None
    pid: int
    rss_bytes: int


class ContainerPart(msgspec.Struct, frozen=True):
    """The gateway's container, as its engine tells it."""

    name: str
    status: str
    restarts: int | None
    oom_killed: bool | None
    health: str | None


class ResourcesPart(msgspec.Struct, frozen=True):
    """What the gateway uses; from `loop` on, the keys are additions."""

    cpu: float | None
    """Per cent of the CPUs that it may use."""
    memory: MemoryPart
    loop: float | None
    """Per cent of one CPU: its event loop."""
    stopped: bool | None
    threads: int | None
    fds: FilesPart
    children: int | None
    orphans: int | None
    """Left behind by earlier runs."""
    oom_kills: int | None
    pressure: PressurePart
    browsers: tuple[BrowserPart, ...]
    host: HostPart
    container: ContainerPart | None
    """None: it is not looked for in one, or the engine does not tell."""


def resources(process: ProcessReading, usage: Usage, names: Names, *, full_in: float | None = None) -> ResourcesPart:
    """`names` decides how sessions are named in it; `full_in` is the forecast of its memory, in seconds."""
    host = usage.host
    return ResourcesPart(
        cpu=_rounded(process.cpu_percent),
        memory=MemoryPart(
            percentage=_rounded(process.memory_percent),
            rss_bytes=process.rss_bytes,
            limit_bytes=process.limit_bytes,
            used_bytes=process.memory_bytes,
            pss_bytes=usage.pss_bytes,
            full_in_seconds=_rounded(full_in),
        ),
        loop=_rounded(process.loop_percent),
        stopped=process.stopped,
        threads=usage.threads,
        fds=FilesPart(open=usage.open_files, limit=usage.open_files_limit),
        children=usage.children,
        orphans=None if process.exists is None else len(usage.orphans),
        oom_kills=process.oom_kills,
        pressure=_pressure(usage.pressure),
        browsers=tuple(
            BrowserPart(None if one.session is None else names.name(one.session), one.pid, one.rss_bytes)
            for one in usage.browsers
        ),
        host=HostPart(
            memory_available_bytes=host.memory_available_bytes,
            disk_free_bytes=host.disk_free_bytes,
            gateway_disk_free_bytes=host.gateway_disk_free_bytes,
            pressure=_pressure(host.pressure),
        ),
        container=_container(usage.container),
    )


def _pressure(of: Pressure) -> PressurePart:
    return PressurePart(of.cpu_some, of.memory_some, of.memory_full, of.io_some, of.io_full)


def _container(of: Container | None) -> ContainerPart | None:
    return None if of is None else ContainerPart(of.name, of.status, of.restarts, of.oom_killed, of.health)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)

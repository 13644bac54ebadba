"""What is scarce: pressure (proc_pressure(5) and cgroup-v2's files of the same form), and the host's memory."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from wasupervisor.model.usage import Pressure

HOST = Path("/proc/pressure")
_MEMORY = Path("/proc/meminfo")

Shares = dict[str, float]


def of_host(folder: Path = HOST) -> Pressure:
    """Of the whole machine; unknown before Linux 4.20, and where it is switched off (`psi=0`)."""
    return _pressure(*(_shares(folder / name) for name in ("cpu", "memory", "io")))


def of_group(folder: Path) -> Pressure:
    """Of one control group; only version 2 knows it."""
    return _pressure(*(_shares(folder / f"{name}.pressure") for name in ("cpu", "memory", "io")))


def _pressure(cpu: Shares, memory: Shares, io: Shares) -> Pressure:
    return Pressure(
        cpu_some=cpu.get("some"),
        memory_some=memory.get("some"),
        memory_full=memory.get("full"),
        io_some=io.get("some"),
        io_full=io.get("full"),
    )


def _shares(path: Path) -> Shares:
    """Of the last 10 s, by `some` and `full`."""
    found: Shares = {}
    with suppress(OSError, ValueError):
        # some avg10=0.42 avg60=0.10 avg300=0.02 total=117
        for line in path.read_text(encoding="ascii").splitlines():
            kind, _, told = line.partition(" avg10=")
            found[kind] = float(told.partition(" ")[0])
    return found


def memory_available(path: Path = _MEMORY) -> int | None:
    """Bytes that programs may still take without swapping, by the kernel's own estimate; None when it is not told."""
    with suppress(OSError, ValueError, IndexError):
        _, _, told = path.read_text(encoding="ascii").partition("MemAvailable:")
        return int(told.split()[0]) * 1024
    return None

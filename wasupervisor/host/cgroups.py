"""Control groups, version 1, 2 and both at once: whose they are, and what they allow.

cgroups(7), and the kernel's admin-guide/cgroup-v1 and cgroup-v2.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

UNIFIED = ""
"""Version 2: one hierarchy for all controllers."""
SYSTEMD = "name=systemd"
"""Version 1: systemd's own hierarchy, without a controller."""

# What a v1 group without a limit says: the largest page-aligned number, or nearly.
_NO_LIMIT = 1 << 60


class Mount(NamedTuple):
    """Where a hierarchy can be read."""

    root: str
    """The group that is mounted there; not '/' in a container without a cgroup namespace."""
    point: Path


class Memory(NamedTuple):
    """Of one group; bytes."""

    used: int
    """Without the file cache that the kernel gives back for the asking (`inactive_file`)."""
    limit: int | None
    oom_kills: int | None = None
    """Processes of it, and of groups below, that the kernel killed for want of memory, since the group exists."""


class Cgroups:
    """The hierarchies of this machine."""

    def __init__(self, mounts: dict[str, Mount]) -> None:
        """`mounts`: by controller, `UNIFIED` or `SYSTEMD`."""
        self._mounts = mounts

    @classmethod
    def mounted(cls) -> Cgroups:
        """Those that are mounted for us (proc_pid_mountinfo(5)); none when that cannot be read."""
        mounts: dict[str, Mount] = {}
        lines: list[str] = []
        with suppress(OSError):
            lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines:
            left, _, right = line.partition(" - ")
            kind, _, options = right.split(" ", 2)
            if kind not in ("cgroup", "cgroup2"):
                continue
            root, point = left.split(" ")[3:5]
            keys = [UNIFIED] if kind == "cgroup2" else options.split(",")
            for key in keys:
                mounts.setdefault(key, Mount(root, Path(point)))
        return cls(mounts)

    def groups_of(self, pid: int) -> Groups:
        """The groups of a process.

        Raises:
            OSError: it is gone, or cannot be read.
        """
        paths: dict[str, str] = {}
        for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace").splitlines():
            _, controllers, path = line.split(":", 2)
            paths.update(dict.fromkeys(controllers.split(","), path))
        return Groups(self._mounts, paths)

    def unit_folders(self, unit: str) -> Iterator[Path]:
        """Folders of a system unit's group: below no slice, or up to three of them."""
        for key in (UNIFIED, SYSTEMD):
            if (mount := self._mounts.get(key)) is not None:
                for depth in range(4):
                    yield from mount.point.glob("*.slice/" * depth + unit)


class Groups:
    """The groups of one process."""

    def __init__(self, mounts: dict[str, Mount], paths: dict[str, str]) -> None:
        self._mounts = mounts
        self._paths = paths

    @property
    def unit_path(self) -> str:
        """Its place in systemd's tree: `/system.slice/waha.service`."""
        return self._paths.get(SYSTEMD) or self._paths.get(UNIFIED, "")

    def folder(self, controller: str) -> Path | None:
        """Where the group that rules it by this controller can be read; None at the root, which has no limits."""
        return next(iter(self._folders(controller)), None)

    def cpus(self) -> float | None:
        """How many CPUs' worth of time its group and those above allow; None without a quota."""
        return min(filter(None, map(_quota, self._folders("cpu"))), default=None)

    def frozen(self) -> bool:
        """Whether a freezer holds it, by its own group or by one above (`docker pause`)."""
        for controller, name, line in ((UNIFIED, "cgroup.events", "frozen 1"), ("freezer", "freezer.state", "FROZEN")):
            if (folder := self.folder(controller)) is not None:
                with suppress(OSError):
                    if line in _text(folder / name).splitlines():
                        return True
        return False

    def _folders(self, controller: str) -> list[Path]:
        """Its group and those above it, without the root."""
        # With both versions mounted, a controller belongs to one of them.
        key = controller if controller in self._mounts else UNIFIED
        mount, path = self._mounts.get(key), self._paths.get(key, "/")
        if mount is None or "/.." in path:
            return []
        parts = path.removeprefix(mount.root.rstrip("/")).strip("/").split("/")
        return [mount.point.joinpath(*parts[:depth]) for depth in range(len(parts), 0, -1) if parts[0]]


def members(folder: Path) -> set[int]:
    """The processes of a group and of those below it. A process that we have no number for counts as 0."""
    found: set[int] = set()
    for path, _, _ in os.walk(folder):
        with suppress(OSError):  # a group that was just removed
            found.update(map(int, Path(path, "cgroup.procs").read_text(encoding="ascii").split()))
    return found


def memory(folder: Path) -> Memory | None:
    """What a group uses and may use; None when it cannot be read."""
    names = ("memory.current", "memory.max", "inactive_file")
    if not (folder / names[0]).exists():
        names = ("memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file")
    usage, limit, cache = names
    try:
        used = int(_text(folder / usage))
        most = _text(folder / limit)
        details = dict(line.split(" ", 1) for line in _text(folder / "memory.stat").splitlines())
        bound = None if most == "max" or int(most) >= _NO_LIMIT else int(most)
        cached = int(details.get(cache, 0))
    except (OSError, ValueError):
        return None
    return Memory(used=max(0, used - cached), limit=bound, oom_kills=_oom_kills(folder))


def oom_kills_above(folder: Path) -> int | None:
    """Of the group above one of version 2, where a counter holds all below it; it stays when that one is removed."""
    with suppress(OSError, ValueError):
        counts = dict(line.split(" ", 1) for line in _text(folder.parent / "memory.events").splitlines())
        return int(counts["oom_kill"]) if "oom_kill" in counts else None
    return None


def _oom_kills(folder: Path) -> int | None:
    """None before Linux 4.13, which counts none, and where it cannot be read."""
    for name in ("memory.events", "memory.oom_control"):
        with suppress(OSError, ValueError):
            counts = dict(line.split(" ", 1) for line in _text(folder / name).splitlines())
            return int(counts["oom_kill"]) if "oom_kill" in counts else None
    return None


def _quota(folder: Path) -> float | None:
    """CPUs that a group itself allows; None: all."""
    with suppress(OSError, ValueError):
        if (folder / "cpu.max").exists():
            share, period = _text(folder / "cpu.max").split()
        else:
            share, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if share not in ("max", "-1"):
            return int(share) / int(period)
    return None


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()

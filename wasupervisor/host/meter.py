"""CPU and memory of a process tree."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wasupervisor.host import cgroups, proc
from wasupervisor.host.cgroups import Cgroups, Groups, Memory
from wasupervisor.host.moments import Clock
from wasupervisor.host.proc import Stat

Seen = dict[tuple[int, float], Stat]

# Start times come in ticks, rounded down.
_TICK = 0.02


@dataclass(frozen=True)
class Measures:
    """What one look gave."""

    cpu_percent: float | None
    rss_bytes: int
    memory_percent: float | None
    limit_bytes: int | None
    processes: int
    oom_kills: int | None


def cpu_seconds(before: Seen, now: Seen, since: float) -> float:
    """CPU time that a tree burnt between two looks, of which the earlier was made at `since`. Never negative.

    A child that ended counts through what its parent got for it, less what it was already seen to have burnt. What
    nobody waited for is lost, and that cannot be helped.
    """
    own = reaped = 0.0
    for identity, one in now.items():
        was = before.get(identity)
        if was is not None:
            own += one.own_cpu - was.own_cpu
            reaped += one.reaped_cpu - was.reaped_cpu
        elif one.born >= since - _TICK:
            own += one.own_cpu + one.reaped_cpu
    counted = sum(was.own_cpu + was.reaped_cpu for identity, was in before.items() if identity not in now)
    return max(0.0, own) + max(0.0, reaped - counted)


class Meter:
    """Measures one process and its descendants, again and again.

    Done on the event loop: 10 processes cost 0.2 ms, 50 cost 0.7 ms.
    """

    def __init__(self, root: Stat, *, clock: Clock, groups: Cgroups, memory_restart: int | None) -> None:
        """`clock` must be `moments.boottime` or run alongside it: the births of processes are compared with it."""
        self._clock = clock
        self._groups: Groups = groups.groups_of(root.pid)
        self._memory_restart = memory_restart
        self._host_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self._before: tuple[float, Seen] | None = None

    def read(self, root: Stat) -> Measures:
        """Look now. `root` was read just before.

        Raises:
            OSError: something could not be read.
        """
        folder = self._groups.folder("memory")
        # The group first: a child that is born in between is then in the tree and not the other way round.
        group = cgroups.members(folder) if folder is not None else set()
        tree = proc.tree(root)
        own = _memory_of_own(folder, group, tree)
        rss = sum(one.rss for one in tree)
        used = rss if own is None else own.used
        limit = (own.limit if own is not None else None) or self._memory_restart or self._host_bytes
        return Measures(
            cpu_percent=self._cpu_percent(root, tree),
            rss_bytes=rss,
            memory_percent=100 * used / limit,
            limit_bytes=limit,
            processes=sum(not one.dead for one in tree),
            oom_kills=own.oom_kills if own is not None else None,
        )

    def _cpu_percent(self, root: Stat, tree: Sequence[Stat]) -> float | None:
        at, now = self._clock(), {one.identity: one for one in tree}
        earlier, self._before = self._before, (at, now)
        if earlier is None or at <= earlier[0]:
            return None
        burnt = cpu_seconds(earlier[1], now, earlier[0])
        return min(100.0, 100 * burnt / ((at - earlier[0]) * self._cpus(root)))

    def _cpus(self, root: Stat) -> float:
        try:
            allowed = float(len(os.sched_getaffinity(root.pid)))
        except OSError:
            allowed = float(os.cpu_count() or 1)
        return min(allowed, self._groups.cpus() or allowed)


def _memory_of_own(folder: Path | None, group: set[int], tree: Sequence[Stat]) -> Memory | None:
    """What the group says, if it holds the tree and nothing else."""
    if folder is None or tree[0].pid not in group:
        return None
    strangers = group - {one.pid for one in tree}
    # 0 is a process of another PID namespace. What has ended since the group was read is no stranger.
    if any(pid == 0 or proc.stat(pid) is not None for pid in strangers):
        return None
    return cgroups.memory(folder)

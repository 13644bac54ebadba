"""CPU and memory of a process tree."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from wasupervisor.host import cgroups, pressure, proc, programs
from wasupervisor.host.cgroups import UNIFIED, Cgroups, Groups, Memory
from wasupervisor.host.found import Limits
from wasupervisor.host.moments import Clock
from wasupervisor.host.proc import Stat
from wasupervisor.model.usage import Pressure

Seen = dict[tuple[int, float], Stat]

# Start times come in ticks, rounded down.
_TICK = 0.02

# Seconds for which a stranger in the gateway's control group may be a container's health check, which comes and goes.
_PASSING = 10.0


@dataclass(frozen=True)
class Measures:
    """What one look gave."""

    tree: Sequence[Stat]
    """The root first."""
    main: Stat
    """The gateway itself, below its wrappers."""
    cpu_percent: float | None
    loop_percent: float | None
    stopped: bool
    rss_bytes: int
    memory_bytes: int
    limit_bytes: int
    oom_kills: int | None
    oom_kills_above: int | None
    pressure: Pressure

    @property
    def memory_percent(self) -> float:
        return 100 * self.memory_bytes / self.limit_bytes

    @property
    def living(self) -> int:
        """Processes of the tree that have not ended."""
        return sum(not one.dead for one in self.tree)

    @property
    def programs(self) -> tuple[str, ...]:
        """Names of the living descendants."""
        return tuple(sorted({one.comm for one in self.tree[1:] if not one.dead}))

    @property
    def threads(self) -> int:
        return sum(one.threads for one in self.tree if not one.dead)


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


def main_of(tree: Sequence[Stat]) -> Stat:
    """The gateway in its tree: below npm, a shell or an init, as long as each of these has one child."""
    main = tree[0]
    while programs.wraps(main):
        below = [one for one in tree if one.ppid == main.pid and not one.dead]
        if len(below) != 1:
            break
        main = below[0]
    return main


class Meter:
    """Measures one process and its descendants, again and again.

    Done on the event loop: of a whole sample, 10 processes cost 0.4 ms and 50 cost 1.1 ms.
    """

    def __init__(self, root: Stat, *, clock: Clock, groups: Cgroups, memory_restart: int | None) -> None:
        """`clock` must be `moments.boottime` or run alongside it: the births of processes are compared with it."""
        self._clock = clock
        self._groups: Groups = groups.groups_of(root.pid)
        self._memory_restart = memory_restart
        self._host_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self._before: tuple[float, Seen] | None = None
        self._threads = 0
        self._loop_before: tuple[float, Stat] | None = None
        self.limits = Limits()
        """What is told of them by others than the kernel."""
        self.unshared = 1.0
        """Of the sum over the tree, the part that is left when what is shared counts once."""

    def read(self, root: Stat) -> Measures:
        """Look now. `root` was read just before.

        Raises:
            OSError: something could not be read.
        """
        folder = self._groups.folder("memory")
        unified = self._groups.folder(UNIFIED)
        # The groups first: a child that is born in between is then in the tree and not the other way round.
        members = {path: cgroups.members(path) for path in (folder, unified) if path is not None}
        tree = proc.tree(root, self._threads)
        self._threads = sum(one.threads for one in tree)
        staying = self._clock() - _PASSING
        alone = {path for path, group in members.items() if _holds_only(group, tree, staying)}
        own = cgroups.memory(folder) if folder is not None and folder in alone else None
        main, rss = main_of(tree), sum(one.rss for one in tree)
        return Measures(
            tree=tree,
            main=main,
            cpu_percent=self._cpu_percent(root, tree),
            loop_percent=self._loop_percent(main),
            stopped=main.stopped or self._groups.frozen(),
            rss_bytes=rss,
            memory_bytes=self._used(tree) if own is None else own.used,
            limit_bytes=self._limit(own),
            oom_kills=own.oom_kills if own is not None else None,
            oom_kills_above=None if unified is None else cgroups.oom_kills_above(unified),
            pressure=pressure.of_group(unified) if unified is not None and unified in alone else Pressure(),
        )

    def _used(self, tree: Sequence[Stat]) -> int:
        """Without a group that tells. What is shared with others than the tree is no less used: never below one's."""
        return max(int(sum(one.rss for one in tree) * self.unshared), *(one.rss for one in tree), 0)

    def _limit(self, own: Memory | None) -> int:
        by_group = own.limit if own is not None else None
        return by_group or self.limits.memory or self._memory_restart or self._host_bytes

    def _cpu_percent(self, root: Stat, tree: Sequence[Stat]) -> float | None:
        at, now = self._clock(), {one.identity: one for one in tree}
        earlier, self._before = self._before, (at, now)
        if earlier is None or at <= earlier[0]:
            return None
        burnt = cpu_seconds(earlier[1], now, earlier[0])
        return min(100.0, 100 * burnt / ((at - earlier[0]) * self._cpus(root)))

    def _loop_percent(self, main: Stat) -> float | None:
        at, thread = self._clock(), proc.main_thread(main.pid)
        earlier, self._loop_before = self._loop_before, None if thread is None else (at, thread)
        if thread is None or earlier is None or at <= earlier[0] or thread.identity != earlier[1].identity:
            return None
        # Rounded, for it is recorded with each look.
        return min(100.0, round(100 * (thread.own_cpu - earlier[1].own_cpu) / (at - earlier[0]), 1))

    def _cpus(self, root: Stat) -> float:
        try:
            allowed = float(len(os.sched_getaffinity(root.pid)))
        except OSError:
            allowed = float(os.cpu_count() or 1)
        return min(allowed, self._groups.cpus() or allowed, self.limits.cpus or allowed)


def _holds_only(group: set[int], tree: Sequence[Stat], staying: float) -> bool:
    """Whether a control group holds the tree's root, and nothing beside the tree that was born before `staying`."""
    if tree[0].pid not in group:
        return False
    strangers = group - {one.pid for one in tree}
    # 0 is a process of another PID namespace. What has ended since the group was read is no stranger.
    return 0 not in strangers and not any(
        (one := proc.stat(pid)) is not None and one.born < staying for pid in strangers
    )

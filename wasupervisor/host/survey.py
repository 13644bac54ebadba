"""What is dear to look at, or may block: shared memory, disks, arguments. Done in a thread, beside the looks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from wasupervisor.host import browsers, proc
from wasupervisor.host.browsers import Identity
from wasupervisor.host.found import Missing
from wasupervisor.host.moments import Clock
from wasupervisor.host.proc import Stat
from wasupervisor.host.searching import Searcher

EVERY = 60.0
"""Seconds between two looks at the same process; 50 processes cost 21 ms."""


class Shared(NamedTuple):
    """Of a tree, in bytes."""

    rss: int
    pss: int
    """With what is shared counted once."""


class Surveyed(NamedTuple):
    """What one survey gave; None is unknown."""

    shared: Shared | None = None
    disk_free: int | None = None
    """Where our own state is."""
    gateway_disk_free: int | None = None
    sessions: dict[Identity, str | None] = {}  # noqa: RUF012 (nobody writes into it)
    """Of the browsers that were looked at."""
    abandoned: Sequence[Stat] = ()
    unreadable: tuple[str, ...] = ()
    """What our user may not see of the gateway, for a person."""


class Survey:
    """Looks when it is due. `last` is what was found."""

    def __init__(self, *, clock: Clock, own_folder: Path | None) -> None:
        # Its own: a stuck survey must not keep anybody from finding the gateway.
        self._searcher = Searcher()
        self._clock = clock
        self._own_folder = own_folder
        self._done: tuple[float, int, frozenset[Identity]] | None = None
        self.last = Surveyed()

    async def run(self, tree: Sequence[Stat], main: Stat) -> None:
        """Look, if the last look is a minute old, or was at another process, or other browsers are there."""
        known = frozenset(one.identity for one in browsers.outermost(tree))
        if self._done is not None:
            at, pid, before = self._done
            if pid == tree[0].pid and before >= known and self._clock() - at < EVERY:
                return
        first = self._done is None or self._done[1] != tree[0].pid
        self._done = (self._clock(), tree[0].pid, known)
        found = await self._searcher.run(lambda: self._look(tree, main, first=first))
        # What does not come back says nothing, and is no reason to forget what was.
        if not isinstance(found, Missing):
            self.last = found

    def _look(self, tree: Sequence[Stat], main: Stat, *, first: bool) -> Surveyed:
        before = {} if first else self.last.sessions
        shared = shared_memory(tree)
        unreadable = [
            what
            for what, readable in (
                ("how much of its memory is shared", shared is not None),
                ("its open files", proc.open_files(main.pid) is not None),
                ("its working folder", proc.folder(main.pid) is not None),
            )
            if not readable
        ]
        return Surveyed(
            shared=shared,
            disk_free=_free(str(self._own_folder)) if self._own_folder is not None else None,
            gateway_disk_free=_free(f"/proc/{main.pid}/cwd"),
            sessions={
                one.identity: before.get(one.identity) or browsers.session_of(proc.command_line(one.pid))
                for one in browsers.outermost(tree)
            },
            abandoned=browsers.abandoned(main, tree) if first else (),
            unreadable=tuple(unreadable) if proc.stat(main.pid) is not None else (),
        )


def shared_memory(tree: Sequence[Stat]) -> Shared | None:
    """From smaps_rollup (Linux 4.14). None when our user may not read that of each of them."""
    rss = pss = 0
    for one in tree:
        try:
            lines = Path(f"/proc/{one.pid}/smaps_rollup").read_text(encoding="ascii", errors="replace").splitlines()
        except ProcessLookupError:  # it has just ended, or is a zombie
            continue
        except OSError:
            if proc.stat(one.pid) is None:
                continue
            return None
        told = dict(line.split(":", 1) for line in lines[1:] if ":" in line)
        rss += _bytes(told.get("Rss", ""))
        pss += _bytes(told.get("Pss", ""))
    return Shared(rss, pss) if 0 < pss <= rss else None


def _bytes(text: str) -> int:
    """`  1204 kB`."""
    with suppress(ValueError, IndexError):
        return int(text.split(maxsplit=1)[0]) * 1024
    return 0


def _free(path: str) -> int | None:
    """What is free for others than root on the disk of a folder; None: not known. A dead network disk blocks."""
    try:
        about = os.statvfs(path)
    except OSError:
        return None
    return about.f_bavail * about.f_frsize

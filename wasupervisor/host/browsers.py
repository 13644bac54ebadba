"""Which Chromium belongs to which session, and what a gateway that was killed left behind.

WAHA with WEBJS starts one Chromium for each session, in a session and process group of its own; SIGKILL of WAHA leaves
them running, 310 MB each (2024.10.8). Its profile folder is called `session-NAME` (whatsapp-web.js, LocalAuth); WAHA
CORE up to 2024 gives it a nameless one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from wasupervisor.host import proc
from wasupervisor.host.moments import Clock
from wasupervisor.host.proc import Stat
from wasupervisor.model.usage import Browser

Identity = tuple[int, float]

_PROFILE = "--user-data-dir="
_SESSION = "session-"
# It forks away from everybody by itself, and ends with its Chromium or soon after.
_HANDLER = "chrome_crashpad"
# Seconds that what lost its gateway has to end by itself: Chromium takes 2.
_ENDS_WITHIN = 15.0


def is_browser(process: Stat) -> bool:
    """By the kernel's name of it: chromium, chrome, chromium-browse, headless_shell."""
    return process.comm.startswith(("chrom", "headless_shell")) and not process.comm.startswith(_HANDLER)


def outermost(tree: Sequence[Stat]) -> list[Stat]:
    """The browsers of a tree, their own children left out."""
    inside = {one.pid for one in tree if is_browser(one)}
    return [one for one in tree if one.pid in inside and one.ppid not in inside and not one.dead]


def session_of(words: Sequence[str]) -> str | None:
    """The session whose profile a browser was started with; None: its arguments do not tell."""
    for word in words:
        if word.startswith(_PROFILE):
            name = PurePath(word.removeprefix(_PROFILE)).name
            return name.removeprefix(_SESSION) if name.startswith(_SESSION) and name != _SESSION else None
    return None


def told(tree: Sequence[Stat], sessions: Mapping[Identity, str | None]) -> tuple[Browser, ...]:
    """Each browser with its session and the memory of what descends from it, by pid."""
    below: dict[int, list[Stat]] = {}
    for one in tree:
        below.setdefault(one.ppid, []).append(one)
    return tuple(
        Browser(session=sessions.get(one.identity), pid=one.pid, rss_bytes=_weight(one, below))
        for one in sorted(outermost(tree), key=lambda one: one.pid)
    )


def _weight(top: Stat, below: Mapping[int, Sequence[Stat]]) -> int:
    return top.rss + sum(_weight(child, below) for child in below.get(top.pid, ()))


class Orphans:
    """What belonged to the gateway and lives on without it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._root: Stat | None = None
        self._members: dict[Identity, Stat] = {}
        self._left: dict[Identity, tuple[float, Stat]] = {}

    def seen(self, tree: Sequence[Stat]) -> tuple[Stat, ...]:
        """The orphans, now that the gateway's tree is this one, the root first; without a tree it is gone."""
        now = {one.identity: one for one in tree}
        gone = [one for identity, one in self._members.items() if identity not in now]
        # A gateway that lives on beside the one that is watched now keeps its own.
        if self._root is None or self._root.identity in now or not _lives(self._root):
            self.add([one for one in gone if not one.comm.startswith(_HANDLER)])
        self._members, self._root = now, tree[0] if tree else None
        self._left = {
            identity: (since, one)
            for identity, (since, one) in self._left.items()
            if identity not in now and _lives(one)
        }
        late = self._clock() - _ENDS_WITHIN
        return tuple(one for since, one in self._left.values() if since <= late)

    def add(self, processes: Sequence[Stat]) -> None:
        """What lost its gateway now, or was found without one."""
        for one in processes:
            self._left.setdefault(one.identity, (self._clock(), one))


def _lives(process: Stat) -> bool:
    now = proc.stat(process.pid)
    return now is not None and not now.dead and now.identity == process.identity


def abandoned(root: Stat, tree: Sequence[Stat]) -> list[Stat]:
    """Browsers of sessions that run for nobody in the gateway's own working folder: of a run that nobody watched.

    Looks at every process, and may block on a frozen one. Empty where our user may not see the folders.
    """
    place, inside = _folder(root.pid), {one.pid for one in tree}
    if place is None:
        return []
    found = []
    for one in filter(None, map(proc.stat, proc.pids())):
        if one.pid in inside or one.dead or not is_browser(one) or not _is_nobodys(one):
            continue
        if session_of(proc.command_line(one.pid)) is not None and _folder(one.pid) == place:
            found.append(one)
    return found


def _is_nobodys(process: Stat) -> bool:
    """Whether init, or a systemd of a user's, has taken it in."""
    if process.ppid <= 1:
        return True
    parent = proc.stat(process.ppid)
    return parent is not None and parent.comm == "systemd"


def _folder(pid: int) -> tuple[int, int] | None:
    """The working folder as such and not by its name: `/app` is another one in each container."""
    try:
        # Not pathlib: what the link says need not lead there from here.
        about = os.stat(f"/proc/{pid}/cwd")  # noqa: PTH116
    except OSError:
        return None
    return about.st_dev, about.st_ino

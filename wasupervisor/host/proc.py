"""What /proc tells of processes and listening sockets (proc(5)), read as cheaply as it can be.

Why not psutil: its create time is on the wall clock and moves when that is set, so that a process would seem to be
another one after a step of NTP; it names one process per socket where forked workers share it, and any of them; and
one read of `stat` gives what it takes four reads for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LISTEN = "0A"
_MANY = 150
"""Threads from which on it is worth while to count the processes of the host."""
_GONE = (FileNotFoundError, ProcessLookupError)


class Stat(NamedTuple):
    """One process at one moment; times in seconds."""

    pid: int
    ppid: int
    comm: str
    """The kernel's name of it, cut to 15 bytes."""
    born: float
    """Start on CLOCK_BOOTTIME: never changes, and with the pid it names a process for the whole boot."""
    own_cpu: float
    reaped_cpu: float
    """CPU time of children that ended and were waited for, and of theirs."""
    rss: int
    """Bytes."""
    dead: bool
    """A zombie: it has ended, and its parent has not asked how."""
    state: str = "S"
    """One letter of proc_pid_stat(5)."""
    threads: int = 1

    @property
    def stopped(self) -> bool:
        """By a signal, or by a tracer. What a freezer holds does not show here."""
        return self.state in ("T", "t")

    @property
    def identity(self) -> tuple[int, float]:
        """A pid alone may be given to another process later."""
        return self.pid, self.born


class Listener(NamedTuple):
    """A listening TCP socket."""

    inode: str
    port: int
    uid: int


class Holder(NamedTuple):
    """A process that holds a socket, and where: `/proc/812/fd/19` -> `socket:[4711]`."""

    pid: int
    path: str
    link: str

    def still(self) -> bool:
        """Whether it holds it now. Costs one readlink."""
        try:
            # Not pathlib: asked in each cycle.
            return os.readlink(self.path) == self.link  # noqa: PTH115
        except OSError:
            return False


def _read(path: str) -> bytes:
    # A third of what Path.read_bytes costs, which counts for dozens of files in each cycle.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = b""
        while piece := os.read(descriptor, 65536):
            content += piece
        return content
    finally:
        os.close(descriptor)


def stat(pid: int) -> Stat | None:
    """One process; None when there is none with this number, or when /proc hides it (see `hidden`).

    Raises:
        OSError: it could not be read for another reason, and nothing is known.
    """
    return _stat(pid, f"/proc/{pid}/stat")


def main_thread(pid: int) -> Stat | None:
    """The same of its first thread alone: Node's event loop. `reaped_cpu` and `rss` are the whole process's.

    Raises:
        OSError: as `stat`.
    """
    return _stat(pid, f"/proc/{pid}/task/{pid}/stat")


def _stat(pid: int, path: str) -> Stat | None:
    try:
        text = _read(path)
    except _GONE:
        return None
    # The name stands in brackets and may hold brackets and blanks itself.
    head, _, tail = text.rpartition(b")")
    field = tail.split()
    return Stat(
        pid=pid,
        ppid=int(field[1]),
        comm=head.partition(b"(")[2].decode(errors="replace"),
        born=int(field[19]) / _TICKS,
        own_cpu=(int(field[11]) + int(field[12])) / _TICKS,
        reaped_cpu=(int(field[13]) + int(field[14])) / _TICKS,
        rss=int(field[21]) * _PAGE,
        dead=field[0] in (b"Z", b"X"),
        state=field[0].decode("ascii"),
        threads=int(field[17]),
    )


def hidden(pid: int) -> bool:
    """Whether a process that /proc does not show exists all the same (`hidepid`, systemd's `ProtectProc`)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def pids() -> list[int]:
    """All processes that our user may see."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 (names, not paths)


def command_line(pid: int) -> list[str]:
    """The arguments; empty for what has none (a zombie, a kernel thread) or is gone. May block on a frozen process."""
    try:
        text = _read(f"/proc/{pid}/cmdline").decode(errors="replace")
    except (*_GONE, PermissionError):
        return []
    return text.rstrip("\0").split("\0") if text.rstrip("\0") else []


def folder(pid: int) -> str | None:
    """The working directory; None when it cannot be read."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115
    except OSError:
        return None


def open_files(pid: int) -> int | None:
    """How many descriptors it has; None when it is gone, or when our user may not know."""
    path = f"/proc/{pid}/fd"
    with suppress(OSError):
        # From Linux 6.2 on the size of the folder is their number, which any user may see; before it is 0.
        return os.stat(path).st_size or len(os.listdir(path))  # noqa: PTH116, PTH208 (asked in each cycle)
    return None


def open_files_limit(pid: int) -> int | None:
    """Its soft RLIMIT_NOFILE, which any user may see; None when it is gone, or has none."""
    with suppress(OSError, ValueError, IndexError):
        _, _, told = _read(f"/proc/{pid}/limits").partition(b"Max open files")
        return int(told.split()[0])
    return None


def tree(root: Stat, threads: int = 0) -> list[Stat]:
    """The process and all its descendants by parent, `setsid` or not (WAHA's Chromium has a session of its own).

    `threads`: how many it had the last time. Each is asked for its children, unless to ask all processes of the host
    for their parent is less work: a Chromium has 50 threads, and a question to one costs half of one to a process.
    """
    children_of = _children if _listed() and (threads < _MANY or threads < 2 * len(pids())) else _children_by_scan()
    members = {root.pid: root}
    queue = [root.pid]
    while queue:
        for pid in children_of(queue.pop()):
            if pid not in members and (child := stat(pid)) is not None:
                members[pid] = child
                queue.append(pid)
    return list(members.values())


def _listed() -> bool:
    """Whether threads tell their children; a kernel without CONFIG_PROC_CHILDREN makes us look at every process."""
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # noqa: PTH110 (asked in each cycle)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(*_GONE):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with suppress(*_GONE):
                found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def _children_by_scan() -> Callable[[int], list[int]]:
    by_parent: dict[int, list[int]] = {}
    for process in filter(None, map(stat, pids())):
        by_parent.setdefault(process.ppid, []).append(process.pid)
    return lambda pid: by_parent.get(pid, [])


def ancestors(process: Stat) -> Iterator[Stat]:
    """Its parent, the parent's parent, and so on, as far as our user may see."""
    above = process
    while above.ppid > 0 and (parent := stat(above.ppid)) is not None:
        yield parent
        above = parent


def roots(numbers: Iterable[int]) -> list[Stat]:
    """Those of the given processes that live and descend from no other of them; the oldest first."""
    alive = {pid: found for pid in numbers if (found := stat(pid)) is not None and not found.dead}
    top = [one for one in alive.values() if not any(above.pid in alive for above in ancestors(one))]
    return sorted(top, key=lambda one: (one.born, one.pid))


def listeners(port: int | None = None, of: int | str = "self") -> list[Listener]:
    """The listening TCP sockets of a process's network namespace, by default of ours, on one port or on all."""
    found: list[Listener] = []
    for path in (f"/proc/{of}/net/tcp", f"/proc/{of}/net/tcp6"):
        try:
            lines = _read(path).decode("ascii").splitlines()[1:]
        except _GONE:  # a kernel without IPv6, or the process is gone
            continue
        # sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
        for column in filter(lambda column: column[3] == _LISTEN, map(str.split, lines)):
            number = int(column[1].rpartition(":")[2], 16)
            if port is None or number == port:
                found.append(Listener(inode=column[9], port=number, uid=int(column[7])))
    return found


def holders(inodes: Iterable[str]) -> tuple[list[Holder], bool]:
    """Who holds these sockets, and whether any process refused to be looked into.

    Looks at every process: tens of milliseconds.
    """
    wanted = {f"socket:[{inode}]" for inode in inodes}
    held: list[Holder] = []
    refused = False
    for pid in pids():
        try:
            held += [holder for holder in sockets(pid) if holder.link in wanted]
        except PermissionError:
            refused = True
    return held, refused


def sockets(pid: int) -> list[Holder]:
    """The sockets of one process.

    Raises:
        PermissionError: our user may not look into it.
    """
    found: list[Holder] = []
    with suppress(*_GONE):
        for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
            path = f"/proc/{pid}/fd/{number}"
            with suppress(*_GONE):
                link = os.readlink(path)  # noqa: PTH115
                if link.startswith("socket:"):
                    found.append(Holder(pid=pid, path=path, link=link))
    return found

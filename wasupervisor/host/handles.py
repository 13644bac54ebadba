"""Processes that are signalled: never another one that got the same number."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from wasupervisor.host import proc


class Handle:
    """One run of a process, held until `close`."""

    def __init__(self, pid: int, born: float, descriptor: int | None) -> None:
        """Use `hold`."""
        self.pid = pid
        self._born = born
        self._descriptor = descriptor

    @property
    def ended(self) -> bool:
        """Whether it has: a zombie has, and so has one whose number another process got."""
        try:
            now = proc.stat(self.pid)
        except OSError:  # nothing is known, so that nobody stops to wait for it
            return False
        return now is None or now.dead or now.born != self._born

    @property
    def state(self) -> str:
        """The kernel's word for it (proc_pid_status(5)): `T (stopped)`, `D (disk sleep)`; empty when it cannot be read.

        `t (tracing stop)` is another one: there a debugger holds it.
        """
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{self.pid}/status").read_text(errors="replace").splitlines()
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("State:"))
        return ""

    @property
    def stopped(self) -> bool:
        """Whether SIGSTOP or a terminal stopped it: it takes no signal but CONT and KILL."""
        return self.state.startswith("T")

    def send(self, number: int) -> bool:
        """Signal it; False when it has ended.

        Raises:
            PermissionError: it is another user's.
        """
        try:
            if self._descriptor is not None:
                signal.pidfd_send_signal(self._descriptor, number)
            elif self.ended:
                return False
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def close(self) -> None:
        """Let it go; once more does no harm."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def hold(pid: int, born: float) -> Handle | None:
    """Take hold of a process; None when it has ended, or its number is another's by now.

    `born` is its start on CLOCK_BOOTTIME. A kernel before 5.3 has no pidfd: there it is compared before each signal.
    """
    try:
        descriptor: int | None = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    except OSError:
        descriptor = None
    made = Handle(pid, born, descriptor)
    # After it was opened: from here on the number is not given to another.
    if made.ended:
        made.close()
        return None
    return made

"""Has the kubelet restart the gateway's container, by a file for which the container's liveness probe looks.

The file lies in a volume that both containers share, and the gateway's liveness is `test ! -e FILE`. No probe of our
port: a restart of ours would kill a gateway that is well.
"""

from __future__ import annotations

import logging
from pathlib import Path

import anyio
from anyio import to_thread

from wasupervisor.host.restarter import Restarted
from wasupervisor.model.remedies import Outcome

log = logging.getLogger(__name__)

WANTED_FOR = 150.0
"""Seconds for which the file stays. A probe every 10 s that may fail 3 times and 30 s for the stop take 60."""

DISK_WITHIN = 5.0
"""Seconds for the disk."""

KEY = "recovery.restart_gateway.file"


class KubeletRestarter:
    """Makes the file, and takes it away."""

    by: str = "kubelet"
    wanted_for: float = WANTED_FOR

    def __init__(self, file: Path) -> None:
        self._file = file
        self._wanted = False

    async def restart(self) -> Restarted:
        """Want it. The kubelet sees the file in its own time."""
        self._wanted, why = True, "its disk does not answer"
        with anyio.move_on_after(DISK_WITHIN):
            why = await to_thread.run_sync(self._touch, abandon_on_cancel=True)
        if not why:
            return Restarted(Outcome.ACCEPTED, f"{self._file} is there for the liveness probe")
        return Restarted(Outcome.REFUSED, f"{self._file} cannot be made: {why}; make its folder writable, or set {KEY}")

    async def settle(self) -> None:
        """Take the file away, also when cancelled: left there, it would have the gateway killed again and again."""
        self._wanted, why = False, "its disk does not answer"
        with anyio.move_on_after(DISK_WITHIN, shield=True):
            why = await to_thread.run_sync(self._remove, abandon_on_cancel=True)
        if why:
            log.error("%s cannot be removed: %s; remove it, or the gateway is killed for ever", self._file, why)

    def _touch(self) -> str:
        try:
            self._file.touch()
        except OSError as error:
            return error.strerror or type(error).__name__
        # On a disk that hung, nobody may want it any more.
        return "" if self._wanted else self._remove()

    def _remove(self) -> str:
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            return error.strerror or type(error).__name__
        return ""

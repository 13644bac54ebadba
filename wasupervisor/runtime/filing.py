"""Writes the health file beside the loop; a disk that hangs costs one thread and two seconds, and no more."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import anyio
from anyio import to_thread

from wasupervisor.report.file import HealthFile

log = logging.getLogger(__name__)

WITHIN = 2.0
"""Seconds for which a cycle waits for the file."""

HANGS = "its disk does not answer"


class FileWriter:
    """Keeps one health file up to date."""

    def __init__(self, path: Path) -> None:
        self.trouble = ""
        """Why the last document is not in the file."""
        self._path = path
        self._file = HealthFile(path)
        self._one = anyio.CapacityLimiter(1)
        self._at_work = threading.Lock()
        """Held by the thread that writes, also when nobody waits for it any more."""

    async def write(self, body: bytes) -> None:
        """Put the document into the file, or say in `trouble` why it is not there."""
        trouble = HANGS
        if not self._at_work.locked():
            with anyio.move_on_after(WITHIN):
                trouble = await to_thread.run_sync(self._write, body, abandon_on_cancel=True, limiter=self._one)
        if trouble != self.trouble:
            if trouble:
                log.warning("health.file %s cannot be written: %s", self._path, trouble)
            else:
                log.info("health.file %s is written again", self._path)
        self.trouble = trouble

    def _write(self, body: bytes) -> str:
        with self._at_work:
            try:
                self._file.write(body)
            except OSError as error:
                return error.strerror or str(error)
        return ""

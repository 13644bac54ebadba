"""Where log lines go: as text on a terminal, with priorities under systemd, as JSON otherwise.

Lines are written by a thread of their own, so that a stuck pipe or terminal never stops the daemon.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from wasupervisor.model.journal import Entry

QUEUE_SIZE = 10_000

PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""Of sd-daemon(3): systemd reads them as `<N>` before a line."""


class Logs:
    """The log of the process; `close` writes what is still waiting."""

    def __init__(self, level: str, form: str, environ: Mapping[str, str], stream: TextIO | None = None) -> None:
        """Begin to log; `stream` defaults to standard error, and where that is closed to nowhere."""
        stream = stream or sys.stderr
        # Finished lines: logging.handlers would queue records, format each twice, and bring pickle along (0.4 MB).
        self._waiting: queue.Queue[str | None] = queue.Queue(QUEUE_SIZE)
        self._front = _Front(self._waiting)
        self._front.setFormatter(_formatter(_form(form, environ, stream)))
        self._writer = threading.Thread(target=_write, args=(self._waiting, stream), name="log", daemon=True)
        self._root = logging.getLogger()
        self._root.addHandler(self._front)
        self.set_level(level)
        logging.getLogger("httpcore").setLevel(logging.WARNING)  # it logs headers, and with them the key, at DEBUG
        self._writer.start()

    def set_level(self, level: str) -> None:
        """Change the level, for instance at a reload."""
        self._root.setLevel(level.upper())

    @property
    def lost(self) -> int:
        """Lines that were dropped because nobody read the ones before."""
        return self._front.lost

    def close(self, timeout: float = 1.0) -> None:
        """Write what is waiting, but do not wait longer than `timeout` seconds for a stuck reader."""
        self._root.removeHandler(self._front)
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=timeout)
            self._writer.join(timeout)


def log_entry(logger: logging.Logger, entry: Entry) -> None:
    """Write one journal entry to the log as well."""
    fields = {
        "session": entry.session,
        "kind": entry.kind,
        "reason": entry.reason,
        "remedy": entry.remedy,
        "outcome": entry.outcome,
    }
    told = f"{entry.session}: {entry.text}" if entry.session else entry.text
    logger.log(logging.WARNING if entry.warn else logging.INFO, "%s", told, extra={"fields": fields})


def _write(waiting: queue.Queue[str | None], stream: TextIO | None) -> None:
    """Write line by line, until None comes. A reader that has gone away is no reason to stop."""
    while (line := waiting.get()) is not None:
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.write(f"{line}\n")
                stream.flush()


class _Front(logging.Handler):
    """Puts a line into the queue, or drops it: it never waits."""

    def __init__(self, waiting: queue.Queue[str | None]) -> None:
        super().__init__()
        self.lost = 0
        self._told = 0
        self._waiting = waiting

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self.lost > self._told:
                self._waiting.put_nowait(self.format(self._lost_lines()))
                self._told = self.lost
            self._waiting.put_nowait(self.format(record))
        except queue.Full:
            self.lost += 1
        except Exception:
            self.handleError(record)

    def _lost_lines(self) -> logging.LogRecord:
        text = f"{self.lost - self._told} lines of the log were lost, for nobody read the ones before"
        return logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, None, None)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        mark = {"WARNING": "! ", "ERROR": "!! ", "CRITICAL": "!! "}.get(record.levelname, "")
        return f"{at} {mark}{super().format(record)}"


class _Systemd(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        priority = PRIORITIES.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": super().format(record),
        }
        fields = getattr(record, "fields", None) or {}
        line.update({key: value for key, value in fields.items() if value not in (None, "none")})
        return json.dumps(line, ensure_ascii=False)


def _form(form: str, environ: Mapping[str, str], stream: TextIO | None) -> str:
    if form != "auto" or stream is None:
        return form
    if _is_journal(environ, stream):
        return "journal"
    return "text" if stream.isatty() else "json"


def _is_journal(environ: Mapping[str, str], stream: TextIO) -> bool:
    """Whether the stream goes to systemd's journal: systemd.exec(5), JOURNAL_STREAM."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _formatter(form: str) -> logging.Formatter:
    if form == "journal":
        return _Systemd("%(message)s")
    return _Json("%(message)s") if form == "json" else _Text("%(message)s")

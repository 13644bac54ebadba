"""Where log lines go: as text on a terminal, with their fields to systemd's journal, as JSON otherwise.

Lines are written by a thread of their own, so that a stuck pipe, terminal or journal never stops the daemon.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

from wasupervisor.model.journal import Entry
from wasupervisor.runtime.journald import PRIORITIES, SOCKET, JournalSink, entry_fields, entry_of, is_journal, prefixed

QUEUE_SIZE = 10_000


class Sink(Protocol):
    """Where lines go. `Any` is what `encode` makes of a record, and `write` takes."""

    def encode(self, record: logging.LogRecord) -> Any:
        """Finish a line, in the thread that logs."""

    def write(self, line: Any) -> None:
        """Write it, in the thread of the log: it may wait. Never raises for a reader that has gone away."""

    def close(self) -> None:
        """Nothing follows."""


class Logs:
    """The log of the process; `close` writes what is still waiting."""

    def __init__(self, level: str, form: str, environ: Mapping[str, str], stream: TextIO | None = None) -> None:
        """Begin to log; `stream` defaults to standard error, and where that is closed to nowhere."""
        stream = stream or sys.stderr
        # Finished lines: logging.handlers would queue records, format each twice, and bring pickle along (0.4 MB).
        self._waiting: queue.Queue[Any] = queue.Queue(QUEUE_SIZE)
        sink = _sink(form, environ, stream)
        self._front = _Front(self._waiting, sink)
        self._writer = threading.Thread(target=_write, args=(self._waiting, sink), name="log", daemon=True)
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
    told = f"{entry.session}: {entry.text}" if entry.session else entry.text
    logger.log(logging.WARNING if entry.warn else logging.INFO, "%s", told, extra={"entry": entry})


def _write(waiting: queue.Queue[Any], sink: Sink) -> None:
    """Write line by line, until None comes."""
    while (line := waiting.get()) is not None:
        sink.write(line)
    sink.close()


class _StreamSink:
    """Lines as text. A reader that has gone away is no reason to stop."""

    def __init__(self, form: str, stream: TextIO | None) -> None:
        self._formatter = _formatter(form)
        self._stream = stream

    def encode(self, record: logging.LogRecord) -> str:
        return self._formatter.format(record)

    def write(self, line: str) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(f"{line}\n")
                self._stream.flush()

    def close(self) -> None:
        pass


class _Front(logging.Handler):
    """Puts a line into the queue, or drops it: it never waits."""

    def __init__(self, waiting: queue.Queue[Any], sink: Sink) -> None:
        super().__init__()
        self.lost = 0
        self._told = 0
        self._waiting = waiting
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self.lost > self._told:
                self._waiting.put_nowait(self._sink.encode(self._lost_lines()))
                self._told = self.lost
            self._waiting.put_nowait(self._sink.encode(record))
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
        return prefixed(PRIORITIES.get(record.levelno, 6), super().format(record))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": super().format(record),
        }
        entry = entry_of(record)
        line.update({} if entry is None else entry_fields(entry))
        return json.dumps(line, ensure_ascii=False)


def _sink(form: str, environ: Mapping[str, str], stream: TextIO | None) -> Sink:
    form = _form(form, environ, stream)
    if form == "journal" and stream is not None and is_journal(environ, stream):
        return JournalSink(stream, SOCKET)
    return _StreamSink(form, stream)


def _form(form: str, environ: Mapping[str, str], stream: TextIO | None) -> str:
    if form != "auto" or stream is None:
        return form
    if is_journal(environ, stream):
        return "journal"
    return "text" if stream.isatty() else "json"


def _formatter(form: str) -> logging.Formatter:
    if form == "journal":
        return _Systemd("%(message)s")
    return _Json("%(message)s") if form == "json" else _Text("%(message)s")

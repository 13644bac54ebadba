"""Sends the log to systemd's journal with its fields, by journald's own protocol: one datagram for each line.

Not by systemd-python (235, and its main branch in 2026): its sendv() holds the interpreter's lock while it waits for
journald. When journald does not read (a hung disk), the whole process stands still, whichever thread has sent.
The protocol is stable: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
from collections.abc import Mapping
from typing import TextIO

from wasupervisor.model.journal import Entry
from wasupervisor.model.sessions import Reason

SOCKET = "/run/systemd/journal/socket"

PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""Of sd-daemon(3)."""

IDENTIFIER = "wasupervisor"


def is_journal(environ: Mapping[str, str], stream: TextIO) -> bool:
    """Whether the stream goes to systemd's journal: systemd.exec(5), JOURNAL_STREAM."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def prefixed(priority: int, text: str) -> str:
    """Lines of a stream that systemd reads: `<N>` before each is its priority."""
    return "\n".join(f"<{priority}>{line}" for line in text.splitlines())


def entry_of(record: logging.LogRecord) -> Entry | None:
    """The entry of the supervisor's journal that a line of the log tells, as `log_entry` has put it there."""
    return getattr(record, "entry", None)


def entry_fields(entry: Entry) -> dict[str, str]:
    """What an entry tells beside its sentence."""
    fields = {
        "session": entry.session,
        "kind": entry.kind,
        "reason": None if entry.reason is Reason.NONE else entry.reason,
        "remedy": entry.remedy,
        "outcome": entry.outcome,
    }
    return {key: value for key, value in fields.items() if value is not None}


def datagram(fields: Mapping[str, str]) -> bytes:
    """One line of the journal. A value with a line feed goes with its length before it (little-endian, 64 bits)."""
    parts: list[bytes] = []
    for name, value in fields.items():
        data = value.encode(errors="replace")
        head = name.encode() + b"="
        if b"\n" in data:
            head = name.encode() + b"\n" + struct.pack("<Q", len(data))
        parts += (head, data, b"\n")
    return b"".join(parts)


class JournalSink:
    """Lines for journald. What it cannot take (it is away, or a line is too long) goes to the stream as text."""

    def __init__(self, stream: TextIO, address: str) -> None:
        """`address` is where journald listens: `SOCKET`."""
        self._stream = stream
        self._address = address
        self._socket: socket.socket | None = None
        # Nobody else needs the table.
        from wasupervisor.runtime.message_ids import message_id  # noqa: PLC0415

        self._message_id = message_id
        self._formatter = logging.Formatter("%(message)s")

    def encode(self, record: logging.LogRecord) -> dict[str, str]:
        """The fields of a record."""
        fields = {
            "MESSAGE": self._formatter.format(record),
            "PRIORITY": str(PRIORITIES.get(record.levelno, 6)),
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "LOGGER": record.name,
        }
        entry = entry_of(record)
        if entry is not None:
            fields["MESSAGE_ID"] = self._message_id(entry)
            fields.update({key.upper(): value for key, value in entry_fields(entry).items()})
        return fields

    def write(self, fields: dict[str, str]) -> None:
        """Send one line, and wait while journald's queue is full: only the thread of the log may do that."""
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            # Not connected: the address stays right when journald binds a new socket.
            self._socket.sendto(datagram(fields), self._address)
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(f"{prefixed(int(fields['PRIORITY']), fields['MESSAGE'])}\n")
                self._stream.flush()

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()

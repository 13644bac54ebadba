"""Where log lines go, and what becomes of them when nobody reads."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.sessions import Reason
from wasupervisor.runtime import logs as logs_module
from wasupervisor.runtime.logs import Logs, log_entry

log = logging.getLogger("wasupervisor.test")


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    root, library = logging.getLogger(), logging.getLogger("httpcore")
    before = root.level, library.level
    yield
    root.setLevel(before[0])
    library.setLevel(before[1])


class Stuck(io.StringIO):
    """A pipe that nobody reads, until somebody does."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()
        self.may_go = threading.Event()

    def write(self, text: str) -> int:
        self.waits.set()
        self.may_go.wait(30)
        return super().write(text)


def logged(form: str, *, level: str = "info", environ: dict[str, str] | None = None) -> list[str]:
    """The lines of a warning and of a journal entry."""
    stream = io.StringIO()
    logs = Logs(level, form, environ or {}, stream)
    log.warning("a %s", "warning")
    log_entry(log, Entry(kind=EntryKind.REMEDY, text="restarted", session="s1", reason=Reason.STUCK_STARTING))
    log.debug("a detail")
    logs.close()
    return stream.getvalue().splitlines()


def test_text_is_for_a_person() -> None:
    warning, entry = logged("text")
    assert warning[8:] == " ! a warning"
    assert entry[8:] == " s1: restarted"


def test_json_has_the_fields_of_the_journal() -> None:
    warning, entry = map(json.loads, logged("json"))
    assert (warning["level"], warning["message"]) == ("warning", "a warning")
    assert entry["message"] == "s1: restarted"
    assert {key: entry[key] for key in ("session", "kind", "reason")} == {
        "session": "s1",
        "kind": "remedy",
        "reason": "stuck_starting",
    }
    assert "remedy" not in entry


def test_under_systemd_each_line_has_its_priority() -> None:
    assert logged("journal") == ["<4>a warning", "<6>s1: restarted"]


def test_auto_takes_text_on_a_terminal_and_json_otherwise() -> None:
    assert json.loads(logged("auto")[0])["message"] == "a warning"
    assert logs_module._form("auto", {}, _Terminal()) == "text"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_auto_knows_systemds_journal_by_its_device_and_inode() -> None:
    with Path(os.devnull).open("w") as stream:
        status = os.fstat(stream.fileno())
        there = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert logs_module._form("auto", there, stream) == "journal"
        assert logs_module._form("auto", {"JOURNAL_STREAM": "1:2"}, stream) == "json"


def test_the_level_can_change_while_it_runs() -> None:
    stream = io.StringIO()
    logs = Logs("warning", "text", {}, stream)
    log.info("hidden")
    logs.set_level("debug")
    log.debug("shown")
    logs.close()
    assert "hidden" not in stream.getvalue()
    assert "shown" in stream.getvalue()


def test_the_http_library_never_logs_its_headers_for_the_key_is_in_them() -> None:
    stream = io.StringIO()
    logs = Logs("debug", "text", {}, stream)
    logging.getLogger("httpcore.http11").debug("X-Api-Key: secret")
    logs.close()
    assert stream.getvalue() == ""


def test_a_reader_that_is_stuck_stops_nobody_and_what_was_lost_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "QUEUE_SIZE", 3)
    stream = Stuck()
    logs = Logs("info", "text", {}, stream)
    log.info("first")
    assert stream.waits.wait(30)
    for number in range(10):
        log.info("number %d", number)
    assert logs.lost == 7
    stream.may_go.set()
    while not logs._waiting.empty():
        pass
    log.info("last")
    log.info("very last")
    logs.close(timeout=30)
    text = stream.getvalue()
    assert text.count("7 lines of the log were lost") == 1
    assert text.index("number 2") < text.index("lines of the log were lost") < text.index("very last")


def test_closing_does_not_wait_for_a_stuck_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "QUEUE_SIZE", 2)
    stream = Stuck()
    logs = Logs("info", "text", {}, stream)
    for _ in range(10):
        log.info("a line")
    logs.close(timeout=0.05)
    assert stream.getvalue() == ""
    stream.may_go.set()
    logs._waiting.put(None)
    logs._writer.join(30)


def test_without_a_standard_error_nothing_is_written_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    logs = Logs("info", "auto", {})
    log.info("into the void")
    logs.close()


def test_a_reader_that_went_away_does_not_end_the_writing() -> None:
    class Gone(io.StringIO):
        broken = True

        def write(self, text: str) -> int:
            if self.broken:
                raise BrokenPipeError
            return super().write(text)

    stream = Gone()
    logs = Logs("info", "text", {}, stream)
    log.info("lost")
    while not logs._waiting.empty():
        pass
    stream.broken = False
    log.info("told")
    logs.close(timeout=30)
    assert "told" in stream.getvalue()

"""Log lines: whole, in order, and never in the way."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.runtime import logs as module
from wasupervisor.runtime.logs import Logs, log_entry

log = logging.getLogger("wasupervisor.test")
Begin = Callable[..., Logs]


@pytest.fixture
def begin() -> Iterator[Begin]:
    root = logging.getLogger()
    level = root.level
    begun: list[Logs] = []

    def begin(stream: object, form: str = "json", *, level: str = "info") -> Logs:
        begun.append(Logs(level, form, {}, stream))  # type: ignore[arg-type]
        return begun[-1]

    yield begin
    for one in begun:
        one.close(timeout=0.01)
    root.setLevel(level)


def test_lines_come_out_whole_and_in_order_at_the_close(begin: Begin) -> None:
    stream = io.StringIO()
    logs = begin(stream)
    for number in range(1000):
        log.info("line %d", number)
    log.debug("not asked for")
    logs.close()
    log.info("too late")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == [
        f"line {number}" for number in range(1000)
    ]


def test_an_entry_of_the_journal_has_its_fields(begin: Begin) -> None:
    stream = io.StringIO()
    logs = begin(stream)
    log_entry(log, Entry(kind=EntryKind.SEEN, session="s1", text="it failed", warn=True))
    logs.close()
    line = json.loads(stream.getvalue())
    assert (line["message"], line["session"], line["level"]) == ("s1: it failed", "s1", "warning")


def test_an_exception_has_a_priority_on_each_of_its_lines(begin: Begin) -> None:
    stream = io.StringIO()
    logs = begin(stream, "journal")
    try:
        int("broken")
    except ValueError:
        log.exception("it failed")
    logs.close()
    lines = stream.getvalue().splitlines()
    assert lines[-1] == "<3>ValueError: invalid literal for int() with base 10: 'broken'"
    assert all(line.startswith("<3>") for line in lines)


def test_a_call_that_cannot_be_formatted_stops_nothing(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    stream = io.StringIO()
    logs = begin(stream, "journal")
    log.info("%d", "no number")
    log.info("well")
    logs.close()
    assert stream.getvalue() == "<6>well\n"


def test_a_reader_that_has_gone_stops_nothing(begin: Begin) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as stream:
        logs = begin(stream)
        log.info("one")
        log.info("two")
        logs.close()
        assert not logs._writer.is_alive()
        _forget_what_is_buffered(stream)


def _forget_what_is_buffered(stream: io.TextIOWrapper) -> None:
    """So that the close does not fail for the reader that has gone."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


class StuckStream(io.StringIO):
    """A pipe or a terminal whose reader stands still until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def write(self, text: str) -> int:
        self.let_go.wait()
        return super().write(text)


def test_a_reader_that_stands_still_holds_up_nobody_and_learns_what_it_lost(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUE_SIZE", 5)
    stream = StuckStream()
    logs = begin(stream, "journal")
    for number in range(20):
        log.info("line %d", number)
    lost = logs.lost
    assert lost >= 14
    stream.let_go.set()
    while not logs._waiting.empty():
        time.sleep(0.001)
    log.info("well")
    logs.close()
    assert stream.getvalue().splitlines()[-2:] == [
        f"<4>{lost} lines of the log were lost, for nobody read the ones before",
        "<6>well",
    ]


def test_the_close_does_not_wait_for_a_reader_that_stands_still(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE_SIZE", 1)
    stream = StuckStream()
    logs = begin(stream)
    for _ in range(3):
        log.info("line")
    logs.close(timeout=0.01)
    assert logs._writer.is_alive()
    stream.let_go.set()

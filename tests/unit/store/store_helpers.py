"""What the tests of the store share."""

from __future__ import annotations

import json
from pathlib import Path

from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.store.database import Database
from wasupervisor.store.journal import Line
from wasupervisor.store.reader import Opened
from wasupervisor.store.timeline import Saved

NOW = 1_700_000_000.0
STAMP = "20231114T221320Z"


def moment(timeline: float = 1.0) -> Saved:
    return Saved(timeline=timeline, boottime=100.0 + timeline, wall=NOW + timeline, boot_id="boot")


def line(text: str = "something", at: float = NOW, **fields: object) -> Line:
    return Line(at=at, timeline=at - NOW, entry=Entry(kind=EntryKind.CONCLUDED, text=text, **fields))  # type: ignore[arg-type]


def database(directory: Path, **options: object) -> Database:
    return Database(directory, wall=lambda: NOW, **options)  # type: ignore[arg-type]


def open_again(directory: Path, **options: object) -> tuple[Opened, list[str], tuple[str, ...]]:
    again = database(directory, **options)
    opened = again.open()
    texts = [recorded.entry.text for recorded in again.history()]
    again.close()
    return opened, texts, again.notes


CHILD = """
import signal, sys
from pathlib import Path
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.store.database import Database
from wasupervisor.store.journal import Line
from wasupervisor.store.timeline import Saved
database = Database(Path(sys.argv[1]))
opened = database.open()
number = int(opened.memory or b"0")
while number < int(sys.argv[2]):
    number += 1
    entry = Entry(kind=EntryKind.REMEDY, text=str(number))
    moment = Saved(timeline=float(number), boottime=0.0, wall=0.0)
    database.commit(b"%d" % number, moment, [Line(0.0, 0.0, entry)])
    print(number, flush=True)
signal.pause()
"""
"""Commits up to the number it is given, prints each that it has committed, and waits for its end."""


def fill_state(directory: Path) -> None:
    """A memory and some journal, closed."""
    writer = database(directory)
    assert writer.open() == Opened()
    for number in range(60):
        writer.commit(json.dumps({"n": number}).encode() * 50, moment(number), [line(f"line {number} " + "x" * 200)])
    writer.close()

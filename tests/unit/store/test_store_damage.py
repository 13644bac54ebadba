"""Kill -9 and damage: what was committed stays, what is damaged is moved aside, and the start never fails."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from store_helpers import CHILD, STAMP, database, fill_state, line, moment, open_again

from wasupervisor.model.journal import EntryKind
from wasupervisor.store.errors import NewerState, StateUnwritable, StoreError
from wasupervisor.store.reader import Opened


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A state with a memory and some journal, closed."""
    fill_state(tmp_path)
    return tmp_path


def test_kill_9_at_any_point_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    dice = random.Random(4711)
    for _ in range(20):
        with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), "1000000"], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(dice.randrange(1, 40)):
                assert child.stdout.readline()
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.read().split()
            printed = int(rest[-1]) if rest else 0
        opened, texts, notes = open_again(tmp_path)
        assert opened.memory is not None
        assert opened.saved is not None
        assert notes == ()
        number = int(opened.memory)
        assert number >= printed
        assert opened.saved.timeline == number
        assert texts == [str(n) for n in range(max(1, number - 999), number + 1)]


@pytest.mark.parametrize("rubbish", [b"garbage", b"x" * 8192, b"SQLite format 3\0", b"\0" * 5000])
def test_a_file_that_is_no_database_is_moved_aside_and_told(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / "state.db").write_bytes(rubbish)
    (tmp_path / "state.db-wal").write_bytes(b"also rubbish")
    opened, texts, notes = open_again(tmp_path)
    aside = tmp_path / f"state.db.corrupt-{STAMP}"
    assert opened.memory is None
    assert opened.moved_aside == aside
    assert opened.trouble is None
    assert "not a database" in opened.why
    assert aside.read_bytes() == rubbish
    assert (tmp_path / f"state.db.corrupt-{STAMP}-wal").read_bytes() == b"also rubbish"
    assert texts == list(notes)
    assert str(aside) in notes[0]
    assert open_again(tmp_path)[0] == Opened()


def test_the_second_damaged_file_of_a_second_does_not_overwrite_the_first(tmp_path: Path) -> None:
    for rubbish in (b"one", b"two"):
        (tmp_path / "state.db").write_bytes(rubbish)
        open_again(tmp_path)
    assert (tmp_path / f"state.db.corrupt-{STAMP}").read_bytes() == b"one"
    assert (tmp_path / f"state.db.corrupt-{STAMP}.1").read_bytes() == b"two"


def test_the_database_of_another_program_is_moved_aside(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "state.db")
    other.execute("CREATE TABLE cookies (x)")
    other.close()
    opened, _, _ = open_again(tmp_path)
    assert opened.moved_aside is not None
    assert "another program" in opened.why


def test_a_broken_page_of_the_journal_does_not_cost_the_memory(filled: Path) -> None:
    before = open_again(filled)[0]
    path = filled / "state.db"
    content = bytearray(path.read_bytes())
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'journal_at'").fetchone()
    connection.close()
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    opened, texts, notes = open_again(filled)
    assert opened.moved_aside is not None
    assert opened.memory == before.memory
    assert opened.saved == before.saved
    assert texts == list(notes)
    assert open_again(filled)[0] == before


def test_damage_anywhere_never_stops_the_start(filled: Path) -> None:
    dice = random.Random(1)
    sound = (filled / "state.db").read_bytes()
    moved = 0
    for number in range(80):
        content = bytearray(sound)
        for _ in range(dice.choice([1, 1, 3, 50])):
            # Half of the hits go to the first page, where SQLite keeps what everything else depends on.
            offset = dice.randrange(len(content)) if dice.random() < 0.5 else dice.randrange(200)
            content[offset] = dice.randrange(256)
        if dice.random() < 0.2:
            del content[dice.randrange(len(content)) :]
        with tempfile.TemporaryDirectory() as place:
            (Path(place) / "state.db").write_bytes(content)
            if dice.random() < 0.2:
                (Path(place) / "state.db-wal").write_bytes(dice.randbytes(dice.randrange(5000)))
            subject = database(Path(place), decodes=json.loads if number % 2 else None)
            try:
                opened = subject.open()
            except (NewerState, StoreError):
                continue
            assert opened.trouble is None
            moved += opened.moved_aside is not None
            subject.commit(b"{}", moment(), [line("goes on")])
            assert [recorded.entry.text for recorded in subject.history()][-1:] == ["goes on"]
            subject.close()
            assert open_again(Path(place))[0].memory == b"{}"
    assert moved > 10


def test_a_memory_that_the_decider_cannot_use_is_kept_in_a_file_and_the_journal_goes_on(filled: Path) -> None:
    before = open_again(filled)
    opened, texts, notes = open_again(filled, decodes=json.loads)
    aside = filled / f"memory.corrupt-{STAMP}.json"
    assert opened.memory is None
    assert opened.saved == before[0].saved
    assert opened.moved_aside == aside
    assert aside.read_bytes() == before[0].memory
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    assert texts == before[1]
    assert "Extra data" in notes[0]


def test_what_the_store_has_to_say_is_journaled_with_the_next_commit(filled: Path) -> None:
    subject = database(filled, decodes=json.loads)
    subject.open()
    subject.commit(b"{}", moment(), [line("next")])
    said, after = subject.history()[-2:]
    subject.close()
    assert said.entry.kind is EntryKind.SUPERVISOR
    assert said.entry.warn
    assert said.entry.text == subject.notes[0]
    assert after.entry.text == "next"


def test_a_file_that_breaks_while_it_is_open_is_replaced_with_what_we_hold(filled: Path) -> None:
    subject = database(filled)
    subject.open()
    (filled / "state.db").write_bytes(b"\xff" * 40_960)
    subject._connection.execute("PRAGMA cache_size=0")  # type: ignore[union-attr]
    subject.commit(b"held", moment(9.0), [line("goes on")])
    assert len(subject.notes) == 1
    subject.close()
    opened, texts, _ = open_again(filled)
    assert opened.memory == b"held"
    assert texts == [subject.notes[0], "goes on"]


def test_a_disk_that_damages_each_new_file_is_not_filled_with_copies(filled: Path) -> None:
    subject = database(filled)
    subject.open()
    refused = 0
    for _ in range(6):
        subject.close()
        (filled / "state.db").write_bytes(b"\xff" * 40_960)
        try:
            subject.commit(b"{}", moment())
        except StateUnwritable as error:
            refused += "check the disk" in str(error)
    subject.close()
    assert refused == 3
    assert len([path for path in filled.iterdir() if path.name.startswith("state.db.corrupt")]) == 3

"""The state file: what was committed comes back, and what is newer is left alone."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest
from store_helpers import NOW, database, fill_state, line, moment, open_again

from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.sessions import Reason
from wasupervisor.store.errors import NewerState, StateUnwritable, StoreError
from wasupervisor.store.journal import Line
from wasupervisor.store.reader import Opened, read_history, read_state
from wasupervisor.store.schema import STEPS


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A state with a memory and some journal, closed."""
    fill_state(tmp_path)
    return tmp_path


def test_memory_moment_and_journal_come_back(tmp_path: Path) -> None:
    writer = database(tmp_path)
    writer.open()
    entry = Entry(
        kind=EntryKind.REMEDY,
        text="Restarting it.",
        session="sales",
        reason=Reason.CONNECTION_LOST,
        remedy="restart_session",
        outcome="accepted",
        warn=True,
    )
    writer.commit(b'{"a": 1}', moment(5.0), [Line(NOW + 5, 5.0, entry)])
    writer.commit(b'{"a": 2}', moment(6.0))
    (recorded,) = writer.history()
    assert recorded.entry == entry
    assert recorded.at == NOW + 5
    writer.close()
    opened, texts, notes = open_again(tmp_path)
    assert opened == Opened(memory=b'{"a": 2}', saved=moment(6.0))
    assert texts == ["Restarting it."]
    assert notes == ()


def test_everything_is_for_our_eyes_only(tmp_path: Path) -> None:
    (tmp_path / "state.db").touch(0o644)
    old = os.umask(0)
    try:
        writer = database(tmp_path)
        writer.open()
        writer.commit(b"{}", moment(), [line()])
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    writer.close()
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}


def test_a_commit_is_durable_and_the_log_is_wal(tmp_path: Path) -> None:
    writer = database(tmp_path)
    writer.open()
    assert writer._connection is not None
    found = [writer._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert found == ["wal", 2]
    assert writer._connection.execute("PRAGMA auto_vacuum").fetchone()[0] == 2
    writer.close()


def test_text_that_cannot_be_stored_does_not_cost_the_commit(tmp_path: Path) -> None:
    writer = database(tmp_path)
    writer.open()
    writer.commit(b"{}", moment(), [line("a lone \udcff surrogate and a \0 byte", session="s\udcff")])
    (recorded,) = writer.history()
    assert recorded.entry.text == "a lone ? surrogate and a \0 byte"
    assert recorded.entry.session == "s?"
    writer.close()


def test_memory_and_journal_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    subject = database(tmp_path)
    subject.open()
    subject.commit(b"before", moment(), [line("before")])
    unbindable = line("never")._replace(at=object())  # type: ignore[arg-type]
    with pytest.raises(StateUnwritable):
        subject.commit(b"never", moment(), [line("never"), unbindable])
    assert read_state(tmp_path).memory == b"before"
    subject.commit(b"after", moment(), [line("after")])
    subject.close()
    opened, texts, _ = open_again(tmp_path)
    assert opened.memory == b"after"
    assert texts == ["before", "after"]


def test_a_newer_state_is_refused_and_not_touched(filled: Path) -> None:
    connection = sqlite3.connect(filled / "state.db")
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("PRAGMA user_version=7")
    connection.close()
    before = {path.name: path.read_bytes() for path in filled.iterdir()}
    with pytest.raises(NewerState, match=f"its schema is 7, this release knows {len(STEPS)}") as refused:
        database(filled).open()
    assert "\n" not in str(refused.value)
    assert {path.name: path.read_bytes() for path in filled.iterdir()} == before
    with pytest.raises(NewerState):
        read_state(filled)


def test_a_newer_state_that_is_still_in_the_log_is_refused(filled: Path) -> None:
    connection = sqlite3.connect(filled / "state.db")
    connection.execute("PRAGMA user_version=7")
    with pytest.raises(NewerState):
        database(filled).open()
    connection.close()


def test_an_older_state_is_brought_up_step_by_step(filled: Path) -> None:
    steps = (*STEPS, ("CREATE TABLE colours (name TEXT)",), ("INSERT INTO colours VALUES ('green')",))
    before = open_again(filled)
    assert open_again(filled, steps=steps) == before
    connection = sqlite3.connect(filled / "state.db")
    assert connection.execute("SELECT name FROM colours").fetchall() == [("green",)]
    assert connection.execute("PRAGMA user_version").fetchone() == (len(STEPS) + 2,)
    connection.close()
    assert open_again(filled, steps=steps) == before


def test_a_step_that_fails_leaves_the_step_before(tmp_path: Path) -> None:
    open_again(tmp_path)
    steps = (*STEPS, ("CREATE TABLE colours (name TEXT)", "INSERT INTO nowhere VALUES (1)"))
    connection = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    subject = database(tmp_path, steps=steps)
    with pytest.raises(sqlite3.OperationalError):
        subject._open_to_write()
    subject.close()
    assert connection.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'colours'").fetchone() == (0,)
    connection.close()


def test_another_program_that_holds_the_file_is_told(filled: Path) -> None:
    subject = database(filled)
    subject.open()
    other = sqlite3.connect(filled / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnwritable, match="another program holds it"):
        subject.commit(b"1", moment())
    other.execute("ROLLBACK")
    other.close()
    subject.commit(b"1", moment())
    subject.close()


def test_a_file_that_was_removed_under_us_is_written_anew(filled: Path) -> None:
    subject = database(filled)
    subject.open()
    (filled / "state.db").unlink()
    subject.commit(b"still", moment(), [line("here")])
    subject.close()
    opened, texts, _ = open_again(filled)
    assert opened.memory == b"still"
    assert texts == [subject.notes[0], "here"]


def test_a_directory_that_was_removed_under_us_is_told(tmp_path: Path) -> None:
    place = tmp_path / "state"
    place.mkdir()
    subject = database(place)
    subject.open()
    for path in place.iterdir():
        path.unlink()
    place.rmdir()
    for _ in range(2):
        with pytest.raises(StateUnwritable, match="No such file or directory"):
            subject.commit(b"{}", moment())
    place.mkdir()
    subject.commit(b"{}", moment())
    subject.close()


def test_a_directory_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    with pytest.raises(StoreError, match=r"state\.db is a directory"):
        database(tmp_path).open()


def test_the_state_can_be_read_beside_the_daemon(tmp_path: Path) -> None:
    assert read_state(tmp_path) == Opened()
    assert read_history(tmp_path) == []
    writer = database(tmp_path)
    writer.open()
    assert read_state(tmp_path) == Opened()
    assert read_history(tmp_path) == []
    writer.commit(b"{}", moment(), [line("one"), line("two", session="s")])
    assert read_state(tmp_path).memory == b"{}"
    assert [recorded.entry.text for recorded in read_history(tmp_path, session="s")] == ["two"]
    writer.commit(b"[]", moment(), [line("three")])
    writer.close()
    assert read_state(tmp_path).memory == b"[]"
    (tmp_path / "state.db").write_bytes(b"rubbish" * 1000)
    with pytest.raises(StoreError, match="cannot be read"):
        read_history(tmp_path)

"""The journal: what is found in it, and how old lines go and the file shrinks."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from store_helpers import NOW, database, fill_state, line, moment, open_again

from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.sessions import Reason
from wasupervisor.store.database import Database
from wasupervisor.store.errors import StateUnwritable
from wasupervisor.store.journal import Line


def texts(subject: Database, **filters: object) -> list[str]:
    return [recorded.entry.text for recorded in subject.history(**filters)]  # type: ignore[arg-type]


def test_history_filters_by_session_time_and_kind_with_the_newest_last(tmp_path: Path) -> None:
    subject = database(tmp_path)
    subject.open()
    kinds = [EntryKind.SEEN, EntryKind.CONCLUDED, EntryKind.REMEDY]
    entries = [
        Line(NOW + n, float(n), Entry(kind=kinds[n % 3], text=str(n), session="ab"[n % 2] if n < 8 else None))
        for n in range(10)
    ]
    subject.commit(b"{}", moment(), entries)
    assert texts(subject) == list("0123456789")
    assert texts(subject, limit=3) == list("789")
    assert texts(subject, limit=0) == []
    assert texts(subject, session="a") == list("0246")
    assert texts(subject, session="a", limit=2) == list("46")
    assert texts(subject, session="c") == []
    assert texts(subject, session="a", shared=True, since=NOW + 3) == list("4689")
    assert texts(subject, since=NOW + 8) == list("89")
    assert texts(subject, since=NOW + 3, until=NOW + 5) == list("34")
    assert texts(subject, kinds=[EntryKind.REMEDY]) == list("258")
    assert texts(subject, kinds={EntryKind.REMEDY, EntryKind.SEEN}, session="b", since=NOW + 3) == list("35")
    assert texts(subject, kinds=[]) == []
    ids = [recorded.id for recorded in subject.history()]
    assert ids == sorted(ids)
    subject.close()


def test_the_order_is_that_of_writing_even_when_the_wall_clock_was_set_back(tmp_path: Path) -> None:
    subject = database(tmp_path)
    subject.open()
    subject.commit(b"{}", moment(), [line("first", at=NOW), line("second", at=NOW - 9999)])
    assert texts(subject) == ["first", "second"]
    subject.close()


def test_words_of_a_later_release_and_broken_rows_do_not_hide_the_rest(tmp_path: Path) -> None:
    fill_state(tmp_path)
    connection = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    connection.execute("UPDATE journal SET kind = 'vault', reason = 'moonlight' WHERE id = 60")
    connection.execute("UPDATE journal SET at = x'00' WHERE id = 59")
    connection.execute("UPDATE journal SET text = CAST(x'ff41' AS TEXT) WHERE id = 58")
    connection.close()
    subject = database(tmp_path)
    subject.open()
    before, last = subject.history(limit=3)
    subject.close()
    assert before.id == 58
    assert before.entry.text == "\ufffdA"
    assert last.id == 60
    assert last.entry.kind is EntryKind.SUPERVISOR
    assert last.entry.reason is Reason.NONE


def prune_all(subject: Database, *, before: float, max_bytes: int) -> int:
    calls = 1
    while subject.prune(before=before, max_bytes=max_bytes):
        calls += 1
        assert calls < 100
    return calls


def fill_journal(subject: Database, lines: int) -> int:
    """One line for each second; the size of the file in the end."""
    for start in range(0, lines, 1000):
        batch = [line(f"{n} " + "x" * 300, at=NOW + n) for n in range(start, min(start + 1000, lines))]
        subject.commit(b'{"kept": true}', moment(), batch)
    subject.close()
    subject.open()
    return subject.path.stat().st_size


def test_old_lines_go_and_the_file_shrinks(tmp_path: Path) -> None:
    subject = database(tmp_path)
    subject.open()
    full = fill_journal(subject, 7000)
    assert prune_all(subject, before=NOW + 6500, max_bytes=1 << 40) > 1
    subject.commit(b'{"kept": true}', moment())
    subject.close()
    assert (tmp_path / "state.db").stat().st_size < full / 5
    opened, left, _ = open_again(tmp_path)
    assert opened.memory == b'{"kept": true}'
    assert [text.split()[0] for text in left] == [str(n) for n in range(6500, 7000)]


def test_one_call_does_a_bounded_amount_of_work(tmp_path: Path) -> None:
    subject = database(tmp_path)
    subject.open()
    fill_journal(subject, 5000)
    assert subject.prune(before=NOW + 9999, max_bytes=1 << 40)
    assert len(texts(subject, limit=9999)) == 3000
    subject.close()


def test_the_oldest_lines_go_when_the_file_is_too_large(tmp_path: Path) -> None:
    subject = database(tmp_path)
    subject.open()
    full = fill_journal(subject, 5000)
    prune_all(subject, before=0.0, max_bytes=full // 2)
    subject.close()
    size = (tmp_path / "state.db").stat().st_size
    assert full * 0.4 < size <= full // 2
    left = [int(text.split()[0]) for text in open_again(tmp_path)[1]]
    assert left[-1] == 4999
    assert left == list(range(left[0], 5000))


def test_a_limit_that_is_smaller_than_the_memory_takes_the_journal_and_never_the_memory(tmp_path: Path) -> None:
    subject = database(tmp_path)
    subject.open()
    fill_journal(subject, 500)
    subject.commit(b"m" * 200_000, moment(), [line()])
    prune_all(subject, before=0.0, max_bytes=1000)
    assert texts(subject) == []
    subject.commit(b"m" * 200_000, moment(), [line("new")])
    subject.close()
    opened, left, _ = open_again(tmp_path)
    assert opened.memory == b"m" * 200_000
    assert left == ["new"]


def test_damage_that_only_pruning_finds_is_healed_by_the_next_commit(tmp_path: Path) -> None:
    fill_state(tmp_path)
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'journal (at)', 'journal (timeline)')")
    connection.execute("UPDATE journal SET timeline = at + id")
    connection.close()
    subject = database(tmp_path)
    assert subject.open().memory is not None
    assert subject._connection is not None
    with pytest.raises(StateUnwritable, match="SQLITE_CORRUPT"):
        subject.prune(before=NOW + 9999, max_bytes=1 << 40)
    subject.commit(b"{}", moment(), [line("goes on")])
    assert texts(subject) == [subject.notes[0], "goes on"]
    assert not subject.prune(before=0.0, max_bytes=1 << 40)
    subject.close()


def test_a_journal_without_one_of_its_columns_is_moved_aside_at_the_start(tmp_path: Path) -> None:
    fill_state(tmp_path)
    connection = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    connection.execute("ALTER TABLE journal RENAME COLUMN warn TO warm")
    connection.close()
    opened, _, _ = open_again(tmp_path)
    assert opened.moved_aside is not None
    assert opened.memory is not None

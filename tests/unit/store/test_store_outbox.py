"""Messages to people: queued with the decision that made them, never lost, never more than there is room for."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from store_helpers import NOW, database, line, moment

from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.store.database import Database
from wasupervisor.store.errors import StateUnwritable
from wasupervisor.store.outbox import MOST_WAITING, Key, Message, Outbox
from wasupervisor.store.reader import Opened, read_state
from wasupervisor.store.store import Store


def message(identity: str = "e1.begin", channel: str = "c", event: str = "begin", queued: float = 1.0) -> Message:
    return Message(channel, identity, event, queued, b'{"what": "x"}', "what is told", "a", "qr_wanted")


def by_key(*messages: Message) -> dict[Key, Message]:
    return {one.key: one for one in messages}


def left_in(directory: Path) -> tuple[Message, ...]:
    return read_state(directory).outbox


def ids(messages: Iterable[Message]) -> list[str]:
    return [one.id for one in messages]


# In memory


def test_the_oldest_goes_first_and_each_channel_has_its_own() -> None:
    box = Outbox([message("old")])
    box.put([message("new"), message("other", "d")])
    box.release()
    first = box.first("c")
    assert first == message("old")
    box.remove(first)
    assert box.first("c") == message("new")
    assert box.first("d") == message("other", "d")
    assert box.first("e") is None


def test_nothing_is_sent_before_the_commit_that_it_goes_with() -> None:
    box = Outbox()
    box.put([message()])
    assert box.first("c") is None
    assert len(box) == 1
    box.release()
    assert box.first("c") == message()


def test_for_want_of_room_reminders_go_first_then_ends_then_begins_the_oldest_first() -> None:
    box = Outbox()
    assert box.put([message("begin1"), message("end1", event="end"), message("remind1", event="remind")]) == []
    assert box.put([message(f"x{number}") for number in range(MOST_WAITING - 3)]) == []
    assert ids(box.put([message("more1")])) == ["remind1"]
    assert ids(box.put([message("more2"), message("elsewhere", "d")])) == ["end1"]
    assert ids(box.put([message("more3")])) == ["begin1"]
    assert len(box) == MOST_WAITING + 1


def test_a_channel_that_never_answers_does_not_grow_without_end() -> None:
    box = Outbox()
    for number in range(5000):
        box.put([message(f"e{number}.begin"), message(f"e{number}.end", event="end")])
    assert len(box.snapshot()) == MOST_WAITING


def test_what_is_too_old_is_given_up() -> None:
    box = Outbox([message("old", queued=10.0), message("new", queued=20.0)])
    assert ids(box.remove_older(20.0)) == ["old"]
    assert list(box.snapshot()) == [("c", "new")]
    box.remove(message("old"))


# In the state


def test_messages_are_written_with_the_memory_or_not_at_all(tmp_path: Path) -> None:
    subject = database(tmp_path)
    subject.open()
    subject.commit(b"1", moment(), [line()], by_key(message("one")))
    unbindable = line("never")._replace(at=object())  # type: ignore[arg-type]
    with pytest.raises(StateUnwritable):
        subject.commit(b"2", moment(), [unbindable], by_key(message("two")))
    assert (read_state(tmp_path).memory, ids(left_in(tmp_path))) == (b"1", ["one"])
    broken = message("three")._replace(body=object())  # type: ignore[arg-type]
    with pytest.raises(StateUnwritable):
        subject.commit(b"3", moment(), [line("never")], by_key(message("one"), broken))
    assert (read_state(tmp_path).memory, ids(left_in(tmp_path))) == (b"1", ["one"])
    subject.commit(b"4", moment(), (), by_key(message("two"), message("four", "d", "end", 7.0)))
    subject.close()
    assert left_in(tmp_path) == (message("two"), message("four", "d", "end", 7.0))


def test_a_commit_without_messages_leaves_them(tmp_path: Path) -> None:
    subject = database(tmp_path)
    subject.open()
    subject.commit(b"1", moment(), (), by_key(message()))
    subject.commit(b"2", moment())
    subject.close()
    assert left_in(tmp_path) == (message(),)
    again = database(tmp_path)
    assert again.open().outbox == (message(),)
    again.commit(b"3", moment(), (), {})
    again.close()
    assert left_in(tmp_path) == ()


CHILD = """
import signal, sys
from pathlib import Path
from wasupervisor.store.database import Database
from wasupervisor.store.outbox import Message
from wasupervisor.store.timeline import Saved
database = Database(Path(sys.argv[1]))
number = int(database.open().memory or b"0")
print(number, flush=True)
while True:
    number += 1
    told = Message("c", str(number), "begin", 1.0, b"{}", "x")
    database.commit(b"%d" % number, Saved(timeline=1.0, boottime=0.0, wall=0.0), (), {told.key: told})
    print(number, flush=True)
"""
"""In each commit one message is new and the one before was delivered."""


def test_kill_9_between_any_two_commits_neither_loses_nor_doubles_a_message(tmp_path: Path) -> None:
    dice = random.Random(4711)
    for _ in range(10):
        with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(dice.randrange(1, 30)):
                assert child.stdout.readline()
            child.send_signal(signal.SIGKILL)
        opened = read_state(tmp_path)
        number = int(opened.memory or b"0")
        assert ids(opened.outbox) == ([str(number)] if number else [])


def test_a_name_that_cannot_be_stored_costs_nothing(tmp_path: Path) -> None:
    subject = database(tmp_path)
    subject.open()
    subject.commit(b"1", moment(), (), by_key(message()._replace(about="a\udcff", session="s\udcff")))
    subject.close()
    assert [(one.about, one.session) for one in left_in(tmp_path)] == [("a?", "s?")]


def test_a_damaged_row_hides_itself_and_nothing_else(tmp_path: Path) -> None:
    subject = database(tmp_path)
    subject.open()
    subject.commit(b"1", moment(), (), by_key(*(message(str(number)) for number in range(5))))
    subject.close()
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute("UPDATE outbox SET event = 'shout' WHERE id = '0'")
    connection.execute("UPDATE outbox SET body = 7 WHERE id = '1'")
    connection.execute("UPDATE outbox SET queued = 'soon' WHERE id = '2'")
    connection.execute("UPDATE outbox SET queued = 9e999, session = NULL WHERE id = '3'")
    connection.commit()
    connection.close()
    assert ids(left_in(tmp_path)) == ["4"]


def test_a_damaged_journal_does_not_cost_the_messages(tmp_path: Path) -> None:
    subject = database(tmp_path)
    subject.open()
    subject.commit(b"1", moment(), [line(f"{number} " + "x" * 500) for number in range(60)], by_key(message()))
    subject.close()
    path = tmp_path / "state.db"
    content = bytearray(path.read_bytes())
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'journal_at'").fetchone()
    connection.close()
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    again = database(tmp_path)
    opened = again.open()
    assert opened.moved_aside is not None
    assert (opened.memory, opened.outbox) == (b"1", (message(),))
    again.close()
    assert left_in(tmp_path) == (message(),)


def test_a_damaged_outbox_costs_the_messages_only(tmp_path: Path) -> None:
    subject = database(tmp_path)
    subject.open()
    subject.commit(b"1", moment(), (), by_key(message()))
    subject.close()
    path = tmp_path / "state.db"
    content = bytearray(path.read_bytes())
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'outbox'").fetchone()
    connection.close()
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    again = database(tmp_path)
    assert (again.open().memory, left_in(tmp_path)) == (b"1", ())
    again.commit(b"2", moment(), (), by_key(message("next")))
    again.close()
    assert ids(left_in(tmp_path)) == ["next"]


def test_a_file_that_breaks_while_it_is_open_takes_the_messages_along_to_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = database(tmp_path)
    subject.open()
    subject.commit(b"1", moment(), (), by_key(message()))
    subject._damage = "made up"
    subject.commit(b"2", moment(), (), by_key(message(), message("two")))
    subject.close()
    assert ids(left_in(tmp_path)) == ["e1.begin", "two"]


def test_an_outbox_of_an_older_release_is_made(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    from wasupervisor.store.schema import STEPS

    for statement in STEPS[0]:
        connection.execute(statement)
    connection.execute("PRAGMA user_version=1")
    connection.close()
    subject = database(tmp_path)
    assert subject.open() == Opened()
    subject.commit(b"1", moment(), (), by_key(message()))
    subject.close()
    assert left_in(tmp_path) == (message(),)


# As the runtime uses it


async def open_store(directory: Path) -> Store:
    return await Store.open(
        directory,
        keep=3600.0,
        max_bytes=1 << 30,
        wall_clock=lambda: NOW,
        boottime=lambda: 1000.0,
        boot_id="boot",
    )


@pytest.mark.anyio
async def test_what_an_earlier_run_left_is_there_and_what_is_delivered_is_not(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    store.outbox.put([message("one"), message("two")])
    await store.save(b"1", [Entry(EntryKind.ALERT, "x")])
    first = store.outbox.first("c")
    assert first == message("one")
    store.outbox.remove(first)
    await store.save(b"1")
    await store.close()
    again = await open_store(tmp_path)
    assert ids(again.outbox.snapshot().values()) == ["two"]
    assert again.outbox.first("c") == message("two")
    await again.close()


@pytest.mark.anyio
async def test_on_a_disk_that_cannot_be_written_they_are_in_memory_and_come_to_the_disk_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await open_store(tmp_path)

    def refuse(*arguments: object) -> None:
        raise StateUnwritable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "commit", refuse)
        store.outbox.put([message("one"), message("two")])
        with pytest.raises(StateUnwritable):
            await store.save(b"1")
        first = store.outbox.first("c")
        assert first == message("one")
        store.outbox.remove(first)
    await store.save(b"2")
    await store.close()
    assert ids(left_in(tmp_path)) == ["two"]

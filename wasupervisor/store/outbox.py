"""Messages to people that are not delivered yet: in memory for the sender, and in the state for the next run."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

MOST_WAITING = 200
"""Messages of one channel. Beyond it reminders go first, then ends, then begins, each the oldest first."""

_GOES_FIRST = ("remind", "end", "begin")

_COLUMNS = "channel, id, event, queued, session, reason, about, body"

Key = tuple[str, str]


class Message(NamedTuple):
    """One alert for one channel."""

    channel: str
    """Names where it goes, without telling the address."""
    id: str
    """The same each time that it is sent."""
    event: str
    """`begin`, `remind` or `end`."""
    queued: float
    """On the supervisor's timeline."""
    body: bytes
    about: str
    """What is told, as a short sentence for the journal."""
    session: str | None = None
    reason: str = "none"

    @property
    def key(self) -> Key:
        """What makes it unique here."""
        return self.channel, self.id


class Outbox:
    """What is to be sent, the oldest first. A message can be taken only when the commit that it goes with has ended."""

    def __init__(self, found: Iterable[Message] = ()) -> None:
        """`found`: what an earlier run left."""
        self._messages: dict[Key, Message] = {one.key: one for one in found}
        self._sealed: set[Key] = set()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, messages: Iterable[Message]) -> list[Message]:
        """Take messages in. Gives back those that had to go for want of room."""
        channels = set()
        for one in messages:
            self._messages[one.key] = one
            self._sealed.add(one.key)
            channels.add(one.channel)
        return [gone for channel in sorted(channels) for gone in self._make_room(channel)]

    def release(self) -> None:
        """The commit has ended, well or not: what was put in may be sent."""
        self._sealed.clear()

    def first(self, channel: str) -> Message | None:
        """The next message to send."""
        mine = (one for one in self._messages.values() if one.channel == channel and one.key not in self._sealed)
        return next(mine, None)

    def remove(self, message: Message) -> None:
        """It is delivered, or given up."""
        self._messages.pop(message.key, None)

    def remove_older(self, than: float) -> list[Message]:
        """Give up what was put in before this moment of the timeline."""
        old = [one for one in self._messages.values() if one.queued < than]
        for one in old:
            self.remove(one)
        return old

    def snapshot(self) -> dict[Key, Message]:
        """Everything, as it is to stand in the state."""
        return dict(self._messages)

    def _make_room(self, channel: str) -> list[Message]:
        mine = [one for one in self._messages.values() if one.channel == channel]
        surplus = max(0, len(mine) - MOST_WAITING)
        gone = sorted(mine, key=lambda one: _GOES_FIRST.index(one.event))[:surplus]
        for one in gone:
            self.remove(one)
        return gone


def select(connection: sqlite3.Connection) -> tuple[Message, ...]:
    """What waits in the state, the oldest first. A damaged row hides itself and nothing else."""
    found = []
    rows = connection.execute(f"SELECT {_COLUMNS} FROM outbox ORDER BY rowid")  # noqa: S608 - no value stands in it
    for row in rows.fetchall():
        with contextlib.suppress(TypeError):
            found.append(_message(row))
    return tuple(found)


def sync(connection: sqlite3.Connection, wanted: Mapping[Key, Message], written: Iterable[Key]) -> None:
    """Make the table hold just these messages, when it held those that were `written`; in the caller's transaction."""
    there = set(written)
    connection.executemany("DELETE FROM outbox WHERE channel = ? AND id = ?", there - wanted.keys())
    connection.executemany(
        f"INSERT OR REPLACE INTO outbox ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - no value in it
        [_row(one) for key, one in wanted.items() if key not in there],
    )


def _row(one: Message) -> tuple[object, ...]:
    # A lone surrogate of a name cannot be stored, and must not cost the commit.
    about, session = (
        None if text is None else text.encode("utf-8", "replace").decode() for text in (one.about, one.session)
    )
    return (one.channel, one.id, one.event, one.queued, session, one.reason, about, one.body)


def _message(row: tuple[object, ...]) -> Message:
    channel, identity, event, queued, session, reason, about, body = row
    texts = (channel, identity, reason, about)
    whole = all(isinstance(one, str) for one in texts) and isinstance(body, bytes) and event in _GOES_FIRST
    if not whole or not isinstance(queued, float) or not math.isfinite(queued):
        raise TypeError
    assert isinstance(body, bytes)
    return Message(
        channel=str(channel),
        id=str(identity),
        event=str(event),
        queued=queued,
        body=body,
        about=str(about),
        session=None if session is None else str(session),
        reason=str(reason),
    )

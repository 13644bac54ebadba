"""Where the primaries are: one that is named, the one that the sentinels name, those of a cluster."""

from __future__ import annotations

from binascii import crc_hqx
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import anyio

from wasupervisor.keyspace.address import Login, Place, RedisAddress
from wasupervisor.keyspace.keys import hash_tag
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble
from wasupervisor.keyspace.wire import Way, Word, dialled

SLOTS = 16384


class Span(NamedTuple):
    """Slots of a cluster that one primary serves, the last one included."""

    first: int
    last: int
    place: Place


class Found(NamedTuple):
    """The primaries, each once."""

    places: tuple[Place, ...]
    spans: tuple[Span, ...] = ()

    def place_of(self, slot: int) -> Place | None:
        """Who serves this slot."""
        return next((span.place for span in self.spans if span.first <= slot <= span.last), None)


class Finder(Protocol):
    """Knows whom to ask."""

    is_cluster: bool
    may_change: bool

    async def find(self, doubted: Sequence[Place], within: float, /) -> Found:
        """The primaries now.

        Args:
            doubted: what had trouble, and so may know of a change that others do not know of yet.
            within: seconds.

        Raises:
            KeyspaceError: nobody said.
        """
        ...


class Named:
    """The one server that the URL names."""

    is_cluster = False
    may_change = False

    def __init__(self, place: Place) -> None:
        self._found = Found((place,))

    async def find(self, _doubted: Sequence[Place], _within: float) -> Found:
        """Nobody needs to be asked."""
        return self._found


class Sentinels:
    """The primary of a service is the one that most sentinels name.

    One that was cut off from the others may go on naming the old one.
    """

    is_cluster = False
    may_change = True

    def __init__(self, address: RedisAddress, way: Way) -> None:
        self._places = address.places
        self._service = address.service
        self._way = way._replace(database=0, login=Login())
        self._login = way.login

    async def find(self, _doubted: Sequence[Place], within: float) -> Found:
        """Ask all at once, until more than half of them say the same."""
        votes: Counter[Place] = Counter()
        errors: list[KeyspaceError] = []

        async def ask(sentinel: Place) -> None:
            try:
                votes[await self._primary_by(sentinel)] += 1
            except KeyspaceError as error:
                errors.append(error)
            if max(votes.values(), default=0) > len(self._places) / 2:
                group.cancel_scope.cancel()

        with anyio.move_on_after(within):
            async with anyio.create_task_group() as group:
                for place in self._places:
                    group.start_soon(ask, place)
        if not votes:
            raise errors[0] if errors else _silent(self._places, within)
        return Found((votes.most_common(1)[0][0],))

    async def _primary_by(self, sentinel: Place) -> Place:
        try:
            return await self._asked(sentinel, self._way)
        except KeyspaceError as error:
            if error.trouble is not RedisTrouble.LOGIN or self._login == Login():
                raise
        return await self._asked(sentinel, self._way._replace(login=self._login))

    async def _asked(self, sentinel: Place, way: Way) -> Place:
        reply = await _answer(sentinel, way, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        if reply is None:
            text = f"the sentinel {sentinel} does not know {self._service}: see 'sentinel monitor' in its configuration"
            raise KeyspaceError(RedisTrouble.OTHER, text)
        host, port = reply
        return Place(host.decode(), int(port))


class Cluster:
    """All primaries that serve slots, as one of the nodes knows them."""

    is_cluster = True
    may_change = True

    def __init__(self, address: RedisAddress, way: Way) -> None:
        self._named = address.places
        self._known: tuple[Place, ...] = ()
        self._way = way

    async def find(self, doubted: Sequence[Place], within: float) -> Found:
        """Ask all at once and take the first answer; but one that sent us away knows most, and is asked alone first."""
        rest = [place for place in dict.fromkeys((*self._known, *self._named)) if place not in doubted]
        error: KeyspaceError | None = None
        for places in (doubted, rest):
            try:
                found = await self._first_answer(places, within / 2)
            except KeyspaceError as failed:
                error = failed
            else:
                self._known = found.places
                return found
        assert error is not None
        raise error

    async def _first_answer(self, places: Sequence[Place], within: float) -> Found:
        answers: list[Found] = []
        errors: list[KeyspaceError] = []

        async def ask(place: Place) -> None:
            try:
                answers.append(_spans(await _answer(place, self._way, "CLUSTER", "SLOTS"), place))
            except KeyspaceError as error:
                errors.append(error)
            else:
                group.cancel_scope.cancel()

        with anyio.move_on_after(within):
            async with anyio.create_task_group() as group:
                for place in places:
                    group.start_soon(ask, place)
        if not answers:
            raise errors[0] if errors else _silent(places, within)
        return answers[0]


async def _answer(place: Place, way: Way, *words: Word) -> Any:
    async with dialled(place, way) as wire:
        (reply,) = await wire.exchange([words])
    if isinstance(reply, KeyspaceError):
        raise reply
    return reply


def _spans(reply: list[list[Any]], asked: Place) -> Found:
    """CLUSTER SLOTS: first slot, last slot, the primary, its replicas. Where it does not say, it is who was asked."""
    spans = []
    for first, last, primary, *_replicas in reply:
        host = primary[0].decode() if primary[0] not in (None, b"", b"?") else asked.host
        spans.append(Span(first, last, Place(host, int(primary[1]))))
    if not spans:
        raise KeyspaceError(RedisTrouble.MOVED, f"the cluster of {asked} serves no slots")
    return Found(tuple(dict.fromkeys(span.place for span in spans)), tuple(spans))


def _silent(places: Sequence[Place], within: float) -> KeyspaceError:
    where = ", ".join(str(place) for place in places)
    return KeyspaceError(RedisTrouble.TIMED_OUT, f"{where} did not answer in {within:g} s")


def finder_of(address: RedisAddress, way: Way) -> Finder:
    """The finder for a URL."""
    if address.scheme == "sentinel":
        return Sentinels(address, way)
    if address.scheme == "cluster":
        return Cluster(address, way)
    return Named(address.places[0])


def slot_of(key: bytes) -> int:
    """Which slot of a cluster a key is in (redis.io, cluster specification)."""
    return crc_hqx(hash_tag(key) or key, 0) % SLOTS

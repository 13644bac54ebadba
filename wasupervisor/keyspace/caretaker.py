"""Looks after the keys: sweeps when one is due, sets aside what is of the wrong type, and says each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from wasupervisor.keyspace.aside import OUTCOMES, Outcome, SetAside, identity, set_aside
from wasupervisor.keyspace.connection import Servers
from wasupervisor.keyspace.credentials import serves_others
from wasupervisor.keyspace.keys import place_of, shown
from wasupervisor.keyspace.lease import LASTS, Lease
from wasupervisor.keyspace.rules import OnWrong, Rule
from wasupervisor.keyspace.sweep import MOST, Rest, Sweep, Swept, Wrong
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble
from wasupervisor.keyspace.wanted import LastSweep, Repair, Wanted
from wasupervisor.model.journal import Entry, EntryKind

MOST_TOLD = 50
"""Keys of one sweep that get a line each in the journal; the others are summed up in one."""

BY = "the daemon"


class Left(NamedTuple):
    """One reason why a wrong key is left where it is."""

    holds: Callable[[Wrong, Repair], bool]
    text: str


LEFT: tuple[Left, ...] = (
    Left(lambda wrong, _repair: wrong.fault != "type", "only a wrong type is set aside"),
    Left(lambda wrong, _repair: wrong.rule.on_wrong is OnWrong.REPORT, "its rule says to report it only"),
    Left(lambda _wrong, repair: repair is not Repair.QUARANTINE, "redis.repair says to report it only"),
    Left(lambda wrong, _repair: wrong.undone, "a person put it back as it is"),
)
"""The first that holds counts."""

NOT_OURS = "another daemon has the lease, and repairs this database"


class Caretaker:
    """Remembers what was found, so that it is told on change only."""

    def __init__(
        self,
        wanted: Wanted,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        stamp: Callable[[], str],
        rest: Rest,
        note: Callable[[Entry], None],
        session_of: Callable[[bytes], str | None],
    ) -> None:
        """Nothing was looked at yet.

        Args:
            wanted: how.
            clock: seconds that never go back.
            wall: seconds since the epoch.
            stamp: the time as names in quarantine tell it, another one at each call.
            rest: waits for so many seconds.
            note: takes a line of the journal.
            session_of: whose credential key this is.
        """
        self._wanted = wanted
        self._clock = clock
        self._wall = wall
        self._stamp = stamp
        self._rest = rest
        self._note = note
        self._session_of = session_of
        self._sweep: Sweep | None = None
        self._lease: tuple[Servers, Lease, float] | None = None
        self._told = 0
        self._left: dict[bytes, str] = {}
        """Keys of the wrong type that are where they were, and why."""
        self._more = 0
        self._aside: dict[bytes, bytes] | None = None
        """Names in quarantine, and the keys that they were; None: not known before the first sweep."""
        self._aside_keys: Counter[bytes] = Counter()
        """How often each key is in quarantine."""
        self._moved: set[bytes] = set()
        """Names that came into quarantine since the sweep began, which it may have passed already."""
        self._gone: set[bytes] = set()
        """Names that left it since then, which it may have seen before."""
        self._more_aside = 0
        self._unread = ""
        self.last: LastSweep | None = None
        self.set_aside = 0
        """How many keys it has set aside by itself."""

    @property
    def mistyped(self) -> int:
        """Wrong keys that are where they were."""
        return len(self._left) + self._more

    @property
    def quarantined(self) -> int | None:
        """Keys in quarantine; None: not known yet."""
        return None if self._aside is None else len(self._aside) + self._more_aside

    def is_aside(self, key: bytes) -> bool:
        """Whether it was set aside, as far as is known."""
        return self._aside_keys[key] > 0

    @property
    def waits_for_another(self) -> bool:
        """Whether keys are left to another daemon, which may be gone by now."""
        return not {NOT_OURS, OUTCOMES[Outcome.NOT_OURS]}.isdisjoint(self._left.values())

    async def sweep(self, servers: Servers, rules: Sequence[Rule]) -> int:
        """Go over all keys, and treat what is wrong.

        Returns:
            wrong keys that were not known before.

        Raises:
            KeyspaceError: a server cannot be asked; the next sweep goes on where this one stopped.
        """
        if self._sweep is None:
            self._sweep = Sweep(servers, rules, clock=self._clock, rest=self._rest)
        self._sweep.use(servers, rules)
        self._told, found, self._moved, self._gone = 0, 0, set(), set()

        async def treat(wrong: Sequence[Wrong]) -> None:
            nonlocal found
            found += sum(one.key not in self._left for one in wrong)
            await self._treat(servers, wrong)

        swept = await self._sweep.run(treat)
        self._ended(swept)
        return found

    async def treat(self, servers: Servers, wrong: Sequence[Wrong]) -> None:
        """Set aside what may be, and say what became of each.

        Raises:
            KeyspaceError: Redis does not do it for any key now. What it only refuses for one is left.
        """
        self._told = 0
        await self._treat(servers, wrong)

    async def _treat(self, servers: Servers, wrong: Sequence[Wrong]) -> None:
        for one in wrong:
            try:
                await self._treat_one(servers, one)
            except KeyspaceError as error:
                self._leave(one, f"it could not be set aside: {error}")
                if not is_of_one_key(error):
                    raise

    async def _treat_one(self, servers: Servers, one: Wrong) -> None:
        why = next((row.text for row in LEFT if row.holds(one, self._wanted.repair)), None)
        if why is None and not await self._is_ours(servers):
            why = NOT_OURS
        if why is not None:
            self._leave(one, why)
            return
        done = await set_aside(servers, one, at=self._stamp(), lease=self._proof(servers), by=BY)
        self._was_set_aside(one, done)

    async def release(self) -> None:
        """Let another daemon repair."""
        if self._lease is not None:
            await self._lease[1].release()

    def left_quarantine(self, name: bytes) -> None:
        """A person has put it back, or thrown it away."""
        self._gone.add(name)
        if self._aside is not None:
            key = self._aside.pop(name, None)
            self._aside_keys -= Counter() if key is None else Counter((key,))

    def came_into_quarantine(self, name: bytes) -> None:
        """It was set aside, by whomever."""
        self._moved.add(name)
        place = place_of(name)
        if place is not None and name not in (self._aside or {}):
            self._aside = {} if self._aside is None else self._aside
            self._aside[name] = place.key
            self._aside_keys[place.key] += 1

    async def _is_ours(self, servers: Servers) -> bool:
        known, now = self._lease, self._clock()
        if known is None or known[0] is not servers:
            known = (servers, Lease(servers, self._wanted.prefix, self._clock), float("-inf"))
        lease = known[1]
        if not lease.is_ours or now - known[2] >= LASTS / 3:
            await lease.take()
            known = (servers, lease, now)
        self._lease = known
        return lease.is_ours

    def _proof(self, servers: Servers) -> Lease | None:
        return None if servers.is_cluster or self._lease is None else self._lease[1]

    def _was_set_aside(self, one: Wrong, done: SetAside) -> None:
        if done.outcome is Outcome.MOVED:
            assert done.name is not None
            self._left.pop(one.key, None)
            self.set_aside += 1
            self.came_into_quarantine(done.name)
            size = "" if done.size is None else f", {done.size} bytes"
            back = f"`wasupervisor redis undo {done.id}` puts it back"
            self._tell(one.key, f"{fault_of(one)}: it was set aside as {done.id}{size}; {back}", outcome="set_aside")
        elif done.outcome in (Outcome.GONE, Outcome.WHOLE):
            self._left.pop(one.key, None)
        else:
            self._leave(one, OUTCOMES[done.outcome])

    def _leave(self, one: Wrong, why: str) -> None:
        if self._left.get(one.key) != why:
            if one.key in self._left or len(self._left) < MOST:
                self._left[one.key] = why
            text = f"{fault_of(one)}. It is left as it is: {why}"
            self._tell(one.key, text, outcome="left", warn=why != NOT_OURS)

    def _tell(self, key: bytes, text: str, *, outcome: str, warn: bool = True) -> None:
        self._told += 1
        if self._told <= MOST_TOLD:
            session = self._session_of(key)
            self._note(Entry(kind=EntryKind.REDIS, text=text, session=session, outcome=outcome, warn=warn))

    def _ended(self, swept: Swept) -> None:
        wrong = {one.key for one in swept.wrong}
        self._left = {key: why for key, why in self._left.items() if key in wrong}
        self._more = swept.more_wrong
        names = {*swept.quarantined, *self._moved} - self._gone
        aside = {name: place.key for name in names if (place := place_of(name)) is not None}
        if not swept.more_quarantined and not self._more_aside:  # else it may be others each time
            self._tell_of_unknown([name for name in aside if name not in (self._aside or {})], aside)
        self._more_aside = swept.more_quarantined
        self._aside, self._aside_keys = aside, Counter(aside.values())
        self.last = LastSweep(at=self._wall(), seconds=swept.seconds, keys=swept.keys)
        if self._told > MOST_TOLD:
            more = self._told - MOST_TOLD
            self._say(f"{more} more such keys: see `wasupervisor redis quarantine` and `wasupervisor redis check`")
        unread = swept.unread_why if swept.unread else ""
        if unread and unread != self._unread:
            self._say(f"{swept.unread} keys could not be looked at: {unread}")
        self._unread = unread

    def _tell_of_unknown(self, names: Sequence[bytes], aside: Mapping[bytes, bytes]) -> None:
        """Set aside by an earlier run, by a person without us, by another daemon, or by a call that broke off."""
        if self.last is None:
            if names:
                self._say(f"in quarantine since before this start: {len(names)}; `wasupervisor redis quarantine` lists")
            return
        for name in sorted(names):
            by = "by another hand, or by a call of ours that broke off"
            back = f"`wasupervisor redis undo {identity(name)}` puts it back"
            self._tell(aside[name], f"{shown(aside[name])} was set aside {by}; {back}", outcome="set_aside")

    def _say(self, text: str) -> None:
        self._note(Entry(kind=EntryKind.REDIS, text=text, warn=True))


def is_of_one_key(error: KeyspaceError) -> bool:
    """Whether Redis may have refused it for this key only, so that the others are treated all the same."""
    return error.trouble in (RedisTrouble.FORBIDDEN, RedisTrouble.OTHER) and serves_others(error)


def fault_of(wrong: Wrong) -> str:
    """What is wrong with a key, in one sentence without its full stop."""
    rule, about = wrong.rule, f"{shown(wrong.key)} ({wrong.rule.name})"
    if wrong.fault == "type":
        return f"{about} is a {wrong.type} and must be a {rule.expected}"
    if wrong.fault == "ttl":
        return f"{about} {'never expires and must' if wrong.ttl_ms is None else 'expires and must not'}"
    return f"{about} is no JSON, as far as its beginning and its end tell"

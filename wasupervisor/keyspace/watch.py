"""Watches the gateway's Redis: a short look in every cycle, which costs next to nothing, and the work that it asks for.

Nobody waits for it: a Redis that hangs or is gone closes a gate, and delays no cycle.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial

import anyio
from msgspec.structs import replace

from wasupervisor.keyspace.builtin import rules_for
from wasupervisor.keyspace.caretaker import Caretaker
from wasupervisor.keyspace.connection import Servers
from wasupervisor.keyspace.counter import WrongtypeCounter, read_wrongtype
from wasupervisor.keyspace.credentials import (
    TELLS_NOTHING,
    Credential,
    Named,
    credentials_of,
    read_types,
    serves_others,
    wrong_now,
)
from wasupervisor.keyspace.faults import Faults
from wasupervisor.keyspace.keys import LEASE
from wasupervisor.keyspace.logins import LoginWatch
from wasupervisor.keyspace.preflight import Preflight, preflight
from wasupervisor.keyspace.rules import Rule
from wasupervisor.keyspace.schedule import Cause, Due, SweepSchedule
from wasupervisor.keyspace.sweep import Rest, Sweep, Wrong, with_marks
from wasupervisor.keyspace.trouble import KeyspaceError
from wasupervisor.keyspace.wanted import Known, Repair, Wanted
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.observation import RedisReading

log = logging.getLogger(__name__)

LOOK_WITHIN = 4.0
"""Seconds for one look."""

SWEEP_BEFORE_RESTART = 5.0
"""Seconds for which a restart waits for a sweep, where errors are not counted. Credential keys are looked at anyway."""

PREFLIGHT_EVERY = 300.0
"""Seconds."""

VERSION_WITHIN = 30.0
"""Seconds from the first look on for which the first sweep waits for the gateway's version, which makes the rules."""

UNTIL_WHOLE = "no restart until it is whole. Put a good copy of the key back, or log the session out and link it again"
"""What holds for a session whose credential key is not whole, and what to do."""

WELL_AGAIN = "the gateway's Redis answers again, and all that is asked"


class KeyspaceWatch:
    """One Redis, from its first look on."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Servers]],
        wanted: Wanted,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        stamp: Callable[[], str],
        rest: Rest = anyio.sleep,
    ) -> None:
        """Nothing is asked yet.

        Args:
            connect: opens the way to it.
            wanted: what the configuration says.
            clock: seconds that never go back.
            wall: seconds since the epoch.
            stamp: the time as names in quarantine tell it.
            rest: waits for so many seconds.
        """
        self.last = RedisReading()
        self.note: Callable[[Entry], None] = lambda _entry: None
        """Takes a line of the journal."""
        self.wanted = wanted
        self._connect = connect
        self.stamp = stamp
        """Gives the time as names in quarantine tell it."""
        self._clock = clock
        self._rest = rest
        self._servers: Servers | None = None
        self._connecting = anyio.Lock()
        self._counter = WrongtypeCounter()
        self._schedule = SweepSchedule(wanted.sweep_every)
        self.caretaker = Caretaker(
            wanted,
            clock=clock,
            wall=wall,
            stamp=stamp,
            rest=rest,
            note=self._journal,
            session_of=self._session_of,
        )
        self._version: str | None = None
        self._sessions: Named = ()
        self._working: frozenset[str] = frozenset()
        self.rules: tuple[Rule, ...] = self._rules_now()
        self._credentials: dict[bytes, Credential] = {}
        self._logins = LoginWatch(self.caretaker.is_aside)
        self.faults = Faults(self.caretaker.is_aside, wall)
        """Of the credential keys that are not whole."""
        self._wrong: tuple[Wrong, ...] = ()
        self._looked_at: float | None = None
        self._looking = anyio.Lock()
        self._end_of_look = anyio.Event()
        self._end_of_sweep = anyio.Event()
        self._before_restart = False
        self._began: float | None = None
        """When the first sweep was due."""
        self._flight: Preflight | None = None
        self._flown_at: float | None = None
        self._troubles: dict[str, str] = {}
        """Work that could not be done at its last time, and why."""
        self._running: anyio.CancelScope | None = None

    # What others ask

    def know(self, version: str | None, sessions: Named, working: Collection[str] = ()) -> None:
        """The gateway's version, its sessions with its own ids of them, and the names of those that work."""
        self._working = frozenset(working)
        # Evolution tells its version only with its metrics on; but only from 2 on its sessions have ids.
        version = version or self._version or ("2" if any(identity for _, identity in sessions) else None)
        if version != self._version:
            self._version = version
            rules = self._rules_now()
            if rules != self.rules:
                self.rules = rules
                self._schedule.other_rules()
        elif sessions == self._sessions:
            return
        self._sessions = sessions
        wanted = self.wanted
        self._credentials = credentials_of(wanted.gateway_kind, version, wanted.prefix, sessions, self.rules)
        self._looked_at = None  # what was read before says nothing of these keys

    async def look(self) -> None:
        """One short look; `last` has what came of it. Never raises; at once when one is under way."""
        if self._looking.locked():
            return
        try:
            async with self._looking:
                began = self._clock()
                reading = await self._read_in_time()
                self._tell(reading)
                self.last, self._looked_at = reading, began
        finally:  # who waits for it goes on, also when it was cancelled
            self._end_of_look.set()
            self._end_of_look = anyio.Event()

    async def reading(self, max_age: float) -> RedisReading:
        """The last reading, taken anew when it is older than so many seconds: right before a restart.

        Where nothing says whether there are mistyped keys, or what is in quarantine, it waits for a sweep as well.
        """
        moment = self._clock() - max_age
        if self._needs_sweep():
            self._before_restart = True
            with anyio.move_on_after(SWEEP_BEFORE_RESTART):
                swept = self._end_of_sweep
                await self._look_after(self._clock())
                if self.last.ok is True:
                    await swept.wait()
            self._looked_at, moment = None, self._clock()  # what was seen before it does not count
        await self._look_after(moment)
        return self.last

    async def _look_after(self, moment: float) -> None:
        """Wait for the end of a look that began then or later, also of one that failed."""
        while self._looked_at is None or self._looked_at < moment:
            if self._looking.locked():
                await self._end_of_look.wait()
            else:
                await self.look()

    def _needs_sweep(self) -> bool:
        if self.wanted.repair is Repair.OFF or self._schedule.is_fresh(self._clock()):
            return False
        return self.caretaker.last is None or not self._schedule.is_counted

    def known(self) -> Known:
        """For the health document."""
        keeper = self.caretaker
        return Known(
            ok=self.last.ok,
            detail=self.last.detail,
            wrongtype_errors=self._counter.total,
            mistyped=keeper.mistyped,
            quarantined=keeper.quarantined,
            last_sweep=keeper.last,
            findings=() if self._flight is None else self._flight.findings,
            trouble=next(filter(None, self._troubles.values()), ""),
            set_aside=keeper.set_aside,
        )

    async def servers(self) -> Servers:
        """The way to it, opened if it is not.

        Raises:
            KeyspaceError: it cannot be opened.
        """
        async with self._connecting:
            if self._servers is None:
                self._servers = await self._connect()
            return self._servers

    @property
    def credential_keys(self) -> tuple[bytes, ...]:
        """Of the sessions that are known."""
        return tuple(self._credentials)

    @property
    def unknown(self) -> str:
        """Why not all rules of this gateway can be tried; empty: they can."""
        if self._version is not None or self.wanted.gateway_kind != "evolution":
            return ""
        return "the gateway's version is not known: only what is the same in every version can be told to be wrong"

    async def keeps_credentials(self, servers: Servers) -> bool:
        """Whether any credential key holds a login, and not just what goes with one; not known: yes.

        Raises:
            KeyspaceError: a server cannot be asked.
        """
        is_sure = self.caretaker.last is not None or self.wanted.repair is Repair.OFF
        return await self._logins.in_redis(servers, self._credentials, is_sure=is_sure)

    async def new_sweep(self) -> Sweep:
        """A pass over all keys that nobody has begun.

        Raises:
            KeyspaceError: Redis cannot be reached.
        """
        return Sweep(await self.servers(), self.rules, clock=self._clock, rest=self._rest)

    async def run(self) -> None:
        """Do what the looks ask for, until `aclose`."""
        with anyio.CancelScope() as self._running:
            while True:
                await self._end_of_look.wait()
                await self._work()

    async def aclose(self) -> None:
        """Let go of everything; never raises."""
        if self._running is not None:
            self._running.cancel()
        try:
            await self.caretaker.release()
        finally:
            if self._servers is not None:
                await self._servers.aclose()

    # The short look

    async def _read_in_time(self) -> RedisReading:
        try:
            with anyio.move_on_after(LOOK_WITHIN):
                return await self._read()
        except KeyspaceError as error:
            ok = None if error.trouble in TELLS_NOTHING and serves_others(error) else False
            return replace(self.last, ok=ok, detail=str(error))
        except Exception as error:
            kind = type(error).__name__
            if kind not in self.last.detail:
                log.exception("the gateway's Redis could not be looked at: this is a fault of wasupervisor")
            return replace(self.last, ok=None, detail=f"a fault of the supervisor's own ({kind}), see its log")
        return replace(self.last, ok=False, detail=f"no answer within {LOOK_WITHIN:g} s")

    async def _read(self) -> RedisReading:
        servers = await self.servers()
        await servers.settle()
        self._schedule.heard(self._counter.take([await read_wrongtype(node) for node in servers.nodes]))
        known = self._credentials
        # Without any, a key of ours: while Redis loads its data it answers INFO, and not TYPE.
        types = await read_types(servers, known or [LEASE])
        wrong = wrong_now(types, known)
        self._wrong = wrong if self.wanted.repair is not Repair.OFF else ()
        gone, unread = await self._logins.lost(servers, known, types, self._working)
        mistyped, lost = (
            dict.fromkeys(known[key].session for key in keys) for keys in ([one.key for one in wrong], gone)
        )
        unread = types.unread or unread
        if unread:  # what was known of them stands
            mistyped, lost = mistyped | dict.fromkeys(self.last.mistyped), lost | dict.fromkeys(self.last.lost)
        self.faults.take(known, wrong, gone, types, {**mistyped, **lost})
        return RedisReading(ok=True, mistyped=tuple(mistyped), lost=tuple(lost), detail=unread)

    def _tell(self, reading: RedisReading) -> None:
        before = self.last
        was_bad, bad = _bad_news(before), _bad_news(reading)
        if bad != was_bad and (bad or was_bad):
            self._say(f"{bad}: {reading.detail}" if bad else WELL_AGAIN, warn=bool(bad))
        was, now = ({*one.mistyped, *one.lost} for one in (before, reading))
        for name in sorted(now - was):
            text = "has the wrong type" if name in reading.mistyped else "is gone, or was set aside"
            self._say(f"its credential key in Redis {text}: {UNTIL_WHOLE}", session=name, warn=True)
        for name in sorted(was - now):
            self._say("its credential key in Redis is whole again, or is not needed any more", session=name)

    def _session_of(self, key: bytes) -> str | None:
        known = self._credentials.get(key)
        return None if known is None else known.session

    # The work beside it

    async def _work(self) -> None:
        if self.last.ok is not True:
            return
        await self._try("credential keys", self._treat_credentials)
        due = self._schedule.due(self._clock(), before_restart=self._before_restart)
        if due is not None and self.wanted.repair is not Repair.OFF and not self._is_early(due):
            await self._try("all keys", partial(self._sweep, due))
        if self._flown_at is None or self._clock() - self._flown_at >= PREFLIGHT_EVERY:
            await self._try("settings", self._fly)

    def _is_early(self, due: Due) -> bool:
        self._began = self._clock() if self._began is None else self._began
        return due.cause is Cause.START and bool(self.unknown) and self._clock() - self._began < VERSION_WITHIN

    async def _try(self, what: str, work: Callable[[Servers], Awaitable[None]]) -> None:
        """Do some work; that it cannot be done stands until it is done, and is told on change."""
        before, why = self._troubles.get(what, ""), ""
        try:
            await work(await self.servers())
        except KeyspaceError as error:
            why = str(error)
        if why and why != before:
            self._say(f"{what} in Redis are not looked after as they should be: {why}", warn=True)
        self._troubles[what] = why

    async def _treat_credentials(self, servers: Servers) -> None:
        """First of all, and without a sweep: at the next reconnect of its session it is too late."""
        wrong, self._wrong = self._wrong, ()
        for node in servers.nodes:
            theirs = [one for one in wrong if servers.node_of(one.key) is node]
            await self.caretaker.treat(servers, await with_marks(node, theirs, cluster=servers.is_cluster))

    async def _sweep(self, due: Due, servers: Servers) -> None:
        log.debug("all keys are looked at: %s", due.text)
        self._schedule.began(self._clock(), due)
        complete, found, rules = False, 0, self.rules
        self._before_restart = False
        try:
            found = await self.caretaker.sweep(servers, rules)
            complete = not self.caretaker.waits_for_another
        finally:
            self._schedule.ended(self._clock(), complete=complete, found=found)
            if rules is not self.rules:
                self._schedule.other_rules()
            self._end_of_sweep.set()
            self._end_of_sweep = anyio.Event()

    async def _fly(self, servers: Servers) -> None:
        self._flown_at = self._clock()
        before = () if self._flight is None else self._flight.findings
        self._flight = await preflight(
            servers,
            gateway_kind=self.wanted.gateway_kind,
            credential_keys=self._credentials,
            credentials=await self.keeps_credentials(servers),
            earlier=self._flight,
        )
        known = {(one.code, one.node) for one in before}
        for one in self._flight.findings:
            if (one.code, one.node) not in known and one.is_trouble:
                self._say(one.sentence, warn=True)

    def _rules_now(self) -> tuple[Rule, ...]:
        wanted = self.wanted
        return rules_for(wanted.gateway_kind, self._version, prefix=wanted.prefix, queues=wanted.queues, own=wanted.own)

    def _say(self, text: str, *, session: str | None = None, warn: bool = False) -> None:
        self._journal(Entry(kind=EntryKind.REDIS, text=text, session=session, warn=warn))

    def _journal(self, entry: Entry) -> None:
        self.note(entry)


def _bad_news(reading: RedisReading) -> str:
    """The beginning of a sentence that `detail` ends; empty: there is none."""
    if reading.ok is False:
        return "no session is restarted while the gateway's Redis does not answer"
    if not reading.detail:
        return ""
    return "not all is known of the gateway's Redis" if reading.ok else "nothing is known of the gateway's Redis"

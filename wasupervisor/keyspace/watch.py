"""Watches the gateway's Redis: a short look in every cycle, which costs next to nothing, and the work that it asks for.

Nobody waits for it: a Redis that hangs or is gone closes a gate, and delays no cycle.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection

import anyio
from msgspec.structs import replace

from wasupervisor.keyspace.builtin import rules_for
from wasupervisor.keyspace.caretaker import Caretaker
from wasupervisor.keyspace.connection import Servers
from wasupervisor.keyspace.counter import WrongtypeCounter, read_wrongtype
from wasupervisor.keyspace.credentials import (
    NONE,
    Credential,
    Logins,
    Named,
    Types,
    credentials_of,
    read_logins,
    read_types,
    wrong_now,
)
from wasupervisor.keyspace.preflight import Preflight, preflight
from wasupervisor.keyspace.rules import Rule
from wasupervisor.keyspace.schedule import Due, SweepSchedule
from wasupervisor.keyspace.sweep import Rest, Sweep, Wrong, with_marks
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble
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

TELLS_NOTHING = frozenset({RedisTrouble.LOGIN, RedisTrouble.FORBIDDEN, RedisTrouble.OTHER})
"""Our user or our words are at fault; whether the gateway's are is not known."""


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
        self._in_redis = True
        """Whether logins are kept in Redis, as far as is known."""
        self._had_login: set[bytes] = set()
        """Credential keys in which a login was seen."""
        self._lost: tuple[bytes, ...] = ()
        self._wrong: tuple[Wrong, ...] = ()
        self._looked_at: float | None = None
        self._looking = anyio.Lock()
        self._end_of_look = anyio.Event()
        self._end_of_sweep = anyio.Event()
        self._before_restart = False
        self._flight: Preflight | None = None
        self._flown_at: float | None = None
        self._trouble = ""
        self._running: anyio.CancelScope | None = None

    # What others ask

    def know(self, version: str | None, sessions: Named, working: Collection[str] = ()) -> None:
        """The gateway's version, its sessions with its own ids of them, and the names of those that work."""
        self._working = frozenset(working)
        # Evolution tells its version only with its metrics on; but only from 2 on its sessions have ids.
        version = version or self._version or ("2" if any(identity for _, identity in sessions) else None)
        if version != self._version:
            self._version = version
            self.rules = self._rules_now()
        elif sessions == self._sessions:
            return
        self._sessions = sessions
        wanted = self.wanted
        self._credentials = credentials_of(wanted.gateway_kind, version, wanted.prefix, sessions, self.rules)

    async def look(self) -> None:
        """One short look; `last` has what came of it. Never raises; at once when one is under way."""
        if self._looking.locked():
            return
        async with self._looking:
            began = self._clock()
            try:
                reading = await self._read_in_time()
            except Exception:
                log.exception("the gateway's Redis could not be looked at: this is a fault of wasupervisor")
                reading = replace(self.last, ok=None, detail="")
            self._tell(reading)
            self.last, self._looked_at = reading, began
        self._end_of_look.set()
        self._end_of_look = anyio.Event()

    async def reading(self, max_age: float) -> RedisReading:
        """The last reading, taken anew when it is older than so many seconds: right before a restart.

        Where nothing says whether there are mistyped keys, it waits for a sweep as well.
        """
        if self.wanted.repair is not Repair.OFF and not self._counts() and not self._schedule.is_fresh(self._clock()):
            self._before_restart = True
            with anyio.move_on_after(SWEEP_BEFORE_RESTART):
                swept = self._end_of_sweep
                await self.look()
                await swept.wait()
        while self._looked_at is None or self._clock() - self._looked_at > max_age:
            if self._looking.locked():
                await self._end_of_look.wait()
            else:
                await self.look()
        return self.last

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
            trouble=self._trouble,
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

    async def keeps_credentials(self, servers: Servers) -> bool:
        """Whether any credential key holds a login, and not just what goes with one; not known: yes.

        Raises:
            KeyspaceError: a server cannot be asked.
        """
        logins = await read_logins(servers, self._credentials)
        if logins.of:
            self._in_redis = any(logins.of.values())
        self._had_login |= {key for key, whole in logins.of.items() if whole}
        return self._in_redis

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
        await self.caretaker.release()
        if self._servers is not None:
            await self._servers.aclose()

    # The short look

    async def _read_in_time(self) -> RedisReading:
        try:
            with anyio.move_on_after(LOOK_WITHIN):
                return await self._read()
        except KeyspaceError as error:
            ok = None if error.trouble in TELLS_NOTHING else False
            return replace(self.last, ok=ok, detail=str(error))
        return replace(self.last, ok=False, detail=f"no answer within {LOOK_WITHIN:g} s")

    async def _read(self) -> RedisReading:
        servers = await self.servers()
        await servers.settle()
        self._schedule.heard(self._counter.take([await read_wrongtype(node) for node in servers.nodes]))
        known = self._credentials
        types = await read_types(servers, known)
        wrong = wrong_now(types, known)
        self._wrong = wrong if self.wanted.repair is not Repair.OFF else ()
        self._lost = await self._lost_now(servers, types)
        mistyped, lost = (
            dict.fromkeys(known[key].session for key in keys) for keys in ([one.key for one in wrong], self._lost)
        )
        if types.unread:  # what was known of them stands
            mistyped, lost = mistyped | dict.fromkeys(self.last.mistyped), lost | dict.fromkeys(self.last.lost)
        return RedisReading(ok=True, mistyped=tuple(mistyped), lost=tuple(lost), detail=types.unread)

    async def _lost_now(self, servers: Servers, types: Types) -> tuple[bytes, ...]:
        """Credential keys that are not there, or not whole, while the gateway has their login in memory.

        It goes on to write what goes with a login, and so makes a hash that looks well until the login is in it.
        """
        if not self._in_redis:
            return ()
        aside = {key for key in self._credentials if self.caretaker.is_aside(key)}
        doubted = {key: self._credentials[key] for key in (*aside, *self._lost) if key in self._credentials}
        logins = await read_logins(servers, doubted) if doubted else Logins()
        self._had_login |= {key for key, whole in logins.of.items() if whole}
        gone = {key for key in self._had_login if self._session_of(key) in self._working} | aside
        missing = [key for key in self._credentials if key in gone and types.of.get(key) == NONE]
        return (*missing, *(key for key in doubted if logins.of.get(key) is False))

    def _tell(self, reading: RedisReading) -> None:
        before = self.last
        if reading.ok is not before.ok and (reading.ok is not True or before.ok is False):
            self._say(_answer_text(reading), warn=reading.ok is not True)
        was, now = ({*one.mistyped, *one.lost} for one in (before, reading))
        for name in sorted(now - was):
            text = "has the wrong type" if name in reading.mistyped else "is gone, or was set aside"
            self._say(f"its credential key in Redis {text}: no restart until it is whole", session=name, warn=True)
        for name in sorted(was - now):
            self._say("its credential key in Redis is whole again, or is not needed any more", session=name)

    def _session_of(self, key: bytes) -> str | None:
        known = self._credentials.get(key)
        return None if known is None else known.session

    # The work beside it

    async def _work(self) -> None:
        if self.last.ok is not True:
            return
        try:
            servers = await self.servers()
            if self._wrong:
                await self._treat_credentials(servers)
            due = self._schedule.due(self._clock(), before_restart=self._before_restart)
            if due is not None and self.wanted.repair is not Repair.OFF:
                await self._sweep(servers, due)
            if self._flown_at is None or self._clock() - self._flown_at >= PREFLIGHT_EVERY:
                await self._fly(servers)
            self._is_troubled("")
        except KeyspaceError as error:
            self._is_troubled(str(error))

    async def _treat_credentials(self, servers: Servers) -> None:
        """First of all, and without a sweep: at the next reconnect of its session it is too late."""
        wrong, self._wrong = self._wrong, ()
        for node in servers.nodes:
            theirs = [one for one in wrong if servers.node_of(one.key) is node]
            await self.caretaker.treat(servers, await with_marks(node, theirs, cluster=servers.is_cluster))

    async def _sweep(self, servers: Servers, due: Due) -> None:
        log.debug("all keys are looked at: %s", due.text)
        self._schedule.began(self._clock(), due)
        complete, found = False, 0
        try:
            found = await self.caretaker.sweep(servers, self.rules)
            complete, self._before_restart = True, False
        finally:
            self._schedule.ended(self._clock(), complete=complete, found=found)
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

    def _is_troubled(self, why: str) -> None:
        if why and why != self._trouble:
            self._say(f"keys in Redis are not looked after as they should be: {why}", warn=True)
        self._trouble = why

    def _counts(self) -> bool:
        """Whether errors tell when a sweep is worth it."""
        return self._schedule.is_counted

    def _rules_now(self) -> tuple[Rule, ...]:
        wanted = self.wanted
        return rules_for(wanted.gateway_kind, self._version, prefix=wanted.prefix, queues=wanted.queues, own=wanted.own)

    def _say(self, text: str, *, session: str | None = None, warn: bool = False) -> None:
        self._journal(Entry(kind=EntryKind.REDIS, text=text, session=session, warn=warn))

    def _journal(self, entry: Entry) -> None:
        self.note(entry)


def _answer_text(reading: RedisReading) -> str:
    if reading.ok:
        return "the gateway's Redis answers again"
    if reading.ok is False:
        return f"the gateway's Redis does not answer: {reading.detail}. No session is restarted meanwhile"
    return f"nothing is known of the gateway's Redis: {reading.detail}"

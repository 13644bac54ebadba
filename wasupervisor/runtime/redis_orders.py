"""The keys of the gateway's Redis, for a person who asks: through the daemon, or without one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from wasupervisor.config.schema import Settings
from wasupervisor.host.moments import boottime
from wasupervisor.keyspace.trouble import KeyspaceError
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.runtime.watch import know_sessions
from wasupervisor.runtime.wiring import open_watch

if TYPE_CHECKING:
    from wasupervisor.keyspace.orders import Treated
    from wasupervisor.keyspace.watch import KeyspaceWatch

NOT_CONFIGURED = "no Redis is configured: set `redis.url` to where the gateway's keys are"

CHANGES = frozenset({"repair", "undo", "purge"})
"""Verbs that are journaled."""

Note = Callable[[Entry], None]


class RedisWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person wants; the body of `/redis/...`."""

    pattern: str | None = None
    """Only keys that match this glob."""
    dry_run: bool = False
    convert: bool = False
    id: str = ""
    """Of a key in quarantine."""
    replace: bool = False


class NotDoneError(Exception):
    """It was not done, and why; `about_wish`: what was wished cannot be."""

    def __init__(self, text: str, *, about_wish: bool = False) -> None:
        super().__init__(text)
        self.about_wish = about_wish


class RedisOrders:
    """Each verb by its name. What it gives is fit for JSON."""

    def __init__(self, watch: KeyspaceWatch | None, note: Note, by: str) -> None:
        """Nothing is asked yet.

        Args:
            watch: whoever looks after that Redis; None: none is configured.
            note: takes a line of the journal.
            by: who orders it.
        """
        self._watch = watch
        self._note = note
        self._by = by or "somebody"

    async def do(self, verb: str, wish: RedisWish) -> dict[str, Any]:
        """Carry a verb out: check, held, repair, quarantine, undo or purge.

        Raises:
            NotDoneError: it was not done.
            KeyError: there is no such verb.
        """
        verbs: dict[str, Callable[[KeyspaceWatch, RedisWish], Awaitable[dict[str, Any]]]] = {
            "check": self._check,
            "held": self._held,
            "repair": self._repair,
            "quarantine": self._quarantine,
            "undo": self._undo,
            "purge": self._purge,
        }
        carry_out = verbs[verb]
        if self._watch is None:
            raise NotDoneError(NOT_CONFIGURED, about_wish=True)
        try:
            return await carry_out(self._watch, wish)
        except KeyspaceError as error:
            if verb in CHANGES and not wish.dry_run:
                text = f"the order could not be carried out, or not to its end: {error}"
                self._note(Entry(kind=EntryKind.REDIS, text=text, warn=True))
            raise NotDoneError(str(error)) from error

    async def _check(self, watch: KeyspaceWatch, _wish: RedisWish) -> dict[str, Any]:
        from wasupervisor.keyspace.orders import check  # noqa: PLC0415 - for the first who asks, as below

        found = await check(watch)
        return {"well": found.is_well, **msgspec.to_builtins(found)}

    async def _held(self, watch: KeyspaceWatch, _wish: RedisWish) -> dict[str, Any]:
        from wasupervisor.keyspace.orders import held  # noqa: PLC0415

        return {"held": msgspec.to_builtins(await held(watch))}

    async def _repair(self, watch: KeyspaceWatch, wish: RedisWish) -> dict[str, Any]:
        from wasupervisor.keyspace.orders import Wish, repair  # noqa: PLC0415

        if not wish.dry_run:
            which = "all mistyped keys" if wish.pattern is None else f"mistyped keys that match {wish.pattern!r}"
            self._order(f"{'converted' if wish.convert else 'set aside'}: {which}")
        pattern = None if wish.pattern is None else wish.pattern.encode("utf-8", "surrogateescape")
        done = await repair(watch, Wish(pattern=pattern, dry_run=wish.dry_run, convert=wish.convert), self._by)
        for one in done.keys:
            self._tell(one, "set_aside")
        return {"is_done": done.is_done, **msgspec.to_builtins(done)}

    async def _quarantine(self, watch: KeyspaceWatch, _wish: RedisWish) -> dict[str, Any]:
        from wasupervisor.keyspace.orders import facts_of, quarantine  # noqa: PLC0415

        return {"keys": [facts_of(one) for one in await quarantine(watch)]}

    async def _undo(self, watch: KeyspaceWatch, wish: RedisWish) -> dict[str, Any]:
        from wasupervisor.keyspace.orders import put_back  # noqa: PLC0415

        what = f"put back from quarantine: {wish.id}"
        return await self._one(what, put_back(watch, wish.id, replace=wish.replace), "put_back")

    async def _purge(self, watch: KeyspaceWatch, wish: RedisWish) -> dict[str, Any]:
        from wasupervisor.keyspace.orders import throw_away  # noqa: PLC0415

        return await self._one(f"deleted from quarantine for good: {wish.id}", throw_away(watch, wish.id), "deleted")

    async def _one(self, what: str, work: Awaitable[Treated], outcome: str) -> dict[str, Any]:
        self._order(what)
        try:
            treated = await work
        except LookupError as error:
            raise NotDoneError(str(error), about_wish=True) from error
        self._tell(treated, outcome)
        done: dict[str, Any] = msgspec.to_builtins(treated)
        return done

    def _order(self, what: str) -> None:
        self._note(Entry(kind=EntryKind.ORDER, text=f"{self._by} orders keys in Redis to be {what}"))

    def _tell(self, one: Treated, outcome: str) -> None:
        if one.done == "done":
            self._note(Entry(kind=EntryKind.REDIS, text=one.text, outcome=outcome))
        elif one.done == "failed":
            self._note(Entry(kind=EntryKind.REDIS, text=one.text, outcome="left", warn=True))


@asynccontextmanager
async def without_daemon(settings: Settings, by: str) -> AsyncIterator[RedisOrders]:
    """The same without a daemon: the gateway is asked for its version and its sessions, and nothing is journaled.

    Raises:
        ValueError: the gateway's address cannot be used.
    """
    watch = open_watch(settings, boottime)
    try:
        keys = watch.keys
        if keys is not None:
            with anyio.move_on_after(settings.gateway.timeout):
                look = await watch.gateway.look()
                if look.sightings is not None:
                    know_sessions(keys, look)
        yield RedisOrders(keys, lambda _entry: None, by)
    finally:
        await watch.aclose()

"""What a person may have done with the keys: all looked at, wrong ones set aside, put back, thrown away."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

from wasupervisor.keyspace.aside import OUTCOMES, Outcome, SetAside, set_aside
from wasupervisor.keyspace.caretaker import LEFT, fault_of, is_of_one_key
from wasupervisor.keyspace.convert import WhyNot, can_convert, convert
from wasupervisor.keyspace.faults import Fault
from wasupervisor.keyspace.globs import escape, matches
from wasupervisor.keyspace.keys import shown
from wasupervisor.keyspace.preflight import Finding, preflight
from wasupervisor.keyspace.quarantine import (
    UNDO_OUTCOMES,
    NotFoundError,
    Quarantined,
    UndoOutcome,
    find,
    identity,
    listed,
    purge,
    undo,
)
from wasupervisor.keyspace.rules import OnWrong
from wasupervisor.keyspace.sweep import Swept, Wrong
from wasupervisor.keyspace.trouble import KeyspaceError
from wasupervisor.keyspace.wanted import Repair
from wasupervisor.keyspace.watch import UNTIL_WHOLE, KeyspaceWatch
from wasupervisor.model.value import Value


class Held(Value, frozen=True, omit_defaults=False):
    """A session whose restarts are held back, for its credential key is not whole."""

    session: str
    key: str
    fault: str
    """As a sentence, without its full stop."""
    since: str
    """When the supervisor saw it first, as RFC 3339."""
    aside: tuple[dict[str, object], ...]
    """What was set aside of this key, as `redis quarantine` tells it."""
    todo: str


class RuleMatched(Value, frozen=True, omit_defaults=False):
    """A rule that applies, and how many keys it is about."""

    name: str
    match: str
    expected: str
    keys: int
    why: str


class WrongKey(Value, frozen=True, omit_defaults=False):
    """A key that is not as its rule says."""

    key: str
    rule: str
    type: str
    expected: str
    fault: str
    """As a sentence."""
    left: str
    """Why the daemon leaves it where it is; empty: it sets it aside."""


class Checked(Value, frozen=True, omit_defaults=False):
    """All keys, looked at once; nothing was changed."""

    keys: int
    seconds: float
    findings: tuple[Finding, ...]
    held: tuple[str, ...]
    """Sessions whose credential key is mistyped, gone or set aside, and what to do, a sentence each."""
    rules: tuple[RuleMatched, ...]
    wrong: tuple[WrongKey, ...]
    more_wrong: int
    quarantined: int
    unread: str
    """Why some keys could not be looked at; empty: all were."""
    unknown: str
    """Why not all rules were tried; empty: they were."""

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to do."""
        is_troubled = any(one.is_trouble for one in self.findings)
        return not (self.wrong or self.held or self.unread or self.unknown or is_troubled)


class Done(StrEnum):
    """What became of one key."""

    DONE = "done"
    WOULD = "would"
    """Nothing was done: it was only asked what would be."""
    LEFT = "left"
    """There was nothing to do, or it is not to be done."""
    FAILED = "failed"


class Treated(Value, frozen=True, omit_defaults=False):
    """One key, and what was done with it."""

    key: str
    done: Done
    text: str
    """One sentence."""
    id: str | None = None
    """What it is called by in quarantine."""


class Repaired(Value, frozen=True, omit_defaults=False):
    """What a repair did."""

    keys: tuple[Treated, ...]
    """Those that were wrong, as far as they were wished for."""
    more_wrong: int
    """Beyond those: another repair finds them."""
    unread: str
    """Why some keys could not be looked at; empty: all were."""
    unknown: str
    """Why not all rules were tried; empty: they were."""

    @property
    def is_done(self) -> bool:
        """Whether nothing was left that was to be done."""
        failed = any(one.done is Done.FAILED for one in self.keys)
        return not failed and not self.more_wrong and not self.unread and not self.unknown


class Wish(Value, frozen=True):
    """How keys are to be repaired."""

    pattern: bytes | None = None
    """Only keys that match this glob; None: all."""
    dry_run: bool = False
    convert: bool = False
    """Turn a key into one of the right type, where that loses nothing."""


async def check(watch: KeyspaceWatch) -> Checked:
    """Look at everything.

    Raises:
        KeyspaceError: a server cannot be asked.
    """
    servers = await watch.servers()
    swept = await _sweep(watch)
    for name in swept.quarantined:
        watch.caretaker.came_into_quarantine(name)
    await watch.look()
    flight = await preflight(
        servers,
        gateway_kind=watch.wanted.gateway_kind,
        credential_keys=watch.credential_keys,
        credentials=await watch.keeps_credentials(servers),
    )
    return Checked(
        keys=swept.keys,
        seconds=round(swept.seconds, 3),
        findings=flight.findings,
        held=tuple(
            f"{name}: its credential key is mistyped, gone or set aside: {UNTIL_WHOLE}"
            for name in dict.fromkeys((*watch.last.mistyped, *watch.last.lost))
        ),
        rules=tuple(
            RuleMatched(rule.name, shown(rule.match), rule.expected, swept.matched.get(rule.name, 0), rule.why)
            for rule in watch.rules
        ),
        wrong=tuple(_wrong_key(one, watch.wanted.repair) for one in swept.wrong),
        more_wrong=swept.more_wrong,
        quarantined=len(swept.quarantined) + swept.more_quarantined,
        unread=_unread(swept),
        unknown=watch.unknown,
    )


async def repair(watch: KeyspaceWatch, wish: Wish, by: str) -> Repaired:
    """Set aside what is of a wrong type, also what a person once put back; each key in one atomic step.

    Raises:
        KeyspaceError: a server cannot be asked; what was done until then is in quarantine, and listed there.
    """
    swept = await _sweep(watch)
    chosen = [one for one in swept.wrong if wish.pattern is None or matches(wish.pattern, one.key)]
    treated = [await _treat(watch, one, wish, by) for one in chosen]
    return Repaired(tuple(treated), swept.more_wrong, _unread(swept), watch.unknown)


async def quarantine(watch: KeyspaceWatch) -> tuple[Quarantined, ...]:
    """All that was set aside.

    Raises:
        KeyspaceError: a server cannot be asked.
    """
    return await listed(await watch.servers())


def facts_of(one: Quarantined) -> dict[str, object]:
    """A key in quarantine for JSON: what an operator's scripts read."""
    return {
        "id": one.id,
        "key": shown(one.key),
        "type": one.type,
        "expected": one.expected,
        "ttl_seconds": one.ttl_seconds,
        "size": one.size,
        "at": one.at,
        "reason": one.reason,
        "rule": one.rule,
        "credentials": one.credentials,
    }


async def held(watch: KeyspaceWatch) -> tuple[Held, ...]:
    """The sessions whose restarts are held back, as the last look found them.

    Raises:
        KeyspaceError: a server cannot be asked.
    """
    faults = watch.faults.of
    aside = await quarantine(watch) if faults else ()
    return tuple(_held(name, one, [copy for copy in aside if copy.key == one.key]) for name, one in faults.items())


async def put_back(watch: KeyspaceWatch, wanted: str, *, replace: bool) -> Treated:
    """Put a key back as it was. The daemon does not set it aside again as long as it is of that type.

    Raises:
        NotFoundError: nothing in quarantine has this id.
        KeyspaceError: it was not done.
    """
    servers = await watch.servers()
    one = await find(servers, wanted)
    undone = await undo(servers, one, replace=replace, at=watch.stamp())
    text = UNDO_OUTCOMES[undone.outcome]
    if undone.outcome is not UndoOutcome.PUT_BACK:
        return Treated(shown(one.key), Done.LEFT, f"{shown(one.key)}: {text}", one.id)
    watch.caretaker.left_quarantine(one.name)
    if undone.made_room is not None:
        watch.caretaker.came_into_quarantine(undone.made_room)
        text += f"; what was in its place, a {undone.in_place}, was set aside as {identity(undone.made_room)}"
    return Treated(shown(one.key), Done.DONE, f"{shown(one.key)}: {text}", one.id)


async def throw_away(watch: KeyspaceWatch, wanted: str) -> Treated:
    """Delete a key in quarantine for good: the only deletion there is.

    Raises:
        NotFoundError: nothing in quarantine has this id, which here must be the whole of it.
        KeyspaceError: it was not done.
    """
    servers = await watch.servers()
    one = await find(servers, wanted)
    if len(wanted) < len(one.id):
        raise NotFoundError(f"{wanted!r} is the beginning of {one.id}: to delete it for good, write all of it")
    deleted = await purge(servers, one)
    watch.caretaker.left_quarantine(one.name)
    text = "it was deleted from quarantine for good" if deleted else UNDO_OUTCOMES[UndoOutcome.GONE]
    return Treated(shown(one.key), Done.DONE if deleted else Done.LEFT, f"{shown(one.key)}: {text}", one.id)


def _held(session: str, fault: Fault, copies: Sequence[Quarantined]) -> Held:
    """With what a person can do, as a table: the first row that holds, and then what holds for all."""
    copy = next((one for one in reversed(copies) if one.type == fault.expected), None)
    pattern = shlex.quote(escape(fault.key).decode("utf-8", "backslashreplace"))
    undo_it = "" if copy is None else f"`wasupervisor redis undo {copy.id} --replace` puts that {copy.type} back"
    convert_it = f"`wasupervisor redis repair --convert --dry-run --pattern {pattern}` tells whether it can be made one"
    rows = (
        (copy is not None, undo_it),
        (fault.is_mistyped, f"it must be a {fault.expected}: {convert_it}"),
        (True, f"no {fault.expected} of this name is in quarantine"),
    )
    return Held(
        session=session,
        key=shown(fault.key),
        fault=fault.text,
        since=datetime.fromtimestamp(fault.since, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        aside=tuple(facts_of(one) for one in copies),
        todo=f"{next(text for holds, text in rows if holds)}; {UNTIL_WHOLE}",
    )


def _unread(swept: Swept) -> str:
    noun = "key" if swept.unread == 1 else "keys"
    return f"{swept.unread} {noun}: {swept.unread_why}" if swept.unread else ""


async def _sweep(watch: KeyspaceWatch) -> Swept:
    async def leave(_wrong: Sequence[Wrong]) -> None:
        """It is all in what the sweep gives back."""

    return await (await watch.new_sweep()).run(leave)


async def _treat(watch: KeyspaceWatch, one: Wrong, wish: Wish, by: str) -> Treated:
    """What Redis refuses of one key does not keep the others from it."""
    try:
        return await _treated(watch, one, wish, by)
    except KeyspaceError as error:
        if not is_of_one_key(error):
            raise
        return Treated(shown(one.key), Done.FAILED, f"{fault_of(one)}. It could not be repaired: {error}")


async def _treated(watch: KeyspaceWatch, one: Wrong, wish: Wish, by: str) -> Treated:
    key, fault, servers = shown(one.key), fault_of(one), await watch.servers()
    if one.fault != "type":
        return Treated(key, Done.LEFT, f"{fault}. It is left as it is: only a wrong type is repaired")
    if wish.convert:
        return await _converted(watch, one, wish, by)
    if one.rule.on_wrong is OnWrong.REPORT:
        return Treated(key, Done.LEFT, f"{fault}. It is left as it is: its rule says to report it only")
    if wish.dry_run:
        return Treated(key, Done.WOULD, f"{fault}: it would be set aside")
    done = await set_aside(servers, one, at=watch.stamp(), lease=None, by=by)
    return _told(watch, one, done, OUTCOMES[done.outcome])


async def _converted(watch: KeyspaceWatch, one: Wrong, wish: Wish, by: str) -> Treated:
    key, fault, servers = shown(one.key), fault_of(one), await watch.servers()
    if wish.dry_run:
        why = await can_convert(servers, one)
        text = f"it would be made a {one.rule.expected}" if why is None else f"it cannot be made one: {why}"
        return Treated(key, Done.WOULD if why is None else Done.LEFT, f"{fault}: {text}")
    done = await convert(servers, one, at=watch.stamp(), lease=None, by=by)
    if isinstance(done, WhyNot):
        return Treated(key, Done.LEFT, f"{fault}. It cannot be made one: {done.text}")
    made = f"it was made a {one.rule.expected}, and the original was set aside"
    return _told(watch, one, done, made if done.outcome is Outcome.MOVED else OUTCOMES[done.outcome])


def _told(watch: KeyspaceWatch, one: Wrong, done: SetAside, text: str) -> Treated:
    if done.name is None:
        nothing_to_do = done.outcome in (Outcome.GONE, Outcome.WHOLE)
        return Treated(shown(one.key), Done.LEFT if nothing_to_do else Done.FAILED, f"{fault_of(one)}: {text}")
    watch.caretaker.came_into_quarantine(done.name)
    return Treated(shown(one.key), Done.DONE, f"{fault_of(one)}: {text} as {done.id}", done.id)


def _wrong_key(one: Wrong, mode: Repair) -> WrongKey:
    left = "" if mode is Repair.QUARANTINE else f"redis.repair is {mode}"
    return WrongKey(
        key=shown(one.key),
        rule=one.rule.name,
        type=one.type,
        expected=one.rule.expected,
        fault=fault_of(one),
        left=next((row.text for row in LEFT if row.holds(one, Repair.QUARANTINE)), left),
    )

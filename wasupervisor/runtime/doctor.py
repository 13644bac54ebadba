"""What `wasupervisor doctor` looks at, a row for each with why it matters, and how the looks are run side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

import anyio
from anyio import to_thread

from wasupervisor.config.schema import Settings
from wasupervisor.host.rights import Person
from wasupervisor.model.value import Value

WITHIN = 6.0
"""Seconds for one look; what has not ended by then is unknown."""

T = TypeVar("T")


class Verdict(StrEnum):
    """How something is."""

    OK = "ok"
    """With something to do it is an offer: nothing is wrong without it."""
    UNKNOWN = "unknown"
    """It could not be looked at: no fault by itself."""
    WARNING = "warning"
    WRONG = "wrong"


class Row(NamedTuple):
    """One thing that is looked at."""

    code: str
    """Never changes; the group stands before the dot."""
    title: str
    why: str
    """Why it matters, as a sentence."""


_IDENTITY = "What a session is logged in by may be lost, and with it the link to the phone."
_ENDS = "Without it the daemon does not start, or ends."

ROWS: tuple[Row, ...] = (
    Row("configuration.file", "the configuration file", "Who reads a secret may use it; who writes the file, too."),
    Row("configuration.secrets", "the secrets that it names", "The daemon does not start without them."),
    Row("configuration.sections", "what it asks for", "What is written there and not acted on gives false comfort."),
    Row("gateway.answers", "the gateway's API", "Sessions are seen and healed through it alone."),
    Row("gateway.key", "the gateway's key", "Without it no session can be seen."),
    Row("gateway.version", "the gateway's version", "What was not measured may behave in another way."),
    Row("gateway.database", "the gateway's database", "Restarts wait while it is down: they would make it worse."),
    Row("gateway.metrics", "Evolution's /metrics", "One call a look shows all instances, instead of one for each."),
    Row("uplink.reachable", "the way to WhatsApp", "While it is down no session is restarted."),
    Row("process.found", "the gateway's process", "Without it nobody knows whether a silent gateway hangs or is gone."),
    Row("process.seen", "what can be seen of it", "What may not be seen stays unknown and is never judged."),
    Row("process.keeper", "who brings it back", "A gateway that ends stays away when nobody starts it again."),
    Row("restarter.configured", "a way to restart the gateway", "Some faults are healed by nothing else."),
    Row("restarter.target", "what is restarted", "A restart that cannot be made is found out when it is needed."),
    Row("restarter.allowed", "the right to restart it", "A restart that is refused is found out when it is needed."),
    Row("redis.connection", "the gateway's Redis", _IDENTITY),
    Row("redis.preflight", "its settings and state", _IDENTITY),
    Row("places.state", "state.directory", "Breakers, budgets and the journal live there; without it nothing is done."),
    Row("places.disk", "room on its disk", "On a full disk the daemon observes and does nothing."),
    Row("places.health_file", "the folder of health.file", "Who reads that file would read an old one."),
    Row("places.socket", "the folder of control.socket", _ENDS),
    Row("service.installed", "the unit", "Without it nothing starts the daemon after a reboot or its end."),
    Row("service.active", "whether it runs", "Who does not run heals nothing."),
    Row("service.boot", "whether it starts at boot", "After a reboot nobody would look after the sessions."),
    Row("service.daemon", "the daemon itself", "It answers on its control socket, in the version that is installed."),
    Row("service.watchdog", "its watchdog", "A daemon that stands still is replaced by nobody else."),
    Row("service.memory", "its limit of memory", "The gateway's memory is not to be taken by who looks after it."),
    Row("service.socket", "its socket unit", "While it has given up, nobody answers probes when the daemon is away."),
    Row("clock.synchronised", "the wall clock", "Times in the journal, certificates and maintenance windows need it."),
    Row("alerts.told", "who is told", "What only a person can heal waits until one looks."),
    Row("alerts.dead_man", "who watches the watcher", "When the host is down nobody here can say so."),
)
"""In the order in which they are told."""

_ROW_OF = {row.code: row for row in ROWS}
_PLACE_OF = {row.code: place for place, row in enumerate(ROWS)}


class Said(NamedTuple):
    """What one look says of one row."""

    code: str
    verdict: Verdict
    text: str
    """The facts, without a full stop."""
    todo: str = ""
    why: str = ""
    """Where more is known than the row says."""


class Finding(Value, frozen=True, omit_defaults=False):
    """What a person reads of it."""

    code: str
    title: str
    verdict: Verdict
    text: str
    why: str
    todo: str

    @property
    def group(self) -> str:
        """Before the dot."""
        return self.code.partition(".")[0]

    @property
    def is_unwell(self) -> bool:
        """Whether there is something to mend."""
        return self.verdict in (Verdict.WARNING, Verdict.WRONG)


class Daemon(NamedTuple):
    """What the running daemon says of everything."""

    document: dict[str, Any] | None = None
    """Its health document; None: it could not be asked."""
    trouble: str = ""
    """Why it could not."""
    is_absent: bool = False
    """Nobody listens there."""
    is_silent: bool = False
    """It takes the question and does not answer, which it does in constant time when it is well."""


class Case(NamedTuple):
    """What all looks may know."""

    settings: Settings
    missing: frozenset[str]
    """Sections whose secrets are not there for us."""
    person: Person
    """Who runs the daemon."""
    service: dict[str, str]
    """What systemd says of the unit; empty: there is none, or it does not answer."""
    daemon: Daemon


class Look(NamedTuple):
    """One question to the outside."""

    code: str
    """The row that is unknown when the look fails."""
    ask: Callable[[Case], Awaitable[Iterable[Said]]]


async def examine(looks: Iterable[Look], case: Case, *, within: float = WITHIN) -> tuple[Finding, ...]:
    """Take all looks side by side, and tell what they say in the order of the table. Never raises."""
    said: list[Said] = []
    async with anyio.create_task_group() as tasks:
        for look in looks:
            tasks.start_soon(_take, look, case, within, said)
    return told(said)


async def _take(look: Look, case: Case, within: float, said: list[Said]) -> None:
    try:
        with anyio.fail_after(within):
            said += await look.ask(case)
    except TimeoutError:
        said.append(Said(look.code, Verdict.UNKNOWN, f"it could not be looked at within {within:g} s"))
    except Exception as error:  # a look that fails says nothing about what it looks at, and the others go on
        said.append(Said(look.code, Verdict.UNKNOWN, f"it could not be looked at: {_why(error)}"))


def _why(error: Exception) -> str:
    """Of foreign errors only the kind: their words may hold anything."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return type(error).__name__


def told(said: Sequence[Said]) -> tuple[Finding, ...]:
    """As findings, in the order of the table."""
    return tuple(map(_finding, sorted(said, key=lambda one: _PLACE_OF[one.code])))


def _finding(one: Said) -> Finding:
    row = _ROW_OF[one.code]
    return Finding(one.code, row.title, one.verdict, one.text, one.why or row.why, one.todo)


async def in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Something that may block on a dead disk; it is left behind when its time is up."""
    return await to_thread.run_sync(work, *arguments, abandon_on_cancel=True)

"""Whether this Redis keeps what the gateway trusts it with, and whether a mistyped key can be found and set aside.

`judge` is pure: facts in, findings out, by the table `ROWS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum

from wasupervisor.keyspace.connection import Servers
from wasupervisor.keyspace.facts import Facts, read_facts
from wasupervisor.model.value import Value

NEAR = 0.9
"""Of maxmemory: from here on it is worth a word."""

OLDEST = (5, 0, 0)
"""Before it, a script may not write after a command such as PTTL (redis.io, 'Scripts with non-deterministic writes');
tested from 6.2 on."""


class Level(StrEnum):
    """How much it matters."""

    UNKNOWN = "unknown"
    """Could not be looked at: no fault by itself."""
    WARNING = "warning"
    BLOCKER = "blocker"
    """As long as it lasts no key can be set aside."""


class Stakes(StrEnum):
    """What the gateway keeps in Redis."""

    CREDENTIALS = "credentials"
    """Evolution, mode A."""
    SIGNAL_KEYS = "signal_keys"
    """Evolution, mode B: the credentials are in PostgreSQL."""
    JOBS = "jobs"
    """WAHA: those of its apps, nothing else."""


class Finding(Value, frozen=True):
    """Something that an operator should know of his Redis."""

    code: str
    level: Level
    text: str
    """The facts, in one sentence without its full stop."""
    why: str
    todo: str
    node: str = ""
    """Of a cluster."""

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        return f"{self.node + ': ' if self.node else ''}{self.text}. {self.why} {self.todo}"

    @property
    def is_trouble(self) -> bool:
        """Whether it is more than something that could not be looked at."""
        return self.level is not Level.UNKNOWN

    @property
    def blocks_repair(self) -> bool:
        """Whether nothing can be set aside on this server."""
        return self.level is Level.BLOCKER


class Preflight(Value, frozen=True):
    """One look at all servers."""

    facts: tuple[Facts, ...] = ()
    """For the next look: it tells what grew."""
    findings: tuple[Finding, ...] = ()


class Row(Value, frozen=True):
    """One thing that may be wrong."""

    code: str
    level: Level
    what: str
    """When it holds, for the docs."""
    test: Callable[[Facts], str | None]
    """The facts as a sentence; None: it does not hold, or is not known."""
    why: dict[Stakes, str]
    todo: str | Callable[[Facts], str]


async def preflight(
    servers: Servers,
    *,
    gateway_kind: str,
    credential_keys: Iterable[bytes] = (),
    credentials: bool = True,
    earlier: Preflight | None = None,
) -> Preflight:
    """Look at every server.

    Args:
        servers: where the keys are.
        gateway_kind: `waha` or `evolution`.
        credential_keys: the keys of sessions, whose TTL is looked at.
        credentials: whether any of them holds the credentials themselves (Evolution's mode A). Not known: true.
        earlier: the look before, for what grows.

    Raises:
        KeyspaceError: a server cannot be asked. That it refuses INFO or CONFIG GET is a finding.
    """
    facts = await read_facts(servers, credential_keys, earlier.facts if earlier else ())
    findings = [finding for one in facts for finding in judge(one, gateway_kind=gateway_kind, credentials=credentials)]
    return Preflight(facts=facts, findings=tuple(findings))


def judge(facts: Facts, *, gateway_kind: str, credentials: bool) -> tuple[Finding, ...]:
    """What is to be said of one server, in the order of the table."""
    stakes = stakes_of(gateway_kind, credentials=credentials)
    findings = []
    for row in ROWS:
        text = row.test(facts)
        if text is not None:
            todo = row.todo if isinstance(row.todo, str) else row.todo(facts)
            findings.append(
                Finding(code=row.code, level=row.level, text=text, why=row.why[stakes], todo=todo, node=facts.node)
            )
    return tuple(findings)


def stakes_of(gateway_kind: str, *, credentials: bool) -> Stakes:
    """What this gateway would lose."""
    if gateway_kind == "waha":
        return Stakes.JOBS
    return Stakes.CREDENTIALS if credentials else Stakes.SIGNAL_KEYS


def _info_withheld(facts: Facts) -> str | None:
    return f"INFO is not available ({facts.info_withheld})" if facts.info_withheld else None


def _loading(facts: Facts) -> str | None:
    return "Redis is loading its data" if facts.loading else None


def _replica(facts: Facts) -> str | None:
    if facts.role in ("slave", "replica"):
        return f"this Redis is a replica{f' of {facts.primary}' if facts.primary else ''}"
    return None


def _primary_wanted(facts: Facts) -> str:
    return f"Set redis.url to the primary{f', {facts.primary}' if facts.primary else ''}, or to sentinel://."


def _too_old(facts: Facts) -> str | None:
    return f"{facts.server} is older than 5.0" if facts.version and facts.version < OLDEST else None


def _scripts(facts: Facts) -> str | None:
    return f"scripts cannot be run ({facts.scripts_withheld})" if facts.scripts_withheld else None


def _uncounted(facts: Facts) -> str | None:
    return f"WRONGTYPE errors are not counted by {facts.server}: {facts.uncounted}" if facts.uncounted else None


def _evicts(facts: Facts) -> str | None:
    if not _evicts_any(facts):
        return None
    reach = ", though no maxmemory is set yet" if facts.maxmemory == 0 else ""
    return f"maxmemory-policy is {facts.policy}: it can evict any key{reach}"


def _evicted(facts: Facts) -> str | None:
    if not _evicts_any(facts) or not facts.evicted:
        return None
    lately = f", {facts.evicted_lately} of them since the last look" if facts.evicted_lately else ""
    return f"{facts.evicted} keys were evicted{lately}"


def _evicts_any(facts: Facts) -> bool:
    return (facts.policy or "").startswith("allkeys")


def _memory(facts: Facts) -> str | None:
    if not facts.maxmemory or facts.used_memory is None or _evicts_any(facts):
        return None
    share = facts.used_memory / facts.maxmemory
    if share < NEAR:
        return None
    lately = f"; {facts.evicted_lately} keys were evicted since the last look" if facts.evicted_lately else ""
    used, most = _size(facts.used_memory), _size(facts.maxmemory)
    return f"{used} of {most} maxmemory are used ({share:.0%}){lately}"


def _unsaved(facts: Facts) -> str | None:
    if facts.save == "" and facts.aof is False:
        return "Redis keeps nothing on disk: save is empty and appendonly is no"
    return None


def _saving_unknown(facts: Facts) -> str | None:
    if facts.config_withheld and facts.save is None and not facts.aof:
        return f"whether Redis saves its data is not known, CONFIG GET is not available ({facts.config_withheld})"
    return None


def _writes_refused(facts: Facts) -> str | None:
    if not facts.refuses_writes:
        return None
    what = "write to the append-only file" if facts.append_ok is False and facts.aof else "snapshot"
    return f"the last {what} failed, and Redis takes no writes until one succeeds"


def _save_failed(facts: Facts) -> str | None:
    if facts.save_ok is not False or facts.refuses_writes:
        return None
    return f"the last snapshot failed{', and Redis may refuse writes' if facts.refuses_writes is None else ''}"


def _expiring(facts: Facts) -> str | None:
    if not facts.expiring:
        return None
    key, seconds = min(facts.expiring, key=lambda one: one[1])
    more = len(facts.expiring) - 1
    others = f", and {more} more do as well" if more else ""
    return f"the credential key {key} expires in {_span(seconds)}{others}"


def _size(number: int) -> str:
    for unit, length in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if number >= length:
            return f"{number / length:.1f} {unit}"
    return f"{number} B"


def _span(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _always(why: str) -> dict[Stakes, str]:
    return dict.fromkeys(Stakes, why)


_LOST = {
    Stakes.CREDENTIALS: "Evolution keeps the credentials of its sessions here: a session whose key is gone asks for a "
    "new QR code at its next reconnect.",
    Stakes.SIGNAL_KEYS: "The credentials are in PostgreSQL and safe; Evolution keeps Signal keys here, and without "
    "them messages cannot be decrypted until new ones are agreed.",
    Stakes.JOBS: "WAHA keeps only the jobs of its apps here: events that were not yet delivered are lost, no session "
    "is.",
}
_UNWRITTEN = {
    Stakes.CREDENTIALS: "Evolution then cannot keep what changes in the credentials of its sessions, nor a new link.",
    Stakes.SIGNAL_KEYS: "Evolution then cannot keep new Signal keys, so that messages may not be decrypted.",
    Stakes.JOBS: "WAHA then cannot add jobs, so that events for its apps are lost.",
}
_UNREADABLE = {
    Stakes.CREDENTIALS: "Evolution takes any error for 'no credentials': who reconnects now is asked for a new QR "
    "code, so that restarts wait.",
    Stakes.SIGNAL_KEYS: "Until it is done nothing can be read, and messages cannot be decrypted.",
    Stakes.JOBS: "Until it is done no job can be added, and a WAHA that starts now exits.",
}

ROWS: tuple[Row, ...] = (
    Row(
        "info_withheld",
        Level.UNKNOWN,
        "`INFO` is refused, or the service does not know it",
        _info_withheld,
        _always(
            "What is looked at here is then not known, and mistyped keys are found by schedule (redis.sweep_every)."
        ),
        "Allow it: ACL SETUSER with +info.",
    ),
    Row("loading", Level.BLOCKER, "Redis is loading its data", _loading, _UNREADABLE, "Wait until it is done."),
    Row(
        "replica",
        Level.BLOCKER,
        "the server is a replica",
        _replica,
        _always("A replica takes no writes: nothing in it can be set aside."),
        _primary_wanted,
    ),
    Row(
        "too_old",
        Level.BLOCKER,
        "Redis is older than 5.0",
        _too_old,
        _always("The scripts that set a key aside in one step cannot be run on it."),
        "Upgrade it, best to 7.0 or later.",
    ),
    Row(
        "scripts_withheld",
        Level.BLOCKER,
        "`EVALSHA` or `EVAL` is refused",
        _scripts,
        _always("Keys are found and set aside by scripts, as only these do it in one step."),
        "Allow them: ACL SETUSER with +eval +evalsha (docs/redis.md has the whole user).",
    ),
    Row(
        "uncounted",
        Level.WARNING,
        "errors are not counted by kind: Redis before 6.2, or a flood of kinds",
        _uncounted,
        _always("A mistyped key is then found by schedule (redis.sweep_every), not at its first error."),
        lambda facts: (
            "Upgrade to Redis 6.2 or later, or set redis.sweep_every lower."
            if facts.version and facts.version < (6, 2, 0)
            else "CONFIG RESETSTAT counts anew where there was a flood; else set redis.sweep_every lower."
        ),
    ),
    Row(
        "evicts",
        Level.WARNING,
        "`maxmemory-policy` is `allkeys-*`",
        _evicts,
        _LOST,
        "Set maxmemory-policy to noeviction, and maxmemory well above what is used.",
    ),
    Row(
        "evicted",
        Level.WARNING,
        "keys were evicted under such a policy",
        _evicted,
        _LOST,
        "Set maxmemory-policy to noeviction now, and look for what is missing before a gateway restarts.",
    ),
    Row(
        "memory",
        Level.WARNING,
        "memory is at 90 % of `maxmemory` or more, under another policy",
        _memory,
        {stakes: f"When it is full, writes are refused. {why}" for stakes, why in _UNWRITTEN.items()},
        "Raise maxmemory, or find what fills it: redis-cli --bigkeys.",
    ),
    Row(
        "unsaved",
        Level.WARNING,
        "no persistence: `save` is empty and `appendonly` is no",
        _unsaved,
        {stakes: f"A restart of Redis empties it. {why}" for stakes, why in _LOST.items()},
        "Set appendonly yes.",
    ),
    Row(
        "saving_unknown",
        Level.UNKNOWN,
        "`CONFIG GET` is refused (usual on managed services) and `appendonly` is not on",
        _saving_unknown,
        {stakes: f"If it does not, a restart of Redis empties it. {why}" for stakes, why in _LOST.items()},
        "Look it up at the service, or allow it: ACL SETUSER with +config|get.",
    ),
    Row(
        "writes_refused",
        Level.BLOCKER,
        "the last snapshot or append failed, and Redis therefore refuses writes",
        _writes_refused,
        {stakes: f"{why} Nor can a key be set aside." for stakes, why in _UNWRITTEN.items()},
        "Look at the disk of Redis (full? not writable?) and at its log; then BGSAVE.",
    ),
    Row(
        "save_failed",
        Level.WARNING,
        "the last snapshot failed, but writes go on (`stop-writes-on-bgsave-error no`)",
        _save_failed,
        {stakes: f"A restart of Redis goes back to the snapshot before. {why}" for stakes, why in _LOST.items()},
        "Look at the disk of Redis (full? not writable?) and at its log; then BGSAVE.",
    ),
    Row(
        "expiring",
        Level.WARNING,
        "a credential key has a TTL",
        _expiring,
        _LOST,
        "No gateway sets one: find out who does, and lift it with PERSIST.",
    ),
)
"""What is looked at. All that hold are told."""

"""The doctor's looks at what is outside of the daemon: gateway, uplink, process, Redis. Nothing is changed by any."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from wasupervisor.gateways.base import open_gateway
from wasupervisor.gateways.evolution_memory import MISSING
from wasupervisor.host.moments import boottime
from wasupervisor.host.process import ProcessWatch
from wasupervisor.host.uplink import Check, UplinkWatch
from wasupervisor.model.observation import Look as GatewayLook
from wasupervisor.model.observation import ProcessReading, Trouble, UplinkState
from wasupervisor.model.usage import Usage
from wasupervisor.runtime.doctor import WITHIN, Case, Look, Said, Verdict
from wasupervisor.runtime.wiring import find_of, open_redis

if TYPE_CHECKING:
    from wasupervisor.keyspace.preflight import Preflight

MEASURED = {"waha": (2024, 10, 8), "evolution": (2, 3, 6)}
"""The versions that docs/gateways.md was measured on."""

_SOONER = 1.0
"""Seconds by which a look's own time-outs come before the doctor's, so that they can say more."""

DAEMON_SAYS = "the daemon says"
_ANSWERS: dict[bool | None, tuple[Verdict, str]] = {
    True: (Verdict.OK, "it answers"),
    False: (Verdict.WRONG, "it does not answer"),
    None: (Verdict.UNKNOWN, "it was not asked yet"),
}
ALLOW = "set process.find.systemd_unit, pid_file or docker, or run install.sh --allow-ptrace (docs/process.md)"
FINDING = "docs/process.md tells how it is found"
KEEPER = "give its unit Restart=always, its container a restart policy, or set recovery.restart_gateway"


async def gateway(case: Case) -> Iterable[Said]:
    """One look, by the calls of every cycle."""
    if "gateway" in case.missing:
        return tuple(_gateway_by_daemon(case))
    wanted = case.settings.gateway
    adapter = open_gateway(
        wanted.kind,
        wanted.url,
        None if wanted.api_key is None else wanted.api_key.reveal(),
        timeout=min(wanted.timeout, WITHIN - _SOONER),
        action_timeout=wanted.action_timeout,
        metrics_auth=None if wanted.metrics_auth is None else wanted.metrics_auth.reveal(),
        clock=boottime,
    )
    try:
        look = await adapter.look()
    finally:
        await adapter.aclose()
    return judge_gateway(wanted.kind, str(wanted.url), look)


def judge_gateway(kind: str, url: str, look: GatewayLook) -> tuple[Said, ...]:
    """What one look at the gateway tells."""
    if not look.reachable:
        todo = "look whether it runs and at its log (systemctl status, docker ps), and at gateway.url"
        return (Said("gateway.answers", Verdict.WRONG, f"{url} does not answer: {look.detail}", todo),)
    said = [Said("gateway.answers", Verdict.OK, f"{url} answers"), _key(look), _version(kind, look)]
    if look.store_ok is not None:
        said.append(_database(well=look.store_ok))
    return (*said, *(_metrics(look) if kind == "evolution" else ()))


def _key(look: GatewayLook) -> Said:
    if look.trouble is Trouble.UNAUTHORIZED:
        return Said("gateway.key", Verdict.WRONG, f"it is not accepted: {look.detail}", "correct gateway.api_key")
    if look.sightings is None:
        return Said("gateway.key", Verdict.UNKNOWN, f"the sessions could not be read: {look.detail}")
    return Said("gateway.key", Verdict.OK, f"it is accepted; {len(look.sightings)} sessions are seen")


def _version(kind: str, look: GatewayLook) -> Said:
    if look.version is None:
        return Said("gateway.version", Verdict.UNKNOWN, "the gateway does not tell its version")
    numbers = tuple(map(int, re.findall(r"\d+", look.version)[:3]))
    measured = ".".join(map(str, MEASURED[kind]))
    told = f"{look.version}{f' with {look.engine}' if look.engine else ''}"
    if numbers < MEASURED[kind]:
        text = f"{told} is unverified: it is older than {measured}, on which this was measured"
        return Said("gateway.version", Verdict.UNKNOWN, text, f"upgrade the gateway to {measured} or later")
    return Said("gateway.version", Verdict.OK, told)


def _database(*, well: bool) -> Said:
    if well:
        return Said("gateway.database", Verdict.OK, "it answers the gateway")
    todo = "look at the gateway's PostgreSQL and at the gateway's log"
    return Said("gateway.database", Verdict.WRONG, "it does not answer the gateway", todo)


def _metrics(look: GatewayLook) -> Iterator[Said]:
    notes = [note for note in look.notes if "/metrics" in note]
    if MISSING in notes:
        text = "it is switched off: each instance is asked by itself"
        yield Said("gateway.metrics", Verdict.OK, text, "set PROMETHEUS_METRICS=true in Evolution (2.3.4 or later)")
    elif notes:
        fact, _separator, todo = notes[0].partition(": ")
        yield Said("gateway.metrics", Verdict.WARNING, fact, todo)
    else:
        yield Said("gateway.metrics", Verdict.OK, "it shows all instances in one call")


def _gateway_by_daemon(case: Case) -> Iterator[Said]:
    document = case.daemon.document
    if document is None:
        text = "it was not asked, for its key is not here"
        yield Said("gateway.answers", Verdict.UNKNOWN, text, "run this as root, or set the variable of the key")
        return
    part = document.get("gateway") or {}
    answers: bool | None = part.get("reachable")
    verdict, word = _ANSWERS[answers]
    todo = "look whether it runs and at its log (systemctl status, docker ps)" if verdict is Verdict.WRONG else ""
    yield Said("gateway.answers", verdict, f"{DAEMON_SAYS} that {word}", todo)
    if part.get("version"):
        yield _version(str(part.get("kind")), GatewayLook(version=str(part["version"])))


async def uplink(case: Case) -> Iterable[Said]:
    """Asked as a gateway would, without logging in."""
    wanted = case.settings.uplink
    if wanted is None:
        return (Said("uplink.reachable", Verdict.OK, "it is not watched (uplink: null), and taken as up"),)
    timeout = min(wanted.timeout, WITHIN - _SOONER)
    reading = await UplinkWatch(wanted.host, wanted.port, cast("Check", wanted.check), timeout).ask(0.0)
    where = f"{wanted.host}:{wanted.port}"
    if reading.state is UplinkState.UP:
        return (Said("uplink.reachable", Verdict.OK, f"{where} answers as it should"),)
    verdict = Verdict.WRONG if reading.state is UplinkState.DOWN else Verdict.UNKNOWN
    todo = "look at DNS, firewall and proxy of this host; uplink.host says what is asked"
    return (Said("uplink.reachable", verdict, f"{where}: {reading.detail}", todo),)


async def process(case: Case) -> Iterable[Said]:
    """As the daemon sees it where one runs; what brings it back is looked at by us."""
    watch = ProcessWatch(find_of(case.settings), clock=boottime)
    reading = await watch.read()
    await watch.survey()
    if reading.exists:
        reading = await watch.read()
    return judge_process(case, reading, watch.usage)


def judge_process(case: Case, reading: ProcessReading, usage: Usage) -> tuple[Said, ...]:
    """What is known of it, by the daemon's document and by our own look."""
    document = case.daemon.document
    if document is None:
        found = _hidden_by_user(case, reading) or _found(reading)
        return (found, *_seen(reading, _hidden_from_us(usage)), *_keeper(case, reading))
    pid, has_looked = (document.get("gateway") or {}).get("pid"), document.get("status") != "starting"
    found = _found(reading) if pid is None else Said("process.found", Verdict.OK, f"{DAEMON_SAYS} pid {pid}")
    if pid is None and reading.exists and has_looked:
        text = f"the daemon (as {case.person.name}) does not see it; here it is pid {reading.pid}"
        found = Said("process.found", Verdict.WARNING, text, ALLOW)
    seen = () if pid is None else _seen(reading, _hidden_from_daemon(document))
    return (found, *seen, *_keeper(case, reading))


def _hidden_by_user(case: Case, reading: ProcessReading) -> Said | None:
    """What root finds by its port, and the daemon's user would not: other users' sockets lead it to no process."""
    who, may_look = case.person, "cap_sys_ptrace" in case.service.get("AmbientCapabilities", "")
    by_port = find_of(case.settings).by_port
    if not (by_port and reading.exists and reading.pid) or who.uid == 0 or may_look:
        return None
    try:
        owner = Path(f"/proc/{reading.pid}").stat().st_uid
    except OSError:
        return None
    if owner == who.uid:
        return None
    text = f"pid {reading.pid} is another user's, and {who.name}, who runs the daemon, cannot find it by its port"
    return Said("process.found", Verdict.WARNING, text, ALLOW)


def _found(reading: ProcessReading) -> Said:
    if reading.exists:
        return Said("process.found", Verdict.OK, f"pid {reading.pid}")
    if reading.exists is False:
        return Said("process.found", Verdict.WRONG, f"it is gone: {reading.detail}", "start the gateway")
    return Said("process.found", Verdict.UNKNOWN, reading.detail or "it was not found", FINDING)


def _hidden_from_us(usage: Usage) -> tuple[str, ...]:
    return _hidden(usage.pss_bytes, usage.open_files, usage.host.gateway_disk_free_bytes)


def _hidden_from_daemon(document: dict[str, Any]) -> tuple[str, ...]:
    parts = document.get("resources") or {}
    memory, fds, host = (parts.get(name) or {} for name in ("memory", "fds", "host"))
    return _hidden(memory.get("pss_bytes"), fds.get("open"), host.get("gateway_disk_free_bytes"))


def _hidden(*values: object) -> tuple[str, ...]:
    names = ("how much of its memory is shared", "its open files", "its working folder")
    return tuple(name for name, value in zip(names, values, strict=True) if value is None)


def _seen(reading: ProcessReading, hidden: tuple[str, ...]) -> Iterator[Said]:
    if hidden:
        todo = "run it as the gateway's user, or install.sh --allow-ptrace gives it CAP_SYS_PTRACE (docs/process.md)"
        text = f"not to be seen by its user: {', '.join(hidden)}"
        yield Said("process.seen", Verdict.UNKNOWN, text, todo)
    elif reading.exists:
        yield Said("process.seen", Verdict.OK, "memory, files and folder can be seen")


def _keeper(case: Case, reading: ProcessReading) -> Iterator[Said]:
    by = case.settings.recovery.restart_gateway.by
    if reading.keeper:
        yield Said("process.keeper", Verdict.OK, reading.keeper)
    elif by != "none":
        yield Said("process.keeper", Verdict.OK, f"recovery.restart_gateway by {by}")
    elif reading.exists:
        text = "nobody is known who would start it again"
        yield Said("process.keeper", Verdict.WARNING, text, KEEPER)


async def redis(case: Case) -> Iterable[Said]:
    """As the daemon sees it where one runs."""
    wanted = case.settings.redis
    if wanted is None:
        if case.settings.gateway.kind == "waha":
            return (Said("redis.connection", Verdict.OK, "none is watched (redis: null)"),)
        todo = "set redis.url to CACHE_REDIS_URI of Evolution, so that mistyped keys are found in time (docs/redis.md)"
        return (Said("redis.connection", Verdict.OK, "none is watched (redis: null)", todo),)
    document = case.daemon.document
    if document is not None and document.get("redis"):
        return tuple(_redis_by_daemon(document))
    if "redis" in case.missing:
        todo = "run this as root, or set the variable"
        return (Said("redis.connection", Verdict.UNKNOWN, "it was not asked, for its URL is not here", todo),)
    from wasupervisor.keyspace.preflight import preflight  # noqa: PLC0415 - with redis-py, only where it is watched
    from wasupervisor.keyspace.trouble import KeyspaceError  # noqa: PLC0415

    try:
        servers = await open_redis(wanted)
        try:
            found = await preflight(servers, gateway_kind=case.settings.gateway.kind)
        finally:
            await servers.aclose()
    except KeyspaceError as error:
        todo = "look whether Redis runs, and at redis.url (user, password, TLS)"
        return (Said("redis.connection", Verdict.WRONG, f"{wanted.url}: {error}", todo),)
    return (Said("redis.connection", Verdict.OK, f"{wanted.url} answers"), *_flight(found))


def _flight(found: Preflight) -> Iterator[Said]:
    verdicts = {"blocker": Verdict.WRONG, "warning": Verdict.WARNING, "unknown": Verdict.UNKNOWN}
    for one in found.findings:
        text = f"{one.node}: {one.text}" if one.node else one.text
        yield Said("redis.preflight", verdicts[one.level], text, one.todo, one.why)
    if not found.findings:
        yield Said("redis.preflight", Verdict.OK, "nothing is to be said against them")


def _redis_by_daemon(document: dict[str, Any]) -> Iterator[Said]:
    part, more = document["redis"], "wasupervisor redis check tells more"
    status, why = part.get("status"), f"{DAEMON_SAYS}: {part.get('why')}"
    if status == "fail":
        yield Said("redis.connection", Verdict.WRONG, why, more)
    else:
        yield Said("redis.connection", Verdict.OK, f"{DAEMON_SAYS} that it answers")
    # What only could not be looked at leaves the status at pass.
    verdict = Verdict.UNKNOWN if status == "pass" else Verdict.WARNING
    notes = [note.removeprefix("Redis: ") for note in document.get("notes", ()) if note.startswith("Redis: ")]
    notes = [note for note in notes if "in quarantine" not in note]
    yield from (Said("redis.preflight", verdict, note, more) for note in notes)
    if not notes and status == "warn":
        yield Said("redis.preflight", verdict, why, more)
    elif not notes and status == "pass":
        yield Said("redis.preflight", Verdict.OK, f"{DAEMON_SAYS} nothing against them")


LOOKS = (
    Look("gateway.answers", gateway),
    Look("uplink.reachable", uplink),
    Look("process.found", process),
    Look("redis.connection", redis),
)

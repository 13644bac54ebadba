"""What the preflight looks at: the settings and the state of one Redis server, as far as it tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wasupervisor.keyspace.connection import Node, Script, Servers
from wasupervisor.keyspace.counter import why_uncounted
from wasupervisor.keyspace.info import Info, is_withheld, read_info
from wasupervisor.keyspace.keys import shown
from wasupervisor.keyspace.trouble import KeyspaceError
from wasupervisor.model.value import Value

SECTIONS = ("server", "memory", "persistence", "stats", "replication", "errorstats")

SETTINGS = ("save", "stop-writes-on-bgsave-error")
"""What only CONFIG GET tells."""

_TRY = Script("preflight", "return 1")


class Facts(Value, frozen=True):
    """One server. None, or an empty reason, is 'not known'."""

    node: str = ""
    """Its name, in a cluster; empty where there is only one."""
    server: str = "Redis of unknown version"
    version: tuple[int, int, int] | None = None
    run_id: str = ""
    role: str | None = None
    """`master` or `slave`, in Redis' words."""
    primary: str | None = None
    """Of a replica: host and port of whom it copies."""
    loading: bool | None = None
    policy: str | None = None
    """maxmemory-policy."""
    maxmemory: int | None = None
    """Bytes; 0: no limit."""
    used_memory: int | None = None
    evicted: int | None = None
    """Keys, since the server's start or CONFIG RESETSTAT."""
    evicted_lately: int | None = None
    """Of these, since the facts before."""
    save: str | None = None
    """When a snapshot is made; empty: never."""
    aof: bool | None = None
    save_ok: bool | None = None
    """Of the last snapshot."""
    append_ok: bool | None = None
    """Of the last write to the append-only file."""
    stops_writes: bool | None = None
    """stop-writes-on-bgsave-error."""
    uncounted: str = ""
    """Why the count of WRONGTYPE errors proves nothing; empty: it does, or INFO is withheld."""
    info_withheld: str = ""
    config_withheld: str = ""
    scripts_withheld: str = ""
    """Why scripts cannot be run; empty: they can, or it is not known."""
    expiring: tuple[tuple[str, float], ...] = ()
    """Credential keys that expire, and in how many seconds."""

    @property
    def refuses_writes(self) -> bool | None:
        """MISCONF: a failed snapshot stops writes where snapshots are on, a failed append always (server.c)."""
        if self.append_ok is False and self.aof:
            return True
        if self.save_ok is not False or self.stops_writes is False or self.save == "":
            return False
        return None if self.stops_writes is None or self.save is None else True


async def read_facts(
    servers: Servers, credential_keys: Iterable[bytes] = (), earlier: Sequence[Facts] = ()
) -> tuple[Facts, ...]:
    """The facts of each server.

    Args:
        servers: all, of a cluster the primaries.
        credential_keys: those whose TTL is asked for.
        earlier: the facts before, for what grows.

    Raises:
        KeyspaceError: a server cannot be asked.
    """
    many = len(servers.nodes) > 1
    keys: dict[str, list[bytes]] = {node.name: [] for node in servers.nodes}
    for key in credential_keys:
        keys.setdefault(servers.node_of(key).name, []).append(key)
    read = []
    for node in servers.nodes:
        name = node.name if many else ""
        before = next((facts for facts in earlier if facts.node == name), None)
        read.append(await _of_node(node, name, keys[node.name], before))
    return tuple(read)


async def _of_node(node: Node, name: str, keys: Sequence[bytes], before: Facts | None) -> Facts:
    info = await read_info(node, *SECTIONS)
    settings, config_withheld = await _settings(node)
    return Facts(
        node=name,
        server=info.server,
        version=info.version,
        run_id=info.text("run_id") or "",
        role=info.text("role"),
        primary=_primary(info),
        loading=info.flag("loading"),
        policy=info.text("maxmemory_policy"),
        maxmemory=info.number("maxmemory"),
        used_memory=info.number("used_memory"),
        evicted=info.number("evicted_keys"),
        evicted_lately=_evicted_lately(info, before),
        save=settings.get("save"),
        aof=info.flag("aof_enabled"),
        save_ok=_is_ok(info, "rdb_last_bgsave_status"),
        append_ok=_is_ok(info, "aof_last_write_status"),
        stops_writes={"yes": True, "no": False}.get(settings.get("stop-writes-on-bgsave-error", "")),
        uncounted="" if info.withheld else why_uncounted(info),
        info_withheld=info.withheld,
        config_withheld=config_withheld,
        scripts_withheld=await _why_no_scripts(node),
        expiring=await _expiring(node, keys),
    )


def _primary(info: Info) -> str | None:
    host, port = info.text("master_host"), info.text("master_port")
    if host is None or port is None:
        return None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_ok(info: Info, name: str) -> bool | None:
    return {"ok": True, "err": False}.get(info.fields.get(name, ""))


def _evicted_lately(info: Info, before: Facts | None) -> int | None:
    now = info.number("evicted_keys")
    if now is None or before is None or before.evicted is None:
        return None
    is_new = before.run_id != (info.text("run_id") or "") or now < before.evicted
    return now if is_new else now - before.evicted


async def _settings(node: Node) -> tuple[dict[str, str], str]:
    """Those that were told, and why not all were. One command for each: several patterns only from 7.0 on."""
    replies = await node.calls([("CONFIG", "GET", name) for name in SETTINGS])
    settings: dict[str, str] = {}
    withheld = ""
    for name, reply in zip(SETTINGS, replies, strict=True):
        if isinstance(reply, KeyspaceError):
            withheld = withheld or str(reply)
        else:
            settings |= {key: value for key, value in _pairs(reply) if key == name}
    return settings, withheld or ("" if "save" in settings else "the server does not tell its setting `save`")


def _pairs(reply: object) -> Iterable[tuple[str, str]]:
    """RESP2 gives a flat list, RESP3 a map."""
    if isinstance(reply, dict):
        return [(_text(key), _text(value)) for key, value in reply.items()]
    if isinstance(reply, list):
        return [(_text(key), _text(value)) for key, value in zip(reply[::2], reply[1::2], strict=False)]
    return []


def _text(word: object) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)


async def _why_no_scripts(node: Node) -> str:
    """Runs a script that does nothing, and so counts no error where it is allowed."""
    try:
        await node.run(_TRY, (), ())
    except KeyspaceError as error:
        if is_withheld(error):
            return str(error)
        if not error.answers:
            raise
    return ""


async def _expiring(node: Node, keys: Sequence[bytes]) -> tuple[tuple[str, float], ...]:
    if not keys:
        return ()
    replies = await node.calls([("PTTL", key) for key in keys])
    # -1: never; -2: no such key; an error: not known.
    return tuple(
        (shown(key), ms / 1000) for key, ms in zip(keys, replies, strict=True) if isinstance(ms, int) and ms >= 0
    )

"""Makes the parts from the settings: each room gets its own section and never the whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from msgspec.structs import asdict

from wasupervisor.config.schema import Redis, Settings, Uplink
from wasupervisor.gateways.base import open_gateway
from wasupervisor.host.found import Find
from wasupervisor.host.process import ProcessWatch
from wasupervisor.host.uplink import Check, UplinkWatch
from wasupervisor.runtime.stamps import Stamps
from wasupervisor.runtime.watch import Watch

if TYPE_CHECKING:
    from wasupervisor.host.forcing import Force
    from wasupervisor.keyspace.connection import Servers
    from wasupervisor.keyspace.watch import KeyspaceWatch
    from wasupervisor.runtime.backlog import QueueWatch
    from wasupervisor.runtime.restarting import GatewayRestart


def open_watch(settings: Settings, clock: Callable[[], float]) -> Watch:
    """The eyes, as the settings want them; nothing is asked yet.

    Raises:
        ValueError: the gateway's address cannot be used.
    """
    gateway, uplink = settings.gateway, settings.uplink
    keys = open_keys(settings, clock)
    return Watch(
        open_gateway(
            gateway.kind,
            gateway.url,
            None if gateway.api_key is None else gateway.api_key.reveal(),
            timeout=gateway.timeout,
            action_timeout=gateway.action_timeout,
            metrics_auth=None if gateway.metrics_auth is None else gateway.metrics_auth.reveal(),
            clock=clock,
        ),
        ProcessWatch(
            find_of(settings),
            clock=clock,
            memory_restart=None if settings.process.memory is None else settings.process.memory.restart,
            own_folder=settings.state.directory,
        ),
        None if uplink is None else _open_uplink(uplink, clock),
        timeout=gateway.timeout,
        clock=clock,
        keys=keys,
        queues=_open_queues(settings, keys),
    )


def open_keys(settings: Settings, clock: Callable[[], float]) -> KeyspaceWatch | None:
    """Who looks after the gateway's Redis; None and nothing loaded where none is configured. Nothing is asked yet."""
    redis, queue = settings.redis, settings.queue
    if redis is None:
        return None
    from wasupervisor.keyspace.bull import QueueKeys  # noqa: PLC0415
    from wasupervisor.keyspace.globs import escape  # noqa: PLC0415
    from wasupervisor.keyspace.rules import own_rule  # noqa: PLC0415
    from wasupervisor.keyspace.wanted import Repair, Wanted  # noqa: PLC0415
    from wasupervisor.keyspace.watch import KeyspaceWatch  # noqa: PLC0415

    wanted = Wanted(
        gateway_kind=settings.gateway.kind,
        prefix=redis.prefix,
        repair=Repair(redis.repair),
        sweep_every=redis.sweep_every,
        own=tuple(own_rule(**asdict(one)) for one in redis.rules),
        queues=tuple(QueueKeys(escape(queue.prefix.encode()), one, None) for one in queue.names) if queue else (),
    )
    return KeyspaceWatch(lambda: open_redis(redis), wanted, clock=clock, wall=time.time, stamp=Stamps())


async def open_redis(redis: Redis) -> Servers:
    """The way to Redis, as its section wants it.

    Raises:
        KeyspaceError: it cannot be opened.
    """
    # Only now: whoever watches no Redis shall not carry it.
    from wasupervisor.keyspace.connection import Tls, connect  # noqa: PLC0415

    return await connect(redis.url.reveal(), tls=Tls(**asdict(redis.tls)))


def _open_queues(settings: Settings, keys: KeyspaceWatch | None) -> QueueWatch | None:
    if settings.queue is None or keys is None:
        return None
    from wasupervisor.runtime.backlog import QueueWatch  # noqa: PLC0415

    return QueueWatch(keys.servers, settings.queue, wall=time.time)


def open_maintenance(settings: Settings) -> Callable[[], bool | None]:
    """Tells whether a maintenance window is open; None and nothing loaded where there is none."""
    wanted = settings.recovery.maintenance
    if wanted is None:
        return lambda: None
    from wasupervisor.host.maintenance import Window  # noqa: PLC0415

    return Window(wanted)


def open_restart(
    settings: Settings, *, hold: Callable[[str | None], None], wake: Callable[[], None]
) -> GatewayRestart | None:
    """How the gateway process is restarted, as the settings want it; None and nothing loaded with `by: none`.

    Args:
        settings: the whole of them.
        hold: has readiness say no, with the reason; None: no longer.
        wake: makes the next turn come at once.
    """
    wanted = settings.recovery.restart_gateway
    if wanted.by == "none":
        return None
    from wasupervisor.host.restarter import open_restarter  # noqa: PLC0415
    from wasupervisor.runtime.restarting import GatewayRestart  # noqa: PLC0415

    restarter = open_restarter(
        wanted.by, unit=wanted.unit, container=wanted.container, argv=wanted.argv, file=wanted.file
    )
    return GatewayRestart(
        restarter, drain=wanted.drain, hold=hold, wake=wake, force=_open_force() if wanted.force else None
    )


def _open_force() -> Force:
    """Loaded only where it is configured."""
    from wasupervisor.host.forcing import Force  # noqa: PLC0415

    return Force()


def _open_uplink(uplink: Uplink, clock: Callable[[], float]) -> UplinkWatch:
    return UplinkWatch(uplink.host, uplink.port, cast("Check", uplink.check), uplink.timeout, clock=clock)


def find_of(settings: Settings) -> Find:
    """How the process is found: as configured, else by the port of the gateway's URL."""
    wanted = settings.process.find
    if wanted is None:
        return Find(url=settings.gateway.url)
    return Find(
        port=wanted.port,
        pid_file=wanted.pid_file,
        systemd_unit=wanted.systemd_unit,
        command_line=wanted.command_line,
        docker=wanted.docker,
        url=settings.gateway.url,
    )

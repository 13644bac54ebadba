"""Makes the parts from the settings: each room gets its own section and never the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from wasupervisor.config.schema import Settings, Uplink
from wasupervisor.gateways.base import open_gateway
from wasupervisor.host.found import Find
from wasupervisor.host.process import ProcessWatch
from wasupervisor.host.uplink import Check, UplinkWatch
from wasupervisor.runtime.watch import Watch

if TYPE_CHECKING:
    from wasupervisor.runtime.restarting import GatewayRestart


def open_watch(settings: Settings, clock: Callable[[], float]) -> Watch:
    """The eyes, as the settings want them; nothing is asked yet.

    Raises:
        ValueError: the gateway's address cannot be used.
    """
    gateway, uplink = settings.gateway, settings.uplink
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
        ProcessWatch(_find(settings), clock=clock),
        None if uplink is None else _open_uplink(uplink, clock),
        timeout=gateway.timeout,
        clock=clock,
    )


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
    return GatewayRestart(restarter, drain=wanted.drain, hold=hold, wake=wake)


def _open_uplink(uplink: Uplink, clock: Callable[[], float]) -> UplinkWatch:
    return UplinkWatch(uplink.host, uplink.port, cast("Check", uplink.check), uplink.timeout, clock=clock)


def _find(settings: Settings) -> Find:
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

"""What the daemon listens on, and who answers there: the health port, the control socket, and the agent's port."""

from __future__ import annotations

import functools
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import NamedTuple

from wasupervisor.config.schema import Settings
from wasupervisor.report.http import Server
from wasupervisor.runtime.activation import HealthSockets, Passed, address_of, open_health
from wasupervisor.runtime.control import Control, Daemon
from wasupervisor.runtime.control_peers import Peers, SocketDoor
from wasupervisor.runtime.control_token import TokenDoor
from wasupervisor.runtime.health_port import HealthPort
from wasupervisor.runtime.inbox import Inbox
from wasupervisor.runtime.publishing import Publisher
from wasupervisor.runtime.startup import listen_tcp, listen_unix

log = logging.getLogger(__name__)

ORDER_MARGIN = 15.0
"""Seconds beyond a whole look after which an order that no step has taken is given up: a disk that hangs costs 7."""


class Doors(NamedTuple):
    """The open sockets."""

    health: HealthSockets
    control: socket.socket
    agent: socket.socket | None


class Service(NamedTuple):
    """Who answers at the doors."""

    port: HealthPort
    work: dict[str, Callable[[], Awaitable[None]]]
    """What must run for it, by what it is."""


def open_doors(settings: Settings, passed: Sequence[Passed], stack: ExitStack) -> Doors:
    """Listen; `stack` closes all of it. `passed` is what systemd has opened for us.

    Raises:
        StartError: an address or the path cannot be had.
    """
    health = stack.enter_context(closing(open_health(passed, *settings.health.listen)))
    control = stack.enter_context(listen_unix(settings.control.socket, "control.socket"))
    stack.callback(_remove, settings.control.socket)
    agent = None
    if settings.health.haproxy_agent is not None:
        agent = stack.enter_context(listen_tcp(*settings.health.haproxy_agent, "health.haproxy_agent"))
    return Doors(health, control, agent)


def serve_doors(
    doors: Doors,
    daemon: Daemon,
    inbox: Inbox,
    publisher: Publisher,
    *,
    settings: Callable[[], Settings],
    clock: Callable[[], float],
) -> Service:
    """Put somebody behind each door. `settings` gives those in force."""
    verbs = Control(
        daemon,
        inbox,
        read_only=publisher.operator_probes,
        answer_within=lambda: settings().gateway.timeout + ORDER_MARGIN,
    )
    on_socket = SocketDoor(verbs, Peers.of(doors.control))
    on_port = TokenDoor(verbs, read_only=publisher.probes, token=lambda: settings().control.token, clock=clock)
    port = HealthPort(doors.health, Server(on_port))
    work: dict[str, Callable[[], Awaitable[None]]] = {
        "the health port": port.serve,
        "the control socket": functools.partial(Server(on_socket).serve, doors.control),
    }
    if doors.agent is not None:
        from wasupervisor.report.agent import LIMITS, LineConnection  # noqa: PLC0415 - most have no HAProxy

        line_server = Server(publisher.agent(), limits=LIMITS, converse=LineConnection)
        work["the HAProxy agent"] = functools.partial(line_server.serve, doors.agent)
    return Service(port, work)


def tell_where(doors: Doors, settings: Settings) -> None:
    """Log where it listens."""
    for one in doors.health.sockets:
        log.info("health: http://%s/health", address_of(one))
    if settings.control.token is not None:
        log.info("commands are taken there too, with the token of control.token_file")
    if doors.agent is not None:
        log.info("HAProxy's agent-check: %s", address_of(doors.agent))


def _remove(socket_file: Path) -> None:
    with suppress(OSError):
        socket_file.unlink()

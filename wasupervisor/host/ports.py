"""The process behind a listening TCP port."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from itertools import pairwise
from urllib.parse import urlsplit

from wasupervisor.host import proc, programs
from wasupervisor.host.found import DOCKER, Absence, Found, Missing, several
from wasupervisor.host.moments import Clock
from wasupervisor.host.proc import Listener, Stat

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOK_AGAIN = 60.0
_CONNECT_SECONDS = 0.5


def local_endpoint(url: str) -> tuple[str, int] | None:
    """Host and port of a URL that leads to this machine; None when it does not, or when that cannot be told.

    Names are not resolved, but for `localhost` and the machine's own: a name may lead elsewhere tomorrow.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)
    if port is None or not host:
        return None
    if host == "localhost" or host.endswith(".localhost") or host == socket.gethostname().lower():
        return "localhost", port
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if address.is_unspecified or address.is_loopback or _is_own(host, address.version):
        return host, port
    return None


def _is_own(address: str, version: int) -> bool:
    """The kernel speaks to an address of its own from that same address. Nothing is sent.

    Binding to it would tell as much, but where `ip_nonlocal_bind` is set (HAProxy with keepalived).
    """
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
            return bool(ip_address(probe.getsockname()[0]) == ip_address(address))
        except OSError:
            return False


class PortSearch:
    """Finds by port. Blocking: a look at every process costs tens of milliseconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._in_vain: tuple[frozenset[str], float, Missing] | None = None
        """The sockets that led to no process, when, and what was said: while they live, the answer hardly changes."""

    def find(self, host: str, port: int, *, seen_before: bool) -> Found | Missing:
        """The process that listens on it. `host`: where the port would answer, if it were forwarded."""
        listening = proc.listeners(port)
        if not listening:
            if not seen_before and _answers(host, port):
                return Missing(
                    f"TCP port {port} answers though no process here listens on it: "
                    f"the kernel forwards it, probably into a container; that needs {DOCKER}"
                )
            return Missing(f"nothing listens on TCP port {port}", Absence.CERTAIN)
        inodes = frozenset(one.inode for one in listening)
        if self._in_vain is not None:
            before, at, said = self._in_vain
            if before == inodes and self._clock() - at < _LOOK_AGAIN:
                return said
        found = _behind(port, listening)
        self._in_vain = (inodes, self._clock(), found) if isinstance(found, Missing) else None
        return found


def _answers(host: str, port: int) -> bool:
    """Whether a connection is accepted. Asked only where nothing listens, so that no gateway is troubled."""
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False


def _behind(port: int, listening: Sequence[Listener]) -> Found | Missing:
    held, refused = proc.holders(one.inode for one in listening)
    owners = [one for pid in {holder.pid for holder in held} if (one := proc.stat(pid)) is not None]
    # systemd keeps a socket that it made for a service (socket activation).
    gateways = [one for one in owners if one.comm != "systemd"]
    if not gateways:
        return _unseen(port, listening, refused=refused, waiting=bool(owners))
    tops = proc.roots(one.pid for one in gateways)
    if (between := _go_between(port, tops)) is not None:
        return between
    if len(tops) > 1:
        return several(tops, f"listen on TCP port {port}")
    if not tops:
        return Missing(f"the process on TCP port {port} ended while it was looked at")
    still = next(holder.still for holder in held if holder.pid == tops[0].pid)
    return Found(tops[0], f"TCP port {port}", still)


def _go_between(port: int, tops: Sequence[Stat]) -> Missing | None:
    for one in tops:
        if one.comm in programs.FORWARDERS:
            return _forwarded(port, one)
        if programs.is_pm2(one):
            # Cluster mode: the workers get their connections from it, and hold no port themselves.
            return Missing(
                f"TCP port {port} belongs to PM2's own daemon (pid {one.pid}), which runs the gateway in cluster mode: "
                "set process.find.pid_file (~/.pm2/pids/NAME-ID.pid) or process.find.command_line"
            )
    return None


def _forwarded(port: int, by: Stat) -> Missing:
    return Missing(
        f"TCP port {port} belongs to {by.comm} (pid {by.pid}), which forwards it into a container: use {DOCKER}"
    )


def _unseen(port: int, listening: Sequence[Listener], *, refused: bool, waiting: bool) -> Missing:
    if waiting:
        return Missing(f"systemd itself listens on TCP port {port} (socket activation): no process of the gateway yet")
    # Arguments can be read by everybody, sockets cannot.
    for pid in proc.pids():
        one = proc.stat(pid)
        if one is not None and one.comm == "docker-proxy" and _has_option(pid, "-host-port", str(port)):
            return _forwarded(port, one)
    if refused:
        owner, us = _user(listening[0].uid), _user(os.geteuid())
        return Missing(
            f"TCP port {port} belongs to a process of {owner}, which wasupervisor (as {us}) may not look into: "
            "set process.find.systemd_unit or process.find.pid_file" + (", or run as that user" if us != owner else "")
        )
    return Missing(
        f"TCP port {port} belongs to no process that /proc shows: probably to one in a container; that needs {DOCKER}"
    )


def _has_option(pid: int, name: str, value: str) -> bool:
    words = proc.command_line(pid)
    return any(pair == (name, value) for pair in pairwise(words))


def _user(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user id {uid}"
